import type { ClientProducer, PublishRequest } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import { producerIdOf } from '#protocol/log/producer-id'
import type { LogRecord, Producer } from '#protocol/log/record'
import type { TopicName } from '#protocol/topic-name'

/** Whoever comes where no tokens are asked for: all of them are one. */
export const anonymousPrincipal = 'anonymous'

export interface ProducerScope {
  readonly principal?: string | undefined
  readonly topic: TopicName
}

/** A producer as it is in the log: one cannot take the numbers of another principal. */
export function scopedProducer(
  { principal = anonymousPrincipal, topic }: ProducerScope,
  { type, name, epoch, seq }: ClientProducer,
  digests: Digests,
): Producer {
  return { id: producerIdOf(digests, { principal, topic, type, name }), epoch, seq }
}

/** The records of a request with their producers as they are in the log. */
export function scopedRecords(
  { topic, principal, records, producer }: PublishRequest,
  digests: Digests,
): readonly LogRecord[] {
  const scope = { principal, topic }
  if (producer !== undefined) {
    const first = scopedProducer(scope, producer, digests)
    return records.map((record, index) => ({ ...record, producer: { ...first, seq: first.seq + index } }))
  }
  const ids = new Map<string, Uint8Array>()
  return records.map(({ producer: own, ...record }) => {
    if (own === undefined) return record
    const key = `${own.type} ${own.name}`
    const { epoch, seq } = own
    const id = ids.get(key) ?? scopedProducer(scope, own, digests).id
    ids.set(key, id)
    return { ...record, producer: { id, epoch, seq } }
  })
}
