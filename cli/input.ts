import { addAbortSignal } from 'node:stream'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { say, type Terminal } from './terminal.ts'

/** Stdin as it comes. Ends with the reason of `stop`: a pipe that stays open must not hold a command that is to end. */
export async function* inputOf({ stdin, stop }: Terminal): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const chunk of addAbortSignal(stop, stdin)) yield chunk as Uint8Array
  } catch (error) {
    stop.throwIfAborted()
    throw error
  }
}

/** The whole of stdin. Throws RECORD_TOO_LARGE before it keeps more than a record can hold. */
export async function wholeInput(terminal: Terminal): Promise<Uint8Array> {
  if (terminal.stdin.isTTY === true) say(terminal, 'Type the record; Ctrl-D ends it.')
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of inputOf(terminal)) {
    bytes += chunk.length
    if (bytes > limits.recordBytesMax) {
      throw new MeshError('RECORD_TOO_LARGE', `stdin is larger than ${limits.recordBytesMax} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
