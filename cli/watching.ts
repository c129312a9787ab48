import { Command } from 'commander'
import { pause } from '#client/backoff'
import type { CallOptions, Mesh } from '#client/mesh'
import { connectTo, formatOf, withClientOptions, type ClientOptions, type Context } from './context.ts'
import { type Format, jsonLine } from './output.ts'
import { type OutputStream, type Terminal, write } from './terminal.ts'

const watchMs = 1_000

export type WatchOptions = ClientOptions & { readonly watch?: boolean }

/** For commands that show with `shownAnew`. */
export const withWatchOption = (command: Command): Command =>
  withClientOptions(command).option('-w, --watch', 'show it anew each second until Ctrl-C')

export interface ViewCommandParts<View extends object> {
  readonly description: string
  readonly help: string
  readonly view: (mesh: Mesh, options: CallOptions) => Promise<View>
  readonly text: (stream: OutputStream, view: View) => string
}

/** A command that shows one view of the peer that answers, once or, with `--watch`, anew each second. */
export function viewCommand<View extends object>(
  context: Context,
  name: string,
  { description, help, view, text }: ViewCommandParts<View>,
): Command {
  return withWatchOption(new Command(name))
    .description(description)
    .addHelpText('after', help)
    .action(async (options: WatchOptions) => {
      const { terminal } = context
      await using mesh = await connectTo(context, options)
      const format = formatOf(context, options)
      await shownAnew(terminal, { watch: options.watch, format }, async () => {
        const shown = await view(mesh, { signal: terminal.stop })
        return format === 'json' ? jsonLine(shown) : text(terminal.stdout, shown)
      })
    })
}

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
