import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { type WebSocket, WebSocketServer } from 'ws'
import { errorCatalogue, type ErrorCode } from '#protocol/errors'
import type { Hash } from '#protocol/ids'
import { encodeBatch } from '#protocol/log/batch'
import { pureDigests } from '#protocol/log/pure-digests'
import { decodeRecords, encodeRecords, type LogRecord } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import { matchesTopic, type TopicName, type TopicPattern } from '#protocol/topic-name'
import type {
  GossipView,
  HealView,
  LinkView,
  MemberView,
  MeshEvent,
  PartitionsView,
  RemainsView,
  ReplicationView,
  RoundTrip,
  SelfNowView,
  TopicStatus,
} from '#protocol/views'
import {
  type BinaryPublishHeader,
  binarySocketProtocol,
  decodeBinaryFrame,
  encodeBinaryHead,
} from '#protocol/wire/binary-frame'
import {
  type ClientFrame,
  type PeerFrame,
  type PublishFrame,
  socketProtocol,
  type SubscribeFrame,
} from '#protocol/wire/socket-frames'

/**
 * A gateway for tests of what speaks to one: the JSON shapes of DESIGN §11 over arrays in memory, on a free port. It is
 * one peer without a mesh; members and heads of replicas are what the test says. Its cursor counts records.
 */
export class FakeGateway implements AsyncDisposable {
  readonly name: string
  readonly topics = new Map<string, StoredJson[]>()
  /** What topics were asked to be, and how often that was changed. */
  readonly configs = new Map<string, object>()
  readonly #changes = new Map<string, number>()
  /** What is left of deleted topics. */
  deleted: readonly Partial<RemainsView>[] = []
  /** `METHOD /path?query` of everything asked over HTTP so far. */
  readonly requests: string[] = []
  /** Every frame that came over WebSockets. */
  readonly frames: ClientFrame[] = []
  /** What a welcome says. */
  servers: readonly string[] = []
  publishesInFlightMax = 256
  /** Offers `grapevine.v1.bin`, too. Its cursors are none of the log: records within a batch have none. */
  offersBinary = false
  /** Offsets [from, to) that a batch is told to skip. */
  skip: readonly (readonly [number, number])[] = []
  /** Cuts batches so that their records cannot be read. */
  breaksRecords = false
  members: Partial<MemberView>[] = []
  forgotten: Partial<MemberView>[] = []
  /** What becomes of the member that something is decided of: the answer. */
  decide: (member: string, decision: string) => Partial<MemberView> = (name) => ({ name })
  roundTrips: readonly RoundTrip[] = []
  double: GossipView['self']['double']
  replication: Partial<ReplicationView> = {}
  links: readonly Partial<LinkView>[] = []
  partitions: PartitionsView = { split: false, islands: [{ side: 'ours', members: [] }] }
  heals: readonly HealView[] = []
  /** In order; the id of each is its place. */
  readonly events: Omit<MeshEvent, 'id'>[] = []
  /** What it says of itself beyond its name. */
  self: Partial<SelfNowView> = {}
  status: ((topic: string) => Partial<TopicStatus> | undefined) | undefined
  dropped: readonly string[] = []
  logLevel = 'info'
  labLinks: readonly { readonly from: string; readonly loss?: number; readonly delayMs?: number }[] = []
  /** Copies that a publish reaches whatever it asks for. */
  copies = 1
  /** Takes over a frame if it returns true. */
  interceptFrame: (frame: ClientFrame, socket: WebSocket) => boolean = () => false
  /** False: WebSockets are answered with DRAINING. */
  takesSockets = true
  /** Takes over a request if it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false
  readonly #server: Server
  readonly #sockets = new Set<WebSocket>()
  readonly #subscriptions = new Set<FakeSubscription>()
  readonly #eventWaiters = new Set<() => void>()

  private constructor(name: string, server: Server) {
    this.name = name
    this.#server = server
    server.on('request', (request, response) => void this.#serve(request, response))
    const webSockets = new WebSocketServer({
      noServer: true,
      handleProtocols: (offers) =>
        this.offersBinary && offers.has(binarySocketProtocol) ? binarySocketProtocol : socketProtocol,
    })
    server.on('upgrade', (request, socket, head) => {
      if (!this.takesSockets) {
        // The client may have gone before it is refused; Node has left the socket to us.
        socket.on('error', () => undefined)
        return void socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n')
      }
      webSockets.handleUpgrade(request, socket, head, (webSocket) => this.#welcome(webSocket))
    })
  }

  static async start(name: string): Promise<FakeGateway> {
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    return new FakeGateway(name, server)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get peerId(): string {
    return `12D3KooW${this.name}`
  }

  get #feedName(): string {
    return `${this.peerId}.00000000000000aa`
  }

  append(topic: string, ...values: string[]): void {
    for (const value of values) this.#append(topic, { value, contentType: 'text/plain' })
  }

  /** One record, with more than its value. */
  store(topic: string, value: string, more: Partial<StoredJson>): void {
    this.#append(topic, { value, contentType: 'text/plain', ...more })
  }

  /** Several, before anybody is sent the first. */
  storeAll(topic: string, records: readonly (readonly [value: string, more: Partial<StoredJson>])[]): void {
    const subscriptions = [...this.#subscriptions]
    this.#subscriptions.clear()
    for (const [value, more] of records) this.store(topic, value, more)
    for (const subscription of subscriptions) {
      this.#subscriptions.add(subscription)
      this.#feed(subscription)
    }
  }

  /** Cuts every WebSocket in the middle, as a dying peer does. */
  breakSockets(): void {
    for (const socket of this.#sockets) socket.terminate()
  }

  get socketCount(): number {
    return this.#sockets.size
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size
  }

  /** To every WebSocket. */
  say(frame: PeerFrame): void {
    for (const socket of this.#sockets) socket.send(JSON.stringify(frame))
  }

  /** Refuses connections from now on. */
  async stop(): Promise<void> {
    this.breakSockets()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.stop()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`)
    if (this.intercept(request, response)) return
    const url = new URL(request.url ?? '/', this.url)
    const body = await text(request)
    if (url.pathname === '/healthz') return json(response, 200, { status: 'ok' })
    if (url.pathname === '/v1/log-level') {
      if (request.method === 'PUT') this.logLevel = (JSON.parse(body) as { level: string }).level
      return json(response, 200, { level: this.logLevel })
    }
    const [, , area = '', name = '', ...rest] = url.pathname.split('/').map(decodeURIComponent)
    if (area === 'topics') return this.#serveTopic({ request, response, url, body, topic: name, rest: rest.join('/') })
    if (area === 'ws') return problem(response, this.takesSockets ? 'UPGRADE_REQUIRED' : 'DRAINING')
    if (name === 'events') return this.#tellEvents(url, response)
    const [member = '', decision] = rest
    const decided = name === 'members' && decision !== undefined ? this.decide(member, decision) : undefined
    const answer = decided ?? this.#meshAnswer(area, name, request.method ?? '', body)
    if (answer === undefined) return problem(response, 'ROUTE_NOT_FOUND')
    json(response, 200, answer)
  }

  /** Waits as long as it takes, if it is to wait. */
  #tellEvents(url: URL, response: ServerResponse): void {
    const after = url.searchParams.get('after')
    const from = url.searchParams.get('from') === 'latest' ? this.events.length : 0
    const start = after === null ? from : Number(after.split('.')[1])
    const answer = (): void => {
      const all = this.events.map((event, i) => ({ id: `boot1.${i + 1}`, ...event }))
      const events = all.slice(start, start + Number(url.searchParams.get('limit') ?? 100))
      const end = start + events.length
      json(response, 200, { events, ...(end > 0 && { last: `boot1.${end}` }) })
    }
    if (this.events.length > start || !url.searchParams.has('wait')) return answer()
    this.#eventWaiters.add(answer)
    response.on('close', () => this.#eventWaiters.delete(answer))
  }

  happens(event: Omit<MeshEvent, 'id'>): void {
    this.events.push(event)
    for (const answer of this.#eventWaiters) answer()
    this.#eventWaiters.clear()
  }

  #meshAnswer(area: string, name: string, method: string, body: string): object | undefined {
    if (area === 'lab') {
      if (name === 'links') {
        if (method === 'PUT') this.labLinks = (JSON.parse(body) as { links: FakeGateway['labLinks'] }).links
        return { links: this.labLinks }
      }
      if (method === 'DELETE') this.labLinks = []
      this.dropped = method === 'PUT' ? (JSON.parse(body) as { drop: string[] }).drop : []
      return { dropped: this.dropped }
    }
    if (name === 'self') return { peerId: this.peerId, name: this.name, http: this.url, ...this.self }
    if (name === 'partitions') return this.partitions
    if (name === 'heals') return { heals: this.heals }
    if (name === 'members') return { members: this.members, forgotten: this.forgotten }
    if (name === 'links') return { links: this.links }
    if (name === 'replication') return this.replication
    if (name !== 'gossip') return undefined
    const { double } = this
    const self = { id: this.peerId, name: this.name, incarnation: 1, awareness: 0, ...(double && { double }) }
    return {
      self,
      members: this.members,
      forgotten: this.forgotten,
      rumors: [],
      probes: [],
      roundTrips: this.roundTrips,
      pushPulls: [],
      events: [],
    }
  }

  #serveTopic(call: TopicCall): void {
    const { response, url, topic, rest } = call
    const summary = (name: string) => ({
      topic: name,
      topicId: name,
      feeds: 1,
      records: this.topics.get(name)?.length ?? 0,
    })
    if (topic === '')
      return json(response, 200, { topics: [...this.topics.keys()].sort().map(summary), deleted: this.deleted })
    if (rest === '' && call.request.method === 'DELETE') {
      if (!this.topics.delete(topic)) return problem(response, 'TOPIC_NOT_FOUND')
      return json(response, 200, { topic, generation: 0, remains: `$deleted.${topic}.0` })
    }
    if (rest === '' && call.request.method !== 'GET' && !this.#configure(call)) return
    const records = this.topics.get(topic)
    if (records === undefined) return problem(response, 'TOPIC_NOT_FOUND')
    const version = `v${this.#changes.get(topic) ?? 0}`
    const config = { replicas: 3, retention: {}, minAck: 'local', ...this.configs.get(topic) }
    if (rest === '') return json(response, 200, { ...summary(topic), config, version })
    if (rest === 'status') return json(response, 200, { ...summary(topic), ...this.status?.(topic) })
    if (rest === 'records') return this.#read(call, records)
    const id = rest.split('/')[1]
    if (!records.some((record) => record.id === id)) return problem(response, 'RECORD_NOT_FOUND')
    const level = url.searchParams.get('level')
    if (level !== null) {
      const ack = this.#ackOf(level)
      return json(response, ack.reached ? 200 : 202, { id, ack })
    }
    const peers = [{ peer: this.peerId, name: this.name, role: 'home', holds: true, current: true }]
    json(response, 200, { id, copies: 1, peers, registryVersion: '1', home: [this.name] })
  }

  #configure({ request, response, topic, body }: TopicCall): boolean {
    const changes = this.#changes.get(topic) ?? 0
    const match = request.headers['if-match']
    if (match !== undefined && match !== '*' && match !== `"v${changes}"`) {
      problem(response, 'TOPIC_CHANGED')
      return false
    }
    this.topics.set(topic, this.topics.get(topic) ?? [])
    this.configs.set(topic, { ...this.configs.get(topic), ...(JSON.parse(body) as object) })
    this.#changes.set(topic, changes + 1)
    return true
  }

  #read({ response, url }: TopicCall, records: StoredJson[]): void {
    const start = startOf(url.searchParams.get('from') ?? 'earliest', records.length)
    if (!Number.isInteger(start)) return problem(response, 'CURSOR_INVALID')
    const end = Math.min(records.length, start + Number(url.searchParams.get('limit') ?? 100))
    const upToDate = end === records.length
    json(response, 200, { records: records.slice(start, end), cursor: cursorOf(end), upToDate })
  }

  #append(topic: string, record: Partial<StoredJson>): StoredJson {
    const records = this.topics.get(topic) ?? []
    this.topics.set(topic, records)
    const feed = this.#feedName
    const offset = records.length
    const stored = { id: `${feed}.${offset}`, topic, feed, offset, time: stamp, ...record }
    records.push(stored)
    for (const subscription of this.#subscriptions) this.#feed(subscription)
    return stored
  }

  // WebSockets ----------------------------------------------------------------------------------------------------------

  #welcome(socket: WebSocket): void {
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      for (const subscription of this.#subscriptions) if (subscription.socket === socket) this.#end(subscription)
    })
    socket.on('message', (data: Buffer, isBinary: boolean) =>
      this.#hear(socket, isBinary ? publishFrameOf(data) : (JSON.parse(data.toString()) as ClientFrame)),
    )
    const limits = {
      frameBytes: 100_000,
      subscriptions: 64,
      topics: 64,
      credit: 1_000,
      publishesInFlight: this.publishesInFlightMax,
    }
    tell(socket, { type: 'welcome', peer: this.name, limits, servers: this.servers })
  }

  #hear(socket: WebSocket, frame: ClientFrame): void {
    this.frames.push(frame)
    if (this.interceptFrame(frame, socket)) return
    const mine = [...this.#subscriptions].find(
      (one) => one.socket === socket && 'sub' in frame && one.sub === frame.sub,
    )
    switch (frame.type) {
      case 'subscribe':
        return this.#subscribe(socket, frame)
      case 'credit':
        if (mine !== undefined) this.#feed(Object.assign(mine, { credit: mine.credit + frame.n }))
        return
      case 'unsubscribe':
        return mine && this.#end(mine)
      case 'publish':
        return this.#publish(socket, frame)
      case 'auth':
        return
    }
  }

  #publish(socket: WebSocket, { ref, topic, records, ack: level = 'local' }: PublishFrame): void {
    const stored = records.map((record) => this.#append(topic, record))
    const ack = this.#ackOf(level)
    const status = ack.reached ? 201 : 202
    const cursor = cursorOf(this.topics.get(topic)?.length ?? 0)
    if (socket.protocol === binarySocketProtocol) {
      const runs = [{ feed: this.#feedName, from: stored[0]?.offset ?? 0, count: stored.length }]
      return tell(socket, { type: 'published', ref, status, runs, cursor, ack })
    }
    tell(socket, { type: 'published', ref, results: stored.map(({ id }) => ({ id, status })), cursor, ack })
  }

  #ackOf(level: string) {
    const reached = level === 'local' || this.copies >= Number(level.slice(2))
    return { level, reached, copies: this.copies, peers: [this.name] }
  }

  #subscribe(socket: WebSocket, { sub, topics, from = 'latest', credit }: SubscribeFrame): void {
    const subscription: FakeSubscription = { socket, sub, topics, credit, next: new Map() }
    const cursor: Record<string, string> = {}
    for (const [topic, records] of this.topics) {
      if (!wants(subscription, topic)) continue
      const start = startOf(typeof from === 'string' ? from : (from[topic] ?? 'earliest'), records.length)
      if (!Number.isInteger(start)) return tell(socket, { type: 'error', sub, problem: problemOf('CURSOR_INVALID') })
      subscription.next.set(topic, start)
      cursor[topic] = cursorOf(start)
    }
    this.#subscriptions.add(subscription)
    tell(socket, { type: 'subscribed', sub, cursor })
    this.#feed(subscription)
    tell(socket, { type: 'event', sub, event: 'caught-up' })
  }

  #feed(subscription: FakeSubscription): void {
    for (const [topic, records] of this.topics) {
      if (!wants(subscription, topic)) continue
      let next = subscription.next.get(topic) ?? 0
      if (subscription.socket.protocol === binarySocketProtocol) {
        this.#sendBatch(subscription, topic, records.slice(next))
        continue
      }
      for (; next < records.length && subscription.credit > 0; subscription.credit--) {
        const record = records[next++] as StoredJson
        tell(subscription.socket, { type: 'record', sub: subscription.sub, record, cursor: cursorOf(next) })
      }
      subscription.next.set(topic, next)
    }
  }

  /** All that is left, as one batch, if there is any credit. */
  #sendBatch(subscription: FakeSubscription, topic: string, records: readonly StoredJson[]): void {
    const [first] = records
    if (first === undefined || subscription.credit <= 0) return
    const { socket, sub, next } = subscription
    const end = first.offset + records.length
    const { bytes } = encodeBatch(
      {
        baseOffset: first.offset,
        hlc: { ms: Date.parse(stamp), counter: 0 },
        previousHash: 'aa'.repeat(32) as Hash,
        recordSets: [encodeRecords(records.map(logRecordOf))],
      },
      pureDigests,
    )
    const skip = this.skip.length > 0 && { skip: this.skip }
    const feed = this.#feedName
    const head = encodeBinaryHead('batch', { sub, topic, feed, from: first.offset, ...skip, cursor: cursorOf(end) })
    // Flags that nobody knows, in the last record.
    if (this.breaksRecords)
      bytes[bytes.length - encodeRecords([logRecordOf(records.at(-1) ?? first)]).bytes.length + 4] = 0xff
    socket.send(Buffer.concat([head, bytes]))
    subscription.credit -= records.length
    next.set(topic, end)
  }

  #end(subscription: FakeSubscription): void {
    this.#subscriptions.delete(subscription)
  }
}

interface FakeSubscription {
  readonly socket: WebSocket
  readonly sub: string
  readonly topics: readonly string[]
  readonly next: Map<string, number>
  credit: number
}

const wants = ({ topics }: FakeSubscription, topic: string): boolean =>
  topics.some((pattern) => matchesTopic(pattern as TopicPattern, topic as TopicName))

const startOf = (from: string, count: number): number =>
  from === 'earliest' ? 0 : from === 'latest' ? count : Number(from.split('.')[1])

const tell = (socket: WebSocket, frame: PeerFrame): void => socket.send(JSON.stringify(frame))

const stamp = '2026-05-01T10:00:00.000Z'

/** What a client said in binary, as it would have said it in JSON. */
function publishFrameOf(data: Buffer): PublishFrame {
  const decoded = decodeBinaryFrame(data)
  if (decoded.type === 'fault') throw new Error(decoded.where)
  const { count, ...terms } = JSON.parse(decoded.header) as BinaryPublishHeader
  const records = decodeRecords(decoded.payload, count)
  if (typeof records === 'string') throw new Error(records)
  return {
    type: 'publish',
    ...terms,
    records: records.map(({ key, headers: { 'content-type': contentType, ...headers }, value }) => ({
      ...(key && { key: Buffer.from(key).toString() }),
      ...(Object.keys(headers).length > 0 && { headers }),
      contentType,
      valueBase64: Buffer.from(value).toString('base64'),
    })),
  }
}

function logRecordOf({ value, valueBase64, contentType = 'application/json', key, producer }: StoredJson): LogRecord {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return {
    value: valueBase64 === undefined ? utf8(text) : Buffer.from(valueBase64, 'base64'),
    headers: { 'content-type': contentType },
    ...(key !== undefined && { key: utf8(key) }),
    ...(producer && { producer: { ...producer, id: Buffer.from(producer.id, 'hex') } }),
  }
}

export interface StoredJson {
  readonly id: string
  readonly offset: number
  readonly value?: unknown
  readonly valueBase64?: string
  readonly contentType?: string
  readonly key?: string
  readonly producer?: { readonly id: string; readonly epoch: number; readonly seq: number }
}

interface TopicCall {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  readonly body: string
  readonly topic: string
  readonly rest: string
}

export const cursorOf = (count: number): string => `gv1.${count}`

export function problem(response: ServerResponse, code: ErrorCode): void {
  json(response, errorCatalogue[code].status, problemOf(code))
}

export function problemOf(code: ErrorCode): object {
  const { status, title, hint, retryable } = errorCatalogue[code]
  return { code, title, status, hint, retryable, detail: `${title}, says the fake` }
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' })
  response.end(JSON.stringify(value))
}
