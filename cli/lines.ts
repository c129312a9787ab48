import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'

/** A batch goes at this size, or sooner when the input pauses. Larger: fewer requests, coarser progress. */
const batchLinesMax = 1_000
const batchBytesMax = 1024 * 1024

const newline = 0x0a

/**
 * The lines of an input without their newlines, in batches; nothing waits for a batch to fill up. Only the newline
 * ends a line: CR and all other bytes belong to it. A last line needs none. Throws RECORD_TOO_LARGE, naming the line.
 */
export async function* lineBatches(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array[], void> {
  const lines = new LineSplitter()
  for await (const chunk of input) yield* inBatches(lines.push(chunk))
  yield* inBatches(lines.end())
}

function* inBatches(lines: readonly Uint8Array[]): Generator<Uint8Array[], void> {
  let batch: Uint8Array[] = []
  let bytes = 0
  for (const line of lines) {
    if (batch.length > 0 && (batch.length === batchLinesMax || bytes + line.length > batchBytesMax)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(line)
    bytes += line.length
  }
  if (batch.length > 0) yield batch
}

class LineSplitter {
  #pieces: Uint8Array[] = []
  #pieceBytes = 0
  #lineCount = 0

  push(chunk: Uint8Array): Uint8Array[] {
    const lines: Uint8Array[] = []
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end))
      lines.push(this.#take())
      start = end + 1
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
    return lines
  }

  end(): Uint8Array[] {
    return this.#pieceBytes > 0 ? [this.#take()] : []
  }

  #keep(piece: Uint8Array): void {
    this.#pieceBytes += piece.length
    if (this.#pieceBytes > limits.recordBytesMax) {
      throw new MeshError(
        'RECORD_TOO_LARGE',
        `line ${this.#lineCount + 1} is longer than ${limits.recordBytesMax} bytes`,
      )
    }
    this.#pieces.push(piece)
  }

  #take(): Uint8Array {
    const line = this.#pieces.length === 1 ? (this.#pieces[0] as Uint8Array) : Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#pieceBytes = 0
    this.#lineCount++
    return line
  }
}
