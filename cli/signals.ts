import type { EventEmitter } from 'node:events'

/** One Ctrl-C comes twice: from the terminal, and again through npm, which passes on what its children have already got. */
const sameWishMs = 1_000
const parentCheckMs = 1_000

/**
 * Turns what the world does to a process into two wishes: `stop`, and `force` for whoever asks again after a second.
 * A parent that is gone is a wish to stop: it would have told us (npm, a re-executed bin, `up` as parent of a peer).
 */
export function watchSignals(
  from: EventEmitter & { readonly ppid: number; readonly connected?: boolean },
  options: { readonly underNpm: boolean; readonly now?: () => number },
): { readonly stop: AbortSignal; readonly force: AbortSignal } {
  const stop = new AbortController()
  const force = new AbortController()
  const now = options.now ?? (() => performance.now())
  let firstMs = 0
  const wish = (reason: string): void => {
    if (!stop.signal.aborted) {
      firstMs = now()
      stop.abort(new Interruption(reason))
    } else if (now() - firstMs > sameWishMs) force.abort(new Interruption(reason))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) from.on(signal, () => wish(signal))
  if (from.connected === true) from.once('disconnect', () => wish('the parent process has ended'))
  if (options.underNpm) watchParent(from, () => wish('npm has ended'))
  return { stop: stop.signal, force: force.signal }
}

/** A command that ends with this was asked to. */
export class Interruption extends Error {}

// npm gives its children no channel; a killed one is noticed by our getting another parent.
function watchParent(from: { readonly ppid: number }, gone: () => void): void {
  const parent = from.ppid
  const timer = setInterval(() => {
    if (from.ppid === parent) return
    clearInterval(timer)
    gone()
  }, parentCheckMs)
  timer.unref()
}
