import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { MeshError, type ErrorCode } from '#protocol/errors'
import { exactTextOf, parseJson } from './json-text.ts'
import type { Intake } from './intake/intake.ts'
import { overloaded } from './overload.ts'

export interface BodyLimit {
  readonly bytesMax: number
  /** What a larger body is refused with. */
  readonly tooLarge: ErrorCode
}

/** Reads request bodies: each has its bound, and all that are arriving at a time share another. */
export class Bodies {
  readonly #arrivingBytesMax: number
  readonly #intake: Pick<Intake, 'spend'> | undefined
  readonly #unhurried = new WeakSet<Socket>()
  #arrivingBytes = 0

  /** `intake`: told of what comes. */
  constructor(arrivingBytesMax: number, intake?: Pick<Intake, 'spend'>) {
    this.#arrivingBytesMax = arrivingBytesMax
    this.#intake = intake
  }

  /** So many bytes more have arrived and wait, or fewer. */
  hold(bytes: number): void {
    this.#arrivingBytes += bytes
  }

  /** Throws OVERLOADED when what is held is too much. */
  refuseOverload(): void {
    if (this.#arrivingBytes > this.#arrivingBytesMax) throw tooMuchArrives()
  }

  /** Half of the bound is there for whoever reads no more than it must. */
  get roomForReadAhead(): boolean {
    return this.#arrivingBytes < this.#arrivingBytesMax / 2
  }

  /** From now on its client may take as long as it likes to send the body. Returns what ends that. */
  takeTime(c: Context): () => void {
    const socket = incomingOf(c)?.socket
    if (socket === undefined) return () => undefined
    this.#unhurried.add(socket)
    return () => void this.#unhurried.delete(socket)
  }

  mayTakeTime(socket: Socket): boolean {
    return this.#unhurried.has(socket)
  }

  /** Of all bodies together, until each is whole. */
  get arrivingBytes(): number {
    return this.#arrivingBytes
  }

  /**
   * The whole body. Throws BODY_TOO_LARGE or what else `limit` says, OVERLOADED when too much is arriving, BAD_REQUEST
   * when it breaks off, and UNSUPPORTED_MEDIA when it is compressed: its size is not known before it has been unpacked.
   */
  async read(c: Context, limit: BodyLimit): Promise<Uint8Array> {
    refuseCompressed(c)
    if (Number(fieldOf(c, 'content-length') ?? 0) > limit.bytesMax) throw tooLarge(limit)
    const incoming = incomingOf(c)
    if (incoming === undefined) return this.#readPieces(c.req.raw.body ?? noPieces(), limit)
    const body = await this.#readIncoming(incoming, limit)
    this.#spend(c, body.length)
    return body
  }

  /** By the events of Node's stream: its iterator costs more than all the rest of a publish. */
  #readIncoming(incoming: Incoming, limit: BodyLimit): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const pieces: Uint8Array[] = []
      let size = 0
      const end = (): void => {
        this.hold(-size)
        incoming.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken)
      }
      const onData = (piece: Uint8Array): void => {
        pieces.push(piece)
        size += piece.length
        this.hold(piece.length)
        const fault = this.#faultOf(size, limit)
        if (fault === undefined) return
        end()
        // What more comes is drained by the server, so that the client gets to read why.
        incoming.pause()
        reject(fault)
      }
      const onEnd = (): void => {
        end()
        resolve(pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces, size))
      }
      const onBroken = (cause?: unknown): void => {
        end()
        reject(brokenOff(cause))
      }
      incoming.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
      // Before there was anybody to be told.
      if (incoming.destroyed) onBroken()
    })
  }

  #faultOf(size: number, limit: BodyLimit): MeshError | undefined {
    if (size > limit.bytesMax) return tooLarge(limit)
    return this.#arrivingBytes > this.#arrivingBytesMax ? tooMuchArrives() : undefined
  }

  /** The pieces of a body without end: its client is held back when it sends more than its share. */
  async *paced(c: Context): AsyncGenerator<Uint8Array, void> {
    for await (const piece of piecesOf(c)) {
      const waitMs = this.#spend(c, piece.length)
      yield piece
      if (waitMs > 0) await new Promise<void>((resolve) => setTimeout(resolve, waitMs).unref())
    }
  }

  #spend(c: Context, bytes: number): number {
    const incoming = incomingOf(c)
    return incoming === undefined ? 0 : (this.#intake?.spend(incoming, bytes) ?? 0)
  }

  async #readPieces(body: AsyncIterable<Uint8Array>, limit: BodyLimit): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    let size = 0
    try {
      for await (const piece of body) {
        pieces.push(piece)
        size += piece.length
        this.hold(piece.length)
        const fault = this.#faultOf(size, limit)
        if (fault !== undefined) throw fault
      }
      return Buffer.concat(pieces, size)
    } catch (error) {
      throw error instanceof MeshError ? error : brokenOff(error)
    } finally {
      this.hold(-size)
    }
  }
}

const tooMuchArrives = (): MeshError => overloaded('bodies', 'Too many large bodies at once.')

/** One field of the head: Node's own where there is one, since a `Headers` has to be made. */
function fieldOf(c: Context, name: string): string | undefined {
  const incoming = incomingOf(c)
  return incoming === undefined ? (c.req.raw.headers.get(name) ?? undefined) : (incoming.headers[name] as string)
}

export function refuseCompressed(c: Context): void {
  const encoding = fieldOf(c, 'content-encoding')
  if (encoding === undefined || encoding === 'identity') return
  throw new MeshError('UNSUPPORTED_MEDIA', 'Send the body without Content-Encoding.')
}

export const brokenOff = (cause: unknown): MeshError =>
  new MeshError('BAD_REQUEST', 'The body ended before it was complete.', { cause })

type Incoming = HttpBindings['incoming']
type Socket = Incoming['socket']

const incomingOf = (c: Context): Incoming | undefined => (c.env as Partial<HttpBindings> | undefined)?.incoming

/** Node's own stream where there is one: the detour over a web stream costs twice as much as the rest of a publish. */
export function piecesOf(c: Context): AsyncIterable<Uint8Array> {
  // A body that is given up is drained by the server, so that the client gets to read why.
  return incomingOf(c)?.iterator({ destroyOnReturn: false }) ?? c.req.raw.body ?? noPieces()
}

async function* noPieces(): AsyncGenerator<Uint8Array> {}

const tooLarge = ({ bytesMax, tooLarge: code }: BodyLimit): MeshError =>
  new MeshError(code, `The body is larger than the ${bytesMax} bytes possible here.`)

/** What the bytes say as JSON, at most 64 levels deep. Throws BAD_JSON. */
export function jsonOf(bytes: Uint8Array): unknown {
  const text = exactTextOf(bytes)
  if (text === undefined) throw new MeshError('BAD_JSON', 'JSON must be UTF-8.')
  try {
    return parseJson(text)
  } catch (error) {
    throw new MeshError('BAD_JSON', error instanceof Error ? `${error.message}.` : undefined, { cause: error })
  }
}
