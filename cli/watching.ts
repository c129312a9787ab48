import { pause } from '#client/backoff'
import type { Format } from './output.ts'
import { write, type Terminal } from './terminal.ts'

const watchMs = 1_000

/** Writes what there is, once or each second until Ctrl-C. Before a table the screen is cleared. */
export async function shownAnew(
  terminal: Terminal,
  { watch = false, format }: { readonly watch?: boolean | undefined; readonly format: Format },
  text: () => Promise<string>,
): Promise<void> {
  const clear = watch && format === 'table' && terminal.stdout.isTTY === true ? '\u001b[2J\u001b[H' : ''
  do await write(terminal, clear + (await text()))
  while (watch && (await nextTurn(terminal.stop)))
}

const nextTurn = (stop: AbortSignal): Promise<boolean> =>
  pause(watchMs, stop).then(
    () => true,
    () => false,
  )
