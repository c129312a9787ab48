import type { BatchToStore, FeedStore, MetaChange, StoredFeed } from './feed-store.ts'
import { type FeedId, type FeedKey, feedKeyOf } from '#protocol/log/feed'
import {
  batchKey,
  batchRange,
  directoryKey,
  encodeDirectoryEntry,
  encodeFloor,
  endOfBatchKey,
  floorKey,
  headsRange,
  metaKey,
  sealed,
  unsealed,
} from './level-layout.ts'
import { type LevelDatabase, type LevelIterator, type LevelOperation, del, put } from './level-database.ts'
import { HeadsJournal, type NumberedFeed } from './level-heads.ts'
import { type Recovered, recover } from './level-recovery.ts'
import { appendedAll, startOfRead, storedFeedOf } from './feed-state.ts'
import { ClassicLevel } from 'classic-level'
import { ContiguousReading } from './contiguous-reading.ts'
import type { DataDirectory } from './data-directory.ts'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import type { StoreWarning } from './store-warning.ts'
import { assert } from '#protocol/assert'
import { join } from 'node:path'

export interface LevelStoreDeps {
  /** Any abstract-level database, opened, with keys and values as `view`. The store closes it. */
  readonly db: LevelDatabase
  readonly digests: Digests
  readonly onWarning: (warning: StoreWarning) => void
  /** Called once the database is closed. */
  readonly onClosed?: () => Promise<void>
}

export interface LevelStoreOptions extends Pick<LevelStoreDeps, 'digests' | 'onWarning'> {
  readonly directory: DataDirectory
}

/** How many batches one step of a read asks the database for; it stops earlier at the bytes wanted. */
const batchesPerStep = 64

/**
 * Opens the level store of a data directory on classic-level. Rejects with DATA_LOCKED or DATA_UNUSABLE. Closing it
 * releases the directory.
 */
export async function openLevelStore({ directory, ...deps }: LevelStoreOptions): Promise<LevelStore> {
  const db = new ClassicLevel<Uint8Array, Uint8Array>(join(directory.path, 'level'), classicLevelOptions)
  try {
    await db.open()
  } catch (error) {
    if (causeCodeOf(error) === 'LEVEL_LOCKED') throw await directory.lockedError(error)
    throw directory.unusableError(error)
  }
  const onClosed = () => directory.forgetHolder()
  try {
    await directory.nameHolder()
    return await LevelStore.open({ ...deps, db, onClosed })
  } catch (error) {
    await db.close()
    throw directory.unusableError(error)
  }
}

const MiB = 1024 * 1024

/**
 * Batches are large next to what LevelDB is made for. With four times its write buffer and eight times its files, an
 * append of 1 MiB is 1.7 times as fast and costs a quarter less CPU; it takes up to 2 × 16 MiB of memory under load.
 */
const classicLevelOptions = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  writeBufferSize: 16 * MiB,
  maxFileSize: 16 * MiB,
} as const

/** Feeds over abstract-level (DESIGN §5): README.md shows keys and values. */
export class LevelStore implements FeedStore {
  readonly #deps: LevelStoreDeps
  readonly #feeds: Map<FeedKey, NumberedFeed>
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #heads: HeadsJournal
  #lastTrim: Promise<unknown> = Promise.resolve()
  #nextFeedNumber: number
  #state: 'open' | 'appending' | 'failed' | 'closed' = 'open'

  /** Takes over an open database and finds out what it holds; see level-recovery.ts. */
  static async open(deps: LevelStoreDeps): Promise<LevelStore> {
    const recovered = await recover(deps)
    const store = new LevelStore(deps, recovered)
    await store.#settle(recovered)
    return store
  }

  private constructor(deps: LevelStoreDeps, recovered: Recovered) {
    this.#deps = deps
    this.#feeds = new Map(recovered.feeds)
    this.#nextFeedNumber = recovered.nextFeedNumber
    this.#heads = new HeadsJournal(deps.digests, recovered.lastAppend)
  }

  async feeds(): Promise<readonly StoredFeed[]> {
    this.#checkOpen()
    return [...this.#feeds.values()].map(({ state }) => storedFeedOf(state))
  }

  append(batches: readonly BatchToStore[], meta: readonly MetaChange[] = []): Promise<void> {
    return this.#track(() => this.#append(batches, meta))
  }

  read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    return this.#track(() => this.#read(feed, position, bytesMax))
  }

  trim(feed: FeedId, floor: number): Promise<void> {
    // One at a time: of two writes under way LevelDB may do either first, and the lower floor must not be the last word.
    return this.#track(() => {
      const trim = this.#lastTrim.then(() => this.#trim(feed, floor))
      this.#lastTrim = trim.catch(() => undefined)
      return trim
    })
  }

  getMeta(key: string): Promise<Uint8Array | undefined> {
    return this.#track(() => this.#getMeta(key))
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    await Promise.allSettled(this.#underWay)
    await this.#deps.db.close()
    await this.#deps.onClosed?.()
  }

  async #append(batches: readonly BatchToStore[], meta: readonly MetaChange[]): Promise<void> {
    assert(this.#state !== 'appending', 'one append is under way at a time')
    if (this.#state === 'failed') throw new MeshError('STORAGE_FAILED', 'An earlier write failed; none is tried again.')
    const changed = this.#changedBy(batches)
    const operations = [
      ...this.#feedOperations(changed, batches),
      ...this.#heads.append(this.#feeds, changed),
      ...meta.map((change) => this.#metaOperation(change)),
    ]
    this.#state = 'appending'
    try {
      await this.#deps.db.batch(operations, { sync: true })
    } catch (error) {
      this.#state = 'failed'
      throw new MeshError('STORAGE_FAILED', 'An append could not be written to disk.', { cause: error })
    }
    if (this.#state === 'appending') this.#state = 'open'
    for (const [key, { number, state }] of changed) {
      // The floor may have moved meanwhile.
      const floor = this.#feeds.get(key)?.state.floor ?? state.floor
      this.#feeds.set(key, { number, state: { ...state, floor } })
    }
  }

  /** The feeds as they are after the append; new ones with the numbers they get. */
  #changedBy(batches: readonly BatchToStore[]): ReadonlyMap<FeedKey, NumberedFeed> {
    const changed = new Map<FeedKey, NumberedFeed>()
    for (const [key, state] of appendedAll((feed) => this.#feeds.get(feed)?.state, batches)) {
      changed.set(key, { number: this.#feeds.get(key)?.number ?? this.#nextFeedNumber++, state })
    }
    return changed
  }

  #feedOperations(changed: ReadonlyMap<FeedKey, NumberedFeed>, batches: readonly BatchToStore[]): LevelOperation[] {
    return batches.flatMap(({ feed, bytes, head, opening }) => {
      const number = numberOf(changed, feed)
      const stored = put(batchKey(number, head.nextOffset), bytes)
      if (opening === undefined) return [stored]
      const entry = sealed(encodeDirectoryEntry(feed, opening), this.#deps.digests)
      return [put(directoryKey(number), entry), stored]
    })
  }

  #metaOperation([key, value]: MetaChange): LevelOperation {
    return value === undefined ? del(metaKey(key)) : put(metaKey(key), sealed(value, this.#deps.digests))
  }

  async #read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    const found = this.#feeds.get(feedKeyOf(feed))
    if (found === undefined) return []
    const { head } = found.state
    const from = startOfRead(found.state, position)
    if (from >= head.nextOffset) return []
    const reading = new ContiguousReading(feed, from, bytesMax, this.#deps.digests)
    const range = batchRange(found.number, from + 1, head.nextOffset)
    const iterator = this.#deps.db.iterator({ ...range, highWaterMarkBytes: bytesMax })
    try {
      await takeAll(iterator, reading)
    } catch (error) {
      throw new MeshError('STORAGE_FAILED', `Feed ${feedKeyOf(feed)} cannot be read.`, { cause: error })
    } finally {
      await iterator.close()
    }
    if (reading.damaged) this.#deps.onWarning({ type: 'batchDamaged', feed, position: reading.position })
    return reading.finish()
  }

  async #trim(feed: FeedId, floor: number): Promise<void> {
    const key = feedKeyOf(feed)
    const found = this.#feeds.get(key)
    assert(found !== undefined, 'a feed that is trimmed is known')
    const { number, state } = found
    assert(floor <= state.head.nextOffset, 'a floor is at most the head')
    if (floor <= state.floor) return
    // At once, so that neither another trim nor an append under way lowers it again.
    this.#feeds.set(key, { number, state: { ...state, floor } })
    const { db, digests } = this.#deps
    // On disk before the batches go: a crash in between leaves some that nobody reads and the next trim removes.
    await db.batch([put(floorKey(number), sealed(encodeFloor(floor), digests))], { sync: true })
    await db.clear(batchRange(number, 0, floor))
  }

  async #getMeta(key: string): Promise<Uint8Array | undefined> {
    const { db, digests, onWarning } = this.#deps
    const stored = await db.get(metaKey(key))
    if (stored === undefined) return undefined
    const value = unsealed(stored, digests)
    if (value === undefined) onWarning({ type: 'metaDamaged', key })
    return value
  }

  /** After recovery: one snapshot in place of all heads before, and lost feeds forgotten, so that they can come back. */
  async #settle({ lost, lastAppend }: Recovered): Promise<void> {
    const operations: LevelOperation[] = [this.#heads.snapshot(this.#feeds)]
    for (const number of lost) {
      operations.push(del(directoryKey(number)), del(floorKey(number)))
    }
    await this.#deps.db.batch(operations, { sync: true })
    await this.#deps.db.clear(headsRange(0, lastAppend))
  }

  /** `close` waits for what is under way, and nothing starts after it. */
  #track<T>(start: () => Promise<T>): Promise<T> {
    if (this.#state === 'closed') return Promise.reject(closedError())
    const running = start()
    this.#underWay.add(running)
    const done = () => this.#underWay.delete(running)
    running.then(done, done)
    return running
  }

  #checkOpen(): void {
    if (this.#state === 'closed') throw closedError()
  }
}

async function takeAll(iterator: LevelIterator, reading: ContiguousReading): Promise<void> {
  for (;;) {
    const entries = await iterator.nextv(batchesPerStep)
    if (entries.length === 0) return
    for (const [key, bytes] of entries) if (!reading.take(endOfBatchKey(key), bytes)) return
  }
}

function numberOf(feeds: ReadonlyMap<FeedKey, NumberedFeed>, feed: FeedId): number {
  const found = feeds.get(feedKeyOf(feed))
  assert(found !== undefined, 'each batch belongs to a feed that the append changes')
  return found.number
}

const closedError = (): MeshError => new MeshError('STORAGE_FAILED', 'The store is closed.')

/** abstract-level reports why it could not open as the cause of its own error. */
const causeCodeOf = (error: unknown): unknown =>
  error instanceof Error ? (error.cause as { readonly code?: unknown } | undefined)?.code : undefined
