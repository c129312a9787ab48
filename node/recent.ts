import type { Millis } from '#protocol/machine'

/** What was added within the last `forMs`; of more than `keysMax` some are forgotten sooner. */
export class Recent {
  readonly #forMs: Millis
  readonly #keysMax: number
  /** What was added longest ago is the first. */
  readonly #addedAtMs = new Map<string, Millis>()

  constructor({ forMs, keysMax }: { readonly forMs: Millis; readonly keysMax: number }) {
    this.#forMs = forMs
    this.#keysMax = keysMax
  }

  has(key: string, nowMs: Millis): boolean {
    return nowMs - (this.#addedAtMs.get(key) ?? Number.NEGATIVE_INFINITY) < this.#forMs
  }

  add(key: string, nowMs: Millis): void {
    this.#addedAtMs.delete(key)
    this.#addedAtMs.set(key, nowMs)
    const [oldest] = this.#addedAtMs.keys()
    if (this.#addedAtMs.size > this.#keysMax && oldest !== undefined) this.#addedAtMs.delete(oldest)
  }
}
