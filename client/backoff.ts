/**
 * Back-off with full jitter: a random time in [0, min(cap, base · 2^attempt)), so that many clients that lost one server
 * do not come back at once (Brooker, "Exponential Backoff And Jitter").
 */
export interface Backoff {
  readonly baseMs: number
  /** Higher: less load on a mesh that is down, later return once it is up. */
  readonly capMs: number
}

export const defaultBackoff: Backoff = { baseMs: 100, capMs: 5_000 }

export const fullJitterMs = (backoff: Backoff, attempt: number, random: () => number): number =>
  Math.floor(random() * Math.min(backoff.capMs, backoff.baseMs * 2 ** attempt))

/** Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error)
    const abort = () => {
      clearTimeout(timer)
      reject(signal.reason as Error)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal.addEventListener('abort', abort, { once: true })
  })
}
