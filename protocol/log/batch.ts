import { assert } from '#protocol/assert'
import type { Digests } from '#protocol/digests'
import type { Hash } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { bytesOfHex, hexOf } from '#protocol/text'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import type { Head, Opening } from './feed.ts'
import { type Hlc, hlcMsMax } from './hybrid-clock.ts'
import { decodeOpening, encodeOpening } from './opening.ts'
import { type LogRecord, type ProducerRange, type RecordFault, type RecordSet } from './record.ts'
import { decodeRecords, PRODUCER_RANGE_BYTES, recordSetBytes, recordSetBytesMax } from './record.ts'

/**
 * A batch is the unit of fsync, storage, replication and delivery. Its writer makes its bytes once; everybody else
 * copies them. The layout is in README.md beside this file, byte by byte.
 */
export interface BatchHeader {
  /** Of the whole batch. */
  readonly lengthBytes: number
  /** The first batch of a feed, without records: see `openingOf`. */
  readonly opening: boolean
  readonly baseOffset: number
  /** Records in the batch: 0 in an opening batch, at least 1 in any other. */
  readonly count: number
  /** `baseOffset + count` */
  readonly nextOffset: number
  readonly hlc: Hlc
  /** SHA-256 of the feed's previous batch; of the opening data in an opening batch. */
  readonly previousHash: Hash
  readonly producerRangeCount: number
  /** Where the records (or the opening data) start, from the start of the batch. */
  readonly recordsAt: number
}

/** What is wrong with the bytes of a batch. */
export type BatchFault =
  | 'truncated'
  | 'numberTooLarge'
  | 'badMagic'
  | 'unknownVersion'
  | 'unknownAttributes'
  | 'badLength'
  | 'badCount'
  | 'badProducerRanges'
  | 'badChecksum'
  | 'badOpening'

export interface EncodedBatch {
  readonly bytes: Uint8Array
  /** The feed's head once this batch is stored. */
  readonly head: Head
}

export interface BatchToEncode {
  readonly baseOffset: number
  readonly hlc: Hlc
  readonly previousHash: Hash
  /** Copied one behind the other. Together they hold at least one record and fit: see `recordSetBytes`. */
  readonly recordSets: readonly RecordSet[]
}

export function encodeBatch(batch: BatchToEncode, digests: Digests): EncodedBatch {
  const count = batch.recordSets.reduce((sum, set) => sum + set.count, 0)
  const bytes = batch.recordSets.reduce((sum, set) => sum + recordSetBytes(set), 0)
  assert(count >= 1, 'a batch has a record')
  assert(count <= limits.batchRecordsMax, 'a batch has at most batchRecordsMax records')
  assert(bytes <= recordSetBytesMax, 'the record sets fit into a batch')
  const ranges = rangesOfSets(batch.recordSets)
  const out = startBatch({ ...batch, count, attributes: 0, lengthBytes: fixedBytes + bytes })
  out.u16(ranges.length)
  for (const range of ranges) {
    out.put(range.id).u32(range.epoch).u64(range.firstSeq).u32(range.firstIndex).u32(range.count)
  }
  for (const set of batch.recordSets) out.put(set.bytes)
  return finishBatch(out, batch.baseOffset + count, digests)
}

/** The first batch of a feed. Offsets go on from the predecessor's link. */
export function encodeOpeningBatch(opening: Opening, hlc: Hlc, digests: Digests): EncodedBatch {
  const data = encodeOpening(opening)
  const baseOffset = opening.predecessor?.nextOffset ?? 0
  const previousHash = hexOf(digests.sha256(data)) as Hash
  const lengthBytes = fixedBytes + data.length
  const out = startBatch({ baseOffset, hlc, previousHash, count: 0, attributes: attributeOpening, lengthBytes })
  return finishBatch(out.u16(0).put(data), baseOffset, digests)
}

/** Reads the header of the batch that starts at `at`; checks structure only, and nothing per record. */
export function readBatchHeader(bytes: Uint8Array, at = 0): BatchHeader | BatchFault {
  const reader = new ByteReader(bytes, at)
  reader.u32() // The checksum is for verifyBatch.
  const magic = reader.u16()
  const version = reader.u8()
  const attributes = reader.u8()
  const lengthBytes = reader.u32()
  if (reader.fault !== undefined) return reader.fault
  if (magic !== magicGV) return 'badMagic'
  if (version !== versionKnown) return 'unknownVersion'
  if ((attributes & ~attributeOpening) !== 0) return 'unknownAttributes'
  if (lengthBytes < fixedBytes || lengthBytes > limits.batchBytesMax) return 'badLength'
  if (at + lengthBytes > bytes.length) return 'truncated'
  const baseOffset = reader.u64()
  const count = reader.u32()
  const hlc = { ms: reader.u48(), counter: reader.u16() }
  const previousHash = hexOf(reader.take(32)) as Hash
  const producerRangeCount = reader.u16()
  const opening = attributes === attributeOpening
  const nextOffset = baseOffset + count
  const recordsAt = fixedBytes + producerRangeCount * PRODUCER_RANGE_BYTES
  if (reader.fault !== undefined) return reader.fault
  if (nextOffset > Number.MAX_SAFE_INTEGER) return 'numberTooLarge'
  if (opening ? count !== 0 : count === 0 || count > limits.batchRecordsMax) return 'badCount'
  if (producerRangeCount > count || recordsAt > lengthBytes) return 'badProducerRanges'
  return { lengthBytes, opening, baseOffset, count, nextOffset, hlc, previousHash, producerRangeCount, recordsAt }
}

/** Checks all that can be known from one whole batch without looking into its records; undefined when it is sound. */
export function verifyBatch(bytes: Uint8Array, digests: Digests): BatchFault | undefined {
  const header = verifiedHeader(bytes, digests)
  return typeof header === 'string' ? header : undefined
}

/** The header of one whole batch, once it is checked as by `verifyBatch`. */
export function verifiedHeader(bytes: Uint8Array, digests: Digests): BatchHeader | BatchFault {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') return header
  if (header.lengthBytes !== bytes.length) return 'badLength'
  if (digests.crc32(bytes.subarray(4)) !== new ByteReader(bytes).u32()) return 'badChecksum'
  if (!header.opening) {
    const ranges = producerRangesOf(bytes, header)
    return typeof ranges === 'string' ? ranges : header
  }
  const opening = openingOf(bytes)
  if (typeof opening === 'string') return opening
  return hexOf(digests.sha256(bytes.subarray(header.recordsAt))) === header.previousHash ? header : 'badOpening'
}

/** The chain hash after this batch: SHA-256 of all of its bytes. */
export const batchHash = (bytes: Uint8Array, digests: Digests): Hash =>
  (digests.sha256Hex?.(bytes) ?? hexOf(digests.sha256(bytes))) as Hash

/** The batches that `bytes` is a concatenation of, as views; their headers are sound. */
export function splitBatches(bytes: Uint8Array): readonly Uint8Array[] | BatchFault {
  const batches: Uint8Array[] = []
  let at = 0
  while (at < bytes.length) {
    const header = readBatchHeader(bytes, at)
    if (typeof header === 'string') return header
    batches.push(bytes.subarray(at, at + header.lengthBytes))
    at += header.lengthBytes
  }
  return batches
}

/** What an opening batch says of its feed; `badOpening` for any other batch too. */
export function openingOf(bytes: Uint8Array): Opening | BatchFault {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') return header
  if (!header.opening) return 'badOpening'
  const opening = decodeOpening(bytes.subarray(header.recordsAt, header.lengthBytes))
  const goesOn = opening !== undefined && header.baseOffset === (opening.predecessor?.nextOffset ?? 0)
  return goesOn ? opening : 'badOpening'
}

/** Which of the batch's records have producers, without parsing records. Ranges come in order and do not overlap. */
export function producerRangesOf(bytes: Uint8Array, header: BatchHeader): readonly ProducerRange[] | BatchFault {
  const reader = new ByteReader(bytes, fixedBytes, header.recordsAt)
  const ranges: ProducerRange[] = []
  let nextIndex = 0
  for (let i = 0; i < header.producerRangeCount; i++) {
    const id = reader.take(16)
    const range = { id, epoch: reader.u32(), firstSeq: reader.u64(), firstIndex: reader.u32(), count: reader.u32() }
    if (reader.fault !== undefined) return reader.fault
    if (range.count === 0 || range.firstIndex < nextIndex) return 'badProducerRanges'
    nextIndex = range.firstIndex + range.count
    if (nextIndex > header.count) return 'badProducerRanges'
    if (range.firstSeq + range.count > Number.MAX_SAFE_INTEGER) return 'numberTooLarge'
    ranges.push(range)
  }
  return ranges
}

/** The bytes of its records: those of their record sets, one behind the other. */
export const recordsBytesOf = (bytes: Uint8Array, header: BatchHeader): Uint8Array =>
  bytes.subarray(header.recordsAt, header.lengthBytes)

/** The records of a batch, as views of its bytes, or what is wrong with them. */
export function recordsOf(bytes: Uint8Array, header: BatchHeader): readonly LogRecord[] | RecordFault {
  return decodeRecords(recordsBytesOf(bytes, header), header.count)
}

const magicGV = 0x4756
const versionKnown = 1
const attributeOpening = 1
/** Up to and including the count of producer ranges. */
const fixedBytes = 66

interface FixedHeader extends Omit<BatchToEncode, 'recordSets'> {
  readonly count: number
  readonly attributes: number
  readonly lengthBytes: number
}

function startBatch(header: FixedHeader): ByteWriter {
  const { hlc } = header
  const previousHash = bytesOfHex(header.previousHash)
  assert(previousHash?.length === 32, 'the previous hash is a SHA-256')
  assert(hlc.ms <= hlcMsMax, 'a clock has 48 bits of milliseconds')
  return new ByteWriter(header.lengthBytes)
    .u32(0) // The checksum, once everything else is there.
    .u16(magicGV)
    .u8(versionKnown)
    .u8(header.attributes)
    .u32(header.lengthBytes)
    .u64(header.baseOffset)
    .u32(header.count)
    .u48(hlc.ms)
    .u16(hlc.counter)
    .put(previousHash)
}

function finishBatch(out: ByteWriter, nextOffset: number, digests: Digests): EncodedBatch {
  const bytes = out.finish()
  new DataView(bytes.buffer).setUint32(0, digests.crc32(bytes.subarray(4)))
  return { bytes, head: { nextOffset, hash: batchHash(bytes, digests) } }
}

/** The ranges of all sets, their indexes counted from the start of the batch. */
function rangesOfSets(sets: readonly RecordSet[]): readonly ProducerRange[] {
  const ranges: ProducerRange[] = []
  let index = 0
  for (const set of sets) {
    for (const range of set.producerRanges) ranges.push({ ...range, firstIndex: range.firstIndex + index })
    index += set.count
  }
  return ranges
}
