import type { Random } from '#protocol/machine'
import { randomIndex, SeededRandom } from '#protocol/random'

/**
 * One stream of random numbers per concern, so that a fault more does not shift the workload: two runs that differ in
 * one option stay comparable up to the event where it first matters.
 */
export class Dice {
  readonly #random: Random

  constructor(seed: number, concern: string) {
    this.#random = new SeededRandom(fnv1a(`${seed}/${concern}`))
  }

  /** A float in [0, 1). */
  next(): number {
    return this.#random.next()
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** A float in [min, max). */
  between(min: number, max: number): number {
    return min + this.next() * (max - min)
  }

  /** A whole number in [min, max]. */
  whole(min: number, max: number): number {
    return min + randomIndex(this, max - min + 1)
  }

  /** How long until the next event of a Poisson process. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }

  /** A value between min and max whose logarithm is uniform: small ones are as common as large ones. */
  magnitude(min: number, max: number): number {
    return Math.floor(min * (max / min) ** this.next())
  }

  pick<T>(items: readonly T[]): T {
    return items[randomIndex(this, items.length)] as T
  }
}

/** FNV-1a, 32 bits: mixes a text into a seed. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
