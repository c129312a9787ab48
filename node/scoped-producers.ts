import type { ClientProducer, PublishRequest } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import { producerIdOf } from '#protocol/log/producer-id'
import type { LogRecord, Producer } from '#protocol/log/record'

/** Until clients have tokens all of them are one. */
export const principal = 'anonymous'

/** The records of a request with their producers as they are in the log: one cannot take the numbers of another principal. */
export function scopedRecords({ topic, records, producer }: PublishRequest, digests: Digests): readonly LogRecord[] {
  const ids = new Map<string, Uint8Array>()
  const scoped = ({ type, name, epoch, seq }: ClientProducer, index = 0): Producer => {
    const key = `${type} ${name}`
    const id = ids.get(key) ?? producerIdOf(digests, { principal, topic, type, name })
    ids.set(key, id)
    return { id, epoch, seq: seq + index }
  }
  if (producer !== undefined) return records.map((record, index) => ({ ...record, producer: scoped(producer, index) }))
  return records.map(({ producer: own, ...record }) =>
    own === undefined ? record : { ...record, producer: scoped(own) },
  )
}
