import type { StoredRecord } from './broker.ts'
import { exactTextOf, parseJson } from './json-text.ts'
import { unknownMediaType, valueFormOf } from '#protocol/media-type'

/** The broker gives live readers the same records, so their JSON is made once for all of them. */
const texts = new WeakMap<StoredRecord, string>()

/**
 * A record as JSON text on one line (DESIGN §11). JSON values are embedded as they were written, digit by digit: a
 * number beyond 2^53 or a repeated key goes through unharmed. What cannot be shown as its type says goes as base64.
 */
export function recordJson(record: StoredRecord): string {
  const known = texts.get(record)
  if (known !== undefined) return known
  const text = textOf(record)
  texts.set(record, text)
  return text
}

function textOf(record: StoredRecord): string {
  const { 'content-type': contentType = unknownMediaType, ...headers } = record.headers
  const envelope = {
    id: record.id,
    topic: record.topic,
    feed: record.feed,
    offset: record.offset,
    time: new Date(record.timeMs).toISOString(),
    ...keyJson(record.key),
    ...(Object.keys(headers).length > 0 && { headers }),
    contentType,
    ...(record.producer && { producer: record.producer }),
  }
  return `${JSON.stringify(envelope).slice(0, -1)},${valueMember(record.value, contentType)}}`
}

function keyJson(key: Uint8Array | undefined): { key?: string; keyBase64?: string } {
  if (key === undefined) return {}
  const text = exactTextOf(key)
  return text === undefined ? { keyBase64: base64Of(key) } : { key: text }
}

function valueMember(value: Uint8Array, contentType: string): string {
  const json = valueJson(value, contentType)
  return json === undefined ? `"valueBase64":"${base64Of(value)}"` : `"value":${json}`
}

function valueJson(value: Uint8Array, contentType: string): string | undefined {
  const form = valueFormOf(contentType)
  const text = form === 'bytes' ? undefined : exactTextOf(value)
  if (text === undefined) return undefined
  return form === 'text' ? JSON.stringify(text) : oneLineJson(text)
}

/** The document itself, or undefined if it is not JSON. Line ends stand only between tokens, so blanks can take their place. */
function oneLineJson(text: string): string | undefined {
  try {
    parseJson(text)
  } catch {
    return undefined
  }
  return text.replaceAll(/[\r\n]/g, ' ')
}

/** Base64 with padding (RFC 4648 §4). */
const base64Of = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
