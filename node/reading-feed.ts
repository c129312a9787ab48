import { type BatchHeader, readBatchHeader } from '#protocol/log/batch'
import type { Hash } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { type FeedId, type Head, NOTHING } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, rangeAt } from '#protocol/log/offset-ranges'
import { compareHlc, type Hlc, hlcZero } from '#protocol/log/hybrid-clock'
import type { FeedToRead } from '#protocol/log/read-order'
import { type Link, linkOf, type VectorKey, vectorKeyOf, type WriterHash } from '#protocol/log/version-vector'
import type { FeedView, ReadSource } from './read-source.ts'

/** So few records are read one batch after the other. */
const seekRecordsMin = 1_024

type Batches = Pick<ReadSource, 'read'>

export interface FetchedBatch {
  readonly bytes: Uint8Array
  readonly header: BatchHeader
}

/** One feed under a reader: where the reader is in it, and the batches fetched ahead of that. */
export class ReadingFeed implements FeedToRead {
  readonly feed: FeedId
  readonly key: VectorKey
  readonly writer: WriterHash
  readonly link: Link | undefined
  rooted = false
  head: Head
  floor: Head
  lost: OffsetRanges = noRanges
  position: number
  /** Time of the batch at `position`; outlives `releaseAhead`. */
  nextHlc: Hlc | undefined
  opened: Hlc | undefined
  openingAsked = false
  /** The records at `position` should be here and cannot be read; tried again once the topic has advanced. */
  late = false
  /** The range that was last told to wait here: once is enough, until the position or the head moves. */
  toldLate: { readonly from: number; readonly to: number } | undefined
  #ahead: FetchedBatch[] = []
  #sought = false

  constructor(view: FeedView, writer: WriterHash) {
    const link = linkOf(writer, view.opening)
    this.feed = view.feed
    this.writer = writer
    this.key = vectorKeyOf(writer, view.feed.epoch)
    this.link = link
    this.head = view.head
    this.floor = view.floor
    this.position = this.base
    this.look(view)
  }

  /** Takes over what the feed is by now. */
  look({ head, floor, lost, rooted }: FeedView): void {
    // What was fetched ahead is below the floor now.
    if (floor.nextOffset > this.position) this.jumpTo(this.position)
    this.head = head
    this.floor = floor
    this.lost = lost
    this.rooted = rooted
  }

  /** Where it begins. */
  get base(): number {
    return this.link?.nextOffset ?? 0
  }

  get nextOffset(): number {
    return this.head.nextOffset
  }

  get aheadBytes(): number {
    return this.#ahead.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** Fetches from `position` on; with `sinceHlc` it passes over what is not above that time, or not kept. */
  async fetch(source: Batches, bytesMax: number, sinceHlc?: Hlc): Promise<void> {
    if (sinceHlc !== undefined && !this.#sought) await this.#seek(source, sinceHlc)
    if (sinceHlc !== undefined) this.position = Math.max(this.position, this.floor.nextOffset)
    if (this.position >= this.head.nextOffset) return
    this.#ahead = await this.#readBatches(source, bytesMax)
    this.late = this.#ahead.length === 0
    if (sinceHlc !== undefined) this.#passOver(sinceHlc)
    this.nextHlc = this.#ahead[0]?.header.hlc
  }

  /** Looks when it was opened, once until the topic has advanced. */
  async lookAtOpening(source: Batches): Promise<void> {
    this.openingAsked = true
    const { batches } = await source.read(this.feed, NOTHING, 1)
    const header = batches[0] && readBatchHeader(batches[0])
    if (typeof header === 'object' && header.opening) this.opened = header.hlc
  }

  /** The topic has advanced: what could not be had may be there. */
  tryAgain(): void {
    this.late = false
    this.openingAsked = false
  }

  /** The batch at `position`, fetched again if it was released; undefined when the feed is late. */
  async take(source: Batches): Promise<FetchedBatch | undefined> {
    if (this.#ahead.length === 0) await this.fetch(source, 1)
    const batch = this.#ahead.shift()
    this.nextHlc = this.#ahead[0]?.header.hlc
    return batch
  }

  /** Hash of the batch that ends at `nextOffset`, where that is known without computing it. */
  hashAt(nextOffset: number): Hash | undefined {
    if (nextOffset === this.head.nextOffset) return this.head.hash
    const next = this.#ahead[0]?.header
    return next?.baseOffset === nextOffset ? next.previousHash : undefined
  }

  /** Frees the fetched batches; what comes next stays known. */
  releaseAhead(): void {
    this.#ahead = []
  }

  /** Goes on at `position`, because an entry of a successor implies it. */
  jumpTo(position: number): void {
    this.position = position
    this.#ahead = []
    this.nextHlc = undefined
  }

  /** Goes near to the first batch above that time: a feed's times only rise. What cannot be read now ends the search. */
  async #seek(source: Batches, sinceHlc: Hlc): Promise<void> {
    this.#sought = true
    let from = Math.max(this.position, this.floor.nextOffset)
    let to = this.head.nextOffset
    while (compareHlc(sinceHlc, hlcZero) > 0 && to - from > seekRecordsMin) {
      const middle = from + Math.floor((to - from) / 2)
      const [bytes] = (await source.read(this.feed, middle, 1)).batches
      const header = bytes === undefined ? 'truncated' : readBatchHeader(bytes)
      if (typeof header === 'string') break
      if (compareHlc(header.hlc, sinceHlc) > 0) to = Math.max(from, Math.min(to, header.baseOffset))
      else from = Math.max(from, header.nextOffset)
    }
    this.position = from
  }

  async #readBatches(source: Batches, bytesMax: number): Promise<FetchedBatch[]> {
    const from = this.afterLost
    if (from >= this.head.nextOffset) return []
    const { batches } = await source.read(this.feed, from, bytesMax)
    const read = batches.flatMap((bytes) => {
      const header = readBatchHeader(bytes)
      return typeof header === 'string' || header.nextOffset <= from ? [] : [{ bytes, header }]
    })
    // What is missing and not known to be lost is not skipped: this feed waits until it is here again.
    return (read[0]?.header.baseOffset ?? 0) > from ? [] : read
  }

  /** Where there is something to be read, after a range at the position that nobody has. */
  get afterLost(): number {
    return rangeAt(this.lost, this.position)?.to ?? this.position
  }

  #passOver(sinceHlc: Hlc): void {
    const found = this.#ahead.findIndex(({ header }) => compareHlc(header.hlc, sinceHlc) > 0)
    const passed = this.#ahead.splice(0, found < 0 ? this.#ahead.length : found)
    this.position = passed.at(-1)?.header.nextOffset ?? this.position
  }
}

export async function lookAtOpenings(feeds: readonly ReadingFeed[], source: Batches): Promise<void> {
  const unasked = feeds.filter((feed) => !feed.openingAsked)
  for (let at = 0; at < unasked.length; at += limits.readerFetchesAtOnceMax) {
    const group = unasked.slice(at, at + limits.readerFetchesAtOnceMax)
    await Promise.all(group.map((feed) => feed.lookAtOpening(source)))
  }
}
