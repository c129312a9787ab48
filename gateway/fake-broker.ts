import { type AckLevel, ackLevelText } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import type { Hash, TopicId } from '#protocol/ids'
import { encodeBatch } from '#protocol/log/batch'
import type { OffsetRange } from '#protocol/log/feed'
import { pureDigests } from '#protocol/log/pure-digests'
import { decodeRecords, encodeRecords } from '#protocol/log/record'
import { agrees, type AskedConfig, configJson, type TopicConfig, topicConfigDefaults } from '#protocol/topic-config'
import { matchesTopic, type TopicName, type TopicPattern } from '#protocol/topic-name'
import type {
  HealView,
  LinkView,
  MemberView,
  MeshEvent,
  PartitionsView,
  RemainsView,
  ReplicationStatus,
  ReplicationView,
  SelfView,
  TopicStatus,
  TopicSummary,
  TopicView,
} from '#protocol/views'
import type {
  BatchChunk,
  BatchReader,
  Broker,
  EncodedPublish,
  IntervalChunk,
  IntervalRequest,
  Lab,
  MemberDecision,
  MeshEventLog,
  PublishAck,
  PublishRequest,
  PublishResult,
  Reachability,
  ReadChunk,
  RecordToPublish,
  ReadFrom,
  ReadGap,
  RecordId,
  StoredRecord,
  Unreadiness,
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
  condition(): { now: string } {
    return { now: '2026-01-01T00:01:00.000Z' }
  }

  lab?: Lab
  /** What the next publishes reach; a mesh of more than one peer in effect. */
  reached = true
  /** Thrown by whatever is asked next. */
  failure: Error | undefined
  readonly published: PublishRequest[] = []
  readonly awaited: { readonly id: RecordId; readonly waitMs: number }[] = []
  /** What the next chunks say is missing, one after the other. */
  readonly gaps: (readonly ReadGap[])[] = []
  /** What each batch is to be read without. */
  skip: readonly OffsetRange[] = []
  /** At most so many records at once. */
  chunkMax = Number.POSITIVE_INFINITY
  /** Does it reach nobody who keeps its topics? */
  isolated = false
  readonly #topics = new Map<TopicName, StoredRecord[]>()
  readonly #configs = new Map<TopicName, TopicConfig>()
  readonly #generations = new Map<TopicName, number>()
  /** What is left of deleted topics. */
  remains: RemainsView[] = []
  readonly #waiters = new Set<() => void>()
  /** What this broker believes; `meshChanges` tells it. */
  reachable: Reachability = { reachable: ['elm', 'oak'], known: ['elm', 'oak'] }
  readonly #topicListeners = new Set<(topic: TopicName) => void>()
  readonly #meshListeners = new Set<() => void>()
  #draining = false

  /** Why it takes no publishes, while it serves readers. */
  isGoing: 'decommissioned' | 'forgotten' | undefined

  ready(): { ready: boolean; reason?: Unreadiness } {
    if (this.isGoing !== undefined) return { ready: false, reason: this.isGoing }
    return this.#draining ? { ready: false, reason: 'draining' } : { ready: true }
  }

  drain(): void {
    this.#draining = true
    this.#wake()
  }

  async started(): Promise<void> {}

  readonly revoked: string[] = []
  async revokeToken(id: string): Promise<void> {
    this.revoked.push(id)
  }

  async putTopic(topic: TopicName, asked: AskedConfig): Promise<{ created: boolean }> {
    this.#failIfAsked()
    const config = this.#configs.get(topic)
    if (config !== undefined && !agrees(config, asked)) throw new MeshError('TOPIC_DIFFERS')
    this.#configs.set(topic, config ?? { ...topicConfigDefaults, ...asked })
    this.#recordsOf(topic)
    return { created: config === undefined }
  }

  async patchTopic(topic: TopicName, asked: AskedConfig, version: string | undefined): Promise<void> {
    const config = this.#configs.get(topic)
    if (config === undefined) throw new MeshError('TOPIC_NOT_FOUND')
    if (version !== undefined && version !== this.#versionOf(topic)) throw new MeshError('TOPIC_CHANGED')
    this.#configs.set(topic, { ...config, ...asked })
  }

  async deleteTopic(topic: TopicName): Promise<{ generation: number }> {
    const generation = this.#generations.get(topic) ?? 0
    if (!this.#topics.delete(topic)) throw new MeshError('TOPIC_NOT_FOUND')
    this.#configs.delete(topic)
    this.#generations.set(topic, generation + 1)
    this.#wake()
    return { generation }
  }

  deletedTopics(match?: TopicPattern): RemainsView[] {
    return this.remains.filter(({ topic }) => match === undefined || matchesTopic(match, topic))
  }

  async topic(topic: TopicName): Promise<TopicView | undefined> {
    const config = this.#configs.get(topic)
    const offsets = [{ feed: this.#feed, earliest: 0, next: this.#recordsOf(topic).length }]
    return config && { ...this.#summaryOf(topic), offsets, config: configJson(config), version: this.#versionOf(topic) }
  }

  readableTopics(): TopicName[] {
    return [...this.#topics.keys()]
  }

  #versionOf(topic: TopicName): string {
    return `v${JSON.stringify(this.#configs.get(topic)).length}`
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

  async topicStatus(topic: TopicName): Promise<TopicStatus | undefined> {
    if (!this.#topics.has(topic)) return undefined
    const { records } = this.#summaryOf(topic)
    const feeds = [{ feed: this.#feed, floor: 0, nextOffset: records, hash: 'aa'.repeat(32) }]
    const replica = { peer: 'oak-id', name: 'oak', role: 'home', state: 'alive', current: true, lag: 0, feeds } as const
    return { ...this.#summaryOf(topic), converged: true, registryVersion: '1', replicas: [replica] }
  }

  async publish(request: PublishRequest): Promise<PublishResult> {
    this.#failIfAsked()
    if (this.#draining) throw new MeshError('DRAINING')
    if (!this.#topics.has(request.topic)) await this.putTopic(request.topic, {})
    this.published.push(request)
    const from = this.#recordsOf(request.topic).length
    for (const record of request.records) this.append(request.topic, record)
    this.#wake()
    const runs = [{ feed: this.#feed, from, count: request.records.length }]
    return { runs, cursor: `after-${this.#recordsOf(request.topic).length}`, ack: this.#ackOf(request.ack) }
  }

  /** Whatever the bytes are, as long as they are records. */
  publishEncoded({ encoded, ...terms }: EncodedPublish): Promise<PublishResult> {
    const records = decodeRecords(encoded.bytes, encoded.count)
    if (typeof records === 'string') return Promise.reject(new MeshError('BAD_REQUEST', records))
    const unnumbered = records.map(({ key, headers, value }) => ({ ...(key && { key }), headers, value }))
    return this.publish({ ...terms, records: unnumbered })
  }

  #ackOf(level: AckLevel): PublishAck {
    const { reached } = this
    return { level: ackLevelText(level), reached, copies: 1, peers: ['oak'], registryVersion: '1', home: ['oak'] }
  }

  /** One record more, whose hybrid-clock time is a second per offset. */
  append(topic: TopicName, { key, headers, value }: RecordToPublish): StoredRecord {
    const records = this.#recordsOf(topic)
    const offset = records.length
    const place = { id: `${this.#feed}.${offset}`, topic, feed: this.#feed, offset, timeMs: offset * 1_000 }
    const stored: StoredRecord = { ...place, ...(key !== undefined && { key }), headers, value }
    records.push(stored)
    return stored
  }

  async open(topic: TopicName, from: ReadFrom): Promise<BatchReader> {
    this.#failIfAsked()
    if (!this.#topics.has(topic)) throw new MeshError('TOPIC_NOT_FOUND')
    return new FakeReader(this.#recordsOf(topic), this.#positionOf(topic, from), this, topic)
  }

  isCursor(text: string): boolean {
    return /^after-\d+$/.test(text)
  }

  #positionOf(topic: TopicName, from: ReadFrom): number {
    if (from.type === 'earliest') return 0
    if (from.type === 'time') return this.#recordsOf(topic).filter(({ timeMs }) => timeMs < from.ms).length
    if (from.type === 'latest') return this.#recordsOf(topic).length
    if (from.type === 'named') {
      const cursor = this.#named.get(`${topic} ${from.name}`)
      if (cursor === undefined && from.orEarliest !== true) throw new MeshError('CURSOR_NOT_FOUND')
      return cursor === undefined ? 0 : this.#positionOf(topic, { type: 'cursor', cursor })
    }
    const digits = /^after-(\d+)$/.exec(from.cursor)?.[1]
    if (digits === undefined) throw new MeshError('CURSOR_INVALID')
    return Number(digits)
  }

  readonly #named = new Map<string, string>()

  async namedCursor(topic: TopicName, name: string): Promise<string | undefined> {
    return this.#named.get(`${topic} ${name}`)
  }

  async putNamedCursor(topic: TopicName, name: string, cursor: string): Promise<string> {
    this.#failIfAsked()
    this.#positionOf(topic, { type: 'cursor', cursor })
    this.#named.set(`${topic} ${name}`, cursor)
    return cursor
  }

  async deleteNamedCursor(topic: TopicName, name: string): Promise<boolean> {
    return this.#named.delete(`${topic} ${name}`)
  }

  async interval(topic: TopicName, { fromMs, toMs, after, limit }: IntervalRequest): Promise<IntervalChunk> {
    if (!this.#topics.has(topic)) throw new MeshError('TOPIC_NOT_FOUND')
    const all = this.#recordsOf(topic).filter(({ timeMs }) => timeMs >= fromMs && timeMs <= toMs)
    const rest = all.filter(({ offset }) => after === undefined || offset > after.offset)
    const records = rest.slice(0, limit)
    const last = records.at(-1)
    const more = last !== undefined && rest.length > limit
    const next = more && { next: { ms: last.timeMs, counter: 0, feed: last.feed, offset: last.offset } }
    return { records, ...next, complete: !this.isolated, gaps: this.gaps.shift() ?? [] }
  }

  async record(topic: TopicName, id: RecordId): Promise<StoredRecord | undefined> {
    this.#failIfAsked()
    return this.#topics.get(topic)?.[id.offset]
  }

  async replication(topic: TopicName, id: RecordId): Promise<ReplicationStatus | undefined> {
    const record = this.#topics.get(topic)?.[id.offset]
    if (record === undefined) return undefined
    const oak = { peer: 'oak-id', name: 'oak', role: 'home', holds: true, current: true } as const
    return { id: record.id, copies: 1, peers: [oak], registryVersion: '1', home: ['oak'] }
  }

  async awaitCopies(topic: TopicName, id: RecordId, level: AckLevel, waitMs: number): Promise<PublishAck | undefined> {
    this.#failIfAsked()
    this.awaited.push({ id, waitMs })
    return this.#topics.get(topic)?.[id.offset] && this.#ackOf(level)
  }

  /** What was decided of whom. */
  readonly decisions: [string, MemberDecision][] = []

  forgotten(): MemberView[] {
    return [{ ...memberView('yew', { state: 'dead' }), status: 'forgotten' }]
  }

  decide(id: string, decision: MemberDecision): Promise<MemberView> {
    this.decisions.push([id, decision])
    const member = [...this.members(), ...this.forgotten()].find((one) => one.id === id)
    return member === undefined ? Promise.reject(new MeshError('MEMBER_NOT_FOUND')) : Promise.resolve(member)
  }

  members(): MemberView[] {
    this.#failIfAsked()
    return [memberView('oak', { self: true }), memberView('elm', {}), memberView('ash', { state: 'dead' })]
  }

  gossip() {
    const self = { id: 'oak-id', name: 'oak', incarnation: 1, awareness: 0 }
    return {
      self,
      members: this.members(),
      forgotten: [],
      rumors: [],
      probes: [],
      roundTrips: [],
      pushPulls: [],
      events: [],
    }
  }

  links(): LinkView[] {
    return [{ peer: 'elm-id', name: 'elm', state: 'up', sinceMs: 5, rttMs: 1, creditOut: 100, creditIn: 100 }]
  }

  partitions(): PartitionsView {
    const { reachable, known } = this.reachable
    const named = (names: readonly string[]) => names.map((name) => ({ peer: `${name}-id`, name }))
    const lost = known.filter((name) => !reachable.includes(name))
    const away = { side: 'away' as const, since: '2026-01-01T00:00:10.000Z', sinceMs: 1_000, members: named(lost) }
    const islands = [{ side: 'ours' as const, members: named(reachable) }, ...(lost.length > 0 ? [away] : [])]
    return { split: lost.length > 0, islands }
  }

  readonly events = new FakeEvents()

  heals(): readonly HealView[] {
    return []
  }

  meshReplication(): ReplicationView {
    const none = { behindRecords: 0, behindFeeds: 0, damagedRecords: 0, lostRecords: 0, followedTopics: 0 }
    const counts = { rangesFound: 0, rangesRepaired: 0, handedOff: 0, forgotten: 0, verifications: 0 }
    const totals = { diskFull: false, ...none, ...counts, remoteReads: 0, waitingPublishes: 0 }
    const lists = { neighbors: [], behind: [], catchUps: [], repairs: [], handoffs: [] }
    return { totals, ...lists, leftOut: { neighbors: 0, behind: 0, repairs: 0, handoffs: 0 } }
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

  /** Are these the records of the topic, or of one that had its name before? */
  holds(topic: TopicName, records: readonly StoredRecord[]): boolean {
    return this.#topics.get(topic) === records
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
    const topicId = 'bb'.repeat(16) as TopicId
    const generation = this.#generations.get(topic) ?? 0
    return { topic, topicId, generation, kept: true, records: this.#recordsOf(topic).length, feeds: 1 }
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

class FakeReader implements BatchReader {
  readonly #records: readonly StoredRecord[]
  readonly #broker: FakeBroker
  readonly #topic: TopicName
  #position: number

  constructor(records: readonly StoredRecord[], position: number, broker: FakeBroker, topic: TopicName) {
    this.#topic = topic
    this.#records = records
    this.#position = position
    this.#broker = broker
  }

  get cursor(): string {
    return `after-${this.#position}`
  }

  async next(limit: number): Promise<ReadChunk> {
    if (this.#broker.failure !== undefined) throw this.#broker.failure
    if (!this.#broker.holds(this.#topic, this.#records)) throw new MeshError('TOPIC_DELETED')
    const records = this.#records
      .slice(this.#position, this.#position + Math.min(limit, this.#broker.chunkMax))
      .map((record) => {
        this.#position++
        return { record, cursor: this.cursor }
      })
    const gaps = this.#broker.gaps.shift()
    const upToDate = this.#position === this.#records.length
    const isolated = upToDate && this.#broker.isolated && { isolated: true }
    return { records, cursor: this.cursor, upToDate, ...isolated, ...(gaps && { gaps }) }
  }

  /** What `next` brings, as one batch. */
  async nextBatches(limit: number): Promise<BatchChunk> {
    const from = this.#position
    const { records, ...end } = await this.next(limit)
    if (records.length === 0) return { ...end, batches: [] }
    const { feed, timeMs } = (records[0] as (typeof records)[number]).record
    const { bytes } = encodeBatch(
      {
        baseOffset: from,
        hlc: { ms: timeMs, counter: 0 },
        previousHash: 'aa'.repeat(32) as Hash,
        recordSets: [
          encodeRecords(
            records.map(({ record: { key, headers, value } }) => ({ ...(key && { key }), headers, value })),
          ),
        ],
      },
      pureDigests,
    )
    const { skip } = this.#broker
    const batch = { topic: this.#topic, feed, bytes, from, skip, count: records.length, cursor: this.cursor }
    return { ...end, batches: [batch] }
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
  status: 'member',
  incarnation: 1,
  sinceMs: 1_000,
  http: `http://${name}:8400`,
  addresses: [`${name}:7400`],
  zone: '',
  linked: !self && state === 'alive',
})

/** Events as the test tells them, of which the last four are kept. */
export class FakeEvents implements MeshEventLog {
  readonly #all: MeshEvent[] = []
  readonly #listeners = new Set<() => void>()

  happens(...texts: readonly string[]): void {
    for (const text of texts) {
      const id = this.idAt(this.#all.length + 1)
      this.#all.push({ id, type: 'suspected', time: '2026-01-01T00:00:00.000Z', text })
    }
    for (const listener of this.#listeners) listener()
  }

  get start(): number {
    return Math.max(0, this.#all.length - 4)
  }

  get end(): number {
    return this.#all.length
  }

  get listenerCount(): number {
    return this.#listeners.size
  }

  idAt(position: number): string {
    return `boot1.${position}`
  }

  positionOf(id: string): number | undefined {
    const [boot, number] = id.split('.')
    return boot === 'boot1' ? Number(number) : undefined
  }

  read(position: number, max: number): readonly MeshEvent[] {
    const from = Math.max(position, this.start)
    return this.#all.slice(from, from + max)
  }

  onEvent(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
