import { MeshError } from '#protocol/errors'
import { binarySocketProtocol, decodeBatchFrame, type DeliveredBatch } from '#protocol/wire/binary-frame'
import {
  type ClientFrame,
  mayComeBack,
  type PeerFrame,
  socketPath,
  socketProtocol,
  type WelcomeFrame,
} from '#protocol/wire/socket-frames'
import { errorOfProblem } from './problem.ts'
import { currentToken, type Token } from './token.ts'
import type { Gap, RecordJson } from './record.ts'

export type Frame = PeerFrame<RecordJson, Gap> | BatchFrame

/** Records as they are stored, where the peer offers that. */
export type BatchFrame = { readonly type: 'batch'; readonly batch: DeliveredBatch } & Pick<DeliveredBatch, 'sub'>

/** `length`: characters of its JSON, or bytes. */
export type OnFrame = (frame: Frame, length: number) => void

export interface FrameSocketConfig {
  /** How long it may take until the peer has welcomed us. */
  readonly answerMsMax: number
  /** A socket on which nothing came for so long is taken for broken. Peers say something every 15 s. */
  readonly silenceMsMax: number
  /** Whether records may come and go as bytes. */
  readonly binary: boolean
  readonly token?: Token | undefined
  readonly signal: AbortSignal
}

/** How a socket ended. */
export interface SocketEnd {
  readonly error: MeshError
  /** False: the peer would end another one for the same reason. */
  readonly mayComeBack: boolean
  /** True: it was of use, the peer told more than its welcome. */
  readonly wasUsed: boolean
}

/** One WebSocket to one peer as frames, both ways; in binary where the peer offers that. */
export class FrameSocket {
  readonly server: string
  /** Once it has ended, by either side. Nothing comes after it. */
  readonly ended: Promise<SocketEnd>
  readonly #socket: WebSocket
  readonly #config: FrameSocketConfig
  readonly #onFrame: OnFrame
  readonly #welcomed = Promise.withResolvers<WelcomeFrame>()
  readonly #end = Promise.withResolvers<SocketEnd>()
  #watch: ReturnType<typeof setInterval> | undefined
  #lastHeardMs = performance.now()
  #framesCount = 0
  #problem: MeshError | undefined
  #isWelcome = false
  #isOver = false

  /** Resolves with the peer's welcome. Rejects with UNAVAILABLE, or the reason of the signal. */
  static async open(
    server: string,
    config: FrameSocketConfig,
    onFrame: OnFrame,
  ): Promise<{ readonly socket: FrameSocket; readonly welcome: WelcomeFrame }> {
    config.signal.throwIfAborted()
    const socket = new FrameSocket(server, config, onFrame, await currentToken(config.token))
    return { socket, welcome: await socket.#welcomed.promise }
  }

  private constructor(server: string, config: FrameSocketConfig, onFrame: OnFrame, token: string | undefined) {
    this.server = server
    this.#config = config
    this.#onFrame = onFrame
    this.ended = this.#end.promise
    const protocols = config.binary ? [binarySocketProtocol, socketProtocol] : socketProtocol
    this.#socket = new WebSocket(server.replace(/^http/, 'ws') + socketPath, protocols)
    this.#socket.binaryType = 'arraybuffer'
    // Before the welcome: a browser sends no headers with a WebSocket.
    if (token !== undefined) this.#socket.onopen = () => this.send({ type: 'auth', token })
    this.#socket.onmessage = ({ data }) => this.#hear(data)
    this.#socket.onclose = ({ code, reason }) => this.#over(code, `closed with ${code} ${reason}`.trimEnd())
    config.signal.addEventListener('abort', this.#onAbort)
    this.#watch = setInterval(() => this.#look(), Math.min(config.silenceMsMax, config.answerMsMax) / 4)
  }

  /** Do records come and go as bytes? Known once it is welcomed. */
  get isBinary(): boolean {
    return this.#socket.protocol === binarySocketProtocol
  }

  send(frame: ClientFrame): void {
    this.sendMessage(JSON.stringify(frame))
  }

  sendMessage(message: string | Uint8Array<ArrayBuffer>): void {
    if (!this.#isOver) this.#socket.send(message)
  }

  close(): void {
    this.#over(1000, 'closed')
  }

  #hear(data: unknown): void {
    if (this.#isOver) return
    this.#lastHeardMs = performance.now()
    const frame = frameOf(data)
    if (typeof frame === 'string') return this.#over(1002, `sent ${frame}`)
    if (isAuthDisabled(frame)) return
    if (frame.type === 'welcome') {
      this.#isWelcome = true
      this.#welcomed.resolve(frame)
    } else this.#framesCount++
    // What is about nothing in particular is about the socket.
    if (frame.type === 'error' && frame.sub === undefined && frame.ref === undefined) {
      this.#problem = errorOfProblem(frame.problem, { status: 0, server: this.server })
    }
    this.#onFrame(frame, typeof data === 'string' ? data.length : (data as ArrayBuffer).byteLength)
  }

  #look(): void {
    const { answerMsMax, silenceMsMax } = this.#config
    const silentMs = performance.now() - this.#lastHeardMs
    const max = this.#socket.readyState === WebSocket.CONNECTING ? answerMsMax : silenceMsMax
    if (silentMs > max) this.#over(1006, `was silent for ${max} ms`)
  }

  /** A token that was good once and is no more may be followed by another, where it is not always the same. */
  #mayComeBack(code: number): boolean {
    const isTokenOver = code >= 4100 && code < 4200
    return isTokenOver ? this.#isWelcome && typeof this.#config.token === 'function' : mayComeBack(code)
  }

  readonly #onAbort = (): void => this.#over(1000, 'closed')

  /** We may find it over before the socket does: a connection that is stuck never closes. */
  #over(code: number, what: string): void {
    if (this.#isOver) return
    this.#isOver = true
    clearInterval(this.#watch)
    this.#config.signal.removeEventListener('abort', this.#onAbort)
    this.#socket.close()
    const error = this.#problem ?? new MeshError('UNAVAILABLE', `${this.server}: the WebSocket ${what}`)
    this.#welcomed.promise.catch(() => undefined)
    this.#welcomed.reject(this.#config.signal.aborted ? (this.#config.signal.reason as Error) : error)
    this.#end.resolve({ error, mayComeBack: this.#mayComeBack(code), wasUsed: this.#framesCount > 0 })
  }
}

/** The peer asks nobody for a token, and was given ours. */
const isAuthDisabled = (frame: Frame): boolean =>
  frame.type === 'error' && (frame.problem as { readonly code?: unknown }).code === 'AUTH_DISABLED'

/** Or what it is instead. */
function frameOf(data: unknown): Frame | string {
  if (typeof data !== 'string') {
    const batch = decodeBatchFrame(new Uint8Array(data as ArrayBuffer))
    return 'bytes' in batch
      ? { type: 'batch', sub: batch.sub, batch }
      : `what is no batch (${batch.fault} ${batch.where})`
  }
  try {
    return JSON.parse(data) as Frame
  } catch {
    return 'what is no JSON'
  }
}
