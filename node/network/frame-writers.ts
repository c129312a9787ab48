import { encodeFrame } from './frame-decoder.ts'
import { assert } from '#protocol/assert'
import type { Stream } from '@libp2p/interface'

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

// Not at once: the stream answers `drain` with a microtask of its own, in which it sends what waits. Ours comes after it.
function onWritable(stream: Stream, run: () => void): void {
  stream.addEventListener('drain', () => queueMicrotask(run))
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
