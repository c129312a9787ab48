import { assert } from '#protocol/assert'
import type { Epoch, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { type BatchHeader, readBatchHeader } from '#protocol/log/batch'
import type { OffsetRange } from '#protocol/log/feed'
import { textOf, utf8 } from '#protocol/text'
import { faultOf, type WireFault } from './fault.ts'

/**
 * What clients and peers say to each other over a WebSocket of the subprotocol `grapevine.v1.bin` in binary messages: records
 * on their way to a batch, and batches on their way to a reader, both as bytes of the log (`#protocol/log/README.md`).
 * All the rest is text messages as in `socket-frames.ts`. Big-endian:
 *
 *     type u8 (1 = publish, 2 = batch) · length of the header u32 · header, a JSON object in UTF-8 · payload
 */
export const binarySocketProtocol = 'grapevine.v1.bin'

export type BinaryFrameType = 'publish' | 'batch'

export interface BinaryFrame {
  readonly type: BinaryFrameType
  /** JSON that nobody has looked at. */
  readonly header: string
  /** A view into the frame. */
  readonly payload: Uint8Array
}

/** The payload is `count` encoded records, one behind the other. The other fields are those of a `PublishFrame`. */
export interface BinaryPublishHeader {
  readonly ref: string
  readonly topic: string
  readonly count: number
  readonly ack?: string
  readonly wait?: string
  /** With one of these two each record has room for a producer: 28 bytes, which the peer fills in. */
  readonly producer?: { readonly id: string; readonly epoch?: number; readonly seq: number }
  readonly idempotencyKey?: string
}

/** The payload is a batch as it is stored, of which these records are for the subscription: [from, its end), without `skip`. */
export interface BinaryBatchHeader {
  readonly sub: string
  readonly topic: string
  /** `<writer>.<epoch>` */
  readonly feed: string
  readonly from: number
  /** Offsets [from, to) of records that the subscription has had from elsewhere; ascending, apart from each other. */
  readonly skip?: readonly (readonly [from: number, to: number])[]
  /** Of the topic, after this batch. */
  readonly cursor: string
}

/** A batch for a subscription, checked as far as `readBatchHeader` checks it. */
export interface DeliveredBatch extends Omit<BinaryBatchHeader, 'skip'> {
  readonly writer: PeerId
  readonly epoch: Epoch
  readonly skip: readonly OffsetRange[]
  readonly bytes: Uint8Array
  readonly header: BatchHeader
}

const typeCodes = { publish: 1, batch: 2 } as const
const fixedBytes = 5

// The longest header that there may be: of a batch of which every second record is skipped.
const skipLengthMax = Math.ceil(limits.batchRecordsMax / 2) * '[9007199254740991,9007199254740991],'.length
const namesLengthMax = 6 * limits.socketNameLengthMax + 2 * limits.topicNameBytesMax + 1_024
assert(
  limits.cursorTextMax + skipLengthMax + namesLengthMax <= limits.binaryHeaderBytesMax,
  'the longest header of a batch is within its bound',
)

/** The frame up to its payload, which is sent after it without copying it. */
export function encodeBinaryHead(
  ...[type, header]: ['publish', BinaryPublishHeader] | ['batch', BinaryBatchHeader]
): Uint8Array<ArrayBuffer> {
  const text = utf8(JSON.stringify(header))
  assert(text.length <= limits.binaryHeaderBytesMax, 'a header is within its bound')
  const head = new Uint8Array(fixedBytes + text.length)
  head[0] = typeCodes[type]
  new DataView(head.buffer).setUint32(1, text.length)
  head.set(text, fixedBytes)
  return head
}

/** Never throws and copies nothing but the header: `payload` lives as long as `frame`. */
export function decodeBinaryFrame(frame: Uint8Array): BinaryFrame | WireFault {
  if (frame.length < fixedBytes) return faultOf('truncated', 'head')
  const [code] = frame
  if (code !== typeCodes.publish && code !== typeCodes.batch) return faultOf('unknownType', String(code))
  const length = new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(1)
  if (length > limits.binaryHeaderBytesMax) return faultOf('tooLarge', `a header of ${length} bytes`)
  if (frame.length < fixedBytes + length) return faultOf('truncated', 'header')
  const header = textOf(frame.subarray(fixedBytes, fixedBytes + length))
  if (header === undefined) return faultOf('notUtf8', 'header')
  const type = code === typeCodes.publish ? 'publish' : 'batch'
  return { type, header, payload: frame.subarray(fixedBytes + length) }
}

/** What a peer sends to a reader. Its records are not looked at. */
export function decodeBatchFrame(frame: Uint8Array): DeliveredBatch | WireFault {
  const decoded = decodeBinaryFrame(frame)
  if (decoded.type === 'fault') return decoded
  if (decoded.type !== 'batch') return faultOf('unknownType', decoded.type)
  let said: unknown
  try {
    said = JSON.parse(decoded.header)
  } catch {
    return faultOf('notJson', 'header')
  }
  const fields = Object(said) as Record<string, unknown>
  const bad = Object.keys(fieldChecks).find((field) => !fieldChecks[field as BatchField](fields[field]))
  return bad === undefined ? batchOf(said as BinaryBatchHeader, decoded.payload) : faultOf('badField', `.${bad}`)
}

function batchOf(said: BinaryBatchHeader, bytes: Uint8Array): DeliveredBatch | WireFault {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') return faultOf('badField', `batch: ${header}`)
  const { from } = said
  if (header.lengthBytes !== bytes.length) return faultOf('badField', 'batch: badLength')
  if (from < header.baseOffset || from >= header.nextOffset) return faultOf('badField', '.from')
  const [writer, epoch] = said.feed.split('.') as [PeerId, Epoch]
  const skip = (said.skip ?? []).map(([first, to]) => ({ from: first, to }))
  let at = from
  for (const range of skip) {
    if (range.from < at || range.to <= range.from || range.to > header.nextOffset) return faultOf('badField', '.skip')
    at = range.to
  }
  return { ...said, writer, epoch, skip, bytes, header }
}

type BatchField = keyof BinaryBatchHeader
type FieldCheck = (value: unknown) => boolean

const isText =
  (pattern: RegExp, lengthMax: number): FieldCheck =>
  (value) =>
    typeof value === 'string' && value.length <= lengthMax && pattern.test(value)

const isOffset: FieldCheck = (value) => Number.isSafeInteger(value) && (value as number) >= 0

const isRange: FieldCheck = (value) => Array.isArray(value) && value.length === 2 && value.every(isOffset)

// By hand, and not with the checks that peers have for each other: a page that loads the client loads these.
const fieldChecks: Readonly<Record<BatchField, FieldCheck>> = {
  sub: isText(/^/, limits.socketNameLengthMax),
  topic: isText(/^\$?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/, 2 * limits.topicNameBytesMax),
  feed: isText(/^[A-Za-z0-9_-]{1,128}\.[0-9a-f]{16}$/, 256),
  from: isOffset,
  skip: (value = []) => Array.isArray(value) && value.length <= limits.batchRecordsMax && value.every(isRange),
  cursor: isText(/^[A-Za-z0-9_.-]+$/, limits.cursorTextMax),
}
