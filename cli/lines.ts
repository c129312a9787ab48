import { limits } from '#protocol/limits'
import { LineSplitter } from '#protocol/line-splitter'

/** A batch goes at this size, or sooner when the input pauses. Larger: fewer requests, coarser progress. */
const batchLinesMax = 1_000
const batchBytesMax = 1024 * 1024

/**
 * The lines of an input without their newlines, in batches; nothing waits for a batch to fill up. Only the newline
 * ends a line: CR and all other bytes belong to it. A last line needs none. Throws RECORD_TOO_LARGE, naming the line.
 */
export async function* lineBatches(
  input: AsyncIterable<Uint8Array>,
  lineBytesMax: number = limits.recordBytesMax,
): AsyncGenerator<Uint8Array[], void> {
  const lines = new LineSplitter(lineBytesMax)
  for await (const chunk of input) yield* inBatches(lines.push(chunk))
  yield* inBatches(lines.end())
}

function* inBatches(lines: Iterable<Uint8Array>): Generator<Uint8Array[], void> {
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
