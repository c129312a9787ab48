import { assert } from '#protocol/assert'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'

/** Who made a record, so that a retry is recognized wherever it arrives (P6). */
export interface Producer {
  /** 16 bytes. */
  readonly id: Uint8Array
  /** 32 bits: a producer without its old sequence raises it. */
  readonly epoch: number
  readonly seq: number
}

export interface LogRecord {
  readonly key?: Uint8Array
  readonly value: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  /** The client's own time, milliseconds since 1970 (48 bits). */
  readonly timestampMs?: number
  readonly producer?: Producer
}

/** `count` records from index `firstIndex` of a batch or set with consecutive seqs of one producer. */
export interface ProducerRange {
  readonly id: Uint8Array
  readonly epoch: number
  readonly firstSeq: number
  readonly firstIndex: number
  readonly count: number
}

/** Encoded records, ready to be copied into a batch. */
export interface RecordSet {
  readonly bytes: Uint8Array
  readonly count: number
  readonly producerRanges: readonly ProducerRange[]
}

export const PRODUCER_RANGE_BYTES = 36
/** What records and producer ranges of one batch may take together: the rest is its fixed header. */
export const recordSetBytesMax = limits.batchBytesMax - 66

/** Bytes that a set takes in a batch, its producer ranges included. */
export const recordSetBytes = (set: RecordSet): number =>
  set.bytes.length + set.producerRanges.length * PRODUCER_RANGE_BYTES

export type RecordFault =
  | 'truncated'
  | 'numberTooLarge'
  | 'badRecordLength'
  | 'unknownRecordFlags'
  | 'badHeaders'
  | 'bytesLeftOver'

/**
 * Encodes records that fit into one batch. Throws MeshError RECORD_TOO_LARGE or BAD_REQUEST for a record beyond the
 * limits, BODY_TOO_LARGE when all of them together do not fit.
 */
export function encodeRecords(records: readonly LogRecord[]): RecordSet {
  const [set, ...more] = encodeRecordSets(records)
  if (more.length > 0) throw new MeshError('BODY_TOO_LARGE', 'The records do not fit into one batch.')
  return set ?? { bytes: new Uint8Array(0), count: 0, producerRanges: [] }
}

/** Like `encodeRecords` for any number of records: as many sets, in order, as it takes for each to fit into a batch. */
export function encodeRecordSets(records: readonly LogRecord[]): readonly RecordSet[] {
  const sets: RecordSet[] = []
  // Measured first, so that all of a set are written into one buffer.
  let measured: MeasuredRecord[] = []
  let ranges: ProducerRange[] = []
  let bytes = 0
  const headers = new SharedHeaders()
  const cut = () => {
    if (measured.length > 0)
      sets.push({ bytes: written(measured, bytes), count: measured.length, producerRanges: ranges })
    measured = []
    ranges = []
    bytes = 0
  }
  for (const record of records) {
    checkNumbers(record)
    const next = measure(record, headers)
    // One more range than there is, in case that this record opens one.
    const needed = bytes + next.length + (ranges.length + 1) * PRODUCER_RANGE_BYTES
    if (needed > recordSetBytesMax || measured.length === limits.batchRecordsMax) cut()
    if (record.producer !== undefined) addToRanges(ranges, record.producer, measured.length)
    measured.push(next)
    bytes += next.length
  }
  cut()
  return sets
}

/**
 * The bytes of any number of records, one behind the other, for a client, whose peer makes a set of them. Throws as
 * `encodeRecords` does; that timestamps and producers are numbers that fit is taken for granted.
 */
export function encodeRecordBytes(records: readonly LogRecord[]): Uint8Array {
  const headers = new SharedHeaders()
  const measured = records.map((record) => measure(record, headers))
  return written(
    measured,
    measured.reduce((sum, { length }) => sum + length, 0),
  )
}

/**
 * The `count` records that `bytes` consists of, or what is wrong with them; never throws. Keys and values are views of
 * `bytes`, not copies.
 */
export function decodeRecords(bytes: Uint8Array, count: number): readonly LogRecord[] | RecordFault {
  const reader = new ByteReader(bytes)
  const headers = new RepeatedHeaders(bytes)
  const records: LogRecord[] = []
  while (records.length < count) {
    const record = decodeRecord(reader, bytes.length, headers)
    if (typeof record === 'string') return record
    records.push(record)
  }
  return reader.at === bytes.length ? records : 'bytesLeftOver'
}

/** Records of a set, by their indexes in it. */
export interface Piece {
  readonly firstIndex: number
  readonly count: number
}

/** Each record of `bytes` as a view, undefined if they are not `count` whole ones. What is in the records is not looked at. */
export function splitRecords({ bytes, count }: Pick<RecordSet, 'bytes' | 'count'>): readonly Uint8Array[] | undefined {
  const reader = new ByteReader(bytes)
  const records: Uint8Array[] = []
  while (records.length < count && reader.fault === undefined) {
    const start = reader.at
    const length = reader.u32()
    if (length < 4) return undefined
    reader.take(length - 4)
    records.push(bytes.subarray(start, start + length))
  }
  return reader.fault === undefined && reader.at === bytes.length ? records : undefined
}

/** A set of these records of another one, in order. */
export function recordSetOf(set: RecordSet, pieces: readonly Piece[]): RecordSet {
  const all = splitRecords(set)
  assert(all !== undefined, 'a set is made of whole records')
  const records = pieces.flatMap(({ firstIndex, count }) => all.slice(firstIndex, firstIndex + count))
  const length = records.reduce((sum, record) => sum + record.length, 0)
  return {
    bytes: concat(records, length),
    count: records.length,
    producerRanges: rangesOfPieces(pieces, set.producerRanges),
  }
}

/** Of producer ranges what lies in these pieces, counted as if they stood one behind the other. */
export function rangesOfPieces<R extends Pick<ProducerRange, 'firstSeq' | 'firstIndex' | 'count'>>(
  pieces: readonly Piece[],
  ranges: readonly R[],
): readonly R[] {
  let before = 0
  return pieces.flatMap((piece) => {
    const moved = before - piece.firstIndex
    before += piece.count
    return ranges.flatMap((range) => {
      const from = Math.max(range.firstIndex, piece.firstIndex)
      const to = Math.min(range.firstIndex + range.count, piece.firstIndex + piece.count)
      if (from >= to) return []
      return [
        { ...range, firstSeq: range.firstSeq + from - range.firstIndex, firstIndex: from + moved, count: to - from },
      ]
    })
  })
}

export const flagKey = 1
export const flagTimestamp = 2
export const flagProducer = 4
export const flagsKnown = flagKey | flagTimestamp | flagProducer
const producerIdBytes = 16
/** Id, epoch, seq. */
export const producerBytes = producerIdBytes + 4 + 8
const timestampMsMax = 2 ** 48 - 1

interface MeasuredRecord {
  readonly record: LogRecord
  readonly headers: EncodedHeaders
  /** In bytes. */
  readonly length: number
}

function measure(record: LogRecord, shared: SharedHeaders): MeasuredRecord {
  const { key, value, timestampMs, producer } = record
  if (key !== undefined && key.length > limits.recordKeyBytesMax) {
    throw new MeshError(
      'BAD_REQUEST',
      `A key has at most ${limits.recordKeyBytesMax} bytes; this one has ${key.length}.`,
    )
  }
  const headers = shared.encode(record.headers)
  const length =
    6 +
    (key === undefined ? 0 : 2 + key.length) +
    (timestampMs === undefined ? 0 : 6) +
    (producer === undefined ? 0 : producerBytes) +
    headers.bytes.length +
    value.length
  if (length > limits.recordBytesMax) throw recordTooLarge(length)
  return { record, headers, length }
}

function written(records: readonly MeasuredRecord[], bytes: number): Uint8Array {
  const out = new ByteWriter(bytes)
  for (const { record, headers, length } of records) {
    const { key, value, timestampMs, producer } = record
    const flags =
      (key === undefined ? 0 : flagKey) |
      (timestampMs === undefined ? 0 : flagTimestamp) |
      (producer === undefined ? 0 : flagProducer)
    out.u32(length).u8(flags).u8(headers.count)
    if (key !== undefined) out.u16(key.length).put(key)
    if (timestampMs !== undefined) out.u48(timestampMs)
    if (producer !== undefined) out.put(producer.id).u32(producer.epoch).u64(producer.seq)
    out.put(headers.bytes).put(value)
  }
  return out.finish()
}

function checkNumbers({ timestampMs, producer }: LogRecord): void {
  if (timestampMs !== undefined && !isWhole(timestampMs, timestampMsMax)) {
    throw new MeshError('BAD_REQUEST', 'A timestamp is in whole milliseconds since 1970.')
  }
  if (producer === undefined) return
  const { id, epoch, seq } = producer
  const valid = id.length === producerIdBytes && isWhole(epoch, 0xffffffff) && isWhole(seq, Number.MAX_SAFE_INTEGER)
  if (!valid) throw new MeshError('BAD_REQUEST', 'A producer has an id of 16 bytes, a 32-bit epoch and a whole seq.')
}

const isWhole = (value: number, max: number): boolean => Number.isInteger(value) && value >= 0 && value <= max

const recordTooLarge = (bytes: number): MeshError =>
  new MeshError('RECORD_TOO_LARGE', `A record has at most ${limits.recordBytesMax} bytes; this one has ${bytes}.`)

/** Records that are encoded together often share the object of their headers: it is encoded once. */
class SharedHeaders {
  #headers: LogRecord['headers'] | undefined
  #encoded: EncodedHeaders = noHeaders

  encode(headers: LogRecord['headers']): EncodedHeaders {
    if (headers !== this.#headers) this.#encoded = encodeHeaders(headers)
    this.#headers = headers
    return this.#encoded
  }
}

interface EncodedHeaders {
  readonly count: number
  readonly bytes: Uint8Array
}

const noHeaders: EncodedHeaders = { count: 0, bytes: new Uint8Array(0) }

function encodeHeaders(headers: LogRecord['headers']): EncodedHeaders {
  const entries = Object.entries(headers)
  if (entries.length === 0) return noHeaders
  if (entries.length > limits.recordHeadersMax) {
    throw new MeshError('BAD_REQUEST', `A record has at most ${limits.recordHeadersMax} headers.`)
  }
  const texts = entries.flat()
  if (!texts.every((text) => text.isWellFormed()) || entries.some(([name]) => name === '')) {
    throw new MeshError('BAD_REQUEST', 'A header has a name, and name and value are well-formed Unicode.')
  }
  const encoded = texts.map(utf8)
  const length = encoded.reduce((sum, bytes) => sum + 2 + bytes.length, 0)
  if (length > limits.recordHeaderBytesMax) {
    throw new MeshError(
      'BAD_REQUEST',
      `Headers take at most ${limits.recordHeaderBytesMax} bytes; these take ${length}.`,
    )
  }
  const out = new ByteWriter(length)
  for (const bytes of encoded) out.u16(bytes.length).put(bytes)
  return { count: entries.length, bytes: out.finish() }
}

function addToRanges(ranges: ProducerRange[], producer: Producer, index: number): void {
  const last = ranges.at(-1)
  const continues =
    last !== undefined &&
    last.firstIndex + last.count === index &&
    last.firstSeq + last.count === producer.seq &&
    last.epoch === producer.epoch &&
    last.id.every((byte, i) => byte === producer.id[i])
  if (continues) ranges[ranges.length - 1] = { ...last, count: last.count + 1 }
  else ranges.push({ id: producer.id, epoch: producer.epoch, firstSeq: producer.seq, firstIndex: index, count: 1 })
}

function concat(parts: readonly Uint8Array[], length: number): Uint8Array {
  const out = new ByteWriter(length)
  for (const part of parts) out.put(part)
  return out.finish()
}

function decodeRecord(reader: ByteReader, setEnd: number, repeated: RepeatedHeaders): LogRecord | RecordFault {
  const start = reader.at
  reader.end = setEnd
  const length = reader.u32()
  if (reader.fault === undefined && length > limits.recordBytesMax) return 'badRecordLength'
  if (start + length > setEnd) return 'truncated'
  // From here on a field that runs beyond its record is a fault, not a piece of the next record.
  reader.end = start + length
  const flags = reader.u8()
  if ((flags & ~flagsKnown) !== 0) return 'unknownRecordFlags'
  const headerCount = reader.u8()
  const key = flags & flagKey ? reader.take(reader.u16()) : undefined
  const timestampMs = flags & flagTimestamp ? reader.u48() : undefined
  const producer =
    flags & flagProducer ? { id: reader.take(producerIdBytes), epoch: reader.u32(), seq: reader.u64() } : undefined
  const headers = repeated.decode(reader, headerCount)
  if (reader.fault !== undefined) return reader.fault
  if (headers === undefined) return 'badHeaders'
  const value = reader.take(reader.end - reader.at)
  return {
    value,
    headers,
    ...(key && { key }),
    ...(timestampMs !== undefined && { timestampMs }),
    ...(producer && { producer }),
  }
}

/** Records of a set often have the same headers: these are decoded once, and are one object then. */
class RepeatedHeaders {
  readonly #bytes: Uint8Array
  #last: { readonly count: number; readonly from: number; readonly length: number } | undefined
  #headers: Readonly<Record<string, string>> | undefined

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  decode(reader: ByteReader, count: number): LogRecord['headers'] | undefined {
    const from = reader.at
    if (this.#isRepeated(from, reader.end, count)) reader.take(this.#last?.length ?? 0)
    else {
      this.#headers = decodeHeaders(reader, count)
      this.#last = { count, from, length: reader.at - from }
    }
    return this.#headers
  }

  #isRepeated(from: number, end: number, count: number): boolean {
    const last = this.#last
    if (this.#headers === undefined || last?.count !== count || from + last.length > end) return false
    for (let i = 0; i < last.length; i++) if (this.#bytes[from + i] !== this.#bytes[last.from + i]) return false
    return true
  }
}

function decodeHeaders(reader: ByteReader, count: number): Record<string, string> | undefined {
  const headers: Record<string, string> = {}
  if (count > limits.recordHeadersMax) return undefined
  for (let i = 0; i < count && reader.fault === undefined; i++) {
    const name = textOf(reader.take(reader.u16()))
    const value = textOf(reader.take(reader.u16()))
    if (name === undefined || name === '' || value === undefined || Object.hasOwn(headers, name)) return undefined
    // Assigning to __proto__ would set the prototype; as a header it is a name like any other.
    if (name === '__proto__') Object.defineProperty(headers, name, { ...ownProperty, value })
    else headers[name] = value
  }
  return headers
}

const ownProperty = { enumerable: true, configurable: true, writable: true }
