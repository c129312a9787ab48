import type { EncodedPublish, PublishRequest } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { encodeRecordSets, type RecordSet } from '#protocol/log/record'
import { type BadRecord, takeRecords } from '#protocol/log/taken-records'
import { limits } from '#protocol/limits'
import { scopedProducer, scopedRecords } from './scoped-producers.ts'

export type AnyPublish = PublishRequest | EncodedPublish

export const countOf = (request: AnyPublish): number =>
  'encoded' in request ? request.encoded.count : request.records.length

/** The records of a publish as they go into batches. Throws BAD_REQUEST, RECORD_TOO_LARGE. */
export function recordSetsOf(request: AnyPublish, digests: Digests): readonly RecordSet[] {
  if (!('encoded' in request)) return encodeRecordSets(scopedRecords(request, digests))
  const { producer, encoded } = request
  const scoped = producer && scopedProducer(request, producer, digests)
  const sets = takeRecords(encoded.bytes, { count: encoded.count, producer: scoped })
  if ('fault' in sets) throw refusalOf(sets)
  return sets
}

function refusalOf({ index, fault }: BadRecord): MeshError {
  const field = `records[${index}]`
  const facts = { field, fault }
  if (fault !== 'badRecordLength') return new MeshError('BAD_REQUEST', `${field} is no record: ${fault}.`, { facts })
  return new MeshError('RECORD_TOO_LARGE', `${field}: a record has at most ${limits.recordBytesMax} bytes.`, { facts })
}
