import { MeshError } from '#protocol/errors'
import {
  idsOfRuns,
  type PublishedFrame,
  type PublishedRunsFrame,
  type SocketLimits,
} from '#protocol/wire/socket-frames'
import type { Connection, Participant } from './connection.ts'
import type { Frame, FrameSocket } from './frame-socket.ts'
import { Outbox, type OutboxItem } from './outbox.ts'
import { errorOfProblem } from './problem.ts'
import { isNamed, PublishMessages } from './publish-messages.ts'
import { type ProducerNumber, ProducerNumbers } from './producer-numbers.ts'
import { keptBytes } from './record.ts'

export interface PublishCall extends Omit<OutboxItem, 'bytes'> {
  /** How long the peer was asked to wait before it answers. */
  readonly waitMs: number
  readonly signal: AbortSignal | undefined
}

export interface PublisherConfig {
  /** How long an answer may take, beyond what the peer was asked to wait. */
  readonly answerMsMax: number
  /** Of everything that is not answered yet, about. One more is refused as OUTBOX_FULL. */
  readonly outboxBytesMax: number
  /** Whether publishes wait when no server can be reached, or fail. */
  readonly offline: 'wait' | 'fail'
  /** Ends all that is left. */
  readonly signal: AbortSignal
}

export interface Answer {
  /** In the order of the records. */
  readonly ids: readonly string[]
  readonly cursor: string
  readonly ack: object
}

/** What one call published. */
interface Item extends OutboxItem, Pick<PublishCall, 'waitMs'> {
  readonly answer: PromiseWithResolvers<Answer>
  /** Once it has a place in a message. */
  parcel?: Parcel
}

/** What goes in one message, and is sent again as that. */
interface Parcel {
  /** Rises: the order in which they are to be read. */
  readonly order: number
  /** Those that were given up by who published them are answered to nobody. */
  readonly items: readonly Item[]
  readonly messages: PublishMessages
  /** Once it was sent, unless it has a name. A retry has the same. */
  number: ProducerNumber | undefined
  /** It was sent, and the socket broke before the answer came: it may be stored. */
  isLost: boolean
  /** By peers that took nothing of it. */
  refusals: number
  deadline?: ReturnType<typeof setTimeout>
}

/** How often a publish is sent again when a peer says that it took nothing of it. */
const refusalsMax = 3

/** With so many messages in flight small ones wait for company: until one is answered, and no longer than that. */
const busyMessages = 16
const holdMsMax = 5

/**
 * The publishes of a mesh on their way: in order, as many in flight as the peer takes. Each has a number, by which a peer
 * that has it answers with what is stored. So one whose answer is lost is sent again, first of all, to whatever server comes
 * next. Only where a peer that is there does not answer in time it is OUTCOME_UNKNOWN.
 */
export class Publisher implements Participant {
  readonly #connection: Connection
  readonly #config: PublisherConfig
  readonly #numbers = new ProducerNumbers()
  /** By topic, the last epoch of which a peer has stored something: there it refuses what leaves out a number. */
  readonly #known = new Map<string, number>()
  /** Waited for, and not answered yet. */
  readonly #items = new Set<Item>()
  /** Of what is kept: in the outbox and in parcels. */
  #bytes = 0
  /** Never sent. */
  readonly #outbox = new Outbox<Item>()
  /** To be sent before those of the outbox, in order: again, those that are lost first. */
  #unsent: Parcel[] = []
  /** By ref. */
  readonly #inFlight = new Map<string, Parcel>()
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
  #hold: ReturnType<typeof setTimeout> | undefined
  #heldForLongEnough = false

  constructor(connection: Connection, config: PublisherConfig) {
    this.#connection = connection
    this.#config = config
    config.signal.addEventListener('abort', () => this.failed(config.signal.reason as Error), { once: true })
  }

  /** Calls that are not answered yet, and about how much memory they take. */
  get waiting(): { readonly publishes: number; readonly bytes: number } {
    return { publishes: this.#items.size, bytes: this.#bytes }
  }

  async publish({ terms, records, waitMs, signal }: PublishCall): Promise<Answer> {
    this.#config.signal.throwIfAborted()
    signal?.throwIfAborted()
    const bytes = records.reduce((sum, record) => sum + keptBytes(record), 0)
    this.#checkRoom(bytes)
    const item: Item = { terms, records, waitMs, bytes, answer: Promise.withResolvers() }
    const abort = (): void => {
      this.#reject(item, signal?.reason as Error)
      this.#goOn()
    }
    signal?.addEventListener('abort', abort)
    this.#items.add(item)
    this.#bytes += bytes
    this.#outbox.add(item)
    this.#leave ??= this.#connection.join(this)
    this.#goOn()
    try {
      return await item.answer.promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** Resolves once everything that was published before is answered, however that was. */
  async flush(): Promise<void> {
    await Promise.allSettled(Array.from(this.#items, ({ answer }) => answer.promise))
  }

  // One that is larger than the outbox is taken when nothing else waits: its frame has a bound of its own.
  #checkRoom(bytes: number): void {
    const { outboxBytesMax } = this.#config
    if (this.#items.size === 0 || this.#bytes + bytes <= outboxBytesMax) return
    const detail = `About ${this.#bytes} bytes wait for an answer; more than ${outboxBytesMax} do not fit.`
    throw new MeshError('OUTBOX_FULL', detail, { facts: this.waiting })
  }

  // As a participant of the connection ------------------------------------------------------------------------------------

  opened(socket: FrameSocket, limits: SocketLimits): void {
    this.#socket = socket
    this.#limits = limits
    if (socket !== this.#numberedFor) {
      this.#isHolding = false
      // The peer may not know what was published elsewhere.
      this.#numbers.beginEpoch()
      this.#numberedFor = socket
    }
    this.#goOn()
  }

  frame(frame: Frame): boolean {
    if (frame.type === 'bye') this.#socket = undefined
    if ((frame.type !== 'published' && frame.type !== 'error') || frame.ref === undefined) return false
    const parcel = this.#inFlight.get(frame.ref)
    if (parcel === undefined) return true
    if (frame.type === 'published') this.#onPublished(parcel, frame)
    else this.#onProblem(parcel, errorOfProblem(frame.problem, { status: 0, server: this.#socket?.server ?? '' }))
    this.#goOn()
    return true
  }

  interrupted(error: MeshError, { allFailed }: { readonly allFailed: boolean }): void {
    this.#socket = undefined
    this.#outgoing = undefined
    const waits = this.#config.offline === 'wait'
    for (const parcel of this.#inFlight.values()) {
      parcel.isLost = true
      if (waits) clearTimeout(parcel.deadline)
      this.#sendLater(parcel)
    }
    if (!allFailed || waits) return
    for (const item of this.#items) if (item.parcel?.isLost !== true) this.#reject(item, error)
    this.#goOn()
  }

  failed(error: Error): void {
    const isClosed = this.#config.signal.aborted
    for (const parcel of [...this.#inFlight.values(), ...this.#unsent]) {
      this.#end(parcel, parcel.isLost && !isClosed ? unknown(error.message) : error)
    }
    for (const item of this.#items) this.#reject(item, error)
    this.#goOn()
  }

  // Sending ---------------------------------------------------------------------------------------------------------------

  /** After whatever has happened: sends what may be sent, and leaves the connection if nothing is left. */
  #goOn(): void {
    if (this.#inFlight.size === 0) {
      this.#isHolding = false
      this.#outgoing?.close()
      this.#outgoing = undefined
    }
    while (
      this.#socket !== undefined &&
      !this.#isHolding &&
      this.#inFlight.size < (this.#limits?.publishesInFlight ?? 0)
    ) {
      const parcel = this.#unsent.shift() ?? this.#nextParcel()
      if (parcel === undefined) break
      this.#send(this.#socket, parcel)
    }
    this.#leaveIfIdle()
  }

  #nextParcel(): Parcel | undefined {
    if (this.#outbox.isEmpty) return undefined
    const isHeld = this.#inFlight.size >= busyMessages && !this.#outbox.hasFull && !this.#heldForLongEnough
    if (!isHeld) return this.#parcelOf(this.#outbox.take(), ++this.#lastOrder)
    this.#hold ??= setTimeout(() => {
      this.#hold = undefined
      this.#heldForLongEnough = true
      this.#goOn()
      this.#heldForLongEnough = false
    }, holdMsMax)
    return undefined
  }

  #parcelOf(items: readonly Item[], order: number): Parcel {
    const terms = items[0]?.terms ?? { topic: '' }
    const records = items.flatMap((item) => item.records)
    const messages = new PublishMessages(String(order), terms, records)
    const parcel: Parcel = { order, items, messages, number: undefined, isLost: false, refusals: 0 }
    for (const item of items) item.parcel = parcel
    return parcel
  }

  #send(socket: FrameSocket, parcel: Parcel): void {
    const { terms, count } = parcel.messages
    const isFirst = parcel.number === undefined
    const number = parcel.number ?? this.#numbers.next(terms.topic)
    // Before the peer knows the epoch it takes what is behind a refused message: nothing of that is to be sent again then.
    if (isFirst && parcel.items.length > 1 && this.#known.get(terms.topic) !== number.epoch) {
      return this.#takeApart(parcel)
    }
    let message: string | Uint8Array<ArrayBuffer>
    try {
      message = parcel.messages.of(number, { isBinary: socket.isBinary, bytesMax: this.#limits?.frameBytes ?? 0 })
    } catch (error) {
      return this.#onRefused(parcel, parcel.isLost ? unknown(String(error)) : (error as Error))
    }
    if (isFirst && !isNamed(terms)) {
      this.#numbers.take(terms.topic, count)
      parcel.number = number
    }
    this.#inFlight.set(String(parcel.order), parcel)
    this.#await(parcel, socket)
    socket.sendMessage(message)
  }

  /** Where publishes wait for a server, the time of an answer begins anew with each. */
  #await(parcel: Parcel, { server }: FrameSocket): void {
    const ms = this.#config.answerMsMax + (parcel.items[0]?.waitMs ?? 0)
    if (this.#config.offline === 'fail' && parcel.deadline !== undefined) return
    clearTimeout(parcel.deadline)
    parcel.deadline = setTimeout(() => {
      this.#end(parcel, unknown(`${server}: no answer within ${ms} ms`))
      this.#goOn()
    }, ms)
  }

  // What comes of it ------------------------------------------------------------------------------------------------------

  #onPublished(parcel: Parcel, frame: PublishedFrame | PublishedRunsFrame): void {
    const { cursor, ack } = frame
    if (parcel.number !== undefined) this.#known.set(parcel.messages.terms.topic, parcel.number.epoch)
    const ids = 'runs' in frame ? idsOfRuns(frame.runs) : frame.results.map(({ id }) => id)
    let from = 0
    for (const item of parcel.items) {
      const to = from + item.records.length
      item.answer.resolve({ ids: ids.slice(from, to), cursor, ack })
      from = to
    }
    this.#end(parcel)
  }

  /** Nothing of it was taken by this peer. */
  #onProblem(parcel: Parcel, error: MeshError): void {
    // Its number will be missing before those behind it.
    if (error.code !== 'DRAINING') this.#holdBack()
    const isOnItsWayOut = error.code === 'DECOMMISSIONED' || error.code === 'FORGOTTEN'
    if (isOnItsWayOut) this.#goElsewhere()
    const isSentAgain =
      (error.code === 'DRAINING' || isOnItsWayOut || (error.code === 'PRODUCER_GAP' && !parcel.isLost)) &&
      this.#isNeeded(parcel)
    // One that has said bye is not asked again.
    const isForNextServer = this.#socket === undefined && error.code === 'DRAINING'
    if (isSentAgain && (isForNextServer || ++parcel.refusals <= refusalsMax)) {
      // Refused for what is missing before it: it gets another number.
      if (error.code === 'PRODUCER_GAP') parcel.number = undefined
      return this.#sendLater(parcel)
    }
    // What is lost may have been stored by the peer that it was sent to first.
    this.#onRefused(parcel, parcel.isLost ? unknown(error.message) : error)
  }

  /** What others published in the same message is not to suffer from it. */
  #onRefused(parcel: Parcel, error: Error): void {
    const isWorthIt = !(error instanceof MeshError && error.retryable)
    if (parcel.isLost || parcel.items.length === 1 || !isWorthIt) return this.#end(parcel, error)
    this.#takeApart(parcel)
  }

  #takeApart(parcel: Parcel): void {
    this.#forget(parcel)
    const { order, items } = parcel
    for (const [index, item] of items.entries()) {
      if (!this.#items.has(item)) continue
      this.#bytes += item.bytes
      this.#sendLater(this.#parcelOf([item], order + index / items.length))
    }
  }

  #goElsewhere(): void {
    this.#outgoing ??= this.#socket
    this.#socket = undefined
  }

  #holdBack(): void {
    this.#isHolding = true
    this.#numbers.beginEpoch()
  }

  #sendLater(parcel: Parcel): void {
    this.#inFlight.delete(String(parcel.order))
    this.#unsent.push(parcel)
    this.#unsent.sort((a, b) => a.order - b.order)
  }

  // The end of it ---------------------------------------------------------------------------------------------------------

  /** It is answered, or will not be. */
  #end(parcel: Parcel, error?: Error): void {
    this.#forget(parcel)
    for (const item of parcel.items) {
      this.#items.delete(item)
      if (error !== undefined) item.answer.reject(error)
    }
  }

  /** Others may be in the same message, or behind it: those go on. */
  #reject(item: Item, error: Error): void {
    if (!this.#items.delete(item)) return
    item.answer.reject(error)
    const { parcel } = item
    if (parcel === undefined) {
      this.#outbox.delete(item)
      this.#bytes -= item.bytes
    } else if (!this.#inFlight.has(String(parcel.order)) && !this.#isNeeded(parcel)) this.#forget(parcel)
  }

  /** One that may be stored is sent again even if nobody waits for it: without its number those behind it are refused. */
  #isNeeded({ isLost, items }: Parcel): boolean {
    return isLost || items.some((item) => this.#items.has(item))
  }

  #forget(parcel: Parcel): void {
    clearTimeout(parcel.deadline)
    this.#inFlight.delete(String(parcel.order))
    this.#unsent = this.#unsent.filter((other) => other !== parcel)
    for (const { bytes } of parcel.items) this.#bytes -= bytes
  }

  #leaveIfIdle(): void {
    if (this.#items.size > 0) return
    for (const parcel of [...this.#inFlight.values(), ...this.#unsent]) this.#forget(parcel)
    this.#leave?.()
    this.#leave = undefined
    this.#socket = undefined
    clearTimeout(this.#hold)
    this.#hold = undefined
  }
}

const unknown = (reason: string): MeshError => new MeshError('OUTCOME_UNKNOWN', reason)
