import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { errorCatalogue, type ErrorCode } from '#protocol/errors'
import type { MemberView, TopicStatus } from '#protocol/views'

/**
 * A gateway for tests of what speaks to one: the JSON shapes of DESIGN §11 over arrays in memory, on a free port. It is
 * one peer without a mesh; members and heads of replicas are what the test says. Its cursor counts records.
 */
export class FakeGateway implements AsyncDisposable {
  readonly name: string
  readonly topics = new Map<string, StoredJson[]>()
  /** `METHOD /path?query` of everything asked so far. */
  readonly requests: string[] = []
  members: Partial<MemberView>[] = []
  status: ((topic: string) => Partial<TopicStatus> | undefined) | undefined
  dropped: readonly string[] = []
  /** Copies that a publish reaches whatever it asks for. */
  copies = 1
  /** Takes over a request if it returns true. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false
  readonly #server: Server
  readonly #streams = new Set<{ topic: string; next: number; response: ServerResponse }>()

  private constructor(name: string, server: Server) {
    this.name = name
    this.#server = server
    server.on('request', (request, response) => void this.#serve(request, response))
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

  append(topic: string, ...values: string[]): void {
    for (const value of values) this.#append(topic, { value, contentType: 'text/plain' })
  }

  /** Cuts every live read in the middle, as a dying peer does. */
  breakStreams(): void {
    for (const stream of this.#streams) stream.response.destroy()
    this.#streams.clear()
  }

  get streamCount(): number {
    return this.#streams.size
  }

  /** Refuses connections from now on. */
  async stop(): Promise<void> {
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
    const [, , area = '', name = '', ...rest] = url.pathname.split('/').map(decodeURIComponent)
    if (area === 'topics') return this.#serveTopic({ request, response, url, body, topic: name, rest: rest.join('/') })
    const answer = this.#meshAnswer(area, name, request.method ?? '', body)
    if (answer === undefined) return problem(response, 'ROUTE_NOT_FOUND')
    json(response, 200, answer)
  }

  #meshAnswer(area: string, name: string, method: string, body: string): object | undefined {
    if (area === 'lab') {
      this.dropped = method === 'PUT' ? (JSON.parse(body) as { drop: string[] }).drop : []
      return { dropped: this.dropped }
    }
    if (name === 'self') return { peerId: this.peerId, name: this.name, http: this.url }
    if (name === 'members') return { members: this.members }
    if (name === 'links') return { links: [] }
    if (name !== 'gossip') return undefined
    const self = { id: this.peerId, name: this.name, incarnation: 1 }
    return { self, members: this.members, rumors: [], probes: [], roundTrips: [], pushPulls: [], events: [] }
  }

  #serveTopic(call: TopicCall): void {
    const { request, response, topic, rest } = call
    const summary = (name: string) => ({
      topic: name,
      topicId: name,
      feeds: 1,
      records: this.topics.get(name)?.length ?? 0,
    })
    if (topic === '') return json(response, 200, { topics: [...this.topics.keys()].sort().map(summary) })
    if (rest === 'records' && request.method === 'POST') return this.#publish(call)
    const records = this.topics.get(topic)
    if (records === undefined) return problem(response, 'TOPIC_NOT_FOUND')
    if (rest === 'status') return json(response, 200, { ...summary(topic), ...this.status?.(topic) })
    if (rest === 'records') return this.#read(call, records)
    const id = rest.split('/')[1]
    if (!records.some((record) => record.id === id)) return problem(response, 'RECORD_NOT_FOUND')
    const peers = [{ peer: this.peerId, name: this.name, holds: true, current: true }]
    json(response, 200, { id, copies: 1, peers, home: [this.name] })
  }

  #publish({ response, url, body, topic }: TopicCall): void {
    const { records } = JSON.parse(body) as { records: Partial<StoredJson>[] }
    const ids = records.map((record) => this.#append(topic, record).id)
    const level = url.searchParams.get('ack') ?? 'local'
    const reached = level === 'local' || this.copies >= Number(level.slice(2))
    const ack = { level, reached, copies: this.copies, peers: [this.name] }
    const status = reached ? 201 : 202
    const cursor = cursorOf(this.topics.get(topic)?.length ?? 0)
    json(response, 200, { results: ids.map((id) => ({ id, status })), cursor, ack })
  }

  #read({ request, response, url, topic }: TopicCall, records: StoredJson[]): void {
    const from = url.searchParams.get('from') ?? 'earliest'
    const start = from === 'earliest' ? 0 : from === 'latest' ? records.length : Number(from.split('.')[1])
    if (!Number.isInteger(start)) return problem(response, 'CURSOR_INVALID')
    if (request.headers.accept !== 'text/event-stream') {
      const end = Math.min(records.length, start + Number(url.searchParams.get('limit') ?? 100))
      const upToDate = end === records.length
      return json(response, 200, { records: records.slice(start, end), cursor: cursorOf(end), upToDate })
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    const stream = { topic, next: start, response }
    this.#streams.add(stream)
    response.on('close', () => this.#streams.delete(stream))
    this.#feed(stream)
    response.write(`event: caught-up\nid: ${cursorOf(stream.next)}\ndata: {}\n\n`)
  }

  #append(topic: string, record: Partial<StoredJson>): StoredJson {
    const records = this.topics.get(topic) ?? []
    this.topics.set(topic, records)
    const feed = `${this.peerId}.00000000000000aa`
    const offset = records.length
    const stored = { id: `${feed}.${offset}`, topic, feed, offset, time: '2026-05-01T10:00:00.000Z', ...record }
    records.push(stored)
    for (const stream of this.#streams) if (stream.topic === topic) this.#feed(stream)
    return stored
  }

  #feed(stream: { topic: string; next: number; response: ServerResponse }): void {
    for (const record of this.topics.get(stream.topic)?.slice(stream.next) ?? []) {
      stream.response.write(`id: ${cursorOf(++stream.next)}\ndata: ${JSON.stringify(record)}\n\n`)
    }
  }
}

export interface StoredJson {
  readonly id: string
  readonly offset: number
  readonly value?: unknown
  readonly valueBase64?: string
  readonly contentType?: string
  readonly key?: string
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
  const { status, title, hint, retryable } = errorCatalogue[code]
  json(response, status, { code, title, status, hint, retryable, detail: `${title}, says the fake` })
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' })
  response.end(JSON.stringify(value))
}
