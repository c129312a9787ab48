import { type OutgoingRecord, outgoingJson, type ReceivedRecord, type RecordJson } from '#client/record'
import { MeshError } from '#protocol/errors'
import { valueFormOf } from '#protocol/media-type'
import { textOf } from '#protocol/text'

/** Headers of a record that was imported: where it was written first, and when. Another export and import keeps them. */
const originHeader = 'grapevine-origin'
const originTimeHeader = 'grapevine-origin-time'

/** A record as a line of an export: as the gateway shows it, but byte for byte, and with the id of its topic. */
export function exportedLine(record: ReceivedRecord, topicId: string): string {
  const { id, topic, feed, offset, time, key, keyBase64, headers, contentType } = record.toJSON()
  const bytes = record.bytes()
  const text = valueFormOf(contentType) === 'bytes' ? undefined : textOf(bytes)
  const value = outgoingJson({ value: text ?? bytes, contentType })
  // What is undefined is left out.
  return `${JSON.stringify({ id, topic, topicId, feed, offset, time, key, keyBase64, headers, ...value })}\n`
}

/** Where a record was written first. Peers call their feeds alike in all topics. */
export interface Origin {
  /** As hex; a topic that was deleted and made again has another one. */
  readonly topicId: string
  /** `<peerId>.<epoch>` */
  readonly feed: string
  readonly offset: number
}

interface ExportedJson extends RecordJson {
  readonly topicId: string
}

export interface ExportedRecord {
  readonly topic: string
  readonly origin: Origin
  readonly record: OutgoingRecord & { readonly value: string | Uint8Array }
}

/** The record on a line of an export; undefined for a line that says something else. Throws BAD_JSON, BAD_REQUEST. */
export function recordOfLine(line: Uint8Array): ExportedRecord | undefined {
  const json = jsonOf(line)
  if ('end' in json || 'gap' in json) return undefined
  const { id, topic, topicId, time, key, keyBase64, headers = {}, contentType } = json as Partial<ExportedJson>
  if (typeof topic !== 'string' || typeof contentType !== 'string')
    throw new MeshError('BAD_REQUEST', 'A record has a topic and a contentType.')
  const origin = originOf(String(headers[originHeader] ?? `${String(topicId)}/${String(id)}`))
  const marks = {
    [originHeader]: `${origin.topicId}/${origin.feed}.${origin.offset}`,
    [originTimeHeader]: String(time),
  }
  const ownKey = keyBase64 === undefined ? key : bytesIn(keyBase64)
  const record = { value: valueIn(json, contentType), contentType, headers: { ...marks, ...headers } }
  return { topic, origin, record: { ...record, ...(ownKey !== undefined && { key: ownKey }) } }
}

function jsonOf(line: Uint8Array): object {
  const text = textOf(line)
  try {
    const json = JSON.parse(text ?? '') as unknown
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json
  } catch {
    // Said below.
  }
  throw new MeshError('BAD_JSON', 'A line of an export is an object of JSON.')
}

/** `<topicId>/<id>` */
function originOf(text: string): Origin {
  const [, topicId, feed, digits] = /^([0-9a-f]{32})\/([^./\s]+\.[0-9a-f]{16})\.(\d{1,15})$/.exec(text) ?? []
  if (topicId === undefined || feed === undefined)
    throw new MeshError('BAD_REQUEST', `${text.slice(0, 140)} is no id of a topic and of a record in it.`)
  return { topicId, feed, offset: Number(digits) }
}

function valueIn(json: { readonly value?: unknown; readonly valueBase64?: unknown }, contentType: string) {
  const { value, valueBase64 } = json
  if (valueBase64 !== undefined) return bytesIn(valueBase64)
  if (value === undefined) throw new MeshError('BAD_REQUEST', 'A record has a value or valueBase64.')
  return valueFormOf(contentType) === 'text' && typeof value === 'string' ? value : JSON.stringify(value)
}

function bytesIn(base64: unknown): Uint8Array {
  const bytes = Buffer.from(String(base64), 'base64')
  if (bytes.toString('base64') === base64) return bytes
  throw new MeshError('BAD_REQUEST', `${String(base64).slice(0, 40)} is no base64.`)
}
