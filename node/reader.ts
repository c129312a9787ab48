import { assert } from '#protocol/assert'
import { MeshError } from '#protocol/errors'
import type { Hash } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { batchHash } from '#protocol/log/batch'
import type { CursorEntry, CursorState } from '#protocol/log/cursor'
import { compareHlc, hlcZero } from '#protocol/log/hybrid-clock'
import { type CursorMoment, MovingCursor } from '#protocol/log/moving-cursor'
import { nextFeed, readableFeeds, type ReadView, startsBySince } from '#protocol/log/read-order'
import { type Lineage, type VectorKey, vectorKeyOf, writerHashOf } from '#protocol/log/version-vector'
import type { ReadChunk, Reader, ReadGap, StoredRecord } from '#gateway/broker'
import type { FeedView, ReaderOptions } from './read-source.ts'
import { prefixOf, startOf } from './read-start.ts'
import { type FetchedBatch, ReadingFeed } from './reading-feed.ts'
import { SharedRecords } from './shared-records.ts'

export type { FeedView, ReaderOptions, ReadSource } from './read-source.ts'

/**
 * Opens a reader of one topic. Throws MeshError CURSOR_INVALID for a cursor that is damaged, of another topic, or of
 * another history; where only a look at the batches can tell the latter, `next` rejects with it.
 */
export const openReader = (options: ReaderOptions): Reader => new TopicReader(options)

/**
 * A version vector that moves through the feeds (DESIGN §8). Catch-up and live are the same loop: look at all heads,
 * fetch what is not known yet, deliver the batch that comes next (`#protocol/log/read-order`).
 *
 * 1. A feed outside of the cursor's positions was not begun: what `sinceHlc` passes over enters no cursor.
 * 2. The next record of `#current` is the one at its feed's position, which is the cursor's.
 * 3. It holds the batch being read, and `readerAheadBytesMax` of others to choose the next from.
 */
class TopicReader implements Reader {
  readonly #options: ReaderOptions
  readonly #shared: SharedRecords
  readonly #start: CursorState
  readonly #cursor: MovingCursor
  readonly #feeds = new Map<VectorKey, ReadingFeed>()
  readonly #feedsByName = new Map<string, ReadingFeed>()
  /** Entries of the cursor it was opened with, until it is certain that they are of this history. */
  readonly #unchecked: Map<VectorKey, CursorEntry>
  #current: CurrentBatch | undefined
  #busy = false

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#shared = options.shared ?? new SharedRecords()
    this.#start = startOf(options)
    this.#cursor = new MovingCursor(this.#start, options.digests)
    this.#unchecked = new Map(this.#start.entries.map((entry) => [vectorKeyOf(entry.writer, entry.epoch), entry]))
    this.#refresh()
  }

  get cursor(): string {
    return this.#cursor.now.text
  }

  async next(limit: number, bytesTarget: number = limits.pageBytesMax): Promise<ReadChunk> {
    assert(!this.#busy, 'one next at a time')
    this.#busy = true
    try {
      return await this.#nextChunk({ limit, bytesTarget })
    } finally {
      this.#busy = false
    }
  }

  async more(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    this.#refresh()
    if (this.#hasMore()) return
    await advanceOrAbort(this.#options, signal)
    for (const feed of this.#feeds.values()) feed.late = false
  }

  async #nextChunk(bound: ChunkBound): Promise<ReadChunk> {
    this.#refresh()
    const chunk: Chunk = { records: [], bytes: 0, gaps: [] }
    while (!isFull(chunk, bound)) {
      this.#current ??= await this.#beginNext(chunk.gaps)
      if (this.#current === undefined) break
      this.#deliver(this.#current, chunk, bound)
    }
    const { records, gaps } = chunk
    const upToDate = !this.#hasMore()
    if (upToDate) this.#tellWaiting(gaps)
    return { records, cursor: this.cursor, upToDate, ...(gaps.length > 0 && { gaps }) }
  }

  /** Looks at the heads again, and takes in feeds that are new here. */
  #refresh(): void {
    const knownCount = this.#feeds.size
    for (const view of this.#options.source.feeds(this.#options.topicId)) {
      const feed = this.#feedOf(view)
      feed.head = view.head
      feed.keptFrom = view.keptFrom
      this.#check(feed, view.head.nextOffset, view.head.hash)
    }
    if (this.#feeds.size > knownCount) this.#learnLineage()
  }

  #feedOf(view: FeedView): ReadingFeed {
    const name = `${view.feed.writer}/${view.feed.epoch}`
    const known = this.#feedsByName.get(name)
    if (known !== undefined) return known
    const feed = new ReadingFeed(view, writerHashOf(view.feed.writer, this.#options.digests))
    this.#feedsByName.set(name, feed)
    this.#feeds.set(feed.key, feed)
    return feed
  }

  #learnLineage(): void {
    const lineage: Lineage = new Map(
      [...this.#feeds.values()].flatMap(({ key, link }) => (link === undefined ? [] : [[key, link]])),
    )
    this.#cursor.learn(lineage)
    for (const feed of this.#feeds.values()) {
      const position = this.#cursor.positions.get(feed.key) ?? 0
      if (position <= feed.position) continue
      feed.jumpTo(position)
      if (this.#current?.feed === feed) this.#current = undefined
    }
  }

  /** An entry of the opening cursor must name the hash of the batch before its position, as this peer has it. */
  #check(feed: ReadingFeed, position: number, previousHash: Hash): void {
    const entry = this.#unchecked.get(feed.key)
    if (entry?.nextOffset !== position) return
    if (entry.hashPrefix !== prefixOf(previousHash)) {
      throw new MeshError('CURSOR_INVALID', 'The cursor is of another history of this topic.')
    }
    this.#unchecked.delete(feed.key)
  }

  /** Starts the batch that comes next; undefined when none can be had now. */
  async #beginNext(gaps: ReadGap[]): Promise<CurrentBatch | undefined> {
    for (;;) {
      const feed = nextFeed(await this.#lookAhead(gaps))
      if (feed === undefined) return undefined
      const batch = await feed.take(this.#options.source)
      if (batch === undefined) tellLate(feed, gaps)
      const current = batch && this.#begin(feed, batch, gaps)
      if (current !== undefined) return current
    }
  }

  /** The readable feeds, once the time of the next batch is known of each. */
  async #lookAhead(gaps: ReadGap[]): Promise<ReadingFeed[]> {
    for (;;) {
      const readable = this.#readable()
      const unknown = readable.filter((feed) => feed.nextHlc === undefined)
      const group = unknown.slice(0, limits.readerFetchesAtOnceMax)
      if (group.length === 0) return readable
      // Its share of the budget, lest what is fetched for one feed is let go for the next.
      const bytesMax = Math.min(limits.readerFetchBytesTarget, limits.readerAheadBytesMax / readable.length)
      await Promise.all(group.map((feed) => this.#fetch(feed, bytesMax)))
      for (const feed of group) if (feed.late) this.#tellUnreadable(feed, gaps)
      releaseBeyondBudget(this.#feeds.values())
    }
  }

  #fetch(feed: ReadingFeed, bytesMax: number): Promise<void> {
    const sinceHlc = startsBySince(feed, this.#view) ? this.#start.sinceHlc : undefined
    return feed.fetch(this.#options.source, bytesMax, sinceHlc)
  }

  /** Nothing came back: either all of it was trimmed, or a damaged batch is in the way. */
  #tellUnreadable(feed: ReadingFeed, gaps: ReadGap[]): void {
    const { head, keptFrom } = feed
    if (keptFrom < head.nextOffset) tellLate(feed, gaps)
    else this.#lose(feed, { nextOffset: head.nextOffset, hash: head.hash }, gaps)
  }

  /**
   * With nothing left to read, what is held here beyond a position waits for a feed that is not (`read-order`, rules 2 and
   * 3). That one may come soon, or never: its only disk may be lost. So the reader waits and says so (P5).
   */
  #tellWaiting(gaps: ReadGap[]): void {
    for (const feed of this.#feeds.values()) if (feed.position < feed.nextOffset) tellLate(feed, gaps)
  }

  /** Undefined when the batch holds nothing that can be delivered. */
  #begin(feed: ReadingFeed, { bytes, header }: FetchedBatch, gaps: ReadGap[]): CurrentBatch | undefined {
    if (header.baseOffset > feed.position) {
      this.#lose(feed, { nextOffset: header.baseOffset, hash: header.previousHash }, gaps)
    }
    this.#check(feed, feed.position, header.previousHash)
    const hash = feed.hashAt(header.nextOffset) ?? batchHash(bytes, this.#options.digests)
    const records = this.#shared.of({ bytes, header, topic: this.#options.topic, feed: feedName(feed) })
    if (typeof records !== 'string') return { feed, header, records, hash }
    // Its checksum holds, so its writer made it so: waiting would not help.
    this.#lose(feed, { nextOffset: header.nextOffset, hash }, gaps)
    return undefined
  }

  #deliver(current: CurrentBatch, chunk: Chunk, bound: ChunkBound): void {
    const { feed, header, records, hash } = current
    while (!isFull(chunk, bound) && feed.position < header.nextOffset) {
      const record = records[feed.position - header.baseOffset] as StoredRecord
      const nextOffset = feed.position + 1
      this.#move(feed, nextOffset, nextOffset === header.nextOffset ? hash : header.previousHash)
      chunk.records.push(new ReadRecord(record, this.#cursor.now))
      chunk.bytes += record.value.length + (record.key?.length ?? 0)
    }
    if (feed.position === header.nextOffset) this.#current = undefined
  }

  #lose(feed: ReadingFeed, to: { nextOffset: number; hash: Hash }, gaps: ReadGap[]): void {
    gaps.push({ type: 'lost', feed: feedName(feed), from: feed.position, to: to.nextOffset })
    feed.late = false
    this.#move(feed, to.nextOffset, to.hash)
  }

  #move(feed: ReadingFeed, nextOffset: number, hash: Hash): void {
    const { writer } = feed
    this.#cursor.move({ writer, epoch: feed.feed.epoch, nextOffset, hashPrefix: prefixOf(hash) })
    feed.position = nextOffset
  }

  #hasMore(): boolean {
    return this.#current !== undefined || this.#readable().length > 0
  }

  #readable(): ReadingFeed[] {
    return readableFeeds(this.#view).filter((feed) => !feed.late)
  }

  get #view(): ReadView<ReadingFeed> {
    return { feeds: this.#feeds, positions: this.#cursor.positions, lists: (feed) => this.#cursor.lists(feed) }
  }
}

interface CurrentBatch {
  readonly feed: ReadingFeed
  readonly header: FetchedBatch['header']
  readonly records: readonly StoredRecord[]
  /** Of this batch. */
  readonly hash: Hash
}

interface Chunk {
  readonly records: ReadRecord[]
  bytes: number
  readonly gaps: ReadGap[]
}

interface ChunkBound {
  readonly limit: number
  readonly bytesTarget: number
}

const isFull = ({ records, bytes }: Chunk, { limit, bytesTarget }: ChunkBound): boolean =>
  records.length >= limit || bytes >= bytesTarget

class ReadRecord {
  readonly record: StoredRecord
  readonly #cursor: CursorMoment

  constructor(record: StoredRecord, cursor: CursorMoment) {
    this.record = record
    this.#cursor = cursor
  }

  get cursor(): string {
    return this.#cursor.text
  }
}

function advanceOrAbort({ source, topicId }: ReaderOptions, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unsubscribe()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const unsubscribe = source.onAdvance(topicId, done)
    signal.addEventListener('abort', done)
  })
}

/** Lets go of what would be read last. What comes next stays, whatever its size. */
function releaseBeyondBudget(feeds: Iterable<ReadingFeed>): void {
  const ahead = [...feeds].filter((feed) => feed.aheadBytes > 0)
  ahead.sort((a, b) => compareHlc(a.nextHlc ?? hlcZero, b.nextHlc ?? hlcZero))
  let bytes = 0
  for (const [index, feed] of ahead.entries()) {
    bytes += feed.aheadBytes
    if (index > 0 && bytes > limits.readerAheadBytesMax) feed.releaseAhead()
  }
}

const feedName = ({ feed }: ReadingFeed): string => `${feed.writer}.${feed.epoch}`

function tellLate(feed: ReadingFeed, gaps: ReadGap[]): void {
  const { position: from, nextOffset: to, toldLate } = feed
  if (toldLate?.from === from && toldLate.to === to) return
  feed.toldLate = { from, to }
  gaps.push({ type: 'late', feed: feedName(feed), from, to })
}
