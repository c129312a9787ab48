import { pause } from '#client/backoff'
import { secondsText } from './words.ts'

export interface EventuallyOptions {
  readonly deadlineMs: number
  /** How long to wait before it is asked again. */
  readonly everyMs: number
  readonly signal?: AbortSignal
}

/** Asks again until it is true. Throws with `what`, and the last error, when the time is up; or the reason of the signal. */
export async function eventually(
  what: string,
  isTrue: () => Promise<boolean>,
  { deadlineMs, everyMs, signal = new AbortController().signal }: EventuallyOptions,
): Promise<void> {
  const deadline = performance.now() + deadlineMs
  let last: unknown
  for (;;) {
    try {
      if (await isTrue()) return
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) throw new Error(`not within ${secondsText(deadlineMs)}: ${what}`, { cause: last })
    await pause(everyMs, signal)
  }
}
