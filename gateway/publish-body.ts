import { encodeRecords, type LogRecord } from '#protocol/log/record'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import { jsonOf } from './body.ts'
import { isContentType, mediaTypeOf, recordsMediaType, unknownMediaType, valueFormOf } from '#protocol/media-type'
import type { RecordToPublish } from './broker.ts'
import { cloudEventsMediaType, eventsOf } from './cloud-events.ts'
import { invalid } from './problem.ts'
import { producerOfJson } from './producer.ts'

/**
 * What the body of a publish says. Checked by hand, not by schema: this is the hot path. One bad record refuses the
 * whole request, so that anything but 2xx means that nothing was accepted.
 */
export type PublishBody =
  | { readonly type: 'one'; readonly record: RecordToPublish }
  | { readonly type: 'batch'; readonly records: readonly RecordToPublish[] }

/** Key and headers of a record that is the whole body; its Content-Type is the header `content-type`. */
export interface RecordHead {
  readonly key?: Uint8Array
  readonly headers: Readonly<Record<string, string>>
}

/**
 * `application/json` that is an object with nothing but an array `records` is a batch; any other JSON is one record,
 * stored as it was sent. Throws BAD_JSON, BAD_REQUEST, RECORD_TOO_LARGE.
 */
export function publishBodyOf(body: Uint8Array, head: RecordHead): PublishBody {
  const mediaType = mediaTypeOf(head.headers['content-type'] ?? '')
  const mustBeBatch = mediaType === recordsMediaType
  if (mustBeBatch || mediaType === 'application/json') {
    const document = jsonOf(body)
    if (mustBeBatch || isRecords(document)) return { type: 'batch', records: recordsOf(document, head) }
  }
  if (mediaType === cloudEventsMediaType) {
    refuseRecordHead(head)
    return { type: 'batch', records: eventsOf(jsonOf(body)).map((record, index) => checked(record, `[${index}]`)) }
  }
  return { type: 'one', record: checked({ ...head, value: body }) }
}

const isRecords = (document: unknown): document is { records: unknown[] } =>
  isObject(document) && Array.isArray(document['records']) && Object.keys(document).length === 1

function recordsOf(document: unknown, head: RecordHead): RecordToPublish[] {
  if (!isRecords(document)) throw invalid('records', 'must be an array, and nothing may stand beside it')
  refuseRecordHead(head)
  const { length } = document.records
  if (length < 1 || length > limits.publishRecordsMax) {
    throw invalid('records', `must hold 1 to ${limits.publishRecordsMax} records, not ${length}`)
  }
  return document.records.map((item, index) => recordOf(item, `records[${index}]`))
}

/** What says something of one record has no place at the head of many. */
export function refuseRecordHead({ key, headers }: RecordHead): void {
  if (key !== undefined) throw invalid('record-key', 'belongs into the records of a batch')
  const stray = Object.keys(headers).find((name) => name !== 'content-type')
  if (stray !== undefined) throw invalid(`record-header-${stray}`, 'belongs into the records of a batch')
}

const recordFields = new Set(['key', 'keyBase64', 'headers', 'value', 'valueBase64', 'contentType', 'producer'])

/** One record of many; `at` is its place for the complaint. Throws BAD_REQUEST, RECORD_TOO_LARGE. */
export function recordOf(item: unknown, at: string): RecordToPublish {
  if (!isObject(item)) throw invalid(at, 'must be an object')
  for (const name of Object.keys(item))
    if (!recordFields.has(name)) throw invalid(`${at}.${name}`, 'is not a field of a record')
  const key = keyOf(item, at)
  const { value, contentType } = valueOf(item, at)
  const headers = headersOf(item['headers'], contentType, `${at}.headers`)
  const record = checked({ ...(key !== undefined && { key }), headers, value }, at)
  if (item['producer'] === undefined) return record
  return { ...record, producer: producerOfJson(item['producer'], `${at}.producer`) }
}

function keyOf(item: JsonObject, at: string): Uint8Array | undefined {
  const { key, keyBase64 } = item
  if (key !== undefined && keyBase64 !== undefined) throw invalid(`${at}.key`, 'cannot stand beside keyBase64')
  if (keyBase64 !== undefined) return bytesOfBase64(keyBase64, `${at}.keyBase64`)
  return key === undefined ? undefined : bytesOfText(key, `${at}.key`)
}

/** The inverse of `record-json.ts`: what a reader was shown can be published again. */
function valueOf(item: JsonObject, at: string): { value: Uint8Array; contentType: string } {
  const { value, valueBase64 } = item
  if ((value === undefined) === (valueBase64 === undefined)) throw invalid(at, 'must have one of value and valueBase64')
  const contentType = contentTypeOf(item['contentType'], value, `${at}.contentType`)
  if (valueBase64 !== undefined) return { value: bytesOfBase64(valueBase64, `${at}.valueBase64`), contentType }
  if (valueFormOf(contentType) === 'json') return { value: utf8(JSON.stringify(value)), contentType }
  if (typeof value !== 'string') throw invalid(`${at}.value`, `must be a string for ${contentType}`)
  return { value: bytesOfText(value, `${at}.value`), contentType }
}

function contentTypeOf(given: unknown, value: unknown, at: string): string {
  if (given === undefined) {
    if (value === undefined) return unknownMediaType
    return typeof value === 'string' ? 'text/plain' : 'application/json'
  }
  if (typeof given !== 'string' || !isContentType(given)) throw invalid(at, 'must be a media type such as text/plain')
  if (typeof value === 'string' && given.startsWith('text/') && valueFormOf(given) === 'bytes') {
    throw invalid(at, 'must be UTF-8 for a value; use valueBase64 for another charset')
  }
  return given
}

function headersOf(given: unknown, contentType: string, at: string): Record<string, string> {
  if (given === undefined) return { 'content-type': contentType }
  if (!isObject(given)) throw invalid(at, 'must be an object')
  const headers = new Map([['content-type', contentType]])
  for (const [name, value] of Object.entries(given)) {
    if (!isHeaderName(name)) throw invalid(`${at}.${name}`, 'is not a header name')
    if (headers.has(name.toLowerCase())) throw invalid(`${at}.${name}`, 'stands twice, or should be contentType')
    if (typeof value !== 'string' || !value.isWellFormed()) throw invalid(`${at}.${name}`, 'must be a string')
    headers.set(name.toLowerCase(), value)
  }
  // Not by assignment: a header called __proto__ must stay a header.
  return Object.fromEntries(headers)
}

/** Names are those of HTTP, in lower case, so that a header is the same one however the record came. */
export const isHeaderName = (name: string): boolean => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/.test(name)

type Unnumbered = Omit<LogRecord, 'producer'>

/** Refused here, where its place is known: the broker would refuse the whole batch. */
function checked(record: Unnumbered, at?: string): Unnumbered {
  const { key, headers, value } = record
  if (key !== undefined && key.length > limits.recordKeyBytesMax) {
    throw invalid(at === undefined ? 'record-key' : `${at}.key`, `must have at most ${limits.recordKeyBytesMax} bytes`)
  }
  if (Object.keys(headers).length > limits.recordHeadersMax) {
    throw invalid(`${at ?? 'the record'}.headers`, `must be at most ${limits.recordHeadersMax}, content-type included`)
  }
  const headerBytes = headerBytesAtMost(headers)
  const recordBytes = headerBytes + value.length + limits.recordKeyBytesMax
  if (headerBytes > limits.recordHeaderBytesMax || recordBytes > limits.recordBytesMax) checkSize(record, at)
  return record
}

/** A character is at most three bytes of UTF-8; a few more say how long it is. */
function headerBytesAtMost(headers: LogRecord['headers']): number {
  let bytes = 64
  for (const name in headers) bytes += 3 * (name.length + (headers[name] as string).length) + 4
  return bytes
}

/** Its exact size is that of its encoding: asked only where it might be too large. */
function checkSize(record: Unnumbered, at: string | undefined): void {
  try {
    encodeRecords([record])
  } catch (error) {
    if (at === undefined || !(error instanceof MeshError)) throw error
    throw new MeshError(error.code, `${at}: ${error.message}`, { cause: error, facts: { field: at } })
  }
}

function bytesOfText(text: unknown, at: string): Uint8Array {
  if (typeof text !== 'string') throw invalid(at, 'must be a string')
  if (!text.isWellFormed()) throw invalid(at, 'has half a surrogate pair, which UTF-8 cannot say')
  return utf8(text)
}

function bytesOfBase64(text: unknown, at: string): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined
  // Node skips what is not base64; only text that comes back the same was.
  if (bytes?.toString('base64') !== text) throw invalid(at, 'must be base64 with padding (RFC 4648 §4)')
  return bytes as Uint8Array
}

type JsonObject = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
