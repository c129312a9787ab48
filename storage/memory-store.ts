import type { BatchToStore, FeedRead, FeedStore, MetaChange, StoreChange, StoredFeed } from './feed-store.ts'
import { type FeedId, type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { type MemoryBatch, firstAbove, readMemory } from './memory-reading.ts'
import type { Digests } from '#protocol/digests'
import type { FeedState } from './feed-state.ts'
import { MeshError } from '#protocol/errors'
import { changedFeeds } from './feed-change.ts'

interface StoredInMemory {
  state: FeedState
  readonly batches: MemoryBatch[]
}

/** What outlives a memory store: give it to another one to reopen it. */
export class MemoryDisk {
  readonly feeds = new Map<FeedKey, StoredInMemory>()
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
    return Array.from(this.#disk.feeds.values(), ({ state }) => state)
  }

  async append(batches: readonly BatchToStore[], changes: readonly StoreChange[] = []): Promise<void> {
    this.#checkOpen()
    const states = changedFeeds((key) => this.#disk.feeds.get(key)?.state, batches, changes)
    const filled = changes.flatMap((change) => (change.type === 'fill' ? change.batches : []))
    const added = Map.groupBy([...batches, ...filled], ({ feed }) => feedKeyOf(feed))
    for (const [key, state] of states) {
      if (state === undefined) this.#disk.feeds.delete(key)
      else this.#settle(key, state, added.get(key) ?? [])
    }
    for (const change of changes) if (change.type === 'meta') this.#setMeta(change)
  }

  async read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    this.#checkOpen()
    const stored = this.#disk.feeds.get(feedKeyOf(feed))
    return stored === undefined ? { batches: [] } : readMemory(stored, position, bytesMax, this.#digests)
  }

  async getMeta(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen()
    return this.#disk.meta.get(key)
  }

  async close(): Promise<void> {
    this.#open = false
  }

  #settle(key: FeedKey, state: FeedState, added: readonly BatchToStore[]): void {
    const stored = this.#disk.feeds.get(key) ?? { state, batches: [] }
    this.#disk.feeds.set(key, stored)
    for (const batch of added) insert(stored.batches, batch)
    // All but the opening batch.
    if (state.keptFrom > stored.state.keptFrom) stored.batches.splice(1, firstAbove(stored.batches, state.keptFrom) - 1)
    stored.state = state
  }

  #setMeta({ key, value }: MetaChange): void {
    if (value === undefined) this.#disk.meta.delete(key)
    else this.#disk.meta.set(key, value)
  }

  #checkOpen(): void {
    if (!this.#open) throw new MeshError('STORAGE_FAILED', 'The store is closed.')
  }
}

function insert(batches: MemoryBatch[], { head, bytes, opening }: BatchToStore): void {
  const at = firstAbove(batches, head.nextOffset)
  const isThere = batches[at - 1]?.head.nextOffset === head.nextOffset
  // The opening batch is copied: what a feed is outlives damage to its batches, as it does on disk.
  const batch = { head, bytes: opening === undefined ? bytes : bytes.slice() }
  batches.splice(isThere ? at - 1 : at, isThere ? 1 : 0, batch)
}
