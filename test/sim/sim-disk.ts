import { assert } from '#protocol/assert'
import { feedKeyOf, NOTHING } from '#protocol/log/feed'
import type { FeedId, FeedKey, Head, Opening } from '#protocol/log/feed'
import type { BatchToStore, MetaChange } from '#storage/feed-store'

export interface DiskBatch {
  readonly bytes: Uint8Array
  readonly head: Head
}

export interface DiskFeed {
  readonly feed: FeedId
  readonly opening: Opening
  readonly batches: DiskBatch[]
}

/** One atomic write, with what it takes to undo it. */
interface Write {
  readonly batches: readonly BatchToStore[]
  readonly metaBefore: readonly MetaChange[]
}

/** The last writes that a damaged log may lose. */
const undoableWritesMax = 32

/** Records of a feed that this disk once confirmed and then lost: damage, not a crash. Half-open. */
export interface LostRange {
  readonly feed: FeedKey
  readonly from: number
  readonly to: number
  readonly atMs: number
}

/** What is on the platters of one machine; it survives its processes. Everything here is fsynced. */
export class SimDisk {
  readonly feeds = new Map<FeedKey, DiskFeed>()
  readonly meta = new Map<string, Uint8Array>()
  readonly lost: LostRange[] = []
  /** Were writes lost after they were confirmed, metadata alone maybe? */
  isDamaged = false
  readonly #writes: Write[] = []

  apply(batches: readonly BatchToStore[], meta: readonly MetaChange[]): void {
    const metaBefore = meta.map(([key]): MetaChange => [key, this.meta.get(key)])
    for (const batch of batches) this.#append(batch)
    for (const change of meta) this.#setMeta(change)
    this.#writes.push({ batches, metaBefore })
    if (this.#writes.length > undoableWritesMax) this.#writes.shift()
  }

  /** LevelDB's log with a flipped bit: opens without a word, and the last writes are not there. Returns how many batches. */
  loseTail(writes: number, nowMs: number): number {
    this.isDamaged = true
    let count = 0
    for (const write of this.#writes.splice(-writes).reverse()) {
      for (const batch of [...write.batches].reverse()) this.#unappend(batch, nowMs)
      for (const change of write.metaBefore) this.#setMeta(change)
      count += write.batches.length
    }
    return count
  }

  /** Another disk was put in. Returns how many batches are gone. */
  wipe(nowMs: number): number {
    this.isDamaged = true
    let count = 0
    for (const { feed, batches } of this.feeds.values()) {
      const from = batches[0]?.head.nextOffset ?? 0
      this.lost.push({ feed: feedKeyOf(feed), from, to: batches.at(-1)?.head.nextOffset ?? from, atMs: nowMs })
      count += batches.length
    }
    this.feeds.clear()
    this.meta.clear()
    this.#writes.length = 0
    return count
  }

  /** How far the feed goes here; NOTHING without its opening batch. */
  nextOffset(feed: FeedKey): number {
    return this.feeds.get(feed)?.batches.at(-1)?.head.nextOffset ?? NOTHING
  }

  /** When the record, or else any part of the feed, was last lost by damage, having been confirmed. It may be back since. */
  lostAtMs(feed: FeedKey, offset?: number): number | undefined {
    const isIn = ({ from, to }: LostRange): boolean => offset === undefined || (from <= offset && offset < to)
    return this.lost.findLast((range) => range.feed === feed && isIn(range))?.atMs
  }

  #append(batch: BatchToStore): void {
    const key = feedKeyOf(batch.feed)
    if (batch.opening !== undefined) {
      assert(!this.feeds.has(key), 'a feed is opened once')
      this.feeds.set(key, { feed: batch.feed, opening: batch.opening, batches: [] })
    }
    const stored = this.feeds.get(key)
    assert(stored !== undefined, 'the first batch of a feed brings its opening')
    const last = stored.batches.at(-1)
    assert(last === undefined || last.head.nextOffset < batch.head.nextOffset, 'batches of a feed arrive in order')
    stored.batches.push({ bytes: batch.bytes, head: batch.head })
  }

  #unappend(batch: BatchToStore, atMs: number): void {
    const key = feedKeyOf(batch.feed)
    const stored = this.feeds.get(key) as DiskFeed
    stored.batches.pop()
    const from = stored.batches.at(-1)?.head.nextOffset ?? batch.head.nextOffset
    this.lost.push({ feed: key, from, to: batch.head.nextOffset, atMs })
    if (stored.batches.length === 0) this.feeds.delete(key)
  }

  #setMeta([key, value]: MetaChange): void {
    if (value === undefined) this.meta.delete(key)
    else this.meta.set(key, value)
  }
}
