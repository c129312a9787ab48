import type { BatchToStore, FeedRead, FeedStore, StoreChange, StoredFeed } from './feed-store.ts'
import { type FeedId, type FeedKey, type OffsetRange, feedKeyOf } from '#protocol/log/feed'
import { type LevelDatabase, type LevelOperation, putSealed } from './level-database.ts'
import { type ChangedFeed, changesOf, deletionsOf, operationsOf } from './level-append.ts'
import { boundsKey, directoryKey, encodeBounds, headsRange, metaKey, unsealed } from './level-layout.ts'
import { HeadsJournal, type NumberedFeed } from './level-heads.ts'
import { type Recovered, recover } from './level-recovery.ts'
import { Deletions } from './level-deletions.ts'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import type { StoreWarning } from './store-warning.ts'
import { assert } from '#protocol/assert'
import { readFeed } from './level-reading.ts'

export interface LevelStoreDeps {
  /** Any abstract-level database, opened, with keys and values as `view`. The store closes it. */
  readonly db: LevelDatabase
  /** Whose topics these are: the id of a topic is made from its name and the cluster's. */
  readonly cluster: string
  readonly digests: Digests
  readonly onWarning: (warning: StoreWarning) => void
  /** Told of the error that was the end of writing, before the append rejects. */
  readonly onFailure?: (error: unknown) => void
  /** Called once the database is closed. */
  readonly onClosed?: () => Promise<void>
}

/** Feeds over abstract-level (DESIGN §5): README.md shows keys and values. */
export class LevelStore implements FeedStore {
  readonly #deps: LevelStoreDeps
  readonly #feeds: Map<FeedKey, NumberedFeed>
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #heads: HeadsJournal
  readonly #deletions: Deletions
  /** False when heads were missing or damaged at open: the database may be shorter than it was. */
  readonly isComplete: boolean
  #nextFeedNumber: number
  #lastAppend: number
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
    this.isComplete = recovered.isComplete
    this.#lastAppend = recovered.lastAppend
    this.#heads = new HeadsJournal(recovered.lastAppend)
    this.#deletions = new Deletions({ ...deps, onFailure: (error) => this.#deletionFailed(error) })
  }

  /** How many appends that moved heads are on disk. */
  get lastAppend(): number {
    return this.#lastAppend
  }

  async feeds(): Promise<readonly StoredFeed[]> {
    this.#checkOpen()
    return Array.from(this.#feeds.values(), ({ state }) => state)
  }

  append(batches: readonly BatchToStore[], changes: readonly StoreChange[] = []): Promise<void> {
    return this.#track(() => this.#append(batches, changes))
  }

  read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    return this.#track(() => this.#read(feed, position, bytesMax))
  }

  getMeta(key: string): Promise<Uint8Array | undefined> {
    return this.#track(() => this.#getMeta(key))
  }

  reclaim(): Promise<void> {
    return this.#track(() => this.#deletions.reclaim())
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    await Promise.allSettled(this.#underWay)
    await this.#deletions.idle()
    await this.#deps.db.close()
    await this.#deps.onClosed?.()
  }

  async #append(batches: readonly BatchToStore[], changes: readonly StoreChange[]): Promise<void> {
    assert(this.#state !== 'appending', 'one append is under way at a time')
    if (this.#state === 'failed') throw new MeshError('STORAGE_FAILED', 'An earlier write failed; none is tried again.')
    const changed = changesOf(this.#feeds, () => this.#nextFeedNumber++, batches, changes)
    const deletions = deletionsOf(changed).map((deletion) => this.#deletions.joined(deletion))
    const operations = [
      ...operationsOf(changed, batches, changes),
      ...this.#heads.append(this.#feeds, movedHeads(changed)),
      ...deletions.map((deletion) => this.#deletions.operation(deletion)),
    ]
    this.#state = 'appending'
    // What is wanted again must not be deleted behind our back.
    if (changed.some(keepsMore)) await this.#deletions.idle()
    if (deletions.length > 0) await this.#deletions.removed()
    try {
      await this.#deps.db.batch(operations, { sync: true })
    } catch (error) {
      this.#state = 'failed'
      this.#deps.onFailure?.(error)
      throw new MeshError('STORAGE_FAILED', 'An append could not be written to disk.', { cause: error })
    }
    if (this.#state === 'appending') this.#state = 'open'
    this.#lastAppend = this.#heads.lastAppend
    for (const { key, number, after } of changed) {
      if (after === undefined) this.#feeds.delete(key)
      else this.#feeds.set(key, { number, state: after })
    }
    this.#deletions.start(deletions)
  }

  async #read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    const found = this.#feeds.get(feedKeyOf(feed))
    if (found === undefined) return { batches: [] }
    const { onWarning } = this.#deps
    const onDamage = (range: OffsetRange): void => onWarning({ type: 'batchesDamaged', feed, ...range })
    return readFeed({ ...this.#deps, onDamage }, found, position, bytesMax)
  }

  async #getMeta(key: string): Promise<Uint8Array | undefined> {
    const { db, onWarning } = this.#deps
    const stored = await db.get(metaKey(key))
    if (stored === undefined) return undefined
    const value = unsealed(metaKey(key), stored)
    if (value === undefined) onWarning({ type: 'metaDamaged', key })
    return value
  }

  /** After recovery: one snapshot in place of all heads before, what was found or restored, deletions finished. */
  async #settle({ changed, restored, deletions, lastAppend }: Recovered): Promise<void> {
    const operations: LevelOperation[] = [this.#heads.snapshot(this.#feeds)]
    for (const [number, bytes] of restored) {
      operations.push(putSealed(directoryKey(number), bytes))
    }
    for (const { number, state } of changed) operations.push(putSealed(boundsKey(number), encodeBounds(state)))
    await this.#deps.db.batch(operations, { sync: true })
    await this.#deps.db.clear(headsRange(0, lastAppend))
    this.#deletions.start(deletions)
  }

  /** As a failed append: the next one says so. */
  #deletionFailed(error: unknown): void {
    if (this.#state === 'closed') return
    this.#state = 'failed'
    this.#deps.onFailure?.(error)
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

const keepsMore = ({ before, after }: ChangedFeed): boolean =>
  before !== undefined && after !== undefined && after.keptFrom < before.keptFrom

const movedHeads = (changed: readonly ChangedFeed[]): ReadonlyMap<FeedKey, NumberedFeed> =>
  new Map(
    changed.flatMap(({ key, number, before, after }) =>
      after === undefined || after.head === before?.head ? [] : [[key, { number, state: after }] as const],
    ),
  )

const closedError = (): MeshError => new MeshError('STORAGE_FAILED', 'The store is closed.')
