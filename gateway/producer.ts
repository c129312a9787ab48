import { limits } from '#protocol/limits'
import type { ClientProducer, RecordToPublish } from './broker.ts'
import { invalid } from './problem.ts'

/** What a request says of its producer besides its records, as text: headers, mostly. */
export interface ProducerTexts {
  idempotencyKey?: string
  id?: string
  epoch?: string
  seq?: string
}

/** The producer of a whole request; its number is that of the first record, the others follow. Throws BAD_REQUEST. */
export function producerOfTexts({ idempotencyKey, id, epoch, seq }: ProducerTexts): ClientProducer | undefined {
  if (idempotencyKey !== undefined) {
    if (id !== undefined) throw invalid('idempotency-key', 'cannot stand beside producer-id')
    return producerOfKey(idempotencyKey, 'idempotency-key')
  }
  if (id === undefined) {
    if (epoch !== undefined || seq !== undefined) throw invalid('producer-id', 'is missing')
    return undefined
  }
  if (seq === undefined) throw invalid('producer-seq', 'is missing')
  const name = nameOf(id, 'producer-id')
  return {
    type: 'producer',
    name,
    epoch: numberOf(digitsOf(epoch ?? '0'), epochMax, 'producer-epoch'),
    seq: numberOf(digitsOf(seq), seqMax, 'producer-seq'),
  }
}

/** The key of a request stands for a producer of its own, which numbers the records of that request. */
export const producerOfKey = (key: unknown, at: string): ClientProducer => ({
  type: 'idempotencyKey',
  name: nameOf(key, at),
  epoch: 0,
  seq: 0,
})

/** `{"id", "epoch"?, "seq"}` of a record, or of the first of a frame. Throws BAD_REQUEST. */
export function producerOfJson(value: unknown, at: string): ClientProducer {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(at, 'must be an object')
  const stray = Object.keys(value).find((field) => !['id', 'epoch', 'seq'].includes(field))
  if (stray !== undefined) throw invalid(`${at}.${stray}`, 'is not a field of a producer')
  const { id, epoch = 0, seq } = value as { readonly id?: unknown; readonly epoch?: unknown; readonly seq?: unknown }
  return {
    type: 'producer',
    name: nameOf(id, `${at}.id`),
    epoch: numberOf(epoch, epochMax, `${at}.epoch`),
    seq: numberOf(seq, seqMax, `${at}.seq`),
  }
}

/** A record has one number. */
export function refuseTwo(producer: ClientProducer | undefined, records: readonly RecordToPublish[]): void {
  if (producer === undefined) return
  const both = records.findIndex((record) => record.producer !== undefined)
  if (both >= 0)
    throw invalid(`records[${both}].producer`, 'cannot stand beside a producer or key of the whole request')
}

const epochMax = 0xffffffff
/** However many records follow the first, their numbers are below 2^53, as the log has to have them. */
const seqMax = 2 ** 52

const digitsOf = (text: string): number => (/^\d{1,16}$/.test(text) ? Number(text) : Number.NaN)

function numberOf(value: unknown, max: number, at: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value
  throw invalid(at, `must be a whole number from 0 to ${max}`)
}

function nameOf(text: unknown, at: string): string {
  const max = limits.producerNameLengthMax
  if (typeof text === 'string' && text.length >= 1 && text.length <= max && text.isWellFormed()) return text
  throw invalid(at, `must be a text of 1 to ${max} characters`)
}
