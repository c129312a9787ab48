import { joinedBytes } from '#protocol/joined-bytes'
import { MeshError } from './errors.ts'

const newline = 0x0a

/**
 * The lines of a stream of bytes, without their newlines. Only the newline ends a line: CR and all other bytes belong to
 * it. Bounded: a line that never ends is refused, not kept.
 */
export class LineSplitter {
  readonly #lineBytesMax: number
  #pieces: Uint8Array[] = []
  #pieceBytes = 0
  #lineCount = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Number of the line that comes next, from 1. */
  get nextLine(): number {
    return this.#lineCount + 1
  }

  /** Bytes of a line whose end has not come yet. */
  get waitingBytes(): number {
    return this.#pieceBytes
  }

  /** The lines that end in `chunk`. Throws RECORD_TOO_LARGE, naming the line, after the lines before it. */
  *push(chunk: Uint8Array): Generator<Uint8Array, void> {
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end))
      yield this.#take()
      start = end + 1
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
  }

  /** The last line, which needs no newline. */
  *end(): Generator<Uint8Array, void> {
    if (this.#pieceBytes > 0) yield this.#take()
  }

  #keep(piece: Uint8Array): void {
    this.#pieceBytes += piece.length
    if (this.#pieceBytes > this.#lineBytesMax) {
      const detail = `Line ${this.nextLine} is longer than ${this.#lineBytesMax} bytes.`
      throw new MeshError('RECORD_TOO_LARGE', detail, { facts: { line: this.nextLine } })
    }
    this.#pieces.push(piece)
  }

  #take(): Uint8Array {
    const [first = new Uint8Array(0), ...more] = this.#pieces
    const line = more.length === 0 ? first : joinedBytes(this.#pieces)
    this.#pieces = []
    this.#pieceBytes = 0
    this.#lineCount++
    return line
  }
}
