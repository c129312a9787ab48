import type { BatchToStore, FeedStore, MetaChange } from './feed-store.ts'
import type { TopicId } from '#protocol/ids'
import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'

export interface GroupCommitConfig {
  /**
   * Bytes that may wait, the append under way included. Callers refuse work before this (publishes by
   * `pendingPublishBytesMax`, links by their credit), so going beyond is our own mistake. Raising it costs memory.
   */
  readonly pendingBytesMax: number
}

/** All links, each with all of its credit used, beside all publishes that a peer accepts, and its newest metadata. */
export const groupCommitDefaults: GroupCommitConfig = {
  pendingBytesMax: limits.pendingPublishBytesMax + limits.linksMax * limits.linkCreditBytes + 2 * limits.commitBytesMax,
}

export interface GroupCommitDeps {
  readonly store: Pick<FeedStore, 'append'>
  /** An append was rejected (fsyncgate: a retry may succeed and lose data). Told once; stop the peer without acking. */
  readonly onFailure: (error: unknown) => void
}

interface Waiting<T> {
  readonly item: T
  readonly bytes: number
  readonly stored: () => void
}

interface Group {
  readonly batches: readonly Waiting<BatchToStore>[]
  readonly changes: readonly Waiting<MetaChange>[]
}

/**
 * Group commit (DESIGN §5): one append, so one fsync, is under way at a time; everything that arrives meanwhile shares
 * the next, at most `commitBatchesMax` batches or `commitBytesMax` bytes.
 *
 * 1. Batches of one topic, hence of one feed, are stored in the order they came; topics take turns, batch by batch.
 * 2. Metadata is stored in the order it came, and never after a batch that was handed over later.
 * 3. `stored` is called after the fsync, in the order of the append. After a failure nothing is called back any more.
 *
 * Without timers, so the simulator runs it as it is: an idle store starts an append at the end of the current turn of
 * the caller (a microtask), which is how batches made in one go share an fsync without any added wait.
 */
export class GroupCommit {
  readonly #config: GroupCommitConfig
  readonly #deps: GroupCommitDeps
  /** In the order of their turns: a topic that had its turn moves to the end. */
  readonly #topics = new Map<TopicId, Waiting<BatchToStore>[]>()
  #changes: Waiting<MetaChange>[] = []
  #pendingBytes = 0
  #pendingBatches = 0
  #state: 'idle' | 'committing' | 'failed' = 'idle'
  #idleWaiters: PromiseWithResolvers<void>[] = []
  #failure: unknown

  constructor(config: GroupCommitConfig, deps: GroupCommitDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** Bytes of batches and metadata that are not yet known to be on disk. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get pendingBatches(): number {
    return this.#pendingBatches
  }

  /** Hands a batch over; batches of one feed come in order and contiguous. */
  store(batch: BatchToStore, stored: () => void): void {
    if (this.#state === 'failed') return
    const waiting = { item: batch, bytes: batch.bytes.length, stored }
    this.#admit(waiting.bytes)
    const queue = this.#topics.get(batch.feed.topicId)
    if (queue === undefined) this.#topics.set(batch.feed.topicId, [waiting])
    else queue.push(waiting)
    this.#pendingBatches += 1
  }

  storeMeta(change: MetaChange, stored: () => void = () => {}): void {
    if (this.#state === 'failed') return
    const waiting = { item: change, bytes: change[0].length + (change[1]?.length ?? 0), stored }
    this.#admit(waiting.bytes)
    this.#changes.push(waiting)
  }

  /** Resolves once nothing waits and nothing is under way; rejects with the failure of the store. */
  idle(): Promise<void> {
    if (this.#state === 'failed') return Promise.reject(this.#failure)
    if (this.#state === 'idle') return Promise.resolve()
    const waiter = Promise.withResolvers<void>()
    this.#idleWaiters.push(waiter)
    return waiter.promise
  }

  #admit(bytes: number): void {
    this.#pendingBytes += bytes
    assert(this.#pendingBytes <= this.#config.pendingBytesMax, 'callers bound what waits for the disk')
    if (this.#state !== 'idle') return
    this.#state = 'committing'
    queueMicrotask(() => this.#commitNext())
  }

  /** The next append starts before the last one is told, so that the disk works while its callers do. */
  #commitNext(): void {
    const group = this.#takeGroup()
    const batches = group.batches.map((waiting) => waiting.item)
    const changes = group.changes.map((waiting) => waiting.item)
    this.#deps.store.append(batches, changes).then(
      () => this.#committed(group),
      (error: unknown) => this.#fail(error),
    )
  }

  #committed(group: Group): void {
    for (const { bytes } of [...group.changes, ...group.batches]) this.#pendingBytes -= bytes
    this.#pendingBatches -= group.batches.length
    if (this.#hasWaiting()) this.#commitNext()
    else this.#state = 'idle'
    for (const { stored } of [...group.changes, ...group.batches]) stored()
    this.#tellIdle()
  }

  #fail(error: unknown): void {
    this.#state = 'failed'
    this.#failure = error
    this.#topics.clear()
    this.#changes = []
    this.#deps.onFailure(error)
    for (const waiter of this.#idleWaiters.splice(0)) waiter.reject(error)
  }

  #tellIdle(): void {
    if (this.#state !== 'idle') return
    for (const waiter of this.#idleWaiters.splice(0)) waiter.resolve()
  }

  #hasWaiting(): boolean {
    return this.#topics.size > 0 || this.#changes.length > 0
  }

  #takeGroup(): Group {
    const changes = this.#takeChanges()
    const bytes = changes.reduce((sum, waiting) => sum + waiting.bytes, 0)
    // Rule 2: batches wait until all metadata before them has gone.
    const batches = this.#changes.length > 0 ? [] : this.#takeBatches(bytes)
    return { changes, batches }
  }

  #takeChanges(): Waiting<MetaChange>[] {
    let bytes = 0
    const past = this.#changes.findIndex((waiting, index) => {
      bytes += waiting.bytes
      return index > 0 && bytes > limits.commitBytesMax
    })
    return this.#changes.splice(0, past < 0 ? this.#changes.length : past)
  }

  #takeBatches(bytesTaken: number): Waiting<BatchToStore>[] {
    const taken: Waiting<BatchToStore>[] = []
    let bytes = bytesTaken
    for (const [topicId, queue] of this.#topics) {
      const next = queue[0] as Waiting<BatchToStore>
      if (taken.length === limits.commitBatchesMax) break
      if (bytes > 0 && bytes + next.bytes > limits.commitBytesMax) break
      queue.shift()
      bytes += next.bytes
      taken.push(next)
      this.#topics.delete(topicId)
      // A Map is walked in insertion order and shows what was added meanwhile: back in line, this topic has another turn.
      if (queue.length > 0) this.#topics.set(topicId, queue)
    }
    return taken
  }
}
