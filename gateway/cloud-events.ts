import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { RecordToPublish } from './broker.ts'
import { invalid } from './problem.ts'

/** CloudEvents 1.0, HTTP protocol binding: one event in structured mode, which is stored as any document is, and many (§3.2, §3.3). */
const cloudEventMediaType = 'application/cloudevents+json'
export const cloudEventsMediaType = 'application/cloudevents-batch+json'
/** Of fields in binary mode (§3.1): attributes of the event whose data is the body. They are kept as headers of the record. */
export const cloudEventPrefix = 'ce-'

const required = ['specversion', 'id', 'source', 'type'] as const

/** Throws BAD_REQUEST for what is no event. */
function refuseNoEvent(event: unknown, at: string): void {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) throw invalid(at, 'must be a CloudEvent')
  for (const name of required) {
    const value = (event as Readonly<Record<string, unknown>>)[name]
    if (typeof value !== 'string' || value === '')
      throw invalid(`${at}.${name}`, 'must be a text, and not an empty one')
  }
}

/** A record for each event of a batch, as it would be if it had come alone. Throws BAD_REQUEST. */
export function eventsOf(document: unknown): RecordToPublish[] {
  const max = limits.publishRecordsMax
  if (!Array.isArray(document) || document.length < 1 || document.length > max) {
    throw invalid('the body', `must be an array of 1 to ${max} CloudEvents`)
  }
  return document.map((event: unknown, index) => {
    refuseNoEvent(event, `[${index}]`)
    return { headers: { 'content-type': cloudEventMediaType }, value: utf8(JSON.stringify(event)) }
  })
}
