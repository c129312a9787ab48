import { assert } from '#protocol/assert'
import type { Epoch, TopicId } from '#protocol/ids'
import { parsePeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { bytesOfHex, hexOf, textOf, utf8 } from '#protocol/text'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { type FeedKey, feedKeyOf, parseFeedKey } from './feed.ts'
import type { ProducerId, ProducerSpan } from './producer-index.ts'

/**
 * What a topic's index knew at some moment, to be read in place of the log up to `positions`. An old one is as good as a
 * new one: what a feed holds at an offset never changes, and the log has the last word on what is there.
 */
export interface ProducerCheckpoint {
  /** How far each feed was indexed. */
  readonly positions: ReadonlyMap<FeedKey, number>
  readonly spans: readonly ProducerSpan[]
}

/** At most 1 MiB, with at most `producerCheckpointSpansMax` spans; of the feeds those that they are in and then others, as many as fit. */
export function encodeProducerCheckpoint({ positions, spans }: ProducerCheckpoint): Uint8Array {
  const feeds = new Map<FeedKey, number>()
  const numberOf = (feed: FeedKey): number | undefined => {
    const isFull = feeds.size === limits.producerCheckpointFeedsMax || !positions.has(feed)
    if (!feeds.has(feed) && !isFull) feeds.set(feed, feeds.size)
    return feeds.get(feed)
  }
  assert(spans.length <= limits.producerCheckpointSpansMax, 'a checkpoint holds the newest spans only')
  const kept = spans.filter(({ feed }) => numberOf(feed) !== undefined)
  for (const feed of positions.keys()) numberOf(feed)
  const rows = [...feeds.keys()].map((feed) => feedRow(feed, positions.get(feed) as number))
  const feedBytes = rows.reduce((sum, row) => sum + row.length, 0)
  const out = new ByteWriter(headBytes + feedBytes + kept.length * spanBytes)
  out.u8(versionKnown).u16(rows.length).u32(kept.length)
  for (const row of rows) out.put(row)
  for (const span of kept) putSpan(out, span, numberOf(span.feed) as number)
  return out.finish()
}

/** Undefined for what is none: then the log is read instead. Never throws. */
export function decodeProducerCheckpoint(bytes: Uint8Array, topicId: TopicId): ProducerCheckpoint | undefined {
  const reader = new ByteReader(bytes)
  const version = reader.u8()
  const feedCount = reader.u16()
  const spanCount = reader.u32()
  if (version !== versionKnown || spanCount > limits.producerCheckpointSpansMax) return undefined
  const positions = new Map<FeedKey, number>()
  for (let i = 0; i < feedCount && reader.fault === undefined; i++) {
    const writer = parsePeerId(textOf(reader.take(reader.u8())))
    const epoch = hexOf(reader.take(8)) as Epoch
    const position = reader.u64()
    if (writer !== undefined) positions.set(feedKeyOf({ topicId, writer, epoch }), position)
  }
  const feeds = [...positions.keys()]
  const spans: ProducerSpan[] = []
  while (spans.length < spanCount && reader.fault === undefined) {
    const span = takeSpan(reader, feeds)
    if (span === undefined) return undefined
    spans.push(span)
  }
  const isSound = reader.fault === undefined && reader.at === bytes.length && positions.size === feedCount
  return isSound ? { positions, spans } : undefined
}

const versionKnown = 1
const headBytes = 1 + 2 + 4
const feedBytesMax = 1 + 128 + 8 + 8
const spanBytes = 16 + 4 + 8 + 8 + 2 + 8 + 8 + 6

assert(
  headBytes + limits.producerCheckpointFeedsMax * feedBytesMax + limits.producerCheckpointSpansMax * spanBytes <=
    1024 * 1024,
  'a checkpoint of producers fits into a value of metadata',
)

function feedRow(key: FeedKey, position: number): Uint8Array {
  const feed = parseFeedKey(key)
  assert(feed !== undefined, 'a feed key is made of a feed')
  const writer = utf8(feed.writer)
  const out = new ByteWriter(1 + writer.length + 8 + 8).u8(writer.length).put(writer)
  return out.put(hexBytes(feed.epoch)).u64(Math.max(0, position)).finish()
}

function putSpan(out: ByteWriter, span: ProducerSpan, feed: number): void {
  out.put(hexBytes(span.producer)).u32(span.epoch).u64(span.firstSeq).u64(span.count).u16(feed)
  out.u64(span.firstOffset).u64(span.lastOffset).u48(span.hlcMs)
}

function takeSpan(reader: ByteReader, feeds: readonly FeedKey[]): ProducerSpan | undefined {
  const producer = hexOf(reader.take(16)) as ProducerId
  const [epoch, firstSeq, count] = [reader.u32(), reader.u64(), reader.u64()]
  const feed = feeds[reader.u16()]
  const [firstOffset, lastOffset, hlcMs] = [reader.u64(), reader.u64(), reader.u48()]
  const isSound = reader.fault === undefined && count >= 1 && lastOffset - firstOffset + 1 >= count
  return isSound && feed !== undefined
    ? { producer, epoch, firstSeq, count, feed, firstOffset, lastOffset, hlcMs }
    : undefined
}

function hexBytes(hex: string): Uint8Array {
  const bytes = bytesOfHex(hex)
  assert(bytes !== undefined, 'ids and epochs are hex')
  return bytes
}
