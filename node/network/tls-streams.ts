import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { AbstractMessageStream } from '@libp2p/utils'
import type { AbortOptions, MessageStream } from '@libp2p/interface'
import { gathered } from './gathered.ts'
import { networkLimits } from './network-limits.ts'

type Callback = (error?: Error | null) => void

/** A stream of libp2p as one of Node: what is encrypted goes over it. */
export function nodeStreamOf(stream: MessageStream): Duplex {
  const send = (chunks: readonly Uint8Array[], callback: Callback): void => {
    let isRoomLeft = true
    try {
      for (const chunk of chunks) isRoomLeft = stream.send(chunk)
    } catch (error) {
      return callback(error as Error)
    }
    if (isRoomLeft) callback()
    else onceDrained(stream, callback)
  }
  // Nothing is read before somebody asks for it.
  stream.pause()
  const duplex = new Duplex({
    write: (chunk: Uint8Array, _encoding, callback) => send([chunk], callback),
    writev: (chunks, callback) =>
      send(
        chunks.map(({ chunk }) => chunk as Uint8Array),
        callback,
      ),
    read: () => {
      if (stream.status === 'open') stream.resume()
    },
    final: (callback) => void stream.close().then(() => callback(), callback),
  })
  stream.addEventListener('message', ({ data }) => {
    let wantsMore = true
    for (const chunk of data instanceof Uint8Array ? [data] : data) wantsMore = duplex.push(chunk)
    if (!wantsMore && stream.status === 'open') stream.pause()
  })
  stream.addEventListener('close', ({ error }) => duplex.destroy(error))
  return duplex
}

// Its own `onDrain` tells of the first time alone.
function onceDrained(stream: MessageStream, callback: Callback): void {
  const told = (error?: Error): void => {
    stream.removeEventListener('drain', onDrain)
    stream.removeEventListener('close', onClose)
    callback(error)
  }
  const onDrain = (): void => told()
  const onClose = ({ error }: { readonly error?: Error }): void => told(error ?? new Error('the connection closed'))
  stream.addEventListener('drain', onDrain)
  stream.addEventListener('close', onClose)
}

/**
 * What is decrypted, as a stream of libp2p.
 *
 * Its socket takes 64 KiB by itself, and then nothing until that is encrypted, passed on and told to be, some turns of the event loop
 * later. With a thousand topics written at once the digests of a link filled that alone, and the copies on other peers came to a halt. So it
 * takes more here.
 */
export class DecryptedStream extends AbstractMessageStream {
  readonly #socket: TLSSocket
  readonly #encrypted: MessageStream
  readonly #closed: Promise<void>

  constructor(encrypted: MessageStream, socket: TLSSocket) {
    const { log, inactivityTimeout, maxReadBufferLength, direction } = encrypted
    super({ log, inactivityTimeout, maxReadBufferLength, direction })
    this.#socket = socket
    this.#encrypted = encrypted
    // Neither Node nor libp2p takes it as an option for a socket like this one.
    const { _writableState: writable } = socket as unknown as { _writableState: { highWaterMark: number } }
    writable.highWaterMark = networkLimits.plaintextBytesTarget
    gathered(socket)
    const ended = Promise.withResolvers<void>()
    this.#closed = ended.promise.then(() => encrypted.close()).catch((error: Error) => encrypted.abort(error))
    if (socket.closed) ended.resolve()
    socket.on('close', () => ended.resolve())
    socket.on('data', (bytes: Uint8Array) => this.onData(bytes))
    socket.on('drain', () => this.safeDispatchEvent('drain'))
    encrypted.addEventListener('close', ({ error, local }) => {
      socket.destroy()
      if (error === undefined) this.onTransportClosed()
      else if (local === true) this.abort(error)
      else this.onRemoteReset()
    })
  }

  async close(options?: AbortOptions): Promise<void> {
    this.#socket.destroySoon()
    await untilAborted(this.#closed, options?.signal)
  }

  sendData(bytes: Iterable<Uint8Array>): { sentBytes: number; canSendMore: boolean } {
    let sentBytes = 0
    for (const chunk of bytes) {
      sentBytes += chunk.byteLength
      if (!this.#socket.write(chunk)) return { sentBytes, canSendMore: false }
    }
    return { sentBytes, canSendMore: true }
  }

  sendReset(error: Error): void {
    this.#socket.destroy()
    this.#encrypted.abort(error)
  }

  sendPause(): void {
    this.#socket.pause()
  }

  sendResume(): void {
    this.#socket.resume()
  }
}

async function untilAborted(done: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return done
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    await Promise.race([done, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
