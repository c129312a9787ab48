import { MeshError } from '#protocol/errors'
import { joinedBytes } from '#protocol/joined-bytes'
import { encodeRecordBytes } from '#protocol/log/record'
import { encodeBinaryHead } from '#protocol/wire/binary-frame'
import type { PublishFrame } from '#protocol/wire/socket-frames'
import type { ProducerNumber } from './producer-numbers.ts'
import { type KeptRecord, outgoingJson, outgoingLogRecord } from './record.ts'

/** What is said of a publish besides its records; a producer only if it is not the mesh object itself. */
export type PublishTerms = Omit<PublishFrame, 'type' | 'ref' | 'records'>

/** A key, or a number of its own, is of what one call publishes, and of nothing besides. */
export const isNamed = ({ idempotencyKey, producer }: PublishTerms): boolean =>
  idempotencyKey !== undefined || producer !== undefined

export interface MessageForm {
  readonly isBinary: boolean
  readonly bytesMax: number
}

/** The messages of one publish. Its records are put into JSON or bytes once, so that a retry is the same to the last byte. */
export class PublishMessages {
  readonly terms: PublishTerms
  readonly #ref: string
  readonly #records: readonly KeptRecord[]
  #json: string | undefined
  #bytes: Uint8Array | undefined

  constructor(ref: string, terms: PublishTerms, records: readonly KeptRecord[]) {
    this.#ref = ref
    this.terms = terms
    this.#records = records
  }

  get count(): number {
    return this.#records.length
  }

  /**
   * With that number, unless it has one of its own, or a key. Throws MeshError BODY_TOO_LARGE, and in binary
   * RECORD_TOO_LARGE, BAD_REQUEST.
   */
  of(number: ProducerNumber, { isBinary, bytesMax }: MessageForm): string | Uint8Array<ArrayBuffer> {
    const producer = !isNamed(this.terms) && { producer: number }
    const message = isBinary ? this.#inBinary(producer) : this.#inJson(producer)
    if (!isLonger(message, bytesMax)) return message
    const form = isBinary ? 'In binary' : 'As JSON'
    throw new MeshError('BODY_TOO_LARGE', `${form} it is larger than the ${bytesMax} bytes of a frame.`)
  }

  #inJson(producer: { readonly producer: ProducerNumber } | false): string {
    this.#json ??= JSON.stringify(this.#records.map(outgoingJson))
    const head = JSON.stringify({ type: 'publish', ref: this.#ref, ...this.terms, ...producer })
    return `${head.slice(0, -1)},"records":${this.#json}}`
  }

  #inBinary(producer: { readonly producer: ProducerNumber } | false): Uint8Array<ArrayBuffer> {
    this.#bytes ??= encodeRecordBytes(this.#records.map(outgoingLogRecord))
    const header = { ref: this.#ref, ...this.terms, count: this.count, ...producer }
    return joinedBytes([encodeBinaryHead('publish', header), this.#bytes])
  }
}

/** Of text its bytes in UTF-8 count, and are counted only where they might be too many. */
function isLonger(message: string | Uint8Array, bytesMax: number): boolean {
  if (typeof message !== 'string') return message.length > bytesMax
  return 3 * message.length > bytesMax && new TextEncoder().encode(message).length > bytesMax
}
