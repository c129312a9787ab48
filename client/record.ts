import { bytesOfBase64url, textOf, utf8 } from '#protocol/text'

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
  readonly cursor: string
  readonly #json: RecordJson

  constructor(json: RecordJson, cursor: string) {
    this.id = json.id
    this.topic = json.topic
    this.feed = json.feed
    this.offset = json.offset
    this.time = json.time
    this.key = json.key
    this.headers = json.headers ?? {}
    this.contentType = json.contentType
    this.producer = json.producer
    this.cursor = cursor
    this.#json = json
  }

  /** The value as published, byte for byte unless it is JSON: that is written anew, as JavaScript understood it. */
  bytes(): Uint8Array {
    const { value, valueBase64 } = this.#json
    if (valueBase64 !== undefined) return bytesOfBase64(valueBase64)
    return utf8(isText(this.contentType) && typeof value === 'string' ? value : JSON.stringify(value ?? null))
  }

  /** The value as text; bytes that are not UTF-8 come as U+FFFD. */
  text(): string {
    const bytes = this.bytes()
    return textOf(bytes) ?? new TextDecoder().decode(bytes)
  }

  /** The value as JSON. Throws SyntaxError if it is something else. `T` is the caller's word, nothing checks it. */
  json<T = unknown>(): T {
    const { value } = this.#json
    return (value === undefined || isText(this.contentType) ? JSON.parse(this.text()) : value) as T
  }

  /** Called by JSON.stringify: the record as the gateway wrote it, and its cursor. */
  toJSON(): RecordJson & { readonly cursor: string } {
    return { ...this.#json, cursor: this.cursor }
  }
}

/** What may be published: text, bytes, or anything that JSON can say. */
export type PublishValue = string | Uint8Array | number | boolean | null | readonly unknown[] | object

export interface OutgoingRecord {
  readonly value: PublishValue
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Default: `text/plain; charset=utf-8` for a string, `application/octet-stream` for bytes, else `application/json`. */
  readonly contentType?: string
}

/** The record as one element of `{records: […]}`. Text and bytes arrive byte for byte, whatever their content type. */
export function outgoingJson(record: OutgoingRecord): Record<string, unknown> {
  return {
    ...(record.key === undefined ? {} : { key: record.key }),
    ...(record.headers === undefined ? {} : { headers: record.headers }),
    ...valueJson(record.value, record.contentType),
  }
}

function valueJson(value: PublishValue, contentType: string | undefined): Record<string, unknown> {
  if (value instanceof Uint8Array) {
    return { valueBase64: base64Of(value), contentType: contentType ?? 'application/octet-stream' }
  }
  if (typeof value !== 'string') return { value, contentType: contentType ?? 'application/json' }
  const type = contentType ?? 'text/plain; charset=utf-8'
  return isText(type) ? { value, contentType: type } : { valueBase64: base64Of(utf8(value)), contentType: type }
}

const isText = (contentType: string): boolean => contentType.toLowerCase().startsWith('text/')

/** RFC 4648 §4, which `protocol/text` does not need. */
function base64Of(bytes: Uint8Array): string {
  let binary = ''
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192))
  return btoa(binary)
}

function bytesOfBase64(text: string): Uint8Array {
  const urlText = text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
  return bytesOfBase64url(urlText) ?? new Uint8Array()
}
