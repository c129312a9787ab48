import { MeshError } from '#protocol/errors'
import type { PublishedFrame, PublishedRunsFrame, SocketLimits } from '#protocol/wire/socket-frames'
import type { Connection, Participant } from './connection.ts'
import type { Frame, FrameSocket } from './frame-socket.ts'
import { errorOfProblem } from './problem.ts'
import { type PublishTerms, PublishMessages } from './publish-messages.ts'
import { type ProducerNumber, ProducerNumbers } from './producer-numbers.ts'
import type { OutgoingRecord } from './record.ts'

export interface PublishCall {
  readonly terms: PublishTerms
  readonly records: readonly OutgoingRecord[]
  /** How long the peer was asked to wait before it answers. */
  readonly waitMs: number
  readonly signal: AbortSignal
}

type Answer = PublishedFrame | PublishedRunsFrame

interface Waiting extends Pick<PublishCall, 'waitMs'> {
  /** Rises: the order in which they are to be read. */
  readonly order: number
  readonly answer: PromiseWithResolvers<Answer>
  readonly messages: PublishMessages
  /** Once it was sent. A retry has the same. */
  number: ProducerNumber | undefined
  /** It was sent, and the socket broke before the answer came: it may be stored. */
  isLost: boolean
  /** By peers that took nothing of it. */
  refusals: number
  deadline?: ReturnType<typeof setTimeout>
}

/** How often a publish is sent again when a peer says that it took nothing of it. */
const refusalsMax = 3

/**
 * The publishes of a mesh on their way: in order, as many in flight as the peer takes. Each has a number, by which a peer
 * that has it answers with what is stored. So one whose answer is lost is sent again, first of all, to whatever server comes
 * next, until its time is over: only then it is OUTCOME_UNKNOWN.
 */
export class Publisher implements Participant {
  readonly #connection: Connection
  readonly #answerMsMax: number
  readonly #numbers = new ProducerNumbers()
  /** In order, those that are lost first. */
  #unsent: Waiting[] = []
  /** By ref. */
  readonly #inFlight = new Map<string, Waiting>()
  #socket: FrameSocket | undefined
  /** Its peer takes no more publishes: it is closed once all in flight are answered, and the next server takes its place. */
  #outgoing: FrameSocket | undefined
  /** The last one. */
  #numberedFor: FrameSocket | undefined
  #limits: SocketLimits | undefined
  #leave: (() => void) | undefined
  #lastOrder = 0
  /** One was refused: those in flight behind it may be, too, and come before what is sent next. */
  #isHolding = false

  constructor(connection: Connection, { answerMsMax }: { readonly answerMsMax: number }) {
    this.#connection = connection
    this.#answerMsMax = answerMsMax
  }

  async publish({ terms, records, waitMs, signal }: PublishCall): Promise<Answer> {
    signal.throwIfAborted()
    const order = ++this.#lastOrder
    const answer = Promise.withResolvers<Answer>()
    const messages = new PublishMessages(String(order), terms, records)
    const waiting: Waiting = { order, messages, waitMs, answer, number: undefined, isLost: false, refusals: 0 }
    const abort = (): void => this.#settle(waiting, () => waiting.answer.reject(signal.reason as Error))
    signal.addEventListener('abort', abort)
    this.#unsent.push(waiting)
    if (this.#leave === undefined) {
      this.#leave = this.#connection.join(this)
      // It may have been refused, unsent, before this was known.
      this.#leaveIfIdle()
    }
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
    if (socket !== this.#numberedFor) {
      this.#isHolding = false
      // The peer may not know what was published elsewhere.
      this.#numbers.beginEpoch()
      this.#numberedFor = socket
    }
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
    this.#outgoing = undefined
    const lost = [...this.#inFlight.values()]
    for (const waiting of lost) {
      waiting.isLost = true
      this.#sendLater(waiting)
    }
    if (!allFailed) return
    for (const waiting of this.#unsent) {
      if (!waiting.isLost) this.#settle(waiting, () => waiting.answer.reject(error))
    }
  }

  failed(error: Error): void {
    for (const waiting of [...this.#inFlight.values(), ...this.#unsent]) {
      this.#settle(waiting, () => waiting.answer.reject(waiting.isLost ? unknown(error.message) : error))
    }
  }

  #sendMore(): void {
    if (this.#inFlight.size === 0) {
      this.#isHolding = false
      this.#outgoing?.close()
      this.#outgoing = undefined
    }
    while (this.#socket !== undefined && this.#inFlight.size < (this.#limits?.publishesInFlight ?? 0)) {
      const waiting = this.#isHolding ? undefined : this.#unsent.shift()
      if (waiting === undefined) return
      this.#send(this.#socket, waiting)
    }
  }

  #send(socket: FrameSocket, waiting: Waiting): void {
    const { messages, waitMs, answer } = waiting
    const { terms, count } = messages
    const frameBytes = this.#limits?.frameBytes ?? 0
    const number = waiting.number ?? this.#numbers.next(terms.topic)
    let message: string | Uint8Array<ArrayBuffer>
    try {
      message = messages.of(number, { isBinary: socket.isBinary, bytesMax: frameBytes })
    } catch (error) {
      return this.#settle(waiting, () => answer.reject(error))
    }
    if (waiting.number === undefined && terms.idempotencyKey === undefined) this.#numbers.take(terms.topic, count)
    waiting.number = number
    this.#inFlight.set(String(waiting.order), waiting)
    const ms = this.#answerMsMax + waitMs
    waiting.deadline ??= setTimeout(() => this.#giveUp(waiting, `${socket.server}: no answer within ${ms} ms`), ms)
    socket.sendMessage(message)
  }

  /** Nothing of it was taken by this peer. */
  #onProblem(waiting: Waiting, error: MeshError): void {
    // Its number will be missing before those behind it.
    if (error.code !== 'DRAINING') this.#holdBack()
    const isOnItsWayOut = error.code === 'DECOMMISSIONED' || error.code === 'FORGOTTEN'
    if (isOnItsWayOut) this.#goElsewhere()
    const isSentAgain = error.code === 'DRAINING' || isOnItsWayOut || (error.code === 'PRODUCER_GAP' && !waiting.isLost)
    if (isSentAgain && ++waiting.refusals <= refusalsMax) {
      // Refused for what is missing before it: it gets another number.
      if (error.code === 'PRODUCER_GAP') waiting.number = undefined
      this.#sendLater(waiting)
      return this.#sendMore()
    }
    // What is lost may have been stored by the peer that it was sent to first.
    this.#settle(waiting, () => waiting.answer.reject(waiting.isLost ? unknown(error.message) : error))
  }

  #goElsewhere(): void {
    this.#outgoing ??= this.#socket
    this.#socket = undefined
  }

  #holdBack(): void {
    this.#isHolding = true
    this.#numbers.beginEpoch()
  }

  #sendLater(waiting: Waiting): void {
    this.#inFlight.delete(String(waiting.order))
    this.#unsent.push(waiting)
    this.#unsent.sort((a, b) => a.order - b.order)
  }

  #giveUp(waiting: Waiting, reason: string): void {
    this.#settle(waiting, () => waiting.answer.reject(unknown(reason)))
  }

  #settle(waiting: Waiting, answer: () => void): void {
    clearTimeout(waiting.deadline)
    this.#inFlight.delete(String(waiting.order))
    this.#unsent = this.#unsent.filter((other) => other !== waiting)
    answer()
    this.#sendMore()
    this.#leaveIfIdle()
  }

  #leaveIfIdle(): void {
    if (this.#inFlight.size > 0 || this.#unsent.length > 0) return
    this.#leave?.()
    this.#leave = undefined
    this.#socket = undefined
  }
}

const unknown = (reason: string): MeshError => new MeshError('OUTCOME_UNKNOWN', reason)
