import { producerRangesOf, readBatchHeader } from '#protocol/log/batch'
import { type FeedKey, parseFeedKey } from '#protocol/log/feed'
import { cutSpan, indexedRangeOf, type ProducerSpan, type SeqRange } from '#protocol/log/producer-index'
import type { KnownProducers, ReadSource } from './read-source.ts'
import type { FetchedBatch, ReadingFeed } from './reading-feed.ts'

export interface RepeatsDeps {
  readonly source: Pick<ReadSource, 'producers' | 'read'>
  /** A feed as the reader sees it; undefined for one that is not held here. */
  readonly feedOf: (key: FeedKey) => ReadingFeed | undefined
  /** How far the reader's cursor covers it. */
  readonly covered: (feed: ReadingFeed) => number
}

const readBytes = 64 * 1024
const none: ReadonlySet<number> = new Set()

/**
 * Which records of a batch a reader passes over (P6): those of which its cursor covers another copy that is held here. One
 * that is covered and not held here may never have been delivered: the cursor moves past what is lost, too.
 */
export class Repeats {
  readonly #deps: RepeatsDeps

  constructor(deps: RepeatsDeps) {
    this.#deps = deps
  }

  /** Offsets. Costs nothing but the index while no record is known to be in the log twice. */
  async in(feed: ReadingFeed, { bytes, header }: FetchedBatch): Promise<ReadonlySet<number>> {
    if (header.producerRangeCount === 0) return none
    const index = await this.#deps.source.producers(feed.feed, { bytes, header })
    const ranges = index.doubled.size === 0 ? [] : producerRangesOf(bytes, header)
    if (typeof ranges === 'string') return none
    const repeats = new Set<number>()
    for (const range of ranges.map(indexedRangeOf)) {
      if (!index.doubled.has(range.producer)) continue
      const firstOffset = header.baseOffset + range.firstIndex
      for await (const seq of this.#seqsRead(index, { ...range, feed, firstOffset })) {
        repeats.add(firstOffset + seq - range.firstSeq)
      }
    }
    return repeats
  }

  async *#seqsRead(
    index: KnownProducers,
    range: SeqRange & { readonly feed: ReadingFeed; readonly firstOffset: number },
  ): AsyncGenerator<number> {
    for (const place of index.find(range)) {
      const other = this.#deps.feedOf(place.feed)
      if (other === undefined) continue
      for (let seq = place.firstSeq; seq < place.firstSeq + place.count; seq++) {
        const own = range.firstOffset + seq - range.firstSeq
        // In the same feed it is the record itself, unless it lies wholly before that.
        const end = other === range.feed ? own : this.#deps.covered(other)
        const one = cutSpan(place, seq, seq + 1)
        if (other === range.feed && one.lastOffset >= own) continue
        if (await this.#isHeldBelow(end, one, other)) yield seq
      }
    }
  }

  /** Is this record held here, at an offset below `end`? */
  async #isHeldBelow(end: number, one: ProducerSpan, feed: ReadingFeed): Promise<boolean> {
    const from = Math.max(one.firstOffset, feed.floor.nextOffset)
    const to = Math.min(one.lastOffset + 1, end, feed.nextOffset)
    if (from >= to) return false
    const isLost = feed.lost.some((range) => range.from < to && from < range.to)
    // Wherever it is in its window, it is there.
    if (!isLost && from === one.firstOffset && to === one.lastOffset + 1) return true
    return this.#isBetween(from, to, one)
  }

  async #isBetween(from: number, to: number, one: ProducerSpan): Promise<boolean> {
    const feed = parseFeedKey(one.feed)
    for (let position = from; feed !== undefined && position < to;) {
      const { batches, damaged } = await this.#deps.source.read(feed, position, readBytes)
      if (batches.length === 0) {
        if (damaged === undefined) return false
        // What is gone is not the record; what follows may be.
        position = Math.max(position + 1, damaged.to)
      }
      for (const bytes of batches) {
        const header = readBatchHeader(bytes)
        const ranges = typeof header === 'string' ? header : producerRangesOf(bytes, header)
        if (typeof header === 'string' || typeof ranges === 'string') return false
        for (const { firstIndex, ...range } of ranges.map(indexedRangeOf)) {
          const offset = header.baseOffset + firstIndex + one.firstSeq - range.firstSeq
          const isThis = range.producer === one.producer && range.epoch === one.epoch
          const isIn = range.firstSeq <= one.firstSeq && one.firstSeq < range.firstSeq + range.count
          if (isThis && isIn && offset >= from && offset < to) return true
        }
        position = header.nextOffset
      }
    }
    return false
  }
}
