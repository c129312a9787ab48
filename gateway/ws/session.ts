import { MeshError } from '#protocol/errors'
import type { Machine } from '#protocol/machine'
import type { TopicName } from '#protocol/topic-name'
import { closeCodes, idsOfRuns, type PeerFrame, type SocketLimits } from '#protocol/wire/socket-frames'
import type {
  BatchChunk,
  EncodedPublish,
  PublishRequest,
  PublishResult,
  Reachability,
  ReadChunk,
  ReadFrom,
} from '../broker.ts'
import { type MeshNews, MeshWatch } from '../mesh-news.ts'
import { forbidden, type Principal } from '../auth/principal.ts'
import { overloaded } from '../overload.ts'
import { invalid } from '../problem.ts'
import type { BadFrame, ClientInput, PublishInput, SubscribeInput } from './client-frame.ts'
import { type ReaderNumber, Subscription } from './subscription.ts'

/*
 * What one WebSocket says (DESIGN §11), as a pure machine: frames, answers of the broker and the state of the socket in,
 * orders out. The shell (`served-socket.ts`) performs them.
 *
 *   subscribe ─► open each topic ─► subscribed ─► read ─► records ─► read … wait ─► advanced ─► read …
 *
 * 1. At most one read is under way. It asks for no more records than its subscription has credit, and its records are
 *    sent at once: a record that was read and cannot be sent does not exist. A batch is not cut: what it has beyond the
 *    credit is owed, and nothing is read before it was given.
 * 2. No read is ordered while the socket is behind. So a slow client costs positions, whatever it subscribed to.
 * 3. Subscriptions take turns, and so do the topics of one.
 * 4. An `error` with `sub` ends that subscription, whatever it was about.
 * 5. Every reader that was ordered open is ordered closed once. What comes for a reader that is closed is ignored.
 */

export type SessionInput =
  | { readonly type: 'connected'; readonly mesh: Reachability; readonly servers: readonly string[] }
  /** Nothing was sent for a while. */
  | { readonly type: 'silent'; readonly servers: readonly string[] }
  | { readonly type: 'frame'; readonly frame: ClientInput }
  | { readonly type: 'opened'; readonly reader: ReaderNumber; readonly cursor: string }
  | { readonly type: 'openFailed'; readonly reader: ReaderNumber; readonly error: unknown }
  | { readonly type: 'read'; readonly reader: ReaderNumber; readonly chunk: ReadChunk | BatchChunk }
  | { readonly type: 'readFailed'; readonly reader: ReaderNumber; readonly error: unknown }
  /** There may be more to read. */
  | { readonly type: 'advanced'; readonly reader: ReaderNumber }
  | { readonly type: 'published'; readonly ref: string; readonly result: PublishResult }
  | { readonly type: 'publishFailed'; readonly ref: string; readonly error: unknown }
  /** The principal may read and publish what it could not, or not what it could. */
  | { readonly type: 'grantsChanged'; readonly servers: readonly string[] }
  | { readonly type: 'topicAppeared'; readonly topic: TopicName }
  | { readonly type: 'meshChanged'; readonly mesh: Reachability }
  | { readonly type: 'socketBehind' }
  | { readonly type: 'socketReady' }
  | { readonly type: 'draining'; readonly servers: readonly string[]; readonly retryMs: number }

export type SessionOrder =
  | { readonly type: 'send'; readonly frame: PeerFrame }
  | { readonly type: 'sendProblem'; readonly ref?: string; readonly sub?: string; readonly error: unknown }
  | { readonly type: 'sendRecords'; readonly sub: string; readonly records: ReadChunk['records'] }
  | { readonly type: 'sendBatches'; readonly sub: string; readonly batches: BatchChunk['batches'] }
  | { readonly type: 'open'; readonly reader: ReaderNumber; readonly topic: TopicName; readonly from: ReadFrom }
  | { readonly type: 'read'; readonly reader: ReaderNumber; readonly limit: number }
  /** To be answered by `advanced`. */
  | { readonly type: 'waitForMore'; readonly reader: ReaderNumber }
  | { readonly type: 'closeReader'; readonly reader: ReaderNumber }
  | { readonly type: 'publish'; readonly ref: string; readonly request: PublishRequest | EncodedPublish }
  | { readonly type: 'close'; readonly code: number; readonly reason: string }

export interface SessionConfig {
  /** Name of the peer. */
  readonly peer: string
  readonly limits: SocketLimits
  /** Does it speak `grapevine.v1.bin`? Its reads bring batches then. */
  readonly isBinary: boolean
  /** Records that one read brings at most. Higher: fewer, larger writes; longer turns. */
  readonly recordsPerRead: number
  /** Who is at the other end, now. */
  readonly principal: () => Principal
  /** The topics that are known here now. */
  readonly topics: () => readonly TopicName[]
}

interface OpenReader {
  readonly subscription: Subscription
  readonly topic: TopicName
}

export class Session implements Machine<SessionInput, SessionOrder> {
  readonly #config: SessionConfig
  /** The one that has waited longest for its turn first. */
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #readers = new Map<ReaderNumber, OpenReader>()
  readonly #publishes = new Set<string>()
  #lastReader: ReaderNumber = 0
  #reading: ReaderNumber | undefined
  #behind = false
  readonly #mesh = new MeshWatch()
  #phase: 'open' | 'draining' | 'closed' = 'open'
  #orders: SessionOrder[] = []

  constructor(config: SessionConfig) {
    this.#config = config
  }

  handle(input: SessionInput): readonly SessionOrder[] {
    if (this.#phase === 'closed') return []
    this.#receive(input)
    this.#readOn()
    const orders = this.#orders
    this.#orders = []
    return orders
  }

  #receive(input: SessionInput): void {
    switch (input.type) {
      case 'connected':
        this.#mesh.change(input.mesh)
        return this.#welcome(input.servers)
      case 'silent':
        return this.#phase === 'open' ? this.#welcome(input.servers) : undefined
      case 'frame':
        return this.#onFrame(input.frame)
      case 'opened':
        return this.#withReader(input.reader, (open) => this.#onOpened(open, input.reader, input.cursor))
      case 'openFailed':
        return this.#withReader(input.reader, (open) => this.#onOpenFailed(open, input.reader, input.error))
      case 'read':
        return this.#onRead(input.reader, input.chunk)
      case 'readFailed':
        this.#endRead(input.reader)
        return this.#withReader(input.reader, (open) => this.#onReadFailed(open, input.reader, input.error))
      case 'advanced':
        return this.#withReader(input.reader, ({ subscription }) => subscription.hasMore(input.reader))
      case 'published':
        this.#publishes.delete(input.ref)
        this.#send(this.#publishedOf(input.ref, input.result))
        return this.#closeIfDone()
      case 'publishFailed':
        this.#publishes.delete(input.ref)
        this.#order({ type: 'sendProblem', ref: input.ref, error: input.error })
        return this.#closeIfDone()
      case 'grantsChanged':
        return this.#onGrants(input.servers)
      case 'topicAppeared':
        return this.#onTopic(input.topic)
      case 'meshChanged':
        return this.#onMesh(input.mesh)
      case 'socketBehind':
        this.#behind = true
        return
      case 'socketReady':
        this.#behind = false
        return
      case 'draining':
        return this.#onDraining(input.servers, input.retryMs)
    }
  }

  #onFrame(frame: ClientInput): void {
    switch (frame.type) {
      case 'subscribe':
        return this.#onSubscribe(frame)
      case 'credit':
        return this.#onCredit(frame.sub, frame.n)
      case 'unsubscribe':
        return this.#drop(frame.sub)
      case 'publish':
        return this.#onPublish(frame)
      case 'auth':
        // Who that is, is found out before this.
        return
      case 'bad':
        return this.#onBad(frame)
    }
  }

  #onBad({ error, fatal, ref, sub }: BadFrame): void {
    if (sub !== undefined) return this.#fail(sub, error)
    this.#order({ type: 'sendProblem', error, ...(ref !== undefined && { ref }) })
    if (fatal) this.#close(closeCodes.badFrame, error.code)
  }

  // Subscribing ---------------------------------------------------------------------------------------------------------

  #onSubscribe(frame: SubscribeInput): void {
    const { sub } = frame
    const { subscriptions } = this.#config.limits
    if (this.#phase === 'draining') return this.#fail(sub, new MeshError('DRAINING'))
    if (this.#subscriptions.has(sub)) return this.#fail(sub, invalid('sub', 'is in use on this socket'))
    if (this.#subscriptions.size >= subscriptions) {
      return this.#fail(sub, invalid('sub', `is one too many: a socket has at most ${subscriptions} subscriptions`))
    }
    // Of a pattern what is granted is read; where that can be nothing, it is a mistake.
    const refused = frame.patterns.find((pattern) => !this.#config.principal().mayInPart('subscribe', pattern))
    if (refused !== undefined) return this.#fail(sub, forbidden('subscribe', refused))
    const subscription = new Subscription(frame)
    this.#subscriptions.set(sub, subscription)
    for (const topic of this.#config.topics()) if (this.#mayRead(subscription, topic)) this.#open(subscription, topic)
    this.#beginIfOpen(subscription)
  }

  #mayRead(subscription: Subscription, topic: TopicName): boolean {
    return subscription.wants(topic) && this.#config.principal().may('subscribe', topic)
  }

  #open(subscription: Subscription, topic: TopicName): void {
    if (this.#subscriptions.get(subscription.sub) !== subscription) return
    const { topics } = this.#config.limits
    if (this.#readers.size >= topics) {
      return this.#fail(
        subscription.sub,
        invalid('topics', `match too many: at most ${topics} topics are read together`),
      )
    }
    const reader = ++this.#lastReader
    this.#readers.set(reader, { subscription, topic })
    this.#order({ type: 'open', reader, topic, from: subscription.add(topic, reader) })
  }

  #onOpened({ subscription, topic }: OpenReader, reader: ReaderNumber, cursor: string): void {
    subscription.opened(topic, reader, cursor)
    this.#beginIfOpen(subscription)
  }

  #onOpenFailed({ subscription, topic }: OpenReader, reader: ReaderNumber, error: unknown): void {
    if (isDeleted(error)) return this.#startOver(subscription, topic, reader)
    if (!(error instanceof MeshError && error.code === 'TOPIC_NOT_FOUND')) return this.#fail(subscription.sub, error)
    subscription.notFound(topic, reader)
    this.#readers.delete(reader)
    this.#order({ type: 'closeReader', reader })
    this.#beginIfOpen(subscription)
  }

  /** The topic is gone, with whatever position there was in it. Another one may have its name by now. */
  #startOver(subscription: Subscription, topic: TopicName, reader: ReaderNumber): void {
    subscription.deleted(topic, reader)
    this.#readers.delete(reader)
    this.#order({ type: 'closeReader', reader })
    this.#send({ type: 'event', sub: subscription.sub, event: 'deleted', topic })
    if (this.#config.topics().includes(topic)) this.#open(subscription, topic)
    this.#beginIfOpen(subscription)
    this.#tellIfCaughtUp(subscription)
  }

  #beginIfOpen(subscription: Subscription): void {
    if (this.#subscriptions.get(subscription.sub) !== subscription) return
    const cursor = subscription.takeBeginning()
    if (cursor === undefined) return
    this.#send({ type: 'subscribed', sub: subscription.sub, cursor })
    this.#tellMesh(subscription, this.#mesh.partition)
    this.#tellIfCaughtUp(subscription)
  }

  #onCredit(sub: string, n: number): void {
    const subscription = this.#subscriptions.get(sub)
    // It may have ended while this was on its way.
    if (subscription === undefined) return
    const { credit } = this.#config.limits
    if (subscription.credit + n > credit) return this.#fail(sub, invalid('n', `makes more credit than ${credit}`))
    subscription.credit += n
  }

  #fail(sub: string, error: unknown): void {
    this.#drop(sub)
    this.#order({ type: 'sendProblem', sub, error })
  }

  #drop(sub: string): void {
    const subscription = this.#subscriptions.get(sub)
    if (subscription === undefined) return
    this.#subscriptions.delete(sub)
    for (const reader of subscription.readers) {
      this.#readers.delete(reader)
      this.#order({ type: 'closeReader', reader })
    }
  }

  // Reading -------------------------------------------------------------------------------------------------------------

  #readOn(): void {
    if (this.#reading !== undefined || this.#behind || this.#phase !== 'open') return
    for (const [sub, subscription] of this.#subscriptions) {
      const reader = subscription.takeNext()
      if (reader === undefined) continue
      // Last in the line now: a Map keeps the order of insertion.
      this.#subscriptions.delete(sub)
      this.#subscriptions.set(sub, subscription)
      this.#reading = reader
      const limit = Math.min(subscription.credit, this.#config.recordsPerRead)
      return this.#order({ type: 'read', reader, limit })
    }
  }

  #onRead(reader: ReaderNumber, chunk: ReadChunk | BatchChunk): void {
    this.#endRead(reader)
    this.#withReader(reader, (open) => this.#tell(open, reader, chunk))
  }

  #onReadFailed({ subscription, topic }: OpenReader, reader: ReaderNumber, error: unknown): void {
    if (isDeleted(error)) this.#startOver(subscription, topic, reader)
    else this.#fail(subscription.sub, error)
  }

  #endRead(reader: ReaderNumber): void {
    if (this.#reading === reader) this.#reading = undefined
  }

  #tell({ subscription, topic }: OpenReader, reader: ReaderNumber, chunk: ReadChunk | BatchChunk): void {
    const { upToDate, isolated = false, cursor, gaps = [] } = chunk
    const { sub } = subscription
    const count = countOf(chunk)
    for (const gap of gaps) {
      const moved = count === 0 ? { cursor } : {}
      this.#send({ type: 'event', sub, event: 'gap', topic, gap, ...moved })
    }
    if (count > 0) this.#order(sendingOf(sub, chunk))
    subscription.credit -= count
    if (upToDate) subscription.isUpToDate(reader, isolated)
    if (upToDate || count === 0) this.#order({ type: 'waitForMore', reader })
    else subscription.hasMore(reader)
    this.#tellIfCaughtUp(subscription)
  }

  #tellIfCaughtUp(subscription: Subscription): void {
    const caughtUp = subscription.takeCaughtUp()
    if (caughtUp === undefined) return
    const isolated = caughtUp === 'isolated' && { isolated: true }
    this.#send({ type: 'event', sub: subscription.sub, event: 'caught-up', ...isolated })
  }

  #withReader(reader: ReaderNumber, then: (open: OpenReader) => void): void {
    const open = this.#readers.get(reader)
    if (open !== undefined) then(open)
  }

  // Publishing ----------------------------------------------------------------------------------------------------------

  #onPublish(frame: PublishInput): void {
    const { ref, topic, producer, ack, waitMs } = frame
    const refusal = this.#publishRefusal(ref, topic)
    if (refusal !== undefined) return this.#order({ type: 'sendProblem', ref, error: refusal })
    this.#publishes.add(ref)
    const terms = { topic, principal: this.#config.principal().name, producer, ack, waitMs }
    const request = 'encoded' in frame ? { ...terms, encoded: frame.encoded } : { ...terms, records: frame.records }
    this.#order({ type: 'publish', ref, request })
  }

  #publishedOf(ref: string, { runs, cursor, ack }: PublishResult): PeerFrame {
    // 201: the level was reached. 202: durable here, but not on as many peers as asked within `wait` (P2).
    const status = ack.reached ? 201 : 202
    if (this.#config.isBinary) return { type: 'published', ref, status, runs, cursor, ack }
    return { type: 'published', ref, results: idsOfRuns(runs).map((id) => ({ status, id })), cursor, ack }
  }

  #publishRefusal(ref: string, topic: TopicName): MeshError | undefined {
    const { publishesInFlight } = this.#config.limits
    if (this.#phase === 'draining') return new MeshError('DRAINING')
    if (this.#publishes.has(ref)) return invalid('ref', 'is in flight on this socket')
    if (!this.#config.principal().may('publish', topic)) return forbidden('publish', topic)
    if (this.#publishes.size < publishesInFlight) return undefined
    return overloaded('publishes-of-socket', `A socket has at most ${publishesInFlight} publishes in flight.`)
  }

  // Topics, the mesh, the end -------------------------------------------------------------------------------------------

  #onTopic(topic: TopicName): void {
    for (const subscription of this.#subscriptions.values()) {
      if (this.#mayRead(subscription, topic)) this.#open(subscription, topic)
    }
  }

  /** A renewed token: what it does not grant any more ends, what it grants now is read, and the welcome says that it counts. */
  #onGrants(servers: readonly string[]): void {
    if (this.#phase !== 'open') return
    this.#welcome(servers)
    const principal = this.#config.principal()
    for (const { sub, patterns } of this.#subscriptions.values()) {
      const refused = patterns.find((pattern) => !principal.mayInPart('subscribe', pattern))
      if (refused !== undefined) this.#fail(sub, forbidden('subscribe', refused))
    }
    for (const [reader, { subscription, topic }] of this.#readers) {
      if (!principal.may('subscribe', topic)) this.#withdraw(subscription, topic, reader)
    }
    for (const topic of this.#config.topics()) this.#onTopic(topic)
  }

  /** What else its pattern matches is read on. */
  #withdraw(subscription: Subscription, topic: TopicName, reader: ReaderNumber): void {
    subscription.withdrawn(topic, reader)
    this.#readers.delete(reader)
    this.#order({ type: 'closeReader', reader })
    this.#beginIfOpen(subscription)
    this.#tellIfCaughtUp(subscription)
  }

  #onMesh(mesh: Reachability): void {
    const news = this.#mesh.change(mesh)
    for (const subscription of this.#subscriptions.values()) if (subscription.isLive) this.#tellMesh(subscription, news)
  }

  #tellMesh({ sub }: Subscription, news: MeshNews | undefined): void {
    if (news !== undefined) this.#send({ type: 'event', sub, ...news })
  }

  #onDraining(servers: readonly string[], retryMs: number): void {
    if (this.#phase !== 'open') return
    this.#phase = 'draining'
    this.#send({ type: 'bye', reason: 'draining', servers, retryMs })
    for (const sub of this.#subscriptions.keys()) this.#drop(sub)
    this.#closeIfDone()
  }

  #closeIfDone(): void {
    if (this.#phase === 'draining' && this.#publishes.size === 0) this.#close(closeCodes.draining, 'draining')
  }

  #close(code: number, reason: string): void {
    for (const sub of this.#subscriptions.keys()) this.#drop(sub)
    this.#phase = 'closed'
    this.#order({ type: 'close', code, reason })
  }

  #welcome(servers: readonly string[]): void {
    const { peer, limits } = this.#config
    this.#send({ type: 'welcome', peer, limits, servers })
  }

  #send(frame: PeerFrame): void {
    this.#order({ type: 'send', frame })
  }

  #order(order: SessionOrder): void {
    this.#orders.push(order)
  }
}

const isDeleted = (error: unknown): boolean => error instanceof MeshError && error.code === 'TOPIC_DELETED'

const countOf = (chunk: ReadChunk | BatchChunk): number =>
  'batches' in chunk ? chunk.batches.reduce((sum, { count }) => sum + count, 0) : chunk.records.length

const sendingOf = (sub: string, chunk: ReadChunk | BatchChunk): SessionOrder =>
  'batches' in chunk
    ? { type: 'sendBatches', sub, batches: chunk.batches }
    : { type: 'sendRecords', sub, records: chunk.records }
