import { once } from 'node:events'
import { FrameReader, endOf } from './frame-reader.ts'
import { ControlWriter, DataWriter } from './frame-writers.ts'
import { networkLimits } from './network-limits.ts'
import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'
import type { StreamEnd } from './frame-reader.ts'
import type { LinkId, TransportListener } from '../driver-ports.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

export type StreamKind = 'control' | 'data'

export interface LinkStream {
  readonly stream: Stream
  readonly reader: FrameReader
}

const frameBytesMax = { control: limits.controlFrameBytesMax, data: limits.dataFrameBytesMax }

export const linkStreamOf = (kind: StreamKind, stream: Stream): LinkStream => ({
  stream,
  reader: new FrameReader(stream, {
    frameBytesMax: frameBytesMax[kind],
    readAheadBytes: networkLimits.readAheadBytes,
  }),
})

export interface LinkParts {
  readonly id: LinkId
  readonly peer: PeerId
  readonly connection: Connection
  readonly control: LinkStream
  readonly data: LinkStream
}

/**
 * A connection with its two streams while both are open. Whatever ends first ends the link; `onDown` is called once,
 * and nothing is delivered after it.
 */
export class Link {
  readonly id: LinkId
  readonly peer: PeerId
  readonly connection: Connection
  readonly #parts: LinkParts
  readonly #control: ControlWriter
  readonly #data: DataWriter
  readonly #onDown: (end: StreamEnd) => void
  #state: 'up' | 'down' = 'up'
  #halfClosed = false
  #closed = Promise.resolve()

  constructor(parts: LinkParts, onDown: (end: StreamEnd) => void) {
    this.id = parts.id
    this.peer = parts.peer
    this.connection = parts.connection
    this.#parts = parts
    this.#control = new ControlWriter(parts.control.stream, limits.controlBacklogBytesMax)
    this.#data = new DataWriter(parts.data.stream)
    this.#onDown = onDown
    // The streams end before the connection tells its error, but their readers come to know of it only afterwards.
    parts.connection.addEventListener('close', (event) => {
      if (event.error !== undefined) this.down(endOf(event.error))
    })
  }

  /** Delivers frames to the listener, in order per stream. What the listener throws is not caught: it is our own mistake. */
  startReading(listener: Pick<TransportListener, 'controlFrame' | 'dataFrame'>): void {
    void this.#read(this.#parts.control.reader, (frame) => listener.controlFrame(this.id, frame))
    void this.#read(this.#parts.data.reader, (frame) => listener.dataFrame(this.id, frame))
  }

  sendControl(frame: Uint8Array): void {
    assert(frame.byteLength >= 1, 'a control frame is not empty')
    assert(frame.byteLength <= limits.controlFrameBytesMax, 'a control frame is within its bound')
    if (this.#state === 'down' || this.#control.send(frame)) return
    this.down({
      cause: 'broken',
      reason: `over ${limits.controlBacklogBytesMax} bytes wait: the other side does not read`,
    })
  }

  sendData(parts: readonly Uint8Array[], written: () => void): void {
    if (this.#state === 'down') return
    this.#data.send(parts, () => {
      if (this.#state === 'up') written()
    })
  }

  /** Resolves once the connection of a link that is down is closed. */
  get closed(): Promise<void> {
    return this.#closed
  }

  down(end: StreamEnd): void {
    if (this.#state === 'down') return
    this.#state = 'down'
    if (end.cause === 'broken') this.connection.abort(new Error(end.reason))
    else this.#closed = this.#close()
    this.#onDown(end)
  }

  async #read(reader: FrameReader, deliver: (frame: Uint8Array) => void): Promise<void> {
    for (;;) {
      const next = await reader.next()
      if (this.#state === 'down') return
      if (!(next instanceof Uint8Array)) return this.#streamEnded(next)
      deliver(next)
    }
  }

  // The other side closes one stream after the other: what came on the second is still to be delivered.
  #streamEnded(end: StreamEnd): void {
    if (end.cause === 'broken' || this.#halfClosed) return this.down(end)
    this.#halfClosed = true
    setTimeout(() => this.down(end), networkLimits.closeMs).unref()
  }

  // What was sent before, such as the word that we leave, shall arrive. Closing the connection at once would cut off what
  // TLS has not encrypted yet, so the streams are closed first, and the other side's answer to that is awaited.
  async #close(): Promise<void> {
    this.#control.flush()
    const signal = AbortSignal.timeout(networkLimits.closeMs)
    const streams = [this.#parts.control.stream, this.#parts.data.stream]
    await Promise.allSettled(streams.map((stream) => closeBothWays(stream, signal)))
    await closeConnection(this.connection)
  }
}

/** Resolves once the other side has closed it, too. Rejects when the signal comes first. */
export async function closeBothWays(stream: Stream, signal: AbortSignal): Promise<void> {
  if (stream.status !== 'open') return
  await Promise.all([once(stream as EventTarget, 'close', { signal }), stream.close({ signal })])
}

/** Closes, or aborts after `closeMs`. Never rejects. */
export async function closeConnection(connection: Connection): Promise<void> {
  try {
    await connection.close({ signal: AbortSignal.timeout(networkLimits.closeMs) })
  } catch (error) {
    connection.abort(error as Error)
  }
}

export const peerOf = (connection: Connection): PeerId => connection.remotePeer.toString() as PeerId
