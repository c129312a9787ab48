import type { ProducerTriple, StoredRecord } from '#gateway/broker'
import { recordsOf } from '#protocol/log/batch'
import type { Producer, RecordFault } from '#protocol/log/record'
import { hexOf } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import type { FetchedBatch } from './reading-feed.ts'

/** Decoded, small records take some ten times their bytes; large ones their bytes. */
const recordsMax = 8_192
const bytesMax = 4 * 1024 * 1024

export interface BatchOfTopic extends FetchedBatch {
  readonly topic: TopicName
  /** `<writer>.<epoch>` */
  readonly feed: string
}

/**
 * The records of the batches that were read last, decoded once for all readers: as long as a batch is in memory, each reads
 * the same bytes, and is given the same records.
 */
export class SharedRecords {
  readonly #batches = new Map<Uint8Array, readonly StoredRecord[]>()
  #count = 0
  #bytes = 0

  of(batch: BatchOfTopic): readonly StoredRecord[] | RecordFault {
    const known = this.#batches.get(batch.bytes)
    if (known !== undefined) return known
    const records = storedRecordsOf(batch)
    if (typeof records !== 'string') this.#keep(batch.bytes, records)
    return records
  }

  #keep(bytes: Uint8Array, records: readonly StoredRecord[]): void {
    this.#batches.set(bytes, records)
    this.#count += records.length
    this.#bytes += bytes.length
    // The oldest first: a Map keeps the order of insertion.
    for (const [oldest, { length }] of this.#batches) {
      if (this.#count <= recordsMax && this.#bytes <= bytesMax) return
      this.#batches.delete(oldest)
      this.#count -= length
      this.#bytes -= oldest.length
    }
  }
}

/** Each record with its place; or what is wrong with the bytes. */
export function storedRecordsOf({ bytes, header, topic, feed }: BatchOfTopic): readonly StoredRecord[] | RecordFault {
  const records = recordsOf(bytes, header)
  if (typeof records === 'string') return records
  return records.map(({ key, headers, value, producer }, index) => {
    const offset = header.baseOffset + index
    const place = { id: `${feed}.${offset}`, topic, feed, offset, timeMs: header.hlc.ms }
    return { ...place, ...(key && { key }), headers, value, ...(producer && { producer: tripleOf(producer) }) }
  })
}

/** Of its key, headers and value: what a record holds, and brings to whom it is told, whatever that takes beyond it. */
export function bytesOf({ key, headers, value }: StoredRecord): number {
  let bytes = value.length + (key?.length ?? 0)
  for (const name in headers) bytes += name.length + (headers[name]?.length ?? 0)
  return bytes
}

export const tripleOf = ({ id, epoch, seq }: Producer): ProducerTriple => ({ id: hexOf(id), epoch, seq })
