import type { Millis } from '#protocol/machine'

/** Wall time when a run begins. */
const wallMsAtStart = Date.UTC(2030, 0, 1)

export interface ClockError {
  /** How wrong it is from the start. */
  readonly offsetMs: Millis
  /** How much too fast it runs, in parts per million. */
  readonly driftPpm: number
}

/** The wall clock of one machine, which may be wrong; everything but the hybrid clock goes by monotonic time. */
export class WallClock {
  readonly #trueMs: () => Millis
  readonly #error: ClockError
  #jumpedMs = 0
  #highestMs = 0
  #jumpedMsMax = 0

  /** `trueMs`: since the beginning of the run. */
  constructor(trueMs: () => Millis, error: ClockError = { offsetMs: 0, driftPpm: 0 }) {
    this.#trueMs = trueMs
    this.#error = error
  }

  nowMs(): Millis {
    const { offsetMs, driftPpm } = this.#error
    const nowMs = wallMsAtStart + offsetMs + this.#trueMs() * (1 + driftPpm / 1e6) + this.#jumpedMs
    this.#highestMs = Math.max(this.#highestMs, nowMs)
    return nowMs
  }

  /** Somebody sets it. */
  jump(byMs: Millis): void {
    this.nowMs()
    this.#jumpedMs += byMs
    this.#jumpedMsMax = Math.max(this.#jumpedMsMax, this.#jumpedMs)
  }

  /** What whoever saw it once believes that it shows now, at the latest. */
  get believedMsMax(): Millis {
    return this.nowMs() - this.#jumpedMs + this.#jumpedMsMax
  }

  /** The latest time that it ever showed. */
  get highestMs(): Millis {
    this.nowMs()
    return this.#highestMs
  }
}
