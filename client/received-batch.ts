import { recordsOf } from '#protocol/log/batch'
import { cursorWithin } from '#protocol/log/cursor-within'
import { crc32 } from '#protocol/log/pure-crc32'
import type { LogRecord, Producer, RecordFault } from '#protocol/log/record'
import { unknownMediaType } from '#protocol/media-type'
import { hexOf } from '#protocol/text'
import type { DeliveredBatch } from '#protocol/wire/binary-frame'
import { keyFields, ReceivedRecord, type RecordJson } from './record.ts'

/** The records of a batch that are for its subscription, or what is wrong with them: then its writer made it so. */
export function recordsOfBatch(batch: DeliveredBatch): readonly ReceivedRecord[] | RecordFault {
  const { header, from, skip } = batch
  const records = recordsOf(batch.bytes, header)
  if (typeof records === 'string') return records
  const shared = new SharedParts(batch)
  const received: ReceivedRecord[] = []
  let skips = 0
  for (let offset = from; offset < header.nextOffset; offset++) {
    while (skips < skip.length && offset >= (skip[skips]?.to ?? 0)) skips++
    if (offset >= (skip[skips]?.from ?? Infinity)) continue
    const record = records[offset - header.baseOffset] as LogRecord
    received.push(new ReceivedRecord(shared.jsonOf(record, offset), shared.cursorAfter(offset), record.value))
  }
  return received
}

/** What the records of a batch have in common. */
class SharedParts {
  readonly #batch: DeliveredBatch
  readonly #time: string
  #head: { readonly of: LogRecord['headers']; readonly fields: Pick<RecordJson, 'headers' | 'contentType'> } | undefined
  #producer: { readonly id: Uint8Array; readonly text: string } | undefined

  constructor(batch: DeliveredBatch) {
    this.#batch = batch
    this.#time = new Date(batch.header.hlc.ms).toISOString()
  }

  /** As the gateway writes it, without its value. */
  jsonOf({ key, headers, producer }: LogRecord, offset: number): RecordJson {
    const { topic, feed } = this.#batch
    const id = `${feed}.${offset}`
    const place = { id, topic, feed, offset, time: this.#time }
    const about = this.#headFieldsOf(headers)
    const json = key === undefined ? { ...place, ...about } : { ...place, ...keyFields(key), ...about }
    return producer === undefined ? json : { ...json, producer: this.#tripleOf(producer) }
  }

  /** Made once for records that share their headers. */
  #headFieldsOf(headers: LogRecord['headers']): Pick<RecordJson, 'headers' | 'contentType'> {
    if (this.#head?.of !== headers) {
      const { 'content-type': contentType = unknownMediaType, ...others } = headers
      this.#head = { of: headers, fields: { ...(Object.keys(others).length > 0 && { headers: others }), contentType } }
    }
    return this.#head.fields
  }

  /** Made when somebody asks. */
  cursorAfter(offset: number): string | (() => string) {
    const { cursor, header, epoch } = this.#batch
    const nextOffset = offset + 1
    if (nextOffset === header.nextOffset) return cursor
    const hashPrefix = header.previousHash.slice(0, 8)
    return () => cursorWithin(cursor, { epoch, nextOffset, hashPrefix }, { crc32 })
  }

  #tripleOf({ id, epoch, seq }: Producer): NonNullable<RecordJson['producer']> {
    if (this.#producer?.id.every((byte, i) => byte === id[i]) !== true) this.#producer = { id, text: hexOf(id) }
    return { id: this.#producer.text, epoch, seq }
  }
}
