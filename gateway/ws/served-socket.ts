import type { HttpBindings } from '@hono/node-server'
import type { WebSocket } from 'ws'
import { limits } from '#protocol/limits'
import { binarySocketProtocol, encodeBinaryHead } from '#protocol/wire/binary-frame'
import { closeCodes, type SocketLimits } from '#protocol/wire/socket-frames'
import { MeshError } from '#protocol/errors'
import type { Authority } from '../auth/authority.ts'
import type { Principal } from '../auth/principal.ts'
import type { BatchChunk, BatchReader, ReadChunk } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { leaveMs, otherGateways } from '../farewell.ts'
import { recordsOfRead } from '../overload.ts'
import { recordJson } from '../record-json.ts'
import { binaryFrame, type ClientInput, parseBinaryFrame, parseClientFrame } from './client-frame.ts'
import { Login } from './login.ts'
import { Session, type SessionInput, type SessionOrder } from './session.ts'
import { SessionReaders } from './session-readers.ts'
import type { LiveSocket, Sockets } from './sockets.ts'

export interface ServedSocketDeps extends RouteDeps {
  readonly sockets: Sockets
  readonly authority?: Authority | undefined
}

export interface UpgradedSocket {
  readonly socket: WebSocket
  readonly handshake: HttpBindings['incoming']
  /** As the handshake had it; `nobody` is to say who that is. */
  readonly principal: Principal
}

/** A client that has said nothing, not even pong, for so many heartbeats is gone. */
const silentBeatsMax = 3

/** Before it is known who that is: a frame with a token, and what is around it. */
const authBytesMax = limits.tokenLengthMax + 1_024

const socketLimits: SocketLimits = {
  frameBytes: limits.socketFrameBytesMax,
  subscriptions: limits.socketSubscriptionsMax,
  topics: limits.socketTopicsMax,
  credit: limits.subscriptionCreditMax,
  publishesInFlight: limits.socketPublishesMax,
}

/**
 * Runs the session of one WebSocket: performs its orders and tells it what comes of them. `send` of a WebSocket never
 * waits, so what is buffered is watched here: beyond a first bound the session stops reading topics, beyond a second one
 * the client is not listened to.
 */
export class ServedSocket implements LiveSocket {
  readonly #deps: ServedSocketDeps
  readonly #socket: WebSocket
  /** Under the WebSocket: what is sent together is one write. */
  readonly #connection: HttpBindings['incoming']['socket']
  /** Under which its limits count. */
  readonly #client: string
  readonly #isBinary: boolean
  readonly #session: Session
  readonly #login: Login
  readonly #readers: SessionReaders<BatchReader>
  readonly #inputs: SessionInput[] = []
  readonly #ends: (() => void)[] = []
  #handling = false
  #ended = false
  #behind = false
  #arrivingBytes = 0
  #silentBeats = 0
  #saidSomething = false
  /** Its client is faster than its share. */
  #pause: NodeJS.Timeout | undefined

  constructor(deps: ServedSocketDeps, { socket, handshake, principal }: UpgradedSocket) {
    const { broker, config, intake, authority } = deps
    this.#deps = deps
    this.#socket = socket
    this.#connection = handshake.socket
    this.#client = intake?.clientOf(handshake) ?? ''
    this.#isBinary = socket.protocol === binarySocketProtocol
    this.#session = new Session({
      peer: broker.self.name,
      limits: socketLimits,
      isBinary: this.#isBinary,
      recordsPerRead: config.streamRecordsPerRead,
      principal: () => this.#login.principal,
      topics: () => broker.readableTopics(),
    })
    this.#login = new Login({
      authority,
      principal,
      onAdmitted: () => this.#welcome(),
      onRenewed: () => this.#tell({ type: 'grantsChanged', servers: otherGateways(broker) }),
      onRefused: (error) => this.#perform({ type: 'sendProblem', error }),
      onEnd: (error, code) => this.#endWith(error, code),
    })
    this.#readers = new SessionReaders({
      ...deps,
      open: (...asked) => broker.open(...asked),
      kind: 'webSocket',
      unsentBytesMax: config.unsentBytesMax,
      next: (reader, limit, bytesTarget) => {
        const bounds = [recordsOfRead(limit, bytesTarget, reader.cursor.length), bytesTarget] as const
        return this.#isBinary ? reader.nextBatches(...bounds) : reader.next(...bounds)
      },
      tell: (input) => this.#tell(input),
      drain: () => this.drain(),
    })
  }

  begin(): void {
    const { config, sockets, intake } = this.#deps
    intake?.connections.served(this.#connection)
    const beat = setInterval(() => this.#beat(), config.heartbeatMs)
    this.#ends.push(
      () => clearInterval(beat),
      () => this.#login.end(),
    )
    this.#socket.on('pong', (data) => this.#onPong(data))
    this.#socket.on('ping', (data) => this.#onPing(data))
    // Before the WebSocket takes it apart.
    this.#connection.prependListener('data', (bytes: Uint8Array) => this.#onBytes(bytes.length))
    this.#login.begin()
    this.#ends.push(sockets.begin(this))
  }

  /** It is known who that is, and they are told of us. */
  #welcome(): void {
    const { broker } = this.#deps
    this.#ends.push(
      broker.onTopic((topic) => this.#tell({ type: 'topicAppeared', topic })),
      broker.onMeshChange(() => this.#tell({ type: 'meshChanged', mesh: broker.reachability() })),
    )
    this.#tell({ type: 'connected', mesh: broker.reachability(), servers: otherGateways(broker) })
  }

  #endWith(error: unknown, code: number): void {
    this.#perform({ type: 'sendProblem', error })
    this.#perform({ type: 'close', code, reason: error instanceof MeshError ? error.code : '' })
    // Nothing more is read or said; of what it still sends nothing is looked at.
    this.#ended = true
    this.#readers.closeAll()
    this.#hangUp()
  }

  onMessage(data: unknown): void {
    this.#silentBeats = 0
    this.#keepPace(typeof data === 'string' ? data.length : data instanceof ArrayBuffer ? data.byteLength : 0)
    this.#forgetBytes()
    if (this.#socket.readyState !== this.#socket.OPEN) return
    const frame = this.#inputOf(data)
    if (frame.type === 'auth') return void this.#login.say(frame.token)
    if (this.#login.isAdmitted) this.#tell({ type: 'frame', frame })
    else this.#login.refuse()
  }

  #inputOf(data: unknown): ClientInput {
    if (typeof data === 'string') return parseClientFrame(data)
    return this.#isBinary && data instanceof ArrayBuffer ? parseBinaryFrame(new Uint8Array(data)) : binaryFrame
  }

  #onPong(data: Uint8Array): void {
    this.#silentBeats = 0
    this.#keepPace(data.length)
  }

  #onPing(data: Uint8Array): void {
    this.#keepPace(data.length)
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#socket.pong(data, false, this.#onFlushed)
    if (this.#socket.bufferedAmount > limits.socketBufferedBytesMax) this.#socket.pause()
  }

  /** A client that sends more than its share is read more slowly. */
  #keepPace(bytes: number): void {
    const waitMs = this.#deps.intake?.rates.pace(this.#client, bytes) ?? 0
    if (waitMs === 0 || this.#pause !== undefined) return
    this.#socket.pause()
    this.#rest(waitMs)
  }

  #rest(waitMs: number): void {
    this.#pause = setTimeout(() => {
      // What had come with the first that was too much has been counted since.
      const moreMs = this.#deps.intake?.rates.waitMs(this.#client) ?? 0
      if (moreMs > 0) return this.#rest(moreMs)
      this.#pause = undefined
      this.#listen()
    }, waitMs)
  }

  #listen(): void {
    const { bufferedAmount, isPaused } = this.#socket
    const mayListen = this.#pause === undefined && bufferedAmount <= limits.socketBufferedBytesMax
    if (isPaused && mayListen) this.#socket.resume()
  }

  onClose(): void {
    this.#ended = true
    clearTimeout(this.#pause)
    this.#forgetBytes()
    for (const end of this.#ends.splice(0)) end()
    this.#readers.closeAll()
  }

  drain(): void {
    this.#tell({
      type: 'draining',
      servers: otherGateways(this.#deps.broker),
      retryMs: leaveMs(this.#deps.sockets.count),
    })
  }

  cut(): void {
    this.#socket.terminate()
  }

  // Inputs in, orders out -----------------------------------------------------------------------------------------------

  /** Performing an order may cause an input at once: that waits until the orders before it are performed. */
  #tell(input: SessionInput): void {
    this.#inputs.push(input)
    if (this.#handling) return
    this.#handling = true
    this.#connection.cork()
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      if (this.#ended) continue
      for (const order of this.#session.handle(next)) this.#perform(order)
      this.#watchBuffer()
    }
    this.#connection.uncork()
    this.#handling = false
  }

  #perform(order: SessionOrder): void {
    switch (order.type) {
      case 'send':
        return this.#send(JSON.stringify(order.frame))
      case 'sendProblem': {
        const { error, ...about } = order
        return this.#send(JSON.stringify({ ...about, type: 'error', problem: this.#deps.problems.of(error) }))
      }
      case 'sendRecords':
        return this.#sendRecords(order.sub, order.records)
      case 'sendBatches':
        return this.#sendBatches(order.sub, order.batches)
      case 'open':
        return void this.#readers.open(order)
      case 'read':
        return void this.#readers.read(order)
      case 'waitForMore':
        return void this.#readers.waitForMore(order)
      case 'closeReader':
        return this.#readers.close(order)
      case 'publish':
        return this.#publish(order)
      case 'close':
        return this.#socket.close(order.code, order.reason)
    }
  }

  // Sending -------------------------------------------------------------------------------------------------------------

  #sendRecords(sub: string, records: ReadChunk['records']): void {
    const head = `{"type":"record","sub":${JSON.stringify(sub)},"record":`
    // A cursor is base64url and a dot: nothing to escape.
    for (const { record, cursor } of records) this.#send(`${head}${recordJson(record)},"cursor":"${cursor}"}`)
  }

  /** Each as one message of two fragments, so that its bytes are those that all readers and neighbors are sent. */
  #sendBatches(sub: string, batches: BatchChunk['batches']): void {
    this.#saidSomething = true
    for (const { topic, feed, bytes, from, skip, cursor } of batches) {
      const skipped = skip.length > 0 && { skip: skip.map((range) => [range.from, range.to] as const) }
      const head = encodeBinaryHead('batch', { sub, topic, feed, from, ...skipped, cursor })
      this.#socket.send(head, { binary: true, fin: false })
      this.#socket.send(bytes, { binary: true, fin: true }, this.#onFlushed)
    }
  }

  #send(text: string): void {
    this.#saidSomething = true
    this.#socket.send(text, this.#onFlushed)
  }

  #watchBuffer(): void {
    const { bufferedAmount } = this.#socket
    if (bufferedAmount > limits.socketBufferedBytesMax) this.#socket.pause()
    if (this.#behind || bufferedAmount <= this.#deps.sockets.bufferedBytesTarget) return
    this.#behind = true
    this.#inputs.push({ type: 'socketBehind' })
  }

  readonly #onFlushed = (): void => {
    this.#listen()
    if (!this.#behind || this.#socket.bufferedAmount > this.#deps.sockets.bufferedBytesTarget / 2) return
    this.#behind = false
    this.#tell({ type: 'socketReady' })
  }

  #beat(): void {
    // Who is not read has said nothing either.
    if (this.#pause === undefined && ++this.#silentBeats >= silentBeatsMax) return this.cut()
    this.#socket.ping()
    // Clients see no pings: a welcome shows them that we are here, and who else is.
    if (!this.#saidSomething && this.#login.isAdmitted)
      this.#tell({ type: 'silent', servers: otherGateways(this.#deps.broker) })
    this.#saidSomething = false
  }

  // What is arriving ----------------------------------------------------------------------------------------------------

  #onBytes(count: number): void {
    // What comes after our close is dropped by the WebSocket.
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#arrivingBytes += count
    this.#deps.sockets.arrived(count)
    // Whoever it is has no part yet in what all share.
    if (!this.#login.isAdmitted && this.#arrivingBytes > authBytesMax) this.#login.refuse()
  }

  get arrivingBytes(): number {
    return this.#arrivingBytes
  }

  refuseMore(): void {
    this.#socket.close(closeCodes.overloaded, 'too many large frames at once')
    this.#hangUp()
  }

  /** From now on what comes is read only to throw it away: an end with bytes unread would be a reset. */
  #hangUp(): void {
    this.#connection.removeAllListeners('data').resume()
    this.#connection.end()
    this.#forgetBytes()
  }

  #forgetBytes(): void {
    this.#deps.sockets.arrived(-this.#arrivingBytes)
    this.#arrivingBytes = 0
  }

  // Publishing ----------------------------------------------------------------------------------------------------------

  /** What waits for copies holds nothing of the request. */
  #publish({ ref, request }: Extract<SessionOrder, { type: 'publish' }>): void {
    const { broker } = this.#deps
    const result = 'encoded' in request ? broker.publishEncoded(request) : broker.publish(request)
    result.then(
      (published) => this.#tell({ type: 'published', ref, result: published }),
      (error: unknown) => this.#tell({ type: 'publishFailed', ref, error }),
    )
  }
}
