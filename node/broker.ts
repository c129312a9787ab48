import type {
  Broker,
  EncodedPublish,
  IntervalChunk,
  IntervalRequest,
  Lab,
  MemberDecision,
  PublishAck,
  PublishRequest,
  PublishResult,
  Reachability,
  BatchReader,
  ReadFrom,
  RecordId,
  StoredRecord,
  Unreadiness,
} from '#gateway/broker'
import { type AckLevel, ackLevelText } from '#protocol/ack-level'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { type Epoch, parseEpoch, parsePeerId, type PeerId, type TopicId } from '#protocol/ids'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { decodeCursor, encodeCursor, parseCursor } from '#protocol/log/cursor'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { hlcZero } from '#protocol/log/hybrid-clock'
import { type RecordSet, recordSetBytes } from '#protocol/log/record'
import { lineageOf, normalizeVector, vectorKeyOf, writerHashOf } from '#protocol/log/version-vector'
import { limits } from '#protocol/limits'
import type { Peer } from '#protocol/peer/peer'
import type { MembershipSnapshot } from '#protocol/membership/snapshot'
import { canServe } from '#protocol/replication/holding'
import type { FeedDigest } from '#protocol/replication/messages'
import type { SettledPublish } from '#protocol/replication/inputs'
import { topicHeads } from '#protocol/replication/status'
import type { AskedConfig } from '#protocol/topic-config'
import {
  isInternal,
  matchesTopic,
  type TopicName,
  type TopicPattern,
  revocationsTopic,
  topicsTopic,
} from '#protocol/topic-name'
import type {
  FeedHead,
  GossipView,
  HealView,
  LinkView,
  MemberView,
  PartitionsView,
  RemainsView,
  ReplicationStatus,
  ReplicationView,
  SelfNowView,
  SelfView,
  TopicStatus,
  TopicSummary,
  TopicView,
} from '#protocol/views'
import { CursorBook } from './cursor-book.ts'
import { encodeRevocation } from './auth/mesh-revocations.ts'
import { CurrentReader, topicDeleted } from './current-reader.ts'
import type { PeerDriver, PublishAnswer } from './driver.ts'
import type { Clock } from './driver-ports.ts'
import { isKnownUpTo } from './known-ends.ts'
import { MeshEvents } from './mesh-events.ts'
import { healView, partitionsView, type ViewDeps } from './partition-views.ts'
import { nextAdvance } from './read-source.ts'
import { cursorOf } from './read-start.ts'
import { type FeedView, openReader } from './reader.ts'
import { replicationView } from './replication-view.ts'
import { type AnyPublish, countOf, recordSetsOf } from './record-sets.ts'
import { SharedRecords, tripleOf } from './shared-records.ts'
import { readInterval } from './time-order.ts'
import { remainsViews, topicNames, topicSummary, topicView } from './topic-views.ts'

export interface BrokerDeps {
  readonly clock: Clock
  readonly digests: Digests
  /** What happens in the mesh; none, where nobody is told. */
  readonly events?: MeshEvents
  /** Told of every publish that is over. */
  readonly onPublish?: (publish: PublishFigures) => void
  /** Told of every read of the log for a client that brought records. */
  readonly onRead?: (records: number) => void
}

export interface PublishFigures {
  readonly level: AckLevel['type']
  /** `unreached`: durable here, but not on as many peers as asked for in time. `refused`: nothing was accepted. */
  readonly outcome: 'reached' | 'unreached' | 'refused'
  readonly records: number
  readonly bytes: number
  readonly tookMs: number
}

/**
 * The gateway's view of this peer. The gateway listens before the peer has booted (its address is one of the facts that a
 * peer tells of itself), so the driver is attached later; until then, and from `drain` on, the peer is not ready.
 */
export class PeerBroker implements Broker {
  readonly #deps: BrokerDeps
  #self: SelfView
  #driver: PeerDriver | undefined
  #lab: Lab | undefined
  #cursors: CursorBook | undefined
  readonly #shared = new SharedRecords()
  #reachability: Reachability | undefined
  #cursor: { topicId?: TopicId; inputsHandled: number; text: string } = { inputsHandled: 0, text: '' }
  readonly #draining = new AbortController()
  readonly #booted = Promise.withResolvers<PeerDriver>()
  readonly events: MeshEvents

  constructor(self: SelfView, deps: BrokerDeps) {
    this.#self = self
    this.#deps = deps
    this.events = deps.events ?? new MeshEvents(self.epoch, deps.clock)
  }

  attach(driver: PeerDriver, self: SelfView, lab: Lab | undefined): void {
    this.#driver = driver
    driver.onMesh.add(() => (this.#reachability = undefined))
    this.#self = self
    this.#lab = lab
    this.#booted.resolve(driver)
  }

  /** From now on nothing new is accepted. */
  drain(): void {
    this.#draining.abort()
    this.#driver?.drain()
  }

  get self(): SelfView {
    return this.#self
  }

  async started(): Promise<void> {
    await this.#booted.promise
  }

  condition(): Pick<SelfNowView, 'now' | 'disk'> {
    const disk = this.#driver?.disk
    return { now: new Date(this.#deps.clock.wallMs()).toISOString(), ...(disk && { disk }) }
  }

  get lab(): Lab | undefined {
    return this.#lab
  }

  ready(): { readonly ready: boolean; readonly reason?: Unreadiness } {
    if (this.#draining.signal.aborted) return { ready: false, reason: 'draining' }
    if (this.#driver === undefined) return { ready: false, reason: 'starting' }
    const { membership, self } = this.#driver.peer
    const status = membership.statusOf(self)?.type
    if (status === 'leaving') return { ready: false, reason: 'decommissioned' }
    return status === 'forgotten' ? { ready: false, reason: 'forgotten' } : { ready: true }
  }

  // Topics ------------------------------------------------------------------------------------------------------------

  putTopic(topic: TopicName, asked: AskedConfig): Promise<{ readonly created: boolean }> {
    return this.#accepting().editTopic(topic, { type: 'put', asked, atMs: this.#deps.clock.wallMs() })
  }

  async patchTopic(topic: TopicName, asked: AskedConfig, version: string | undefined): Promise<void> {
    await this.#accepting().editTopic(topic, { type: 'patch', asked, version, atMs: this.#deps.clock.wallMs() })
  }

  async deleteTopic(topic: TopicName): Promise<{ readonly generation: number }> {
    const { peer, source } = this.#accepting()
    // Where the topic is not kept, what there is of it has to be asked for first.
    await source.settled(peer.topicIdOf(topic))
    const { generation } = peer.topics.get(topic)
    await this.#accepting().editTopic(topic, { type: 'delete', atMs: this.#deps.clock.wallMs() })
    return { generation }
  }

  topics(match?: TopicPattern): readonly TopicSummary[] {
    const driver = this.#running()
    return [...topicNames(driver)]
      .filter((topic) => match === undefined || matchesTopic(match, topic))
      .toSorted()
      .flatMap((topic) => topicSummary(driver, topic) ?? [])
  }

  readableTopics(): readonly TopicName[] {
    const remains = this.deletedTopics().map(({ topic }) => topic)
    return [...topicNames(this.#running()), topicsTopic, ...remains]
  }

  deletedTopics(match?: TopicPattern): readonly RemainsView[] {
    return remainsViews(this.#running(), match)
  }

  async topic(topic: TopicName): Promise<TopicView | undefined> {
    const driver = this.#running()
    await driver.source.settled(driver.peer.topicIdOf(topic))
    return topicView(driver, topic)
  }

  isCursor(text: string): boolean {
    return typeof parseCursor(text, this.#deps.digests) !== 'string'
  }

  onTopic(listener: (topic: TopicName) => void): () => void {
    return this.#running().onTopic.add(listener)
  }

  async topicStatus(topic: TopicName): Promise<TopicStatus | undefined> {
    const driver = this.#running()
    await driver.source.settled(driver.peer.topicIdOf(topic))
    const summary = topicSummary(driver, topic)
    if (summary === undefined) return undefined
    const { peer } = driver
    const { topicId } = summary
    const members = new Map(this.members().map((member) => [member.id, member]))
    const { converged, replicas } = topicHeads(peer.replication, peer.self, topicId)
    const { registryVersion } = peer.replication.homes.of(topicId)
    return {
      ...summary,
      converged,
      registryVersion,
      replicas: replicas.map(({ peer: id, role, current, lag, heads }) => ({
        peer: id,
        name: members.get(id)?.name ?? id,
        role,
        state: members.get(id)?.state ?? 'alive',
        current,
        lag,
        feeds: heads.map(({ feed, ...head }) => feedHead(feedText(feed), head)),
      })),
    }
  }

  // Publishing --------------------------------------------------------------------------------------------------------

  publish(request: PublishRequest): Promise<PublishResult> {
    return this.#take(request)
  }

  publishEncoded(request: EncodedPublish): Promise<PublishResult> {
    return this.#take(request)
  }

  /** What waits for copies, maybe for a minute, are numbers: nothing here holds the request, whose bytes are in the log by then. */
  #take(request: AnyPublish): Promise<PublishResult> {
    const { clock, onPublish } = this.#deps
    const startMs = clock.nowMs()
    const level = request.ack.type
    const records = countOf(request)
    const tell = (outcome: PublishFigures['outcome'], bytes: number): void =>
      onPublish?.({ level, outcome, records, bytes, tookMs: clock.nowMs() - startMs })
    const refuse = (error: unknown): never => {
      tell('refused', 0)
      throw error
    }
    const { answers, bytes } = this.#begin(request)
    return answers.then((result) => {
      tell(result.ack.reached ? 'reached' : 'unreached', bytes)
      return result
    }, refuse)
  }

  #begin(request: AnyPublish): { readonly answers: Promise<PublishResult>; readonly bytes: number } {
    try {
      const sets = this.#encode(request)
      const bytes = sets.reduce((sum, set) => sum + recordSetBytes(set), 0)
      return { answers: this.#publish(request, sets), bytes }
    } catch (error) {
      return { answers: Promise.reject(error as Error), bytes: 0 }
    }
  }

  #encode(request: AnyPublish): readonly RecordSet[] {
    this.#accepting()
    if (countOf(request) === 0) throw new MeshError('BAD_REQUEST', 'A publish has at least one record')
    return recordSetsOf(request, this.#deps.digests)
  }

  #publish({ topic, ack, waitMs }: AnyPublish, sets: readonly RecordSet[]): Promise<PublishResult> {
    return this.#accepting()
      .publish(topic, sets, ack, waitMs)
      .then((answers) => this.#resultOf(topic, answers))
  }

  #resultOf(topic: TopicName, answers: readonly PublishAnswer[]): PublishResult {
    const { placed: last, settled } = answers.at(-1) as PublishAnswer
    const peers = answers
      .map(({ settled }) => settled.peers)
      .reduce((held, more) => held.filter((id) => more.includes(id)))
    const reached = answers.every(({ settled }) => settled.reached)
    return {
      runs: answers.flatMap(({ placed }) => {
        return placed.runs.map(({ feed, firstOffset, count }) => ({ feed: feedText(feed), from: firstOffset, count }))
      }),
      cursor: this.#cursorOfAll(last.runs[0]?.feed.topicId ?? this.#running().peer.topicIdOf(topic)),
      ack: this.#ackOf({ ...settled, reached, peers }),
    }
  }

  #ackOf({ level, reached, peers, registryVersion, home }: SettledPublish): PublishAck {
    return {
      level: ackLevelText(level),
      reached,
      copies: peers.length,
      peers: peers.map((id) => this.#nameOf(id)),
      registryVersion,
      home: home.map((id) => this.#nameOf(id)),
    }
  }

  /** The cursor of a reader that has read everything that this peer holds; made once for all publishes that an fsync settles. */
  #cursorOfAll(topicId: TopicId): string {
    const { inputsHandled } = this.#running()
    if (this.#cursor.topicId !== topicId || this.#cursor.inputsHandled !== inputsHandled) {
      this.#cursor = { topicId, inputsHandled, text: this.#newCursorOfAll(topicId) }
    }
    return this.#cursor.text
  }

  #newCursorOfAll(topicId: TopicId): string {
    const { digests } = this.#deps
    const held = this.#running().feeds(topicId)
    // An entry implies the predecessors; a disk that lost a part of one must not have its reader skip that part.
    const feeds = held.filter((feed) => isComplete(feed, held))
    const heads = new Map(
      feeds.map(({ feed, head }) => [vectorKeyOf(writerHashOf(feed.writer, digests), feed.epoch), { feed, head }]),
    )
    const vector = new Map([...heads].map(([key, { head }]) => [key, head.nextOffset]))
    const lineage = lineageOf(
      feeds.map(({ opening }) => opening),
      digests,
    )
    const entries = [...normalizeVector(vector, lineage).keys()].flatMap((key) => {
      const at = heads.get(key)
      if (at === undefined) return []
      const { feed, head } = at
      const writer = writerHashOf(feed.writer, digests)
      return [{ writer, epoch: feed.epoch, nextOffset: head.nextOffset, hashPrefix: head.hash.slice(0, 8) }]
    })
    return encodeCursor({ topicId, sinceHlc: hlcZero, entries }, digests)
  }

  // Reading -----------------------------------------------------------------------------------------------------------

  async open(topic: TopicName, asked: ReadFrom): Promise<BatchReader> {
    const from = asked.type === 'named' ? await this.#startOf(topic, asked) : asked
    // A reader that comes back to a peer that starts waits for it: an EventSource that is answered 503 never asks again.
    const driver = await this.#booted.promise
    const topicId = driver.peer.topicIdOf(topic)
    const standing = await driver.source.settled(topicId)
    // Whom it cannot ask may know the topic: who wants to read it waits for them.
    if (standing === 'current' && topicSummary(driver, topic) === undefined) {
      throw new MeshError('TOPIC_NOT_FOUND', `${topic} is not known to this peer`)
    }
    const { clock, digests, onRead } = this.#deps
    const { peer } = driver
    const { generation } = peer.topics.get(topic)
    const earlier = from.type === 'cursor' ? earlierGeneration(peer, topic, from.cursor, digests) : undefined
    if (earlier !== undefined) throw topicDeleted(topic, earlier)
    const opened = openReader({
      source: driver.source,
      topic,
      topicId,
      from,
      digests,
      wallMs: clock.wallMs(),
      // What is left of a deleted topic is read under another name than its records were.
      ...(!isInternal(topic) && { shared: this.#shared }),
    })
    const reader = new CurrentReader(opened, topic, () => (peer.topicIdOf(topic) === topicId ? undefined : generation))
    return onRead === undefined ? reader : counted(reader, onRead)
  }

  async #startOf(topic: TopicName, { name, orEarliest = false }: Extract<ReadFrom, { type: 'named' }>) {
    await this.#booted.promise
    const cursor = await this.namedCursor(topic, name)
    if (cursor !== undefined) return { type: 'cursor', cursor } as const
    if (orEarliest) return { type: 'earliest' } as const
    throw new MeshError('CURSOR_NOT_FOUND', `This peer knows no cursor ${name} of ${topic}.`, {
      facts: { topic, name },
    })
  }

  namedCursor(topic: TopicName, name: string): Promise<string | undefined> {
    return this.#cursorBook().get(topic, name)
  }

  async putNamedCursor(topic: TopicName, name: string, cursor: string): Promise<string> {
    const { peer } = this.#writable()
    cursorOf(cursor, peer.topicIdOf(topic), this.#deps.digests)
    await this.#cursorBook().put(topic, name, cursor)
    return (await this.#cursorBook().get(topic, name)) ?? cursor
  }

  async deleteNamedCursor(topic: TopicName, name: string): Promise<boolean> {
    this.#writable()
    return this.#cursorBook().delete(topic, name)
  }

  #cursorBook(): CursorBook {
    const { clock, digests } = this.#deps
    return (this.#cursors ??= new CursorBook({ driver: this.#running(), clock, digests }))
  }

  /** What the mesh writes itself is not refused on a full disk; what clients have it write is. */
  #writable(): PeerDriver {
    const driver = this.#accepting()
    if (driver.isDiskFull) throw new MeshError('DISK_FULL')
    return driver
  }

  async interval(topic: TopicName, wanted: IntervalRequest): Promise<IntervalChunk> {
    const driver = await this.#booted.promise
    const { peer, source } = driver
    const topicId = peer.topicIdOf(topic)
    const standing = await source.settled(topicId)
    if (standing === 'current' && topicSummary(driver, topic) === undefined) {
      throw new MeshError('TOPIC_NOT_FOUND', `${topic} is not known to this peer`)
    }
    const { replication, self } = peer
    const wallMs = this.#deps.clock.wallMs()
    // Asked first: what comes meanwhile is read, or was not needed.
    const known = await isKnownUpTo(wanted.toMs, topicId, { replication, self, source, wallMs })
    const chunk = await readInterval({ source, topic, topicId, digests: this.#deps.digests }, wanted)
    return { ...chunk, complete: known && chunk.gaps.every(({ type }) => type === 'lost') }
  }

  async record(topic: TopicName, id: RecordId): Promise<StoredRecord | undefined> {
    const { source } = this.#running()
    const feed = this.#feedOf(topic, id)
    if (!(await this.#isKnown(feed, id.offset))) return undefined
    const [bytes] = (await source.read(feed, id.offset, 1)).batches
    const header = bytes === undefined ? 'truncated' : readBatchHeader(bytes)
    if (bytes === undefined || typeof header === 'string') return undefined
    const records = recordsOf(bytes, header)
    const record = typeof records === 'string' ? undefined : records[id.offset - header.baseOffset]
    return (
      record && {
        id: recordIdText(feed, id.offset),
        topic,
        feed: feedText(feed),
        offset: id.offset,
        timeMs: header.hlc.ms,
        headers: record.headers,
        value: record.value,
        ...(record.key && { key: record.key }),
        ...(record.producer && { producer: tripleOf(record.producer) }),
      }
    )
  }

  /** Is the record within what is here, or with those who can be asked? */
  async #isKnown(feed: FeedId, offset: number): Promise<boolean> {
    const { source } = this.#running()
    await source.settled(feed.topicId)
    const view = source.feeds(feed.topicId).find((known) => feedKeyOf(known.feed) === feedKeyOf(feed))
    return view !== undefined && offset >= view.floor.nextOffset && offset < view.head.nextOffset
  }

  async replication(topic: TopicName, id: RecordId): Promise<ReplicationStatus | undefined> {
    const { peer, source } = this.#running()
    const feed = this.#feedOf(topic, id)
    await source.settled(feed.topicId)
    const key = feedKeyOf(feed)
    const { replicas } = topicHeads(peer.replication, peer.self, feed.topicId)
    const peers = replicas.map(({ peer: holder, role, current, heads }) => ({
      peer: holder,
      name: this.#nameOf(holder),
      role,
      holds: heads.some((head) => feedKeyOf(head.feed) === key && canServe(head, id.offset)),
      current,
    }))
    const copies = peers.filter(({ holds }) => holds).length
    if (copies === 0) return undefined
    const home = peer.replication.homes.of(feed.topicId)
    return {
      id: recordIdText(feed, id.offset),
      copies,
      peers,
      registryVersion: home.registryVersion,
      home: home.peers.map((member) => this.#nameOf(member)),
    }
  }

  async awaitCopies(
    topic: TopicName,
    id: RecordId,
    level: AckLevel,
    waitMs: number,
    signal?: AbortSignal,
  ): Promise<PublishAck | undefined> {
    const feed = this.#feedOf(topic, id)
    const { clock } = this.#deps
    const untilMs = clock.nowMs() + waitMs
    if (!(await this.#heardOf(feed, id.offset, { waitMs, signal }))) return undefined
    const leftMs = Math.max(0, untilMs - clock.nowMs())
    const wanted = { topic, feed, endOffset: id.offset + 1, level, waitMs: leftMs }
    return this.#ackOf(await this.#running().awaitCopies(wanted))
  }

  /** Waits for a record that was published a moment ago and has not been heard of here. */
  async #heardOf(
    feed: FeedId,
    offset: number,
    { waitMs, signal }: { waitMs: number; signal: AbortSignal | undefined },
  ): Promise<boolean> {
    const { source } = this.#running()
    const late = new AbortController()
    if (waitMs > 0) this.#deps.clock.after(waitMs, () => late.abort())
    const over = AbortSignal.any([this.#draining.signal, late.signal, ...(signal ? [signal] : [])])
    for (;;) {
      const seen = source.advances(feed.topicId)
      if (await this.#isKnown(feed, offset)) return true
      if (waitMs === 0 || over.aborted) return false
      if (source.advances(feed.topicId) === seen) await nextAdvance(source, feed.topicId, over)
    }
  }

  #feedOf(topic: TopicName, { writer, epoch }: RecordId): FeedId {
    const ids: { writer: PeerId | undefined; epoch: Epoch | undefined } = {
      writer: parsePeerId(writer),
      epoch: parseEpoch(epoch),
    }
    if (ids.writer === undefined || ids.epoch === undefined) throw new MeshError('RECORD_ID_INVALID')
    return { topicId: this.#running().peer.topicIdOf(topic), writer: ids.writer, epoch: ids.epoch }
  }

  // The mesh ----------------------------------------------------------------------------------------------------------

  members(): readonly MemberView[] {
    return this.gossip().members
  }

  forgotten(): readonly MemberView[] {
    return this.gossip().forgotten
  }

  async decide(id: string, decision: MemberDecision): Promise<MemberView> {
    const peer = parsePeerId(id)
    if (peer === undefined) throw new MeshError('MEMBER_NOT_FOUND', `${id} is no peer id`)
    await this.#accepting().editRegistry({ ...decision, peer })
    const { members, forgotten } = this.gossip()
    const member = [...members, ...forgotten].find((one) => one.id === id)
    if (member === undefined) throw new MeshError('MEMBER_NOT_FOUND')
    return member
  }

  async revokeToken(id: string, untilMs: number): Promise<void> {
    await this.#accepting().publish(revocationsTopic, [encodeRevocation({ id, untilMs })], { type: 'local' }, 0)
  }

  /** Found once for all who were told of a change. */
  reachability(): Reachability {
    const { reachable, known } = this.#running().peer.partitions.reach()
    return (this.#reachability ??= { reachable: this.#namesOf(reachable), known: this.#namesOf(known) })
  }

  onMeshChange(listener: () => void): () => void {
    return this.#running().onMesh.add(listener)
  }

  gossip(): GossipView {
    const { self, members, forgotten, rumors, probes, roundTrips, pushPulls, events } = this.#snapshot()
    return { self, members, forgotten, rumors, probes, roundTrips, pushPulls, events }
  }

  links(): readonly LinkView[] {
    const { links, dials } = this.#snapshot()
    const { neighbors } = this.#running().peer.replication
    const up = links.map((view) => {
      const link = neighbors.get(view.peer as PeerId)?.link
      const creditIn = limits.linkCreditBytes - (link?.inFlightIn ?? 0)
      return { ...view, state: 'up' as const, creditOut: link?.creditOut ?? 0, creditIn }
    })
    const missing = dials.map(({ target, type, ...dial }) => {
      const name = type === 'seed' ? target : this.#nameOf(target as PeerId)
      return { peer: target, name, ...dial, creditOut: 0, creditIn: 0 }
    })
    return [...up, ...missing]
  }

  partitions(): PartitionsView {
    return partitionsView(this.#running().peer.partitions, this.#viewDeps)
  }

  heals(): readonly HealView[] {
    const reports = this.#running().peer.partitions.heals()
    return reports.map((report) => healView(report, this.#viewDeps))
  }

  get #viewDeps(): ViewDeps {
    return { clock: this.#deps.clock, nameOf: (id) => this.#nameOf(id) }
  }

  meshReplication(): ReplicationView {
    const { peer } = this.#running()
    const names = new Map(this.readableTopics().map((topic) => [peer.topicIdOf(topic), topic]))
    const view = replicationView({
      replication: peer.replication,
      self: peer.self,
      nowMs: this.#deps.clock.nowMs(),
      nameOf: (id) => this.#nameOf(id),
      topicOf: (topicId) => names.get(topicId) ?? topicId,
    })
    const left = peer.leftToHandOver()
    const status = peer.membership.statusOf(peer.self)?.type
    if (left === undefined || status === undefined || status === 'member') return view
    return { leaving: { ...left, status, waitsFor: left.waitsFor.map((id) => this.#nameOf(id)) }, ...view }
  }

  #snapshot(): MembershipSnapshot {
    return this.#running().peer.membership.snapshot(this.#deps.clock.nowMs())
  }

  #namesOf(ids: readonly PeerId[]): readonly string[] {
    return ids.map((id) => this.#nameOf(id)).toSorted()
  }

  #nameOf(id: PeerId): string {
    return this.#running().peer.membership.nameOf(id)
  }

  #running(): PeerDriver {
    if (this.#driver === undefined) throw new MeshError('UNAVAILABLE', 'This peer is starting')
    return this.#driver
  }

  #accepting(): PeerDriver {
    if (this.#draining.signal.aborted) throw new MeshError('DRAINING')
    return this.#running()
  }
}

/** The deleted generation that the cursor is of. */
function earlierGeneration(peer: Peer, topic: TopicName, cursor: string, digests: Digests): number | undefined {
  const index = peer.deletedIdsOf(topic).findIndex((id) => typeof decodeCursor(cursor, id, digests) !== 'string')
  return index < 0 ? undefined : peer.topics.get(topic).generation - 1 - index
}

const counted = (reader: BatchReader, onRead: (records: number) => void): BatchReader => ({
  get cursor() {
    return reader.cursor
  },
  next: async (...asked) => {
    const chunk = await reader.next(...asked)
    if (chunk.records.length > 0) onRead(chunk.records.length)
    return chunk
  },
  nextBatches: async (...asked) => {
    const chunk = await reader.nextBatches(...asked)
    if (chunk.batches.length > 0) onRead(chunk.batches.reduce((sum, { count }) => sum + count, 0))
    return chunk
  },
  more: (signal) => reader.more(signal),
})

const feedHead = (feed: string, { floor, keptFrom, nextOffset, hash, holes }: Omit<FeedDigest, 'feed'>): FeedHead => ({
  feed,
  floor,
  ...(keptFrom > floor && { keptFrom }),
  nextOffset,
  hash,
  ...(holes && { holes }),
})

const feedText = (feed: FeedId): string => `${feed.writer}.${feed.epoch}`
const recordIdText = (feed: FeedId, offset: number): string => `${feedText(feed)}.${offset}`

function isComplete({ feed, opening: { predecessor }, rooted }: FeedView, held: readonly FeedView[]): boolean {
  if (predecessor === undefined || rooted) return true
  const before = held.find((other) => other.feed.writer === feed.writer && other.feed.epoch === predecessor.epoch)
  return before !== undefined && before.head.nextOffset >= predecessor.nextOffset && isComplete(before, held)
}
