import type { Millis } from '#protocol/machine'

/** An earlier run of ours may be remembered differently here and there, each time as more than we said. A double goes on. */
const wordsMax = 3
const withinMs: Millis = 60_000

export interface Double {
  readonly atMs: Millis
  /** Where it says that it is, if it says so. */
  readonly addresses: readonly string[]
}

/**
 * Does another process live that has our identity, of a cloned machine or a restored backup? Two of them outdo each other's
 * incarnations for ever: whatever one says of itself, the other tops. So who is told again and again that it has said what
 * it has not, knows.
 */
export class DoubleWatch {
  #heardAtMs: Millis[] = []
  /** As noticed last. */
  last: Double | undefined

  /** Somebody said, as ourselves, more than we have. The double, if that is one, at most once per minute. */
  heard(addresses: readonly string[], nowMs: Millis): Double | undefined {
    this.#heardAtMs = [...this.#heardAtMs.filter((atMs) => nowMs - atMs < withinMs), nowMs].slice(-wordsMax - 1)
    if (this.#heardAtMs.length <= wordsMax) return undefined
    this.#heardAtMs = []
    this.last = { atMs: nowMs, addresses }
    return this.last
  }
}
