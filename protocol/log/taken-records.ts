import { limits } from '#protocol/limits'
import { textOf } from '#protocol/text'
import { type Producer, PRODUCER_RANGE_BYTES, recordSetBytesMax, type RecordFault, type RecordSet } from './record.ts'
import { flagKey, flagProducer, flagsKnown, flagTimestamp, producerBytes } from './record.ts'

/** Why bytes are not the records that they are said to be; the first one that is not. */
export interface BadRecord {
  readonly index: number
  readonly fault: RecordFault | 'badKeyLength' | 'badHeaderName' | 'producerMissing' | 'producerUnexpected'
}

/**
 * The `count` records that a client has encoded itself, as sets to be copied into batches: views of `bytes`, as few as will do.
 * Or what is wrong with them; never throws. Everything is checked that `decodeRecords` checks, and what is asked of records
 * that come as JSON, in one pass that makes nothing per record.
 *
 * With `producer` each record has room for one, and is given it here, in place: that of the first record, the others follow.
 */
export function takeRecords(
  bytes: Uint8Array,
  { count, producer }: { readonly count: number; readonly producer?: Producer | undefined },
): readonly RecordSet[] | BadRecord {
  const scan = new RecordScan(bytes, producer)
  const sets = new SetCutter(bytes, producer)
  for (let index = 0; index < count; index++) {
    const start = scan.at
    const fault = scan.next(index)
    if (fault !== undefined) return { index, fault }
    sets.add(index, start, scan.at)
  }
  return scan.at === bytes.length ? sets.finish(count) : { index: count, fault: 'bytesLeftOver' }
}

class RecordScan {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #producer: Producer | undefined
  /** Where the names of this record's headers start, behind their lengths. */
  readonly #names: number[] = []
  at = 0

  constructor(bytes: Uint8Array, producer: Producer | undefined) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#producer = producer
  }

  /** Moves behind the next record. */
  next(index: number): BadRecord['fault'] | undefined {
    const bytes = this.#bytes
    const start = this.at
    if (start + fixedBytes > bytes.length) return 'truncated'
    const length = this.#view.getUint32(start)
    if (length > limits.recordBytesMax) return 'badRecordLength'
    const end = start + length
    if (length < fixedBytes || end > bytes.length) return 'truncated'
    const flags = bytes[start + 4] as number
    if ((flags & ~flagsKnown) !== 0) return 'unknownRecordFlags'
    let at = start + fixedBytes
    if (flags & flagKey) {
      if (at + 2 > end) return 'truncated'
      const keyBytes = this.#view.getUint16(at)
      if (keyBytes > limits.recordKeyBytesMax) return 'badKeyLength'
      at += 2 + keyBytes
    }
    if (flags & flagTimestamp) at += 6
    if (((flags & flagProducer) !== 0) !== (this.#producer !== undefined)) {
      return this.#producer === undefined ? 'producerUnexpected' : 'producerMissing'
    }
    if (this.#producer !== undefined) {
      if (at + producerBytes > end) return 'truncated'
      this.#stamp(at, this.#producer, index)
      at += producerBytes
    }
    if (at > end) return 'truncated'
    this.at = end
    return this.#headersFault(at, end, bytes[start + 5] as number)
  }

  #stamp(at: number, { id, epoch, seq }: Producer, index: number): void {
    const number = seq + index
    this.#bytes.set(id, at)
    this.#view.setUint32(at + 16, epoch)
    this.#view.setUint32(at + 20, Math.floor(number / 2 ** 32))
    this.#view.setUint32(at + 24, number % 2 ** 32)
  }

  #headersFault(from: number, end: number, count: number): BadRecord['fault'] | undefined {
    if (count > limits.recordHeadersMax) return 'badHeaders'
    let at = from
    // Many names are not compared in pairs: a message full of ones that differ at their ends would hold up everybody.
    const names = count > fewHeaders ? new Set<string>() : undefined
    for (let i = 0; i < count; i++) {
      if (at + 2 > end) return 'truncated'
      const nameBytes = this.#view.getUint16(at)
      const valueAt = at + 2 + nameBytes
      if (valueAt + 2 > end) return 'truncated'
      if (!this.#isName(at + 2, nameBytes)) return 'badHeaderName'
      const isTwice = names === undefined ? this.#isOneOf(i, at + 2, nameBytes) : !this.#isNew(names, at + 2, nameBytes)
      if (isTwice) return 'badHeaders'
      at = valueAt + 2 + this.#view.getUint16(valueAt)
      if (at > end) return 'truncated'
      if (!this.#isText(valueAt + 2, at)) return 'badHeaders'
    }
    return at - from > limits.recordHeaderBytesMax ? 'badHeaders' : undefined
  }

  /** One of the first `count` names; if it is none it is the next one. */
  #isOneOf(count: number, at: number, length: number): boolean {
    for (let i = 0; i < count; i++) if (this.#isSame(this.#names[i] as number, at, length)) return true
    this.#names[count] = at
    return false
  }

  #isNew(names: Set<string>, at: number, length: number): boolean {
    return names.size < names.add(textOf(this.#bytes.subarray(at, at + length)) ?? '').size
  }

  #isName(at: number, length: number): boolean {
    if (length < 1 || length > nameBytesMax) return false
    for (let i = at; i < at + length; i++) if (isNameByte[this.#bytes[i] as number] !== 1) return false
    return true
  }

  #isSame(at: number, other: number, length: number): boolean {
    if (this.#view.getUint16(at - 2) !== length) return false
    for (let i = 0; i < length; i++) if (this.#bytes[at + i] !== this.#bytes[other + i]) return false
    return true
  }

  #isText(from: number, to: number): boolean {
    for (let i = from; i < to; i++) {
      // What is not ASCII is looked at as a whole.
      if ((this.#bytes[i] as number) >= 0x80) return textOf(this.#bytes.subarray(from, to)) !== undefined
    }
    return true
  }
}

/** Cuts before the record that would make a set too large for a batch. */
class SetCutter {
  readonly #bytes: Uint8Array
  readonly #producer: Producer | undefined
  readonly #sets: RecordSet[] = []
  readonly #bytesMax: number
  #firstIndex = 0
  #start = 0
  #end = 0

  constructor(bytes: Uint8Array, producer: Producer | undefined) {
    this.#bytes = bytes
    this.#producer = producer
    this.#bytesMax = recordSetBytesMax - (producer === undefined ? 0 : PRODUCER_RANGE_BYTES)
  }

  add(index: number, start: number, end: number): void {
    if (end - this.#start > this.#bytesMax || index - this.#firstIndex === limits.batchRecordsMax) {
      this.#cut(index)
      this.#start = start
    }
    this.#end = end
  }

  finish(count: number): readonly RecordSet[] {
    if (count > this.#firstIndex) this.#cut(count)
    return this.#sets
  }

  #cut(nextIndex: number): void {
    const count = nextIndex - this.#firstIndex
    const producer = this.#producer
    const range = producer && {
      id: producer.id,
      epoch: producer.epoch,
      firstSeq: producer.seq + this.#firstIndex,
      firstIndex: 0,
      count,
    }
    const bytes = this.#bytes.subarray(this.#start, this.#end)
    this.#sets.push({ bytes, count, producerRanges: range === undefined ? [] : [range] })
    this.#firstIndex = nextIndex
  }
}

/** Length, flags and count of headers. */
const fixedBytes = 6
/** So many names are compared in pairs, which takes no memory. */
const fewHeaders = 8
const nameBytesMax = 128

/** Names are those of HTTP (RFC 9110 §5.1) in lower case, so that a header is the same one however the record came. */
const isNameByte = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[!#$%&'*+\-.^_`|~0-9a-z]/.test(String.fromCharCode(byte)) ? 1 : 0,
)
