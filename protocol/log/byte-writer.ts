import { assert } from '#protocol/assert'

/** Writes big-endian fields into a buffer whose exact length is known beforehand; writing beyond it throws. */
export class ByteWriter {
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #view: DataView
  #at = 0

  constructor(length: number) {
    this.#bytes = new Uint8Array(length)
    this.#view = new DataView(this.#bytes.buffer)
  }

  u8(value: number): this {
    this.#view.setUint8(this.#advance(1), value)
    return this
  }

  u16(value: number): this {
    this.#view.setUint16(this.#advance(2), value)
    return this
  }

  u32(value: number): this {
    this.#view.setUint32(this.#advance(4), value)
    return this
  }

  u48(value: number): this {
    this.u16(Math.floor(value / 2 ** 32))
    return this.u32(value % 2 ** 32)
  }

  /** `value` is a whole number from 0 to 2^53 − 1. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value), 'a 64-bit number is a safe integer')
    assert(value >= 0, 'a 64-bit number is not negative')
    this.u32(Math.floor(value / 2 ** 32))
    return this.u32(value % 2 ** 32)
  }

  put(bytes: Uint8Array): this {
    this.#bytes.set(bytes, this.#advance(bytes.length))
    return this
  }

  /** The whole buffer, which is full by now. */
  finish(): Uint8Array<ArrayBuffer> {
    assert(this.#at === this.#bytes.length, 'the buffer was measured exactly')
    return this.#bytes
  }

  #advance(length: number): number {
    const at = this.#at
    this.#at += length
    return at
  }
}
