import { assert } from '#protocol/assert'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { murmur3 } from '#protocol/murmur3'
import type { FeedDigest } from './messages.ts'

/** Buckets of a summary: with one feed that differs, a 256th of all feeds is listed. */
export const bucketCount = 256

/** What one digest adds to the hash of a set, in two lanes of 32 bits. */
export interface Entry {
  readonly bucket: number
  readonly low: number
  readonly high: number
}

/** All versions of a feed fall into one bucket. */
export const bucketOf = (key: FeedKey): number => murmur3(key, 0) % bucketCount

export function entryOf(digest: FeedDigest): Entry {
  const { feed, floor, floorHash = '', keptFrom, nextOffset, hash, holes = [], rooted = false, ...rest } = digest
  // A field that is added to digests has to be hashed, too: else nobody would notice that it differs.
  rest satisfies Record<string, never>
  const key = feedKeyOf(feed)
  const gaps = holes.map(({ from, to }) => `${from}-${to}`).join()
  const text = [key, floor, floorHash, keptFrom, nextOffset, hash, gaps, rooted].join(' ')
  return { bucket: bucketOf(key), low: murmur3(text, 1), high: murmur3(text, 2) }
}

/**
 * Hash of a set of digests: in each bucket the sum of its entries, so that one is added or taken out at the price of one,
 * whatever the size of the set. Two sets with equal sums are equal but for one in 2^64; it guards against loss, not lies.
 */
export class SetHash {
  readonly #sums = new Uint32Array(2 * bucketCount)

  add({ bucket, low, high }: Entry): void {
    this.#shift(bucket, low, high)
  }

  remove({ bucket, low, high }: Entry): void {
    this.#shift(bucket, -low, -high)
  }

  /** 16 hex characters. */
  root(): string {
    let [low, high] = [0, 0]
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      low = (low + (this.#sums[2 * bucket] as number)) >>> 0
      high = (high + (this.#sums[2 * bucket + 1] as number)) >>> 0
    }
    return hex(low) + hex(high)
  }

  /** 16 hex characters for each bucket. */
  buckets(): string {
    return [...this.#sums].map(hex).join('')
  }

  /** The buckets in which the other set, told by its `buckets()`, is another. */
  differing(buckets: string): readonly number[] {
    assert(buckets.length === 16 * bucketCount, 'a summary names every bucket')
    const ours = this.buckets()
    const textAt = (text: string, bucket: number): string => text.slice(16 * bucket, 16 * (bucket + 1))
    const all = Array.from({ length: bucketCount }, (_, bucket) => bucket)
    return all.filter((bucket) => textAt(ours, bucket) !== textAt(buckets, bucket))
  }

  #shift(bucket: number, low: number, high: number): void {
    // Sums wrap at 2^32.
    this.#sums[2 * bucket] = (this.#sums[2 * bucket] as number) + low
    this.#sums[2 * bucket + 1] = (this.#sums[2 * bucket + 1] as number) + high
  }
}

const hex = (lane: number): string => lane.toString(16).padStart(8, '0')
