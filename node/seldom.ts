const quietMs = 60_000

/** What happens again and again, and is to be told once a minute. Of more things than `thingsMax` some are told sooner. */
export class Seldom {
  readonly #thingsMax: number
  /** Whoever was told of longest ago is the first. */
  readonly #toldAtMs = new Map<string, number>()

  constructor(thingsMax: number) {
    this.#thingsMax = thingsMax
  }

  /** Whether it is to be told now. */
  isDue(thing: string, nowMs: number): boolean {
    if (nowMs - (this.#toldAtMs.get(thing) ?? Number.NEGATIVE_INFINITY) < quietMs) return false
    this.#toldAtMs.delete(thing)
    this.#toldAtMs.set(thing, nowMs)
    const [oldest] = this.#toldAtMs.keys()
    if (this.#toldAtMs.size > this.#thingsMax && oldest !== undefined) this.#toldAtMs.delete(oldest)
    return true
  }
}
