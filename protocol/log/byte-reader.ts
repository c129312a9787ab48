/** Why bytes from disk or from another peer could not be read. */
export type ReadFault = 'truncated' | 'numberTooLarge'

/**
 * Reads big-endian fields of `bytes` from `at` up to `end`, and never throws. The first fault sticks: from then on every
 * read gives zeros or nothing, so a caller reads a whole structure and looks at `fault` once.
 */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  at: number
  end: number
  fault: ReadFault | undefined

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.at = at
    this.end = end
  }

  u8(): number {
    const at = this.#advance(1)
    return at < 0 ? 0 : this.#view.getUint8(at)
  }

  u16(): number {
    const at = this.#advance(2)
    return at < 0 ? 0 : this.#view.getUint16(at)
  }

  u32(): number {
    const at = this.#advance(4)
    return at < 0 ? 0 : this.#view.getUint32(at)
  }

  u48(): number {
    const at = this.#advance(6)
    return at < 0 ? 0 : this.#view.getUint16(at) * 2 ** 32 + this.#view.getUint32(at + 2)
  }

  /** Numbers are JS numbers: what is above 2^53 − 1 is a fault. */
  u64(): number {
    const at = this.#advance(8)
    if (at < 0) return 0
    const value = this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4)
    if (value <= Number.MAX_SAFE_INTEGER) return value
    this.fault = 'numberTooLarge'
    return 0
  }

  /** The next `length` bytes as a view, not a copy. */
  take(length: number): Uint8Array {
    const at = this.#advance(length)
    return at < 0 ? this.#bytes.subarray(0, 0) : this.#bytes.subarray(at, at + length)
  }

  /** Where the next `length` bytes start, or −1 when they are not there. */
  #advance(length: number): number {
    if (this.fault !== undefined) return -1
    if (this.at + length > this.end) {
      this.fault = 'truncated'
      return -1
    }
    const at = this.at
    this.at += length
    return at
  }
}
