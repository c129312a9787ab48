import type { BatchToStore, FeedChange, FeedStore, MetaChange, StoreChange } from './feed-store.ts'
import type { TopicId } from '#protocol/ids'
import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'

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
  readonly clock: {
    /** Monotonic milliseconds. */
    nowMs(): Millis
    /** Calls back once. */
    after(afterMs: Millis, run: () => void): void
  }
}

/**
 * Who waits for a batch. `urgent`: a client of this peer, which wrote it. `live`: maybe somebody elsewhere, for a copy.
 * `backlog`: nobody, since it was published long ago.
 */
export type Pace = 'urgent' | 'live' | 'backlog'

/** Who has published just now publishes again: so many appends without any, and nobody does. */
const busyAppends = 32

/**
 * The backlog rests so many times as long as its last append took, and then no longer than `restMsMax`. Higher: acks wait
 * less for a disk and a processor that are catching up, which takes longer.
 */
const restsPerAppend = 6
const restMsMax: Millis = 100

interface Waiting<T> {
  readonly item: T
  readonly pace: Pace
  readonly bytes: number
  readonly batches: number
  readonly stored: () => void
}

/** What a topic waits for. */
type TopicItem = BatchToStore | FeedChange

interface Group {
  readonly meta: readonly Waiting<MetaChange>[]
  readonly items: readonly Waiting<TopicItem>[]
}

/**
 * Group commit (DESIGN §5): one append, so one fsync, is under way at a time; everything that arrives meanwhile shares
 * the next, at most `commitBatchesMax` batches or `commitBytesMax` bytes.
 *
 * 1. Batches and changes of one topic, hence of one feed, are stored in the order they came; topics take turns, one by one.
 *    But what is urgent goes before copies in its topic: those are of other feeds, since nobody else writes to this peer's.
 * 2. Metadata is stored in the order it came, and never after a batch that was handed over later.
 * 3. While clients publish, an append takes little of the backlog: `commitBacklogBytesMax`. So none is long when they come.
 *    And the backlog rests after each, unless something else waits behind it, so that most of the disk, and of the processors,
 *    is theirs. What rests keeps its credit, which slows down who sends it.
 * 4. `stored` is called after the fsync, in the order of the append. After a failure nothing is called back any more.
 *
 * An idle store starts an append at the end of the current turn of the caller (a microtask), which is how batches made in
 * one go share an fsync without any added wait.
 */
export class GroupCommit {
  readonly #config: GroupCommitConfig
  readonly #deps: GroupCommitDeps
  /** In the order of their turns: a topic that had its turn moves to the end. */
  readonly #topics = new Map<TopicId, Waiting<TopicItem>[]>()
  #meta: Waiting<MetaChange>[] = []
  #pendingBytes = 0
  #pendingBatches = 0
  #urgentWaiting = 0
  #appendsSinceUrgent = Number.POSITIVE_INFINITY
  /** `resting`: of what waits nothing may be stored yet. */
  #state: 'idle' | 'committing' | 'resting' | 'failed' = 'idle'
  #restsUntilMs: Millis = 0
  #isWakeSet = false
  #idleWaiters: PromiseWithResolvers<void>[] = []
  #failure: unknown

  constructor(config: GroupCommitConfig, deps: GroupCommitDeps) {
    this.#config = config
    this.#deps = deps
  }

  /** Bytes of batches and changes that are not yet known to be on disk. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get pendingBatches(): number {
    return this.#pendingBatches
  }

  /** Hands a batch over; batches of one feed come in order and contiguous, and urgent ones are of feeds that only have such. */
  store(batch: BatchToStore, stored: () => void, pace: Pace = 'live'): void {
    this.#enqueue(batch.feed.topicId, { item: batch, pace, bytes: batch.bytes.length, batches: 1, stored })
  }

  /** Hands a change over. */
  storeChange(change: StoreChange, stored: () => void = () => {}): void {
    const bytes = bytesOfChange(change)
    if (change.type !== 'meta') {
      const batches = change.type === 'fill' ? change.batches.length : 0
      this.#enqueue(change.feed.topicId, { item: change, pace: 'live', bytes, batches, stored })
    } else if (this.#admit(bytes)) {
      this.#meta.push({ item: change, pace: 'live', bytes, batches: 0, stored })
    }
  }

  /** Resolves once nothing waits and nothing is under way; rejects with the failure of the store. */
  idle(): Promise<void> {
    if (this.#state === 'failed') return Promise.reject(this.#failure)
    if (this.#state === 'idle') return Promise.resolve()
    const waiter = Promise.withResolvers<void>()
    this.#idleWaiters.push(waiter)
    this.#wake()
    return waiter.promise
  }

  #enqueue(topicId: TopicId, waiting: Waiting<TopicItem>): void {
    if (!this.#admit(waiting.bytes)) return
    const queue = this.#topics.get(topicId)
    if (queue === undefined) this.#topics.set(topicId, [waiting])
    else queue.splice(placeIn(queue, waiting), 0, waiting)
    this.#pendingBatches += waiting.batches
    if (waiting.pace === 'urgent') this.#urgentWaiting += 1
  }

  #admit(bytes: number): boolean {
    if (this.#state === 'failed') return false
    this.#pendingBytes += bytes
    assert(this.#pendingBytes <= this.#config.pendingBytesMax, 'callers bound what waits for the disk')
    this.#wake()
    return true
  }

  #wake(): void {
    if (this.#state !== 'idle' && this.#state !== 'resting') return
    this.#state = 'committing'
    queueMicrotask(() => this.#commitNext())
  }

  /** The next append starts before the last one is told, so that the disk works while its callers do. */
  #commitNext(): void {
    const group = this.#takeGroup()
    if (group.items.length === 0 && group.meta.length === 0) return this.#rest()
    const startedMs = this.#deps.clock.nowMs()
    const items = group.items.map(({ item }) => item)
    const changes = [...group.meta.map(({ item }) => item), ...items.filter(isChange)]
    this.#deps.store.append(items.filter(isBatch), changes).then(
      () => this.#committed(group, startedMs),
      (error: unknown) => this.#fail(error),
    )
  }

  /** Only backlog waits: for its time, or for something that need not. */
  #rest(): void {
    this.#state = this.#hasWaiting() ? 'resting' : 'idle'
    this.#tellIdle()
    if (this.#state === 'idle' || this.#isWakeSet) return
    this.#isWakeSet = true
    const { clock } = this.#deps
    clock.after(Math.max(1, this.#restsUntilMs - clock.nowMs()), () => {
      this.#isWakeSet = false
      this.#wake()
    })
  }

  #committed({ meta, items }: Group, startedMs: Millis): void {
    if (items.some(({ pace }) => pace === 'backlog')) {
      const nowMs = this.#deps.clock.nowMs()
      this.#restsUntilMs = nowMs + Math.min(restMsMax, restsPerAppend * (nowMs - startedMs))
    }
    for (const { bytes, batches } of [...meta, ...items]) {
      this.#pendingBytes -= bytes
      this.#pendingBatches -= batches
    }
    if (this.#hasWaiting()) this.#commitNext()
    else this.#state = 'idle'
    for (const { stored } of [...meta, ...items]) stored()
    this.#tellIdle()
  }

  #fail(error: unknown): void {
    this.#state = 'failed'
    this.#failure = error
    this.#topics.clear()
    this.#meta = []
    this.#deps.onFailure(error)
    for (const waiter of this.#idleWaiters.splice(0)) waiter.reject(error)
  }

  #tellIdle(): void {
    if (this.#state !== 'idle') return
    for (const waiter of this.#idleWaiters.splice(0)) waiter.resolve()
  }

  #hasWaiting(): boolean {
    return this.#topics.size > 0 || this.#meta.length > 0
  }

  #takeGroup(): Group {
    const meta = this.#takeMeta()
    const bytes = meta.reduce((sum, waiting) => sum + waiting.bytes, 0)
    // Rule 2: batches wait until all metadata before them has gone.
    const items = this.#meta.length > 0 ? [] : this.#takeItems(bytes)
    return { meta, items }
  }

  /** Does somebody publish here, or has just now? */
  #isBusy(): boolean {
    this.#appendsSinceUrgent = this.#urgentWaiting > 0 ? 0 : this.#appendsSinceUrgent + 1
    return this.#appendsSinceUrgent < busyAppends
  }

  #takeMeta(): Waiting<MetaChange>[] {
    let bytes = 0
    const past = this.#meta.findIndex((waiting, index) => {
      bytes += waiting.bytes
      return index > 0 && bytes > limits.commitBytesMax
    })
    return this.#meta.splice(0, past < 0 ? this.#meta.length : past)
  }

  #takeItems(bytesTaken: number): Waiting<TopicItem>[] {
    const taken: Waiting<TopicItem>[] = []
    const changed = new Set<TopicId>()
    const isBusy = this.#isBusy()
    const backlogBytesMax = isBusy ? limits.commitBacklogBytesMax : limits.commitBytesMax
    const isResting = isBusy && this.#idleWaiters.length === 0 && this.#deps.clock.nowMs() < this.#restsUntilMs
    let bytes = bytesTaken
    let backlogBytes = 0
    let batches = 0
    for (const [topicId, queue] of this.#topics) {
      const next = queue[0] as Waiting<TopicItem>
      if (batches >= limits.commitBatchesMax) break
      if (bytes > 0 && bytes + next.bytes > limits.commitBytesMax) break
      // An append stores its batches before its changes: what comes after a change of this topic waits for the next.
      if (isBatch(next.item) && changed.has(topicId)) continue
      // What somebody waits for may be behind it.
      if (isResting && queue.every(({ pace }) => pace === 'backlog')) continue
      if (next.pace === 'backlog' && backlogBytes > 0 && backlogBytes + next.bytes > backlogBytesMax) continue
      if (isChange(next.item)) changed.add(topicId)
      queue.shift()
      bytes += next.bytes
      batches += next.batches
      if (next.pace === 'backlog') backlogBytes += next.bytes
      if (next.pace === 'urgent') this.#urgentWaiting -= 1
      taken.push(next)
      this.#topics.delete(topicId)
      // A Map is walked in insertion order and shows what was added meanwhile: back in line, this topic has another turn.
      if (queue.length > 0) this.#topics.set(topicId, queue)
    }
    return taken
  }
}

/** Where in the queue of its topic it belongs. */
function placeIn(queue: readonly Waiting<TopicItem>[], { pace }: Waiting<TopicItem>): number {
  if (pace !== 'urgent') return queue.length
  return queue.findLastIndex((before) => before.pace === 'urgent' || isChange(before.item)) + 1
}

const isChange = (item: TopicItem): item is FeedChange => 'type' in item
const isBatch = (item: TopicItem): item is BatchToStore => !isChange(item)

/** About what it takes on disk. */
function bytesOfChange(change: StoreChange): number {
  switch (change.type) {
    case 'meta':
      return change.key.length + (change.value?.length ?? 0)
    case 'fill':
      return change.batches.reduce((sum, { bytes }) => sum + bytes.length, changeBytes)
    case 'holes':
      return changeBytes + change.holes.length * 16
    case 'floor':
    case 'kept':
    case 'skip':
    case 'forget':
      return changeBytes
  }
}

const changeBytes = 128
