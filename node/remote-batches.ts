import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import { BatchCache } from './batch-cache.ts'

export interface RangeWanted {
  readonly ref: number
  readonly feed: FeedId
  readonly position: number
  readonly bytesMax: number
}

type Batches = readonly Uint8Array[]

/**
 * Batches that are read from other peers' disks, for all readers of this one. Each range is asked for once, and what has
 * come is kept a while: live readers of a topic want the same, and who catches up wants what follows.
 */
export class RemoteBatches {
  readonly #ask: (wanted: RangeWanted) => void
  readonly #cache: BatchCache
  readonly #asked = new Map<string, Promise<Batches>>()
  readonly #answers = new Map<number, (batches: Batches) => void>()
  #lastRef = 0

  /** What is asked for is answered by `answered`. */
  constructor(ask: (wanted: RangeWanted) => void, cacheBytesMax: number = limits.remoteCacheBytesMax) {
    this.#ask = ask
    this.#cache = new BatchCache(cacheBytesMax)
  }

  get cachedBytes(): number {
    return this.#cache.sizeBytes
  }

  /** As `FeedStore.read`; nothing when nobody can give it now. */
  async read(feed: FeedId, position: number, bytesMax: number): Promise<Batches> {
    const cached = this.#cache.read(feed, position, bytesMax)
    if (cached.length > 0) return cached
    // Who wants one batch gets one. Who reads on will want what follows, too.
    const wanted = { feed, position, bytesMax: bytesMax > 1 ? limits.dataFrameBytesTarget : 1 }
    const name = `${feedKeyOf(feed)}@${position}+${wanted.bytesMax}`
    return firstOf(await (this.#asked.get(name) ?? this.#request(name, wanted)), bytesMax)
  }

  /** The batches go on from the position that was asked for, unbroken; none: nobody can give them now. */
  answered(ref: number, batches: Batches): void {
    this.#answers.get(ref)?.(batches)
  }

  stop(): void {
    for (const answer of this.#answers.values()) answer([])
  }

  #request(name: string, wanted: Omit<RangeWanted, 'ref'>): Promise<Batches> {
    const ref = ++this.#lastRef
    const { promise, resolve } = Promise.withResolvers<Batches>()
    this.#asked.set(name, promise)
    this.#answers.set(ref, (batches) => {
      this.#asked.delete(name)
      this.#answers.delete(ref)
      for (const bytes of batches) this.#cache.add(wanted.feed, bytes)
      resolve(batches)
    })
    this.#ask({ ref, ...wanted })
    return promise
  }
}

function firstOf(batches: Batches, bytesMax: number): Batches {
  let sizeBytes = 0
  const end = batches.findIndex(({ length }, index) => (sizeBytes += length) > bytesMax && index > 0)
  return end < 0 ? batches : batches.slice(0, end)
}
