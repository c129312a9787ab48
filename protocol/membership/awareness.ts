import type { Millis } from '#protocol/machine'

/**
 * Local health (Lifeguard 3.1): how sure this peer is that it hears and answers in time itself. 0 is best. Its probes take
 * score + 1 times as long, so that a slow observer gives others the benefit of the doubt.
 */
export class Awareness {
  readonly #scoreMax: number
  #score = 0

  /** `multiplierMax` ≥ 1; at 1 the score stays 0. */
  constructor(multiplierMax: number) {
    this.#scoreMax = multiplierMax - 1
  }

  get score(): number {
    return this.#score
  }

  /** A probe of ours was answered. */
  better(): void {
    this.#score = Math.max(0, this.#score - 1)
  }

  /** We were accused, or late; or so many answers failed to come that somebody who is well would have had. */
  worse(by = 1): void {
    this.#score = Math.min(this.#scoreMax, this.#score + by)
  }

  scaled(ms: Millis): Millis {
    return ms * (this.#score + 1)
  }
}
