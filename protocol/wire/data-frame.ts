import { assert } from '#protocol/assert'
import { parseEpoch, parsePeerId, parseTopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { bytesOfHex, hexOf, textOf, utf8 } from '#protocol/text'
import type { FeedId } from '#protocol/log/feed'
import { faultOf } from './fault.ts'
import type { WireFault } from './fault.ts'

/**
 * A data frame carries contiguous batches of one feed, exactly as stored. All numbers are big-endian:
 *
 *     type u8 (1 = batches) · ref u32 · topicId 16 B · epoch 8 B · writer length u8 · writer ASCII · batches…
 */
export interface DataHeader {
  /** 0 for a push, else the `ref` of the want that these batches answer. */
  readonly ref: number
  readonly feed: FeedId
}

export interface DataFrame extends DataHeader {
  readonly type: 'batches'
  /** One batch at least, not yet checked; a view into the frame. */
  readonly batches: Uint8Array
}

const typeBatches = 1
const fixedBytes = 30
const writerLengthMax = 128
assert(
  fixedBytes + writerLengthMax + limits.batchBytesMax <= limits.dataFrameBytesMax,
  'the largest batch fits into a data frame with the largest header',
)

/** The frame up to its batches, which are sent after it without copying them. `ref` is a u32. */
export function encodeDataHeader({ ref, feed }: DataHeader): Uint8Array<ArrayBuffer> {
  assert(Number.isInteger(ref) && ref >= 0 && ref <= 0xffff_ffff, 'ref is a u32')
  const writer = utf8(feed.writer)
  const header = new Uint8Array(fixedBytes + writer.length)
  const view = new DataView(header.buffer)
  view.setUint8(0, typeBatches)
  view.setUint32(1, ref)
  header.set(bytesOfHex(feed.topicId) ?? [], 5)
  header.set(bytesOfHex(feed.epoch) ?? [], 21)
  view.setUint8(29, writer.length)
  header.set(writer, fixedBytes)
  return header
}

/** Never throws and copies nothing: `batches` lives as long as `frame`. */
export function decodeDataFrame(frame: Uint8Array): DataFrame | WireFault {
  if (frame.length > limits.dataFrameBytesMax) return faultOf('tooLarge', `${frame.length} bytes`)
  const [type = typeBatches] = frame
  // Before its length: what a newer version sends under a type of its own may be short.
  if (type !== typeBatches) return faultOf('unknownType', String(type))
  if (frame.length < fixedBytes) return faultOf('truncated', 'header')
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const headerBytes = fixedBytes + view.getUint8(29)
  if (frame.length <= headerBytes) return faultOf('truncated', 'batches')
  const topicId = parseTopicId(hexOf(frame.subarray(5, 21)))
  const epoch = parseEpoch(hexOf(frame.subarray(21, 29)))
  const writer = parsePeerId(textOf(frame.subarray(fixedBytes, headerBytes)))
  if (topicId === undefined || epoch === undefined || writer === undefined) return faultOf('badField', '.writer')
  return {
    type: 'batches',
    ref: view.getUint32(1),
    feed: { topicId, writer, epoch },
    batches: frame.subarray(headerBytes),
  }
}
