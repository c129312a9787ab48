import { MeshError } from '#protocol/errors'
import type { LogRecord } from '#protocol/log/record'
import { isContentType, unknownMediaType, type ValueForm, valueFormOf } from '#protocol/media-type'
import { base64urlOf, bytesOfBase64url, textOf, utf8 } from '#protocol/text'

/** A record as the gateway writes it in JSON (DESIGN §11). */
export interface RecordJson {
  /** `<writer>.<epoch>.<offset>` */
  readonly id: string
  readonly topic: string
  /** `<peerId>.<epoch>` */
  readonly feed: string
  readonly offset: number
  readonly time: string
  readonly key?: string
  /** A key that is not UTF-8. */
  readonly keyBase64?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly contentType: string
  /** Who published it, and under which number: by these a record that comes twice is recognized. */
  readonly producer?: { readonly id: string; readonly epoch: number; readonly seq: number }
  /** JSON content types: the value itself. `text/*`: a string. */
  readonly value?: unknown
  /** Everything else. */
  readonly valueBase64?: string
}

/**
 * Offsets [from, to) of a feed that are missing between the records. `lost`: not kept any more. `late`: not to be had at
 * this peer yet; they come when they are. If they stay away, ask another peer, or start again from `earliest`: what they
 * wait for may be lost.
 */
export interface Gap {
  readonly type: 'lost' | 'late'
  readonly feed: string
  readonly from: number
  readonly to: number
}

/** A record that was read. `cursor` is where to go on after it; records of a page share the cursor of their page. */
export class ReceivedRecord {
  readonly id: string
  readonly topic: string
  readonly feed: string
  readonly offset: number
  readonly time: string
  readonly key: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string
  /** Of two records with the same topic, id, epoch and seq one is a retry of the other. */
  readonly producer: RecordJson['producer']
  readonly #json: RecordJson
  /** Where it came as bytes; its JSON is without value then. */
  readonly #value: Uint8Array | undefined
  readonly #cursor: string | (() => string)

  /** `cursor`: or what makes it, when it is asked for. */
  constructor(json: RecordJson, cursor: string | (() => string), value?: Uint8Array) {
    this.id = json.id
    this.topic = json.topic
    this.feed = json.feed
    this.offset = json.offset
    this.time = json.time
    this.key = json.key
    this.headers = json.headers ?? {}
    this.contentType = json.contentType
    this.producer = json.producer
    this.#json = json
    this.#value = value
    this.#cursor = cursor
  }

  get cursor(): string {
    return typeof this.#cursor === 'string' ? this.#cursor : this.#cursor()
  }

  /**
   * The value as published, byte for byte. JSON that came as JSON, in a page or from a peer that offers nothing else, is
   * written anew, as JavaScript understood it.
   */
  bytes(): Uint8Array {
    if (this.#value !== undefined) return this.#value.slice()
    const { value, valueBase64 } = this.#json
    if (valueBase64 !== undefined) return bytesOfBase64(valueBase64)
    return utf8(isText(this.contentType) && typeof value === 'string' ? value : JSON.stringify(value ?? null))
  }

  /** The value as text; bytes that are not UTF-8 come as U+FFFD. */
  text(): string {
    const bytes = this.#value ?? this.bytes()
    return textOf(bytes) ?? new TextDecoder().decode(bytes)
  }

  /** The value as JSON. Throws SyntaxError if it is something else. `T` is the caller's word, nothing checks it. */
  json<T = unknown>(): T {
    const { value } = this.#json
    return (value === undefined || isText(this.contentType) ? JSON.parse(this.text()) : value) as T
  }

  /** Called by JSON.stringify: the record as the gateway wrote it, and its cursor. */
  toJSON(): RecordJson & { readonly cursor: string } {
    const value = this.#value && shownValue(this.#value, this.contentType)
    return { ...this.#json, ...value, cursor: this.cursor }
  }
}

/** A value that came as bytes, as the gateway would have written it. */
function shownValue(bytes: Uint8Array, contentType: string): Pick<RecordJson, 'value' | 'valueBase64'> {
  const form = valueFormOf(contentType)
  const text = form === 'bytes' ? undefined : textOf(bytes)
  if (text !== undefined && form === 'text') return { value: text }
  const json = text === undefined ? undefined : parsed(text)
  // Else it is not what it says.
  return json === undefined ? { valueBase64: base64Of(bytes) } : { value: json }
}

/** Keys are text mostly. */
export function keyFields(key: Uint8Array | undefined): Pick<RecordJson, 'key' | 'keyBase64'> {
  if (key === undefined) return {}
  const text = textOf(key)
  return text === undefined ? { keyBase64: base64Of(key) } : { key: text }
}

/** What may be published: text, bytes, or anything that JSON can say. */
export type PublishValue = string | Uint8Array | number | boolean | null | readonly unknown[] | object

export interface OutgoingRecord {
  readonly value: PublishValue
  /** Bytes are not copied: leave them as they are. */
  readonly key?: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  /** Default: `text/plain; charset=utf-8` for a string, `application/octet-stream` for bytes, else `application/json`. */
  readonly contentType?: string
}

export interface KeptRecord extends OutgoingRecord {
  readonly value: string | Uint8Array
  readonly contentType: string
}

/** As it is now: a program may change what it published while that waits. Throws BAD_REQUEST for what JSON cannot say. */
export function keptRecord(record: OutgoingRecord): KeptRecord {
  const { value, headers, contentType = contentTypeOf(value) } = record
  return { ...record, ...(headers && { headers: { ...headers } }), contentType, value: keptValue(value, contentType) }
}

function keptValue(value: PublishValue, contentType: string): string | Uint8Array {
  if (typeof value === 'string') return value
  if (value instanceof Uint8Array) return value.slice()
  const json = JSON.stringify(value) as string | undefined
  if (json !== undefined && valueFormOf(contentType) === 'json') return json
  throw refusal(`That is no value for ${contentType}.`)
}

/** Of the objects that hold it. */
const recordBytesExtra = 128

/** What it takes in memory, about. */
export const keptBytes = ({ value, key = '', headers }: KeptRecord): number =>
  recordBytesExtra + value.length + key.length + (headers === undefined ? 0 : JSON.stringify(headers).length)

/** The record as one element of `{records: […]}`. Text and bytes arrive byte for byte, whatever their content type. */
export function outgoingJson({ key, headers, contentType, value }: KeptRecord): Record<string, unknown> {
  return {
    ...(typeof key === 'string' ? { key } : keyFields(key)),
    ...(headers && { headers }),
    contentType,
    ...valueJson(value, contentType),
  }
}

function valueJson(value: string | Uint8Array, contentType: string): { value: unknown } | { valueBase64: string } {
  if (value instanceof Uint8Array) return { valueBase64: base64Of(value) }
  if (isText(contentType)) return { value }
  const json = valueFormOf(contentType) === 'json' ? parsed(value) : undefined
  return json !== undefined && JSON.stringify(json) === value ? { value: json } : { valueBase64: base64Of(utf8(value)) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The record as it is in the log, with room for its producer. What a gateway would refuse is refused here: BAD_REQUEST. */
export function outgoingLogRecord({ value, key, headers, contentType }: KeptRecord): LogRecord {
  const type = knownType(contentType)
  return {
    ...(key !== undefined && { key: typeof key === 'string' ? wellFormed(key) : key }),
    headers: headers === undefined ? type.headers : headersOf(headers, contentType),
    value: typeof value === 'string' ? bytesOfText(value, type) : value,
    producer,
  }
}

const producer = { id: new Uint8Array(16), epoch: 0, seq: 0 }

function headersOf(given: Readonly<Record<string, string>>, contentType: string): Readonly<Record<string, string>> {
  const headers = new Map([['content-type', contentType]])
  for (const [name, text] of Object.entries(given)) {
    const lower = name.toLowerCase()
    if (headers.has(lower)) throw refusal(`The header ${name} stands twice, or should be contentType.`)
    if (typeof text !== 'string') throw refusal(`The header ${name} is no text.`)
    headers.set(lower, text)
  }
  return Object.fromEntries(headers)
}

interface KnownType {
  readonly name: string
  readonly form: ValueForm
  /** Of a record that has no others. It is encoded once for those that follow each other. */
  readonly headers: Readonly<Record<string, string>>
}

let lastType: KnownType | undefined

/** Looked at once for records that follow each other: most have the same. */
function knownType(name: string): KnownType {
  if (lastType?.name === name) return lastType
  if (!isContentType(name)) throw refusal(`${name} is no media type such as text/plain.`)
  lastType = { name, form: valueFormOf(name), headers: { 'content-type': name } }
  return lastType
}

function bytesOfText(value: string, { name, form }: KnownType): Uint8Array {
  if (isText(name) && form === 'bytes') throw refusal(`Text goes as UTF-8, not as ${name}.`)
  return wellFormed(value)
}

function wellFormed(text: string): Uint8Array {
  if (text.isWellFormed()) return utf8(text)
  throw refusal('Half a surrogate pair is no text.')
}

const refusal = (detail: string): MeshError => new MeshError('BAD_REQUEST', detail)

function contentTypeOf(value: PublishValue): string {
  if (value instanceof Uint8Array) return unknownMediaType
  return typeof value === 'string' ? 'text/plain; charset=utf-8' : 'application/json'
}

const isText = (contentType: string): boolean => contentType.toLowerCase().startsWith('text/')

/** RFC 4648 §4: another alphabet than that of URLs, and padding. */
const base64Of = (bytes: Uint8Array): string =>
  base64urlOf(bytes)
    .replaceAll('-', '+')
    .replaceAll('_', '/')
    .padEnd(4 * Math.ceil(bytes.length / 3), '=')

function bytesOfBase64(text: string): Uint8Array {
  const urlText = text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
  return bytesOfBase64url(urlText) ?? new Uint8Array()
}
