import type { Millis } from '#protocol/machine'

/**
 * Virtual time for many small events: a list for each millisecond, in the order in which they were asked for. Costs the
 * same whatever waits, where a heap of millions of timers does not.
 */
export class Calendar {
  nowMs: Millis = 0
  eventCount = 0
  readonly #days = new Map<Millis, (() => void)[]>()

  /** Rounded up to the next whole millisecond; never within this one, so that time goes on. */
  after(delayMs: Millis, run: () => void): void {
    const atMs = Math.max(Math.ceil(this.nowMs + delayMs), this.nowMs + 1)
    const day = this.#days.get(atMs)
    if (day === undefined) this.#days.set(atMs, [run])
    else day.push(run)
  }

  run(forMs: Millis, isOver: () => boolean = () => false): void {
    const endMs = this.nowMs + forMs
    while (this.nowMs < endMs && !isOver()) {
      this.nowMs++
      const day = this.#days.get(this.nowMs)
      if (day === undefined) continue
      this.#days.delete(this.nowMs)
      this.eventCount += day.length
      for (const run of day) run()
    }
  }
}
