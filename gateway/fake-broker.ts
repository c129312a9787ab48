import { ackLevelText } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import type { LogRecord } from '#protocol/log/record'
import { matchesTopic, type TopicName, type TopicPattern } from '#protocol/topic-name'
import type { LinkView, MemberView, ReplicationStatus, SelfView, TopicStatus, TopicSummary } from '#protocol/views'
import type {
  Broker,
  Lab,
  PublishRequest,
  PublishResult,
  Reachability,
  ReadChunk,
  Reader,
  ReadFrom,
  ReadGap,
  RecordId,
  StoredRecord,
} from './broker.ts'

/** A broker in memory, alone in its mesh, for the tests of the gateway: one feed per topic, cursors that say what they mean. */
export class FakeBroker implements Broker {
  readonly self: SelfView = {
    peerId: 'oak-id',
    name: 'oak',
    cluster: 'grapevine',
    epoch: '0123456789abcdef',
    http: 'http://127.0.0.1:8400',
    listen: ['127.0.0.1:7400'],
    version: '0.1.0',
    startedAt: '2026-01-01T00:00:00.000Z',
    storage: 'memory',
  }
  lab?: Lab
  /** What the next publishes reach; a mesh of more than one peer in effect. */
  reached = true
  /** Thrown by whatever is asked next. */
  failure: Error | undefined
  readonly published: PublishRequest[] = []
  /** What the next chunks say is missing, one after the other. */
  readonly gaps: (readonly ReadGap[])[] = []
  readonly #topics = new Map<TopicName, StoredRecord[]>()
  readonly #waiters = new Set<() => void>()
  /** What this broker believes; `meshChanges` tells it. */
  reachable: Reachability = { reachable: ['elm', 'oak'], known: ['elm', 'oak'] }
  readonly #topicListeners = new Set<(topic: TopicName) => void>()
  readonly #meshListeners = new Set<() => void>()
  #draining = false

  ready(): { ready: boolean; reason?: string } {
    return this.#draining ? { ready: false, reason: 'draining' } : { ready: true }
  }

  drain(): void {
    this.#draining = true
    this.#wake()
  }

  async createTopic(topic: TopicName): Promise<{ created: boolean }> {
    this.#failIfAsked()
    const created = !this.#topics.has(topic)
    this.#recordsOf(topic)
    return { created }
  }

  onTopic(listener: (topic: TopicName) => void): () => void {
    this.#topicListeners.add(listener)
    return () => this.#topicListeners.delete(listener)
  }

  reachability(): Reachability {
    return this.reachable
  }

  onMeshChange(listener: () => void): () => void {
    this.#meshListeners.add(listener)
    return () => this.#meshListeners.delete(listener)
  }

  /** Who is told of topics and of the mesh. */
  get listenerCount(): number {
    return this.#topicListeners.size + this.#meshListeners.size
  }

  meshChanges(reachable: readonly string[], known: readonly string[]): void {
    this.reachable = { reachable, known }
    for (const listener of this.#meshListeners) listener()
  }

  topics(match?: TopicPattern): TopicSummary[] {
    return [...this.#topics.keys()]
      .filter((topic) => match === undefined || matchesTopic(match, topic))
      .toSorted()
      .map((topic) => this.#summaryOf(topic))
  }

  topicStatus(topic: TopicName): TopicStatus | undefined {
    if (!this.#topics.has(topic)) return undefined
    const { records } = this.#summaryOf(topic)
    const feeds = [{ feed: this.#feed, floor: 0, nextOffset: records, hash: 'aa'.repeat(32) }]
    const replica = { peer: 'oak-id', name: 'oak', state: 'alive', current: true, lag: 0, feeds }
    return { ...this.#summaryOf(topic), converged: true, replicas: [replica] }
  }

  async publish(request: PublishRequest): Promise<PublishResult> {
    this.#failIfAsked()
    if (this.#draining) throw new MeshError('DRAINING')
    await this.createTopic(request.topic)
    this.published.push(request)
    const ids = request.records.map((record) => this.append(request.topic, record).id)
    this.#wake()
    const { reached } = this
    const ack = {
      level: ackLevelText(request.ack),
      reached,
      copies: 1,
      peers: ['oak'],
      registryVersion: '1',
      home: ['oak'],
    }
    return { ids, cursor: `after-${this.#recordsOf(request.topic).length}`, ack }
  }

  /** One record more, whose hybrid-clock time is a second per offset. */
  append(topic: TopicName, { key, headers, value }: LogRecord): StoredRecord {
    const records = this.#recordsOf(topic)
    const offset = records.length
    const place = { id: `${this.#feed}.${offset}`, topic, feed: this.#feed, offset, timeMs: offset * 1_000 }
    const stored: StoredRecord = { ...place, ...(key !== undefined && { key }), headers, value }
    records.push(stored)
    return stored
  }

  async open(topic: TopicName, from: ReadFrom): Promise<Reader> {
    this.#failIfAsked()
    if (!this.#topics.has(topic)) throw new MeshError('TOPIC_NOT_FOUND')
    return new FakeReader(this.#recordsOf(topic), this.#positionOf(topic, from), this)
  }

  #positionOf(topic: TopicName, from: ReadFrom): number {
    if (from.type === 'earliest') return 0
    if (from.type === 'latest') return this.#recordsOf(topic).length
    const digits = /^after-(\d+)$/.exec(from.cursor)?.[1]
    if (digits === undefined) throw new MeshError('CURSOR_INVALID')
    return Number(digits)
  }

  async record(topic: TopicName, id: RecordId): Promise<StoredRecord | undefined> {
    this.#failIfAsked()
    return this.#topics.get(topic)?.[id.offset]
  }

  replication(topic: TopicName, id: RecordId): ReplicationStatus | undefined {
    const record = this.#topics.get(topic)?.[id.offset]
    if (record === undefined) return undefined
    const oak = { peer: 'oak-id', name: 'oak', holds: true, current: true }
    return { id: record.id, copies: 1, peers: [oak], home: ['oak'] }
  }

  members(): MemberView[] {
    this.#failIfAsked()
    return [memberView('oak', { self: true }), memberView('elm', {}), memberView('ash', { state: 'dead' })]
  }

  gossip() {
    const self = { id: 'oak-id', name: 'oak', incarnation: 1 }
    return { self, members: this.members(), rumors: [], probes: [], roundTrips: [], pushPulls: [], events: [] }
  }

  links(): LinkView[] {
    return [{ peer: 'elm-id', name: 'elm', state: 'up', sinceMs: 5, rttMs: 1, creditOut: 100, creditIn: 100 }]
  }

  /** Resolves when something was published, or the signal aborts, or this broker drains. */
  more(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#draining) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiters.add(done)
      signal.addEventListener('abort', done)
    })
  }

  get #feed(): string {
    return `${this.self.peerId}.${this.self.epoch}`
  }

  #recordsOf(topic: TopicName): StoredRecord[] {
    const known = this.#topics.get(topic)
    if (known !== undefined) return known
    const records: StoredRecord[] = []
    this.#topics.set(topic, records)
    for (const listener of this.#topicListeners) listener(topic)
    return records
  }

  #summaryOf(topic: TopicName): TopicSummary {
    return { topic, topicId: 'bb'.repeat(16), records: this.#recordsOf(topic).length, feeds: 1 }
  }

  /** Readers look again, as when another topic's news came with theirs. */
  stir(): void {
    this.#wake()
  }

  get waitingReaders(): number {
    return this.#waiters.size
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter()
  }

  #failIfAsked(): void {
    if (this.failure !== undefined) throw this.failure
  }
}

class FakeReader implements Reader {
  readonly #records: readonly StoredRecord[]
  readonly #broker: FakeBroker
  #position: number

  constructor(records: readonly StoredRecord[], position: number, broker: FakeBroker) {
    this.#records = records
    this.#position = position
    this.#broker = broker
  }

  get cursor(): string {
    return `after-${this.#position}`
  }

  async next(limit: number): Promise<ReadChunk> {
    if (this.#broker.failure !== undefined) throw this.#broker.failure
    const records = this.#records.slice(this.#position, this.#position + limit).map((record) => {
      this.#position++
      return { record, cursor: this.cursor }
    })
    const gaps = this.#broker.gaps.shift()
    const upToDate = this.#position === this.#records.length
    return { records, cursor: this.cursor, upToDate, ...(gaps && { gaps }) }
  }

  more(signal: AbortSignal): Promise<void> {
    return this.#position < this.#records.length ? Promise.resolve() : this.#broker.more(signal)
  }
}

const memberView = (name: string, { self = false, state = 'alive' as MemberView['state'] }): MemberView => ({
  id: `${name}-id`,
  name,
  self,
  state,
  incarnation: 1,
  sinceMs: 1_000,
  http: `http://${name}:8400`,
  addresses: [`${name}:7400`],
  zone: '',
  linked: !self && state === 'alive',
})
