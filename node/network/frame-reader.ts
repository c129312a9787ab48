import { dialReasonOf } from './dial-reason.ts'
import { FrameDecoder } from './frame-decoder.ts'
import type { Stream } from '@libp2p/interface'

/** Why nothing more comes from a stream. `closed`: the other process closed it or ended; `broken`: an error. */
export interface StreamEnd {
  readonly cause: 'closed' | 'broken'
  readonly reason: string
}

export interface FrameReaderConfig {
  /** A longer frame ends the stream. */
  readonly frameBytesMax: number
  /** Bytes read ahead of the reader; beyond it the stream is paused. Higher: fewer pauses, more memory per link. */
  readonly readAheadBytes: number
}

/**
 * Frames of one libp2p stream, pulled one by one. A reader that does not pull pauses the stream, then the sender's window
 * fills, then the sender. What may pile up here meanwhile: one frame in the making, what resuming flushes out of the
 * stream (at most a window), and another window in the stream's own buffer.
 *
 * Neither `for await (… of stream)` nor `stream.onDrain()` is used: the first buffers without bound, the second resolves
 * only once in the life of a stream (libp2p 3.3).
 */
export class FrameReader {
  readonly #stream: Stream
  readonly #decoder: FrameDecoder
  readonly #readAheadBytes: number
  readonly #chunks: Uint8Array[] = []
  #chunkBytes = 0
  #end: StreamEnd | undefined
  #wake: (() => void) | undefined

  /** Listens at once: a stream nobody listens to fills up and is reset. */
  constructor(stream: Stream, config: FrameReaderConfig) {
    this.#stream = stream
    this.#decoder = new FrameDecoder(config.frameBytesMax)
    this.#readAheadBytes = config.readAheadBytes
    stream.addEventListener('message', (event) => this.#take(event.data))
    stream.addEventListener('remoteCloseWrite', () => this.#finish(closedByOther))
    stream.addEventListener('close', (event) => this.#finish(endOf(event.error)))
    // A stream that ended before we listened does not say so again.
    if (stream.status !== 'open' || stream.remoteWriteStatus === 'closed') this.#finish(closedByOther)
  }

  /** The next frame, the caller's to keep, or why there is none any more. One caller at a time. */
  async next(): Promise<Uint8Array | StreamEnd> {
    for (;;) {
      const frame = this.#decoder.next()
      if (frame instanceof Uint8Array) return frame
      if (frame !== undefined) return { cause: 'broken', reason: frame.refused }
      const chunk = await this.#nextChunk()
      if (!(chunk instanceof Uint8Array)) return this.#decoder.isMidFrame ? cutOff(chunk) : chunk
      this.#decoder.push(chunk)
    }
  }

  async #nextChunk(): Promise<Uint8Array | StreamEnd> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        this.#chunkBytes -= chunk.byteLength
        return chunk
      }
      if (this.#stream.readStatus === 'paused' && this.#stream.status === 'open') this.#resume()
      else if (this.#end !== undefined) return this.#end
      else await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #take(data: Uint8Array | Iterable<Uint8Array>): void {
    for (const chunk of data instanceof Uint8Array ? [data] : data) {
      this.#chunks.push(chunk)
      this.#chunkBytes += chunk.byteLength
    }
    // Never at once: this may run inside `resume`, which would undo the pause when it returns.
    if (this.#chunkBytes >= this.#readAheadBytes) queueMicrotask(() => this.#pauseIfAhead())
    this.#wake?.()
  }

  #pauseIfAhead(): void {
    if (this.#chunkBytes < this.#readAheadBytes || this.#stream.readStatus !== 'readable') return
    this.#stream.pause()
  }

  // Hands over what the stream has buffered, before it returns; opening the window throws if the connection is gone.
  #resume(): void {
    try {
      this.#stream.resume()
    } catch (error) {
      this.#finish(endOf(error as Error))
    }
  }

  #finish(end: StreamEnd): void {
    this.#end ??= end
    this.#wake?.()
  }
}

const cutOff = ({ cause, reason }: StreamEnd): StreamEnd => ({ cause, reason: `${reason}, in the middle of a frame` })

const closedByOther: StreamEnd = { cause: 'closed', reason: 'closed by the other side' }

// A process that dies with unread bytes in its sockets resets them: to us the same as a close.
const closingCodes = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED'])

export function endOf(error: (Error & { readonly code?: unknown }) | undefined): StreamEnd {
  if (error === undefined) return closedByOther
  const code = typeof error.code === 'string' ? error.code : ''
  if (closingCodes.has(code)) return { cause: 'closed', reason: `closed by the other side (${code})` }
  return { cause: 'broken', reason: dialReasonOf(error) }
}
