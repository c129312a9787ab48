import { assert } from '#protocol/assert'
import { MeshError } from '#protocol/errors'
import type { Hash } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { batchHash } from '#protocol/log/batch'
import type { CursorEntry, CursorState } from '#protocol/log/cursor'
import type { FeedId, Head } from '#protocol/log/feed'
import { compareHlc, hlcZero } from '#protocol/log/hybrid-clock'
import { type CursorMoment, MovingCursor } from '#protocol/log/moving-cursor'
import { noRanges, type OffsetRanges, united } from '#protocol/log/offset-ranges'
import {
  forgottenBefore,
  mayBeImplied,
  nextFeed,
  readableFeeds,
  type ReadView,
  startsBySince,
  unclearFeeds,
} from '#protocol/log/read-order'
import { epochOfKey, type Lineage, type VectorKey, vectorKeyOf, writerHashOf } from '#protocol/log/version-vector'
import type { BatchChunk, BatchReader, ReadBatch, ReadChunk, ReadGap, StoredRecord } from '#gateway/broker'
import type { Standing } from '#protocol/replication/following'
import { type FeedView, nextAdvance, type ReaderOptions } from './read-source.ts'
import { prefixOf, startOf } from './read-start.ts'
import { type FetchedBatch, lookAtOpenings, ReadingFeed } from './reading-feed.ts'
import { Repeats } from './repeats.ts'
import { bytesOf, SharedRecords } from './shared-records.ts'

export type { FeedView, ReaderOptions, ReadSource } from './read-source.ts'

/**
 * Opens a reader of one topic. Throws MeshError CURSOR_INVALID for a cursor that is damaged, of another topic, or of
 * another history; where only a look at the batches can tell the latter, `next` rejects with it.
 */
export const openReader = (options: ReaderOptions): BatchReader => new TopicReader(options)

/**
 * A version vector that moves through the feeds (DESIGN §8). Catch-up and live are the same loop: look at all heads,
 * fetch what is not known yet, deliver the batch that comes next (`#protocol/log/read-order`).
 *
 * 1. A feed outside of the cursor's positions was not begun: what `sinceHlc` passes over enters no cursor.
 * 2. The next record of `#current` is the one at its feed's position, which is the cursor's.
 * 3. It holds the batch being read, and `readerAheadBytesMax` of others to choose the next from.
 * 4. It passes over nothing without a word but what `sinceHlc` says: what retention has let go of, and what nobody has any
 *    more, is told as `lost`; what is not here now, as `late`.
 * 5. A record that its cursor covers elsewhere, in a copy that is held here, is passed over (`repeats.ts`).
 */
class TopicReader implements BatchReader {
  readonly #options: ReaderOptions
  readonly #shared: SharedRecords
  readonly #start: CursorState
  readonly #cursor: MovingCursor
  readonly #repeats: Repeats
  readonly #feeds = new Map<VectorKey, ReadingFeed>()
  readonly #feedsByName = new Map<string, ReadingFeed>()
  /** Entries of the cursor it was opened with, until it is certain that they are of this history. */
  readonly #unchecked: Map<VectorKey, CursorEntry>
  #current: CurrentBatch | undefined
  /** When the heads were last looked at. */
  #standing: Standing = 'asking'
  /** With the last chunk. */
  #toldStanding: Standing = 'asking'
  /** The number of the last one that `more` has answered to, or that was before this reader. */
  #advances: number
  #busy = false

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#shared = options.shared ?? new SharedRecords()
    this.#start = startOf(options)
    this.#cursor = new MovingCursor(this.#start, options.digests)
    this.#repeats = new Repeats({
      source: options.source,
      feedOf: (key) => this.#feedsByName.get(key.slice(options.topicId.length + 1)),
      covered: (feed) => this.#cursor.positions.get(feed.key) ?? 0,
    })
    this.#unchecked = new Map(this.#start.entries.map((entry) => [vectorKeyOf(entry.writer, entry.epoch), entry]))
    this.#advances = options.source.advances(options.topicId)
    this.#refresh()
  }

  get cursor(): string {
    return this.#cursor.now.text
  }

  async next(limit: number, bytesTarget: number = limits.pageBytesMax): Promise<ReadChunk> {
    const chunk = new RecordChunk({ limit, bytesTarget })
    return { ...(await this.#read(chunk)), records: chunk.records }
  }

  async nextBatches(limit: number, bytesTarget: number): Promise<BatchChunk> {
    const chunk = new BatchesChunk({ limit, bytesTarget })
    return { ...(await this.#read(chunk)), batches: chunk.batches }
  }

  async #read(chunk: Chunk): Promise<ChunkEnd> {
    assert(!this.#busy, 'one next at a time')
    this.#busy = true
    try {
      return await this.#fill(chunk)
    } finally {
      this.#busy = false
    }
  }

  async more(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    this.#refresh()
    if (this.#hasMore()) return
    // What was told with the last chunk may not be so any more: that is news enough.
    const { source, topicId } = this.#options
    const isNews = this.#standing !== this.#toldStanding || this.#advances !== source.advances(topicId)
    if (!isNews) await nextAdvance(source, topicId, signal)
    for (const feed of this.#feeds.values()) feed.tryAgain()
    this.#advances = source.advances(topicId)
  }

  async #fill(chunk: Chunk): Promise<ChunkEnd> {
    this.#refresh()
    const gaps: ReadGap[] = []
    for (const feed of this.#takeForgotten()) this.#loseForgotten(feed, gaps)
    if (this.#current !== undefined) await this.#lookAgain(this.#current, gaps)
    while (!chunk.isFull) {
      this.#current ??= await this.#beginNext(gaps)
      if (this.#current === undefined) break
      if (chunk instanceof RecordChunk) this.#deliver(this.#current, chunk, gaps)
      else this.#deliverRest(this.#current, chunk)
    }
    this.#toldStanding = this.#standing
    const upToDate = !this.#hasMore() && this.#standing !== 'asking'
    if (upToDate) this.#tellWaiting(gaps)
    const isolated = upToDate && this.#standing === 'isolated'
    return { cursor: this.cursor, upToDate, ...(isolated && { isolated }), ...(gaps.length > 0 && { gaps }) }
  }

  /** At the rest of a batch: retention may have let go of it, and other copies of its records may have come. */
  async #lookAgain(current: CurrentBatch, gaps: ReadGap[]): Promise<void> {
    this.#loseTrimmed(current.feed, gaps)
    if (this.#current === current) current.repeats = await this.#repeats.in(current.feed, current.batch)
  }

  /** Looks at the heads again, and takes in feeds that are new here. */
  #refresh(): void {
    const knownCount = this.#feeds.size
    this.#standing = this.#options.source.standing(this.#options.topicId)
    for (const view of this.#options.source.feeds(this.#options.topicId)) {
      const feed = this.#feedOf(view)
      feed.look(view)
      this.#check(feed, view.head.nextOffset, view.head.hash)
    }
    if (this.#feeds.size > knownCount) this.#learnLineage()
  }

  /** Feeds that were forgotten since, oldest first: rooted ones go on from them. */
  #takeForgotten(): readonly ReadingFeed[] {
    const views = this.#options.source.feeds(this.#options.topicId)
    if (views.length === this.#feeds.size) return []
    const held = new Set(views.map(({ feed }) => this.#feedsByName.get(nameOf(feed))))
    const forgotten: ReadingFeed[] = []
    for (const { rooted, link } of this.#feeds.values()) {
      let at = rooted && link !== undefined ? this.#feeds.get(link.predecessor) : undefined
      for (; at !== undefined && !held.has(at); at = at.link && this.#feeds.get(at.link.predecessor))
        forgotten.unshift(at)
    }
    return forgotten
  }

  #feedOf(view: FeedView): ReadingFeed {
    const name = nameOf(view.feed)
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
      else return this.#begin(feed, batch, gaps, await this.#repeats.in(feed, batch))
    }
  }

  /** The readable feeds, once the time of the next batch is known of each. */
  async #lookAhead(gaps: ReadGap[]): Promise<ReadingFeed[]> {
    await lookAtOpenings(unclearFeeds(this.#view), this.#options.source)
    for (;;) {
      const readable = this.#readable()
      const unknown = readable.filter((feed) => feed.nextHlc === undefined)
      const group = unknown.slice(0, limits.readerFetchesAtOnceMax)
      if (group.length === 0) return readable
      // Its share of the budget, lest what is fetched for one feed is let go for the next.
      const bytesMax = Math.min(limits.readerFetchBytesTarget, limits.readerAheadBytesMax / readable.length)
      await Promise.all(group.map((feed) => this.#fetch(feed, bytesMax, gaps)))
      for (const feed of group) if (feed.late) this.#tellUnreadable(feed, gaps)
      releaseBeyondBudget(this.#feeds.values())
    }
  }

  async #fetch(feed: ReadingFeed, bytesMax: number, gaps: ReadGap[]): Promise<void> {
    const { source } = this.#options
    if (startsBySince(feed, this.#view)) {
      await feed.fetch(source, bytesMax, this.#start.sinceHlc)
      this.#loseUnlisted(feed, gaps)
    } else {
      this.#loseTrimmed(feed, gaps)
      await feed.fetch(source, bytesMax)
    }
  }

  /** Nothing came back: either nobody has it any more, or somebody does, and it may come here. */
  #tellUnreadable(feed: ReadingFeed, gaps: ReadGap[]): void {
    if (feed.afterLost < feed.nextOffset) tellLate(feed, gaps)
    else this.#lose(feed, feed.head, gaps)
  }

  /** Retention has let go of what this reader came for, of feeds before this one maybe. */
  #loseTrimmed(feed: ReadingFeed, gaps: ReadGap[]): void {
    const before = this.#cursor.positions.has(feed.key) ? undefined : forgottenBefore(feed, this.#view)
    const isMissing = before !== undefined && before.nextOffset < feed.base
    if (isMissing) gaps.push(lostGap(feed, epochOfKey(before.feed), before.nextOffset, feed.base))
    if (feed.position < feed.floor.nextOffset) this.#lose(feed, feed.floor, gaps)
    else if (isMissing) this.#move(feed, feed.floor.nextOffset, feed.floor.hash)
  }

  /**
   * The same for a feed that no cursor says anything of. Its first record that is kept is above `sinceHlc`, so those before
   * it may have been, too.
   */
  #loseUnlisted(feed: ReadingFeed, gaps: ReadGap[]): void {
    const { base, floor, link, rooted, nextHlc } = feed
    const from = rooted ? 0 : base
    const isOwed = nextHlc !== undefined || compareHlc(this.#start.sinceHlc, hlcZero) === 0
    if (feed.position !== floor.nextOffset || from === floor.nextOffset || !isOwed) return
    if (rooted && link !== undefined && base > 0) gaps.push(lostGap(feed, epochOfKey(link.predecessor), 0, base))
    if (floor.nextOffset > base) gaps.push(lostGap(feed, feed.feed.epoch, base, floor.nextOffset))
    this.#move(feed, floor.nextOffset, floor.hash)
  }

  #loseForgotten(feed: ReadingFeed, gaps: ReadGap[]): void {
    const isOwed = !startsBySince(feed, this.#view) || compareHlc(this.#start.sinceHlc, hlcZero) === 0
    // What it has read elsewhere may imply all of it: then nothing is lost. (Simulator, seed 38.)
    const isRead = !this.#cursor.lists(feed.key) && mayBeImplied(feed, this.#view)
    if (feed.position < feed.nextOffset && isOwed && !isRead) this.#lose(feed, feed.head, gaps)
    this.#feeds.delete(feed.key)
    this.#feedsByName.delete(nameOf(feed.feed))
  }

  /**
   * With nothing left to read, what is held here beyond a position waits for a feed that is not (`read-order`, rules 2 and
   * 3). That one may come soon, or never: its only disk may be lost. So the reader waits and says so (P5).
   */
  #tellWaiting(gaps: ReadGap[]): void {
    for (const feed of this.#feeds.values()) if (feed.position < feed.nextOffset) tellLate(feed, gaps)
  }

  #begin(feed: ReadingFeed, batch: FetchedBatch, gaps: ReadGap[], repeats: ReadonlySet<number>): CurrentBatch {
    const { bytes, header } = batch
    if (header.baseOffset > feed.position) {
      this.#lose(feed, { nextOffset: header.baseOffset, hash: header.previousHash }, gaps)
    }
    this.#check(feed, feed.position, header.previousHash)
    const hash = feed.hashAt(header.nextOffset) ?? batchHash(bytes, this.#options.digests)
    return { feed, batch, hash, repeats }
  }

  #deliver(current: CurrentBatch, chunk: RecordChunk, gaps: ReadGap[]): void {
    const { feed, batch, hash, repeats } = current
    const { header } = batch
    const records = current.records ?? this.#shared.of({ ...batch, topic: this.#options.topic, feed: feedName(feed) })
    // Its checksum holds, so its writer made it so: waiting would not help.
    if (typeof records === 'string') return this.#lose(feed, { nextOffset: header.nextOffset, hash }, gaps)
    current.records = records
    while (!chunk.isFull && feed.position < header.nextOffset) {
      const record = records[feed.position - header.baseOffset] as StoredRecord
      const isRepeat = repeats.has(feed.position)
      const nextOffset = feed.position + 1
      this.#move(feed, nextOffset, nextOffset === header.nextOffset ? hash : header.previousHash)
      if (!isRepeat) chunk.add(record, this.#cursor.now)
    }
    if (feed.position === header.nextOffset) this.#current = undefined
  }

  /** Nobody looks into its records here. */
  #deliverRest({ feed, batch, hash, repeats }: CurrentBatch, chunk: BatchesChunk): void {
    const { bytes, header } = batch
    const from = feed.position
    const skip = rangesOf(repeats, from)
    const count = skip.reduce((left, range) => left - (range.to - range.from), header.nextOffset - from)
    this.#move(feed, header.nextOffset, hash)
    this.#current = undefined
    if (count === 0) return
    const { topic } = this.#options
    chunk.add({ topic, feed: feedName(feed), bytes, from, skip, count, cursor: this.cursor })
  }

  #lose(feed: ReadingFeed, to: Head, gaps: ReadGap[]): void {
    gaps.push(lostGap(feed, feed.feed.epoch, feed.position, to.nextOffset))
    feed.late = false
    if (this.#current?.feed === feed) this.#current = undefined
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
  readonly batch: FetchedBatch
  /** Once somebody has looked into it. */
  records?: readonly StoredRecord[]
  /** Of this batch. */
  readonly hash: Hash
  /** Offsets that are passed over. */
  repeats: ReadonlySet<number>
}

type ChunkEnd = Omit<ReadChunk, 'records'>
type Chunk = RecordChunk | BatchesChunk

interface ChunkBound {
  readonly limit: number
  readonly bytesTarget: number
}

class RecordChunk {
  readonly records: ReadRecord[] = []
  readonly #bound: ChunkBound
  #bytes = 0

  constructor(bound: ChunkBound) {
    this.#bound = bound
  }

  get isFull(): boolean {
    return this.records.length >= this.#bound.limit || this.#bytes >= this.#bound.bytesTarget
  }

  add(record: StoredRecord, cursor: CursorMoment): void {
    this.records.push(new ReadRecord(record, cursor))
    this.#bytes += bytesOf(record)
  }
}

class BatchesChunk {
  readonly batches: ReadBatch[] = []
  readonly #bound: ChunkBound
  #count = 0
  #bytes = 0

  constructor(bound: ChunkBound) {
    this.#bound = bound
  }

  get isFull(): boolean {
    return this.#count >= this.#bound.limit || this.#bytes >= this.#bound.bytesTarget
  }

  add(batch: ReadBatch): void {
    this.batches.push(batch)
    this.#count += batch.count
    this.#bytes += batch.bytes.length
  }
}

/** The offsets from there on, as ranges. */
function rangesOf(offsets: ReadonlySet<number>, from: number): OffsetRanges {
  if (offsets.size === 0) return noRanges
  const ranges = [...offsets].filter((offset) => offset >= from).map((offset) => ({ from: offset, to: offset + 1 }))
  return united(ranges, noRanges)
}

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

const nameOf = ({ writer, epoch }: FeedId): string => `${writer}/${epoch}`
const feedName = ({ feed }: ReadingFeed): string => `${feed.writer}.${feed.epoch}`

/** Of this feed, or of one that its writer wrote before. */
const lostGap = ({ feed }: ReadingFeed, epoch: string, from: number, to: number): ReadGap => {
  return { type: 'lost', feed: `${feed.writer}.${epoch}`, from, to }
}

function tellLate(feed: ReadingFeed, gaps: ReadGap[]): void {
  const { position: from, nextOffset: to, toldLate } = feed
  if (toldLate?.from === from && toldLate.to === to) return
  feed.toldLate = { from, to }
  gaps.push({ type: 'late', feed: feedName(feed), from, to })
}
