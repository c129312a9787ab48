import { MeshError } from '#protocol/errors'
import type { PublishedFrame, PublishFrame, SocketLimits } from '#protocol/wire/socket-frames'
import type { Connection, Participant } from './connection.ts'
import type { Frame, FrameSocket } from './frame-socket.ts'
import { errorOfProblem } from './problem.ts'

export interface PublishCall {
  readonly frame: Omit<PublishFrame, 'type' | 'ref'>
  /** How long the peer was asked to wait before it answers. */
  readonly waitMs: number
  readonly signal: AbortSignal
}

interface Waiting {
  readonly ref: string
  readonly text: string
  readonly waitMs: number
  readonly answer: PromiseWithResolvers<PublishedFrame>
  /** By peers that drain: nothing of it was taken. */
  refusals: number
  deadline?: ReturnType<typeof setTimeout>
}

/** How often a publish is taken elsewhere when the peer says that it takes nothing new. */
const refusalsMax = 3

/**
 * The publishes of a mesh on their way: in order, as many in flight as the peer takes. One that was sent and whose answer
 * is lost is never sent again: OUTCOME_UNKNOWN.
 */
export class Publisher implements Participant {
  readonly #connection: Connection
  readonly #answerMsMax: number
  #unsent: Waiting[] = []
  readonly #inFlight = new Map<string, Waiting>()
  #socket: FrameSocket | undefined
  #limits: SocketLimits | undefined
  #leave: (() => void) | undefined
  #lastRef = 0

  constructor(connection: Connection, { answerMsMax }: { readonly answerMsMax: number }) {
    this.#connection = connection
    this.#answerMsMax = answerMsMax
  }

  async publish({ frame, waitMs, signal }: PublishCall): Promise<PublishedFrame> {
    signal.throwIfAborted()
    const ref = String(++this.#lastRef)
    const text = JSON.stringify({ type: 'publish', ref, ...frame })
    const waiting: Waiting = { ref, text, waitMs, answer: Promise.withResolvers(), refusals: 0 }
    const abort = (): void => this.#settle(waiting, () => waiting.answer.reject(signal.reason as Error))
    signal.addEventListener('abort', abort)
    this.#unsent.push(waiting)
    this.#leave ??= this.#connection.join(this)
    this.#sendMore()
    try {
      return await waiting.answer.promise
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  opened(socket: FrameSocket, limits: SocketLimits): void {
    this.#socket = socket
    this.#limits = limits
    this.#sendMore()
  }

  frame(frame: Frame): boolean {
    if (frame.type === 'bye') this.#socket = undefined
    if ((frame.type !== 'published' && frame.type !== 'error') || frame.ref === undefined) return false
    const waiting = this.#inFlight.get(frame.ref)
    if (waiting === undefined) return true
    if (frame.type === 'published') this.#settle(waiting, () => waiting.answer.resolve(frame))
    else this.#onProblem(waiting, errorOfProblem(frame.problem, { status: 0, server: this.#socket?.server ?? '' }))
    return true
  }

  interrupted(error: MeshError, { allFailed }: { readonly allFailed: boolean }): void {
    this.#socket = undefined
    for (const waiting of this.#inFlight.values()) this.#lose(waiting, error.message)
    if (allFailed) for (const waiting of this.#unsent) this.#settle(waiting, () => waiting.answer.reject(error))
  }

  failed(error: Error): void {
    for (const waiting of [...this.#inFlight.values(), ...this.#unsent]) {
      this.#settle(waiting, () => waiting.answer.reject(error))
    }
  }

  #sendMore(): void {
    while (this.#socket !== undefined && this.#inFlight.size < (this.#limits?.publishesInFlight ?? 0)) {
      const waiting = this.#unsent.shift()
      if (waiting === undefined) return
      this.#send(this.#socket, waiting)
    }
  }

  #send(socket: FrameSocket, waiting: Waiting): void {
    const { ref, text, waitMs, answer } = waiting
    const frameBytes = this.#limits?.frameBytes ?? 0
    if (isLonger(text, frameBytes)) {
      const error = new MeshError('BODY_TOO_LARGE', `As JSON it is larger than the ${frameBytes} bytes of a frame.`)
      return this.#settle(waiting, () => answer.reject(error))
    }
    this.#inFlight.set(ref, waiting)
    const ms = this.#answerMsMax + waitMs
    waiting.deadline = setTimeout(() => this.#lose(waiting, `${socket.server}: no answer within ${ms} ms`), ms)
    socket.sendText(text)
  }

  /** A peer that drains has taken nothing of it. */
  #onProblem(waiting: Waiting, error: MeshError): void {
    if (error.code !== 'DRAINING' || ++waiting.refusals > refusalsMax) {
      return this.#settle(waiting, () => waiting.answer.reject(error))
    }
    clearTimeout(waiting.deadline)
    this.#inFlight.delete(waiting.ref)
    this.#unsent.unshift(waiting)
  }

  #lose(waiting: Waiting, reason: string): void {
    this.#settle(waiting, () => waiting.answer.reject(new MeshError('OUTCOME_UNKNOWN', reason)))
  }

  #settle(waiting: Waiting, answer: () => void): void {
    clearTimeout(waiting.deadline)
    this.#inFlight.delete(waiting.ref)
    this.#unsent = this.#unsent.filter((other) => other !== waiting)
    answer()
    this.#sendMore()
    if (this.#inFlight.size > 0 || this.#unsent.length > 0) return
    this.#leave?.()
    this.#leave = undefined
    this.#socket = undefined
  }
}

/** Its bytes in UTF-8, counted only where they might be too many. */
const isLonger = (text: string, bytesMax: number): boolean =>
  3 * text.length > bytesMax && new TextEncoder().encode(text).length > bytesMax
