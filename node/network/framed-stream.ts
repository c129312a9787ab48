import { FrameDecoder, encodeFrame } from './frame-decoder.ts'
import { assert } from '#protocol/assert'
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
      if (!(chunk instanceof Uint8Array)) return chunk
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

const closedByOther: StreamEnd = { cause: 'closed', reason: 'closed by the other side' }

// A process that dies with unread bytes in its sockets resets them: to us the same as a close.
const closingCodes = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED'])

export function endOf(error: (Error & { readonly code?: unknown }) | undefined): StreamEnd {
  if (error === undefined) return closedByOther
  const code = typeof error.code === 'string' ? error.code : ''
  if (closingCodes.has(code)) return { cause: 'closed', reason: `closed by the other side (${code})` }
  return { cause: 'broken', reason: error.message }
}

/** Takes any number of small frames. What is sent within one turn leaves as one piece. */
export class ControlWriter {
  readonly #stream: Stream
  readonly #backlogBytesMax: number
  #queue: Uint8Array[] = []
  #queueBytes = 0
  #flushing = false

  constructor(stream: Stream, backlogBytesMax: number) {
    this.#stream = stream
    this.#backlogBytesMax = backlogBytesMax
    onWritable(stream, () => this.flush())
  }

  /** False: the backlog is over its bound, since the other side does not read; the link is of no use any more. */
  send(frame: Uint8Array): boolean {
    const bytes = encodeFrame([frame])
    this.#queue.push(bytes)
    this.#queueBytes += bytes.byteLength
    if (this.#queueBytes + this.#stream.writeBufferLength > this.#backlogBytesMax) return false
    if (!this.#flushing) {
      this.#flushing = true
      queueMicrotask(() => this.flush())
    }
    return true
  }

  /** Hands the queue to the stream, if that takes it now. */
  flush(): void {
    this.#flushing = false
    if (this.#queue.length === 0 || !isWritable(this.#stream)) return
    const bytes = this.#queue.length === 1 ? this.#queue[0] : Buffer.concat(this.#queue)
    this.#queue = []
    this.#queueBytes = 0
    if (bytes !== undefined) sendIfOpen(this.#stream, bytes)
  }
}

/** Takes one large frame at a time; the log is the buffer. */
export class DataWriter {
  readonly #stream: Stream
  #written: (() => void) | undefined

  constructor(stream: Stream) {
    this.#stream = stream
    onWritable(stream, () => this.#tellWritten())
  }

  /** `written` is called, never from within this call, once the stream has passed the frame on and takes another. */
  send(parts: readonly Uint8Array[], written: () => void): void {
    assert(this.#written === undefined, 'one data frame at a time')
    this.#written = written
    sendIfOpen(this.#stream, encodeFrame(parts))
    queueMicrotask(() => this.#tellWritten())
  }

  #tellWritten(): void {
    const written = this.#written
    if (written === undefined || !isWritable(this.#stream)) return
    this.#written = undefined
    written()
  }
}

/** Nothing waits in the stream: with frames as large as its window, "may be written to" alone would let them pile up. */
const isWritable = (stream: Stream): boolean =>
  stream.writeStatus === 'writable' && !stream.writableNeedsDrain && stream.writeBufferLength === 0

// Never at once: `idle` comes from inside `send`, and what is sent from there would stay behind.
function onWritable(stream: Stream, run: () => void): void {
  const runSoon = (): void => queueMicrotask(run)
  stream.addEventListener('drain', runSoon)
  stream.addEventListener('idle', runSoon)
}

// Sending to a stream that is closing throws. Its end is told by its reader.
function sendIfOpen(stream: Stream, bytes: Uint8Array): void {
  if (stream.writeStatus !== 'writable') return
  try {
    stream.send(bytes)
  } catch {
    // As above: the stream has aborted itself.
  }
}
