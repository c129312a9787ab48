import { assert } from '#protocol/assert'
import { MeshError } from '#protocol/errors'
import type { TopicId } from '#protocol/ids'
import { type BatchHeader, producerRangesOf, readBatchHeader, recordsBytesOf } from '#protocol/log/batch'
import { type FeedId, feedKeyOf, NOTHING, parseFeedKey } from '#protocol/log/feed'
import { decodeProducerCheckpoint } from '#protocol/log/producer-checkpoint'
import { indexedRangeOf, type ProducerSpan } from '#protocol/log/producer-index'
import { type RecordSet, splitRecords } from '#protocol/log/record'
import { limits } from '#protocol/limits'
import type { FeedRead } from '#storage/feed-store'
import type { Original, PeerEffect, SoughtRange } from '#protocol/peer/inputs'
import { spansOf } from '#protocol/peer/producer-indexes'

/** What one read asks for: between two of them others have their turn. */
const readBytes = 256 * 1024
/** Records that are looked through at first, from the end: what is looked for is mostly new. */
const windowRecords = 256
const windowGrowth = 8

export interface ProducerLogDeps {
  /** How far a feed is on disk; undefined once nothing more can be read. */
  readonly durable: (feed: FeedId) => number | undefined
  readonly read: (feed: FeedId, position: number, bytesMax: number) => Promise<FeedRead>
  /** Resolves when the topic has advanced. */
  readonly advanced: (topicId: TopicId) => Promise<void>
  readonly getMeta: (key: string) => Promise<Uint8Array | undefined>
}

export const producersKey = (topicId: TopicId): string => `producers/${topicId}`

interface ReadBatch {
  readonly bytes: Uint8Array
  readonly header: BatchHeader
  readonly spans: readonly ProducerSpan[]
}

/** The log as an index of producers needs it: what a topic holds of them, and whether it has a certain record. */
export class ProducerLog {
  readonly #deps: ProducerLogDeps

  constructor(deps: ProducerLogDeps) {
    this.#deps = deps
  }

  /** What producers have published: a checkpoint, then what was stored since, the newest first, as far as `producerTailBytesMax` goes. */
  async *load({
    topicId,
    feeds,
  }: Extract<PeerEffect, { type: 'loadProducers' }>): AsyncGenerator<readonly ProducerSpan[]> {
    const bytes = await this.#deps.getMeta(producersKey(topicId))
    const checkpoint = bytes && decodeProducerCheckpoint(bytes, topicId)
    // In the order of the log, for the index tells two copies in one feed apart only while it has not joined what is around them.
    if (checkpoint !== undefined) yield checkpoint.spans.toSorted((a, b) => a.firstOffset - b.firstOffset)
    let bytesLeft = limits.producerTailBytesMax
    for (const { feed, endOffset, from } of feeds.toReversed()) {
      const start = from ?? checkpoint?.positions.get(feedKeyOf(feed)) ?? NOTHING
      for await (const batch of this.#fromTheEnd(feed, { from: start, to: endOffset })) {
        bytesLeft -= batch.bytes.length
        if (bytesLeft < 0) return
        if (batch.spans.length > 0) yield batch.spans
      }
    }
  }

  /**
   * Which of these records are in the log, once what may hold them is on disk; in the order of their parts' records. Rejects
   * with RETRY_DIFFERS when the log has another record in the place of one.
   */
  async find(ranges: readonly SoughtRange[], setOf: (ref: number) => RecordSet): Promise<readonly Original[]> {
    const originals: Original[] = []
    for (const range of ranges) originals.push(...(await this.#findRange(range, setOf(range.ref))))
    return originals.sort((a, b) => a.ref - b.ref || a.firstIndex - b.firstIndex)
  }

  async #findRange(range: SoughtRange, set: RecordSet): Promise<readonly Original[]> {
    const all = splitRecords(set)
    assert(all !== undefined, 'what is published was encoded here')
    const records = all.slice(range.firstIndex, range.firstIndex + range.count)
    const found: (Original | undefined)[] = records.map(() => undefined)
    for (const place of range.places) {
      let missing = place.count
      const feed = parseFeedKey(place.feed)
      assert(feed !== undefined, 'a span is in a feed')
      for await (const batch of this.#fromTheEnd(feed, { from: place.firstOffset, to: place.lastOffset + 1 })) {
        for (const [index, offset] of matches(range, batch)) {
          missing--
          if (found[index] !== undefined) continue
          if (!isEqual(records[index] as Uint8Array, recordAt(batch, offset))) throw differs(range, index)
          found[index] = { ref: range.ref, firstIndex: range.firstIndex + index, count: 1, feed, firstOffset: offset }
        }
        if (missing <= 0) break
      }
    }
    return joined(found)
  }

  /** The batches that hold offsets of the range, window by window from its end, in order within a window. */
  async *#fromTheEnd(feed: FeedId, { from, to }: { from: number; to: number }): AsyncGenerator<ReadBatch> {
    for (let durable = this.#deps.durable(feed); durable === undefined || durable < to;) {
      if (durable === undefined) return
      await this.#deps.advanced(feed.topicId)
      durable = this.#deps.durable(feed)
    }
    let end = to
    for (let width = windowRecords; end > from; width *= windowGrowth) {
      const start = Math.max(from, end - width)
      yield* this.#window(feed, start, end)
      end = start
    }
  }

  async *#window(feed: FeedId, start: number, end: number): AsyncGenerator<ReadBatch> {
    let position = start
    while (position < end) {
      const { batches, damaged } = await this.#deps.read(feed, position, readBytes)
      for (const bytes of batches) {
        const batch = parsed(feed, bytes)
        position = batch.header.nextOffset
        if (batch.header.baseOffset >= end) return
        yield batch
      }
      // What is damaged or gone is not there.
      if (damaged !== undefined) position = Math.max(position + 1, damaged.to)
      else if (batches.length === 0) return
    }
  }
}

/** Only for bytes that were verified when they were read. */
function parsed(feed: FeedId, bytes: Uint8Array): ReadBatch {
  const header = readBatchHeader(bytes)
  assert(typeof header !== 'string', 'a verified batch has a header')
  return { bytes, header, spans: spansIn(feed, { bytes, header }) }
}

/** What a batch holds of producers; only for one that was verified when it was read. */
export function spansIn(feed: FeedId, { bytes, header }: Pick<ReadBatch, 'bytes' | 'header'>): readonly ProducerSpan[] {
  const ranges = producerRangesOf(bytes, header)
  assert(typeof ranges !== 'string', 'a verified batch has sound producer ranges')
  const { baseOffset, hlc } = header
  return spansOf(feed, { baseOffset, hlcMs: hlc.ms, producerRanges: ranges.map(indexedRangeOf) })
}

/** Which of the records of the range the batch holds: index in the range, and offset. */
function* matches(range: SoughtRange, { spans }: ReadBatch): Generator<readonly [index: number, offset: number]> {
  for (const { producer, epoch, firstSeq, count, firstOffset } of spans) {
    if (producer !== range.producer || epoch !== range.epoch) continue
    const from = Math.max(firstSeq, range.firstSeq)
    const to = Math.min(firstSeq + count, range.firstSeq + range.count)
    for (let seq = from; seq < to; seq++) yield [seq - range.firstSeq, firstOffset + seq - firstSeq]
  }
}

/** Undefined where a batch, though sound, is not made of records: its writer made it so. */
function recordAt({ bytes, header }: ReadBatch, offset: number): Uint8Array | undefined {
  const records = splitRecords({ bytes: recordsBytesOf(bytes, header), count: header.count })
  return records?.[offset - header.baseOffset]
}

const isEqual = (a: Uint8Array, b: Uint8Array | undefined): boolean => b !== undefined && Buffer.compare(a, b) === 0

const differs = ({ firstSeq, epoch, firstIndex }: SoughtRange, index: number): MeshError =>
  new MeshError(
    'RETRY_DIFFERS',
    `Record ${firstIndex + index} of the request has number ${firstSeq + index} of epoch ${epoch}, under which another record is stored.`,
  )

/** Records that follow each other in the log, too, as one. */
function joined(found: readonly (Original | undefined)[]): readonly Original[] {
  const originals: Original[] = []
  for (const next of found) {
    if (next === undefined) continue
    const last = originals.at(-1)
    const goesOn =
      last !== undefined &&
      last.feed === next.feed &&
      last.firstIndex + last.count === next.firstIndex &&
      last.firstOffset + last.count === next.firstOffset
    if (goesOn) originals[originals.length - 1] = { ...last, count: last.count + 1 }
    else originals.push(next)
  }
  return originals
}
