import type { Random } from '#protocol/machine'

/** mulberry32: 32 bits of state, good enough to shuffle peers and to drive simulations; never use it for secrets. */
export class SeededRandom implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A whole number in [0, below). */
export const randomIndex = (random: Random, below: number): number => Math.floor(random.next() * below)

/** A new array in random order (Fisher–Yates). */
export function shuffled<T>(random: Random, items: Iterable<T>): T[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const j = randomIndex(random, i + 1)
    const swapped = result[i] as T
    result[i] = result[j] as T
    result[j] = swapped
  }
  return result
}

/** So many of the items, or all, in random order; `shuffled` at the price of those that are taken. */
export function sampled<T>(random: Random, items: readonly T[], count: number): T[] {
  const moved = new Map<number, T>()
  const at = (index: number): T => moved.get(index) ?? (items[index] as T)
  return Array.from({ length: Math.min(count, items.length) }, (_, i) => {
    const j = i + randomIndex(random, items.length - i)
    const taken = at(j)
    moved.set(j, at(i))
    return taken
  })
}
