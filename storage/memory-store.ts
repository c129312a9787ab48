import type { BatchToStore, FeedStore, MetaChange, StoredFeed } from './feed-store.ts'
import { type FeedId, type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { type FeedState, appendedAll, startOfRead, storedFeedOf } from './feed-state.ts'
import { ContiguousReading } from './contiguous-reading.ts'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { assert } from '#protocol/assert'

interface MemoryBatch {
  readonly end: number
  readonly bytes: Uint8Array
}

interface MemoryFeed {
  state: FeedState
  /** In order; those at or below the floor are gone. */
  batches: MemoryBatch[]
}

/** What outlives a memory store: give it to another one to reopen it. */
export class MemoryDisk {
  readonly feeds = new Map<FeedKey, MemoryFeed>()
  readonly meta = new Map<string, Uint8Array>()
}

/** Feeds in memory, for tests and `--storage memory`: everything is durable at once and gone with the process. */
export class MemoryStore implements FeedStore {
  readonly #digests: Digests
  readonly #disk: MemoryDisk
  #open = true

  constructor(digests: Digests, disk: MemoryDisk = new MemoryDisk()) {
    this.#digests = digests
    this.#disk = disk
  }

  async feeds(): Promise<readonly StoredFeed[]> {
    this.#checkOpen()
    return [...this.#disk.feeds.values()].map(({ state }) => storedFeedOf(state))
  }

  async append(batches: readonly BatchToStore[], meta: readonly MetaChange[] = []): Promise<void> {
    this.#checkOpen()
    const states = appendedAll((key) => this.#disk.feeds.get(key)?.state, batches)
    for (const [key, state] of states) this.#feedOf(key, state).state = state
    for (const { feed, head, bytes } of batches) {
      this.#disk.feeds.get(feedKeyOf(feed))?.batches.push({ end: head.nextOffset, bytes })
    }
    for (const [key, value] of meta) {
      if (value === undefined) this.#disk.meta.delete(key)
      else this.#disk.meta.set(key, value)
    }
  }

  async read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    this.#checkOpen()
    const stored = this.#disk.feeds.get(feedKeyOf(feed))
    if (stored === undefined) return []
    const from = startOfRead(stored.state, position)
    if (from >= stored.state.head.nextOffset) return []
    const reading = new ContiguousReading(feed, from, bytesMax, this.#digests)
    for (let i = firstAbove(stored.batches, from); i < stored.batches.length; i++) {
      const { end, bytes } = stored.batches[i] as MemoryBatch
      if (!reading.take(end, bytes)) break
    }
    return reading.finish()
  }

  async trim(feed: FeedId, floor: number): Promise<void> {
    this.#checkOpen()
    const stored = this.#disk.feeds.get(feedKeyOf(feed))
    assert(stored !== undefined, 'a feed that is trimmed is known')
    assert(floor <= stored.state.head.nextOffset, 'a floor is at most the head')
    if (floor <= stored.state.floor) return
    stored.state = { ...stored.state, floor }
    stored.batches = stored.batches.slice(firstAbove(stored.batches, floor))
  }

  async getMeta(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen()
    return this.#disk.meta.get(key)
  }

  async close(): Promise<void> {
    this.#open = false
  }

  #feedOf(key: FeedKey, state: FeedState): MemoryFeed {
    const known = this.#disk.feeds.get(key) ?? { state, batches: [] }
    this.#disk.feeds.set(key, known)
    return known
  }

  #checkOpen(): void {
    if (!this.#open) throw new MeshError('STORAGE_FAILED', 'The store is closed.')
  }
}

/** Index of the first batch that ends above `position`, by halving: a caught-up reader of a long feed asks often. */
function firstAbove(batches: readonly MemoryBatch[], position: number): number {
  let low = 0
  let high = batches.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((batches[middle] as MemoryBatch).end > position) high = middle
    else low = middle + 1
  }
  return low
}
