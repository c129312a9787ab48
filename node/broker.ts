import type {
  Broker,
  Lab,
  PublishRequest,
  PublishResult,
  Reachability,
  Reader,
  ReadFrom,
  RecordId,
  StoredRecord,
} from '#gateway/broker'
import { type AckLevel, ackLevelText } from '#protocol/ack-level'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { type Epoch, parseEpoch, parsePeerId, type PeerId, type TopicId } from '#protocol/ids'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { encodeCursor } from '#protocol/log/cursor'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { hlcZero } from '#protocol/log/hybrid-clock'
import { encodeRecordSets, type RecordSet, recordSetBytes } from '#protocol/log/record'
import { lineageOf, normalizeVector, vectorKeyOf, writerHashOf } from '#protocol/log/version-vector'
import { limits } from '#protocol/limits'
import type { MembershipSnapshot } from '#protocol/membership/snapshot'
import { topicHeads } from '#protocol/replication/status'
import { matchesTopic, parseAnyTopicName, type TopicName, type TopicPattern } from '#protocol/topic-name'
import type {
  GossipView,
  LinkView,
  MemberView,
  ReplicationStatus,
  SelfView,
  TopicStatus,
  TopicSummary,
} from '#protocol/views'
import type { PeerDriver, PublishAnswer } from './driver.ts'
import type { Clock } from './driver-ports.ts'
import { type FeedView, openReader } from './reader.ts'
import { SharedRecords } from './shared-records.ts'

export interface BrokerDeps {
  readonly clock: Clock
  readonly digests: Digests
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
  readonly #shared = new SharedRecords()
  #reachability: Reachability | undefined
  #draining = false
  readonly #booted = Promise.withResolvers<PeerDriver>()

  constructor(self: SelfView, deps: BrokerDeps) {
    this.#self = self
    this.#deps = deps
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
    this.#draining = true
    this.#driver?.drain()
  }

  get self(): SelfView {
    return this.#self
  }

  get lab(): Lab | undefined {
    return this.#lab
  }

  ready(): { readonly ready: boolean; readonly reason?: string } {
    if (this.#draining) return { ready: false, reason: 'draining' }
    return this.#driver === undefined ? { ready: false, reason: 'starting' } : { ready: true }
  }

  // Topics ------------------------------------------------------------------------------------------------------------

  createTopic(topic: TopicName): Promise<{ readonly created: boolean }> {
    return this.#accepting().createTopic(topic)
  }

  topics(match?: TopicPattern): readonly TopicSummary[] {
    return [...this.#running().peer.replication.local.topics()]
      .flatMap((topicId) => this.#summary(topicId) ?? [])
      .filter(({ topic }) => match === undefined || matchesTopic(match, topic as TopicName))
      .toSorted((a, b) => (a.topic < b.topic ? -1 : 1))
  }

  onTopic(listener: (topic: TopicName) => void): () => void {
    return this.#running().onTopic.add(listener)
  }

  topicStatus(topic: TopicName): TopicStatus | undefined {
    const { peer } = this.#running()
    const topicId = peer.topicIdOf(topic)
    const summary = this.#summary(topicId)
    if (summary === undefined) return undefined
    const members = new Map(this.members().map((member) => [member.id, member]))
    const { converged, replicas } = topicHeads(peer.replication, peer.self, topicId)
    return {
      ...summary,
      converged,
      replicas: replicas.map(({ peer: id, current, lag, heads }) => ({
        peer: id,
        name: members.get(id)?.name ?? id,
        state: members.get(id)?.state ?? 'alive',
        current,
        lag,
        feeds: heads.map(({ feed, floor, nextOffset, hash }) => ({ feed: feedText(feed), floor, nextOffset, hash })),
      })),
    }
  }

  #summary(topicId: TopicId): TopicSummary | undefined {
    const feeds = this.#running().feeds(topicId)
    const topic = parseAnyTopicName(feeds[0]?.opening.topic)
    if (topic === undefined) return undefined
    const records = feeds.reduce((sum, { head, keptFrom }) => sum + head.nextOffset - keptFrom, 0)
    return { topic, topicId, records, feeds: feeds.length }
  }

  // Publishing --------------------------------------------------------------------------------------------------------

  async publish(request: PublishRequest): Promise<PublishResult> {
    const { clock, onPublish } = this.#deps
    const startMs = clock.nowMs()
    let outcome: PublishFigures['outcome'] = 'refused'
    let bytes = 0
    try {
      const sets = this.#encode(request)
      bytes = sets.reduce((sum, set) => sum + recordSetBytes(set), 0)
      const result = await this.#publish(request, sets)
      outcome = result.ack.reached ? 'reached' : 'unreached'
      return result
    } finally {
      const records = request.records.length
      onPublish?.({ level: request.ack.type, outcome, records, bytes, tookMs: clock.nowMs() - startMs })
    }
  }

  #encode({ records }: PublishRequest): readonly RecordSet[] {
    this.#accepting()
    if (records.length === 0) throw new MeshError('BAD_REQUEST', 'A publish has at least one record')
    return encodeRecordSets(records)
  }

  async #publish({ topic, ack, waitMs }: PublishRequest, sets: readonly RecordSet[]): Promise<PublishResult> {
    const driver = this.#accepting()
    const answers = await driver.publish(topic, sets, ack, waitMs)
    const { home, registryVersion } = (answers.at(-1) as PublishAnswer).settled
    const peers = answers
      .map(({ settled }) => settled.peers)
      .reduce((held, more) => held.filter((id) => more.includes(id)))
    return {
      ids: answers.flatMap(({ placed }) => {
        return Array.from({ length: placed.count }, (_, i) => recordIdText(placed.feed, placed.firstOffset + i))
      }),
      cursor: this.#cursorOfAll(driver.peer.topicIdOf(topic)),
      ack: {
        level: ackLevelText(ack),
        reached: answers.every(({ settled }) => settled.reached),
        copies: peers.length,
        peers: peers.map((id) => this.#nameOf(id)),
        registryVersion,
        home: home.map((id) => this.#nameOf(id)),
      },
    }
  }

  /** The cursor of a reader that has read everything that this peer holds. */
  #cursorOfAll(topicId: TopicId): string {
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

  async open(topic: TopicName, from: ReadFrom): Promise<Reader> {
    // A reader that comes back to a peer that starts waits for it: an EventSource that is answered 503 never asks again.
    const driver = await this.#booted.promise
    const topicId = driver.peer.topicIdOf(topic)
    if (this.#summary(topicId) === undefined)
      throw new MeshError('TOPIC_NOT_FOUND', `${topic} is not known to this peer`)
    const { clock, digests, onRead } = this.#deps
    const reader = openReader({
      source: driver,
      topic,
      topicId,
      from,
      digests,
      wallMs: clock.wallMs(),
      shared: this.#shared,
    })
    return onRead === undefined ? reader : counted(reader, onRead)
  }

  async record(topic: TopicName, id: RecordId): Promise<StoredRecord | undefined> {
    const driver = this.#running()
    const feed = this.#feedOf(topic, id)
    const local = driver.feeds(feed.topicId).find((known) => feedKeyOf(known.feed) === feedKeyOf(feed))
    if (local === undefined || id.offset < local.keptFrom || id.offset >= local.head.nextOffset) return undefined
    const [bytes] = await driver.read(feed, id.offset, 1)
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
      }
    )
  }

  replication(topic: TopicName, id: RecordId): ReplicationStatus | undefined {
    const { peer } = this.#running()
    const feed = this.#feedOf(topic, id)
    const key = feedKeyOf(feed)
    const { replicas } = topicHeads(peer.replication, peer.self, feed.topicId)
    const peers = replicas.map(({ peer: holder, current, heads }) => ({
      peer: holder,
      name: this.#nameOf(holder),
      holds: heads.some((head) => feedKeyOf(head.feed) === key && head.nextOffset > id.offset),
      current,
    }))
    const copies = peers.filter(({ holds }) => holds).length
    if (copies === 0) return undefined
    const home = peer.replication.home.peers.map((member) => this.#nameOf(member))
    return { id: recordIdText(feed, id.offset), copies, peers, home }
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

  /** Found once for all who were told of a change. */
  reachability(): Reachability {
    return (this.#reachability ??= reachabilityOf(this.members()))
  }

  onMeshChange(listener: () => void): () => void {
    return this.#running().onMesh.add(listener)
  }

  gossip(): GossipView {
    const { self, members, rumors, probes, roundTrips, pushPulls, events } = this.#snapshot()
    return { self, members, rumors, probes, roundTrips, pushPulls, events }
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

  #snapshot(): MembershipSnapshot {
    return this.#running().peer.membership.snapshot(this.#deps.clock.nowMs())
  }

  #nameOf(id: PeerId): string {
    return this.#running().peer.membership.nameOf(id)
  }

  #running(): PeerDriver {
    if (this.#driver === undefined) throw new MeshError('UNAVAILABLE', 'This peer is starting')
    return this.#driver
  }

  #accepting(): PeerDriver {
    if (this.#draining) throw new MeshError('DRAINING')
    return this.#running()
  }
}

const counted = (reader: Reader, onRead: (records: number) => void): Reader => ({
  get cursor() {
    return reader.cursor
  },
  next: async (...asked) => {
    const chunk = await reader.next(...asked)
    if (chunk.records.length > 0) onRead(chunk.records.length)
    return chunk
  },
  more: (signal) => reader.more(signal),
})

function reachabilityOf(members: readonly MemberView[]): Reachability {
  const known = members.filter(({ state }) => state !== 'left')
  const reachable = known.filter(({ state }) => state !== 'dead')
  const namesOf = (some: readonly MemberView[]): string[] => some.map(({ name }) => name).toSorted()
  return { reachable: namesOf(reachable), known: namesOf(known) }
}

const feedText = (feed: FeedId): string => `${feed.writer}.${feed.epoch}`
const recordIdText = (feed: FeedId, offset: number): string => `${feedText(feed)}.${offset}`

function isComplete({ feed, opening: { predecessor } }: FeedView, held: readonly FeedView[]): boolean {
  if (predecessor === undefined) return true
  const before = held.find((other) => other.feed.writer === feed.writer && other.feed.epoch === predecessor.epoch)
  return before !== undefined && before.head.nextOffset >= predecessor.nextOffset && isComplete(before, held)
}
