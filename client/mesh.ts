import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type {
  GossipView,
  HealView,
  LinkView,
  MemberView,
  MeshEventPage,
  PartitionsView,
  RemainsView,
  ReplicationStatus,
  ReplicationView,
  SelfNowView,
  TopicStatus,
  TopicSummary,
  TopicView,
} from '#protocol/views'
import type { CursorMap } from '#protocol/wire/socket-frames'
import { defaultBackoff, type Backoff } from './backoff.ts'
import { Connection, type ConnectionStatus } from './connection.ts'
import {
  type Ack,
  durationText,
  publishCall,
  publishedOf,
  type Published,
  type PublishedMany,
  type PublishOptions,
  waitMsOf,
} from './publish.ts'
import { Publisher } from './publisher.ts'
import { type Gap, ReceivedRecord, type OutgoingRecord, type PublishValue, type RecordJson } from './record.ts'
import { baseUrlOf, Servers, type Fetch, type Request } from './servers.ts'
import { fetchWith, type Token } from './token.ts'
import { streamOf, type StreamItem } from './subscription.ts'

export interface ConnectOptions {
  /** Base URLs of gateways, such as `http://127.0.0.1:8400`: the first that answers is used, the others stand by. */
  readonly servers: readonly string[]
  /** Ends the attempt to connect. What comes later takes signals of its own, or ends with `close`. */
  readonly signal?: AbortSignal
  readonly backoff?: Backoff
  /** How long an answer may take to begin, beyond what it was asked to wait. Higher: slower fail-over from a silent server. */
  readonly answerMsMax?: number
  /** A WebSocket silent for so long is taken for broken. The default is three heartbeats of a peer. */
  readonly silenceMsMax?: number
  /** False: only the servers that were named are used, not those that they tell of. */
  readonly learnServers?: boolean
  /**
   * What happens to a publish while no server can be reached. `wait` (the default): it is kept here and sent as soon as there is
   * one; a signal ends the wait. `fail`: it fails with UNAVAILABLE, or OUTCOME_UNKNOWN if it was on its way.
   */
  readonly offline?: 'wait' | 'fail'
  /** Bound of what was published and is not answered yet, in bytes, about; beyond it a publish fails with OUTBOX_FULL. */
  readonly outboxBytesMax?: number
  /** False: records go and come as JSON even where bytes are offered, for who wants to look at them on the way. */
  readonly binary?: boolean
  /** For peers that ask for one. */
  readonly token?: Token
  readonly fetch?: Fetch
  /** A float in [0, 1), for jitter. */
  readonly random?: () => number
}

/**
 * Finds a server that answers. Throws MeshError UNAVAILABLE if none does, BAD_REQUEST for a server that is no http URL.
 *
 * @example
 * await using mesh = await connect({ servers: ['http://127.0.0.1:8400', 'http://127.0.0.1:8401'] })
 * await mesh.publish('orders', { id: 7 }, { ack: 'majority' })
 * for await (const record of mesh.subscribe('orders', { from: 'earliest' })) console.log(record.json())
 */
export async function connect(options: ConnectOptions): Promise<Mesh> {
  const mesh = new Mesh(options)
  await mesh.self(options)
  return mesh
}

export interface CallOptions {
  readonly signal?: AbortSignal
}

export interface EventsOptions extends CallOptions {
  /** The id of the event before; else they are told `from` the `earliest` that is kept, or as they come from the `latest` on. */
  readonly after?: string
  readonly from?: 'earliest' | 'latest'
  readonly waitMs?: number
}

export interface SubscribeOptions extends CallOptions {
  /**
   * `earliest`, `latest` (the default), a cursor where there is one topic and no pattern, or a cursor for each topic:
   * those without one are read from their beginning.
   */
  readonly from?: string | CursorMap
}

export type AwaitOptions = CallOptions & Pick<PublishOptions, 'ack' | 'wait'>

export interface PageOptions extends CallOptions {
  /** `earliest` (the default), `latest` or the cursor of a record, page or publish. */
  readonly from?: string
  readonly limit?: number
  /** How long to wait for a first record if there is none, in milliseconds, at most 60 s. */
  readonly waitMs?: number
  /** Rather reject with RECORDS_LOST, whose facts have `gaps` and `cursor`, than go on behind what is not kept any more. */
  readonly strict?: boolean
}

export interface Page {
  readonly records: readonly ReceivedRecord[]
  readonly cursor: string
  /** False: the peer holds more beyond this page. */
  readonly upToDate: boolean
  /** True: it reaches nobody who keeps the topic, so there may be more. */
  readonly isolated?: boolean
  /** What is missing between the records, or waits at this peer. */
  readonly gaps: readonly Gap[]
}

/** Configuration of a topic, as much of it as is asked for. */
export type TopicAsked = Partial<TopicView['config']>

export interface DeletedTopic {
  readonly topic: string
  readonly generation: number
  readonly remains: string
}

export interface TopicList {
  readonly topics: readonly TopicSummary[]
  readonly deleted: readonly RemainsView[]
}

interface PageJson extends Omit<Page, 'records' | 'gaps'> {
  readonly records: readonly RecordJson[]
  readonly gaps?: readonly Gap[]
}

/** A mesh as seen through its gateways. Every call throws MeshError, or the reason of the signal that ended it. */
export class Mesh implements AsyncDisposable {
  readonly #servers: Servers
  readonly #closing = new AbortController()
  readonly #connection: Connection
  readonly #publisher: Publisher
  readonly #draining = new AbortController()
  /** Live reads that somebody is taking from. */
  readonly #streams = new Set<Promise<void>>()
  /** Cuts between peers, for those that were started with --lab. */
  readonly lab: Lab

  constructor(options: ConnectOptions) {
    const { answerMsMax = 10_000 } = options
    const urls = baseUrlsOf(options.servers)
    const { token, fetch: ask = (url, init) => fetch(url, init), random = Math.random } = options
    this.#servers = new Servers({ urls, fetch: fetchWith(token, ask), answerMsMax, random })
    this.#connection = new Connection({
      servers: this.#servers,
      backoff: options.backoff ?? defaultBackoff,
      random,
      answerMsMax,
      silenceMsMax: options.silenceMsMax ?? 45_000,
      learnServers: options.learnServers ?? true,
      binary: options.binary ?? true,
      token,
      signal: this.#closing.signal,
    })
    this.#publisher = new Publisher(this.#connection, {
      answerMsMax,
      outboxBytesMax: options.outboxBytesMax ?? outboxBytesMaxDefault,
      offline: options.offline ?? 'wait',
      signal: this.#closing.signal,
    })
    this.lab = new Lab((asked, options) => this.ask(asked, options))
  }

  /** The server that is asked first: the one that answered last. */
  get server(): string {
    return this.#servers.current
  }

  /** Publishes that are not answered yet, and about how many bytes they take here. */
  get outbox(): { readonly publishes: number; readonly bytes: number } {
    return this.#publisher.waiting
  }

  /** Where the connection is, now and whenever that changes; who is slow is told the last word only. */
  status(options: CallOptions = {}): AsyncGenerator<ConnectionStatus, never> {
    return this.#connection.status.follow(this.#signal(options.signal))
  }

  /**
   * Publishes one record. If the answer is lost it is sent again, to this or another server, and stored once all the same. If
   * a peer that is there does not answer in time, that is OUTCOME_UNKNOWN. What is published under load shares messages.
   */
  async publish(
    topic: string,
    value: PublishValue,
    options: PublishOptions & Omit<OutgoingRecord, 'value'> = {},
  ): Promise<Published> {
    const { ids, ...rest } = await this.publishMany(topic, [{ ...options, value }], options)
    return { id: ids[0] as string, ...rest }
  }

  /** Publishes records in one request: all or none are accepted, and read in this order. At most 10,000 and 8 MiB of JSON. */
  async publishMany(
    topic: string,
    records: readonly OutgoingRecord[],
    options: PublishOptions = {},
  ): Promise<PublishedMany> {
    const call = publishCall(topic, records, options)
    return publishedOf(await this.#publisher.publish({ ...call, signal: options.signal }))
  }

  /**
   * Records of these topics and patterns as they come, for ever; breaks are bridged. Topics that appear later are taken
   * in. Order is per writer. Ends by `break`, the signal or `close`.
   */
  async *subscribe(
    topics: string | readonly string[],
    options: SubscribeOptions = {},
  ): AsyncGenerator<ReceivedRecord, void> {
    for await (const item of this.stream(topics, options)) if (item.type === 'record') yield item.record
  }

  /** Like `subscribe`, with what happens in between: caught up, gaps, partitions, interruptions. */
  stream(topics: string | readonly string[], options: SubscribeOptions = {}): AsyncGenerator<StreamItem, void> {
    return streamOf(this.#connection, {
      topics: typeof topics === 'string' ? [topics] : topics,
      from: options.from ?? 'latest',
      signal: this.#signal(options.signal),
      drain: this.#draining.signal,
      streams: this.#streams,
    })
  }

  /** One page, from `earliest` unless said otherwise. Its cursor asks for the next one. */
  async read(topic: string, options: PageOptions = {}): Promise<Page> {
    const query = new URLSearchParams({ from: options.from ?? 'earliest' })
    if (options.limit !== undefined) query.set('limit', String(options.limit))
    if (options.waitMs !== undefined) query.set('wait', `${options.waitMs}ms`)
    if (options.strict === true) query.set('strict', 'true')
    const path = `${topicPath(topic)}/records?${query.toString()}`
    const page = await this.#get<PageJson>(path, options, options.waitMs)
    return { gaps: [], ...page, records: page.records.map((json) => new ReceivedRecord(json, page.cursor)) }
  }

  /** The token with that id is good no more, at any peer. Where that has been told before, nothing happens. */
  async revokeToken(id: string, options: CallOptions = {}): Promise<void> {
    const path = `/v1/tokens/${encodeURIComponent(id)}`
    await this.ask({ method: 'DELETE', path, repeatable: true }, options)
  }

  /** Returns if the process of the peer answers, on whatever side of a split it is. */
  async health(options: CallOptions = {}): Promise<void> {
    await this.#get('/healthz', options)
  }

  async topics(options: CallOptions & { readonly match?: string } = {}): Promise<readonly TopicSummary[]> {
    return (await this.topicList(options)).topics
  }

  /** The topics that the peer knows, and what it still has of deleted ones. */
  topicList(options: CallOptions & { readonly match?: string } = {}): Promise<TopicList> {
    const search = options.match === undefined ? '' : `?match=${encodeURIComponent(options.match)}`
    return this.#get(`/v1/topics${search}`, options)
  }

  /** A topic with its configuration. */
  topic(topic: string, options: CallOptions = {}): Promise<TopicView> {
    return this.#get(topicPath(topic), options)
  }

  /** Makes a topic, or finds it made as asked; what is left out is not asked for. Throws TOPIC_DIFFERS. */
  createTopic(topic: string, asked: TopicAsked = {}, options: CallOptions = {}): Promise<TopicView> {
    return this.ask({ method: 'PUT', path: topicPath(topic), json: asked }, options)
  }

  /**
   * Changes what is asked and nothing else; null asks for the default. With the `version` that was read it throws
   * TOPIC_CHANGED if there is another by now.
   */
  changeTopic(
    topic: string,
    asked: { readonly [Field in keyof TopicAsked]: TopicAsked[Field] | null },
    options: CallOptions & { readonly version?: string } = {},
  ): Promise<TopicView> {
    const { version } = options
    const headers = { 'if-match': version === undefined ? '*' : `"${version}"` }
    const repeatable = version === undefined
    return this.ask({ method: 'PATCH', path: topicPath(topic), json: asked, headers, repeatable }, options)
  }

  /**
   * Deletes a topic. Its name is free at once; what others published to it without knowing is read as `remains` for a
   * while. Not repeated if the answer is lost: a topic that was made since would be deleted.
   */
  deleteTopic(topic: string, options: CallOptions = {}): Promise<DeletedTopic> {
    return this.ask({ method: 'DELETE', path: topicPath(topic), repeatable: false }, options)
  }

  /** What every replica holds of the topic, as far as the peer that answers knows. */
  topicStatus(topic: string, options: CallOptions = {}): Promise<TopicStatus> {
    return this.#get(`${topicPath(topic)}/status`, options)
  }

  /** Which peers hold the record. */
  where(topic: string, recordId: string, options: CallOptions = {}): Promise<ReplicationStatus> {
    return this.#get(`${topicPath(topic)}/records/${encodeURIComponent(recordId)}/replication`, options)
  }

  /** Waits until the record has the copies that `ack` asks for, `majority` by default, whoever published it. */
  async awaitCopies(
    topic: string,
    recordId: string,
    options: AwaitOptions = {},
  ): Promise<Ack & { readonly id: string }> {
    const { ack = 'majority', wait } = options
    const query = new URLSearchParams({ level: ack, ...(wait !== undefined && { wait: durationText(wait) }) })
    const path = `${topicPath(topic)}/records/${encodeURIComponent(recordId)}/replication?${query.toString()}`
    const answer = await this.#get<{ readonly id: string; readonly ack: Ack }>(path, options, waitMsOf(wait))
    return { id: answer.id, ...answer.ack }
  }

  /** The peer that answers, with its clock and disk as they are. */
  self(options: CallOptions = {}): Promise<SelfNowView> {
    return this.#get('/v1/mesh/self', options)
  }

  async members(options: CallOptions = {}): Promise<readonly MemberView[]> {
    return (await this.#get<{ members: MemberView[] }>('/v1/mesh/members', options)).members
  }

  /** Peers that do not belong any more, and may be admitted again. */
  async forgotten(options: CallOptions = {}): Promise<readonly MemberView[]> {
    return (await this.#get<{ forgotten: MemberView[] }>('/v1/mesh/members', options)).forgotten
  }

  /**
   * The member, by id or name, is to hand over what it holds, and is forgotten when it has; `replication` of its own gateway
   * tells what is left. Throws MEMBER_NOT_FOUND, LAST_MEMBER.
   */
  decommission(member: string, options: CallOptions = {}): Promise<MemberView> {
    return this.#decide(member, 'decommission', options)
  }

  /** The member is gone, with what only it holds. Throws MEMBER_NOT_FOUND, LAST_MEMBER; without `force`, MEMBER_ALIVE. */
  forget(member: string, { force, ...options }: CallOptions & { readonly force?: boolean } = {}): Promise<MemberView> {
    return this.#decide(member, force === true ? 'forget?force=true' : 'forget', options)
  }

  /** The peer belongs again, whatever was decided before: also one that is being decommissioned. Throws MEMBER_NOT_FOUND. */
  admit(member: string, options: CallOptions = {}): Promise<MemberView> {
    return this.#decide(member, 'admit', options)
  }

  #decide(member: string, decision: string, options: CallOptions): Promise<MemberView> {
    const path = `/v1/mesh/members/${encodeURIComponent(member)}/${decision}`
    return this.ask({ method: 'POST', path }, options)
  }

  gossip(options: CallOptions = {}): Promise<GossipView> {
    return this.#get('/v1/mesh/gossip', options)
  }

  async links(options: CallOptions = {}): Promise<readonly LinkView[]> {
    return (await this.#get<{ links: LinkView[] }>('/v1/mesh/links', options)).links
  }

  /** Who can be reached from the peer that answers, and who cannot, since when and why. */
  partitions(options: CallOptions = {}): Promise<PartitionsView> {
    return this.#get('/v1/mesh/partitions', options)
  }

  /** The last cuts that are over, newest first, and what each has brought to both sides. */
  async heals(options: CallOptions = {}): Promise<readonly HealView[]> {
    return (await this.#get<{ heals: HealView[] }>('/v1/mesh/heals', options)).heals
  }

  /**
   * What has happened in the mesh as the peer that answers has seen it, after the event with that id or from the earliest that
   * is kept. Waits for a first event up to `waitMs`, at most 60 s. `gap`: some are not told.
   */
  events({ after, from, waitMs, ...options }: EventsOptions = {}): Promise<MeshEventPage> {
    const query = new URLSearchParams({ limit: '1000' })
    if (from !== undefined) query.set('from', from)
    if (after !== undefined) query.set('after', after)
    if (waitMs !== undefined) query.set('wait', `${waitMs}ms`)
    return this.#get(`/v1/mesh/events?${query.toString()}`, options, waitMs)
  }

  /** What flows between the peer that answers and others, and what waits for whom. */
  replication(options: CallOptions = {}): Promise<ReplicationView> {
    return this.#get('/v1/mesh/replication', options)
  }

  /** Resolves once everything that was published so far is answered, however that was. */
  async flush({ signal }: CallOptions = {}): Promise<void> {
    await untilAborted(this.#publisher.flush(), this.#signal(signal))
  }

  /**
   * Ends in good order: subscriptions give what has come and then end; once nobody takes from one any more, what was published
   * meanwhile is waited for; then it closes. If the signal ends the wait, nothing is closed.
   */
  async drain({ signal }: CallOptions = {}): Promise<void> {
    this.#draining.abort()
    const finish = Promise.all(this.#streams).then(() => this.#publisher.flush())
    await untilAborted(finish, this.#signal(signal))
    this.close()
  }

  /** Ends every call and subscription of this mesh at once. */
  close(): void {
    this.#closing.abort(new DOMException('the mesh was closed', 'AbortError'))
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  #get<T>(path: string, options: CallOptions, waitMs = 0): Promise<T> {
    return this.ask({ path, waitMs }, options)
  }

  /**
   * Any request of the API, for what there is no method for: `mesh.ask({ path: '/v1/log-level' })`. GET, and asked again at
   * the next server if no answer comes, unless said otherwise. `T` is the caller's word, nothing checks it.
   */
  ask<T>({ json, ...asked }: Asked, { signal }: CallOptions = {}): Promise<T> {
    const request: Request = {
      method: 'GET',
      repeatable: true,
      ...asked,
      ...(json && { body: JSON.stringify(json), headers: { 'content-type': 'application/json', ...asked.headers } }),
      signal: this.#signal(signal),
    }
    return this.#servers.ask(request, async (response) => {
      const text = await response.text()
      return (text === '' ? undefined : JSON.parse(text)) as T
    })
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
  }
}

/** One direction of a link, as the peer at its end suffers it (lab mode). */
export interface LabLink {
  /** Name or peer id of who sends. */
  readonly from: string
  /** How likely one sending of a frame is lost, in [0, 1]; at 1 nothing is heard of that peer. */
  readonly loss?: number
  /** One way. */
  readonly delayMs?: number
}

export interface Asked extends Partial<Omit<Request, 'signal' | 'body'>> {
  readonly path: string
  /** What is said in the body. */
  readonly json?: object
}

/** The answering peer alone is cut: to cut the mesh in two, tell every peer of one side, or better of both. */
class Lab {
  readonly #ask: <T>(asked: Asked, options: CallOptions) => Promise<T>

  constructor(ask: <T>(asked: Asked, options: CallOptions) => Promise<T>) {
    this.#ask = ask
  }

  /** From now on the peer is deaf and mute to these members (names or peer ids). Throws LAB_DISABLED, MEMBER_NOT_FOUND. */
  async drop(members: readonly string[], options: CallOptions = {}): Promise<void> {
    await this.#ask({ method: 'PUT', path: '/v1/lab/partition', json: { drop: members } }, options)
  }

  /**
   * From now on what these peers send arrives like that, and what others send at once. One direction: the other one is told to
   * the peer at its other end. Throws LAB_DISABLED, MEMBER_NOT_FOUND.
   */
  async setLinks(links: readonly LabLink[], options: CallOptions = {}): Promise<void> {
    await this.#ask({ method: 'PUT', path: '/v1/lab/links', json: { links } }, options)
  }

  /** How what other peers send arrives, as far as it was told so. */
  async links(options: CallOptions = {}): Promise<readonly Required<LabLink>[]> {
    return (await this.#ask<{ links: Required<LabLink>[] }>({ path: '/v1/lab/links' }, options)).links
  }

  /** Everything gets through again at once. */
  async heal(options: CallOptions = {}): Promise<void> {
    await this.#ask({ method: 'DELETE', path: '/v1/lab/partition' }, options)
  }
}

/** As much as a peer takes at a time, too. */
const outboxBytesMaxDefault = limits.pendingPublishBytesMax

/** Settles as the promise does, or rejects with the signal's reason, whatever comes first. */
function untilAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    if (signal.aborted) return abort()
    signal.addEventListener('abort', abort)
    void promise.then(() => resolve(), reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

const topicPath = (topic: string): string => `/v1/topics/${encodeURIComponent(topic)}`

function baseUrlsOf(servers: readonly string[]): readonly string[] {
  const urls = servers.map((text) => {
    const url = baseUrlOf(text)
    if (url !== undefined) return url
    throw new MeshError('BAD_REQUEST', `${text} is not the URL of a server, such as http://127.0.0.1:8400`)
  })
  if (urls.length === 0) throw new MeshError('BAD_REQUEST', 'no server was named')
  return [...new Set(urls)]
}
