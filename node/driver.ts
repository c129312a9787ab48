import type { AckLevel } from '#protocol/ack-level'
import { assert } from '#protocol/assert'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import type { PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { encodeBatch, encodeOpeningBatch, readBatchHeader } from '#protocol/log/batch'
import { type FeedId, feedKeyOf, NOTHING, type OffsetRange, type Opening } from '#protocol/log/feed'
import type { Hlc, HybridClock } from '#protocol/log/hybrid-clock'
import { indexedRangeOf } from '#protocol/log/producer-index'
import { noRanges } from '#protocol/log/offset-ranges'
import { encodeRecords, type RecordSet, recordSetBytes, recordSetOf } from '#protocol/log/record'
import type { Machine } from '#protocol/machine'
import type { MembershipEffect } from '#protocol/membership/membership'
import type { RegistryStatus } from '#protocol/membership/messages'
import type { RegistryEdit } from '#protocol/membership/registry-edit'
import type { PartOfBatch, PeerEffect, PeerInput, PlacedPublish } from '#protocol/peer/inputs'
import type { Peer } from '#protocol/peer/peer'
import type { SettledPublish, StoredRun } from '#protocol/replication/inputs'
import { utf8 } from '#protocol/text'
import { parseTopicName, type TopicName, topicsTopic } from '#protocol/topic-name'
import { exists } from '#protocol/topics/topic-state'
import type { DiskView } from '#protocol/views'
import { decodeControl, encodeControl } from '#protocol/wire/control-frame'
import { encodeDataHeader } from '#protocol/wire/data-frame'
import type { BatchToStore, FeedRead, FeedStore } from '#storage/feed-store'
import type { GroupCommit } from '#storage/group-commit'
import { findChainEnds } from './chain-ends.ts'
import type { DiskSpace } from './disk-space.ts'
import type { Clock, DialTarget, LinkId, Transport, TransportListener } from './driver-ports.ts'
import { Listeners } from './listeners.ts'
import { readRange, type ReceivedRange } from './received-range.ts'
import { isCopySound } from './sound-copy.ts'
import { LatestMeta } from './latest-meta.ts'
import { measuredBatches } from './measured-batches.ts'
import { ProducerLog } from './producer-log.ts'
import { ProducerWork } from './producer-work.ts'
import { RecentBatches } from './recent-batches.ts'
import type { TopicRecords } from './topic-records.ts'
import { encodeRegistry } from './registry-codec.ts'
import { encodeRemains } from './remains-codec.ts'
import type { FeedView } from './read-source.ts'
import { RemoteBatches } from './remote-batches.ts'
import { type HeldFeeds, TopicSource } from './topic-source.ts'

/*
 * The driver of the peer machine: turns what happens (frames, links, completed writes, timers, publishes) into inputs,
 * and performs the effects. It decides nothing; it holds the bytes that the machine has only numbers for:
 *
 *   publish ─► #records[ref] ─ makeBatch ─► batch ─► GroupCommit ─► disk ─► rangesStored
 *   frame   ─► #received[n]  ─ storeReceived ──────────────────┘
 *   disk or RecentBatches ─ sendRange ─► frame to a neighbor
 *
 * The peer process and the simulator run this same class; all waiting goes through its ports.
 */

/** Lower: sooner and more often, the tables beside are written again. */
const reclaimEveryMs = 60_000
const recentBytesMax = 8 * 1024 * 1024
/** By then whoever published a record has had the answer, unless told to wait longer: its copies may wait for live ones. */
const backlogAgeMs = limits.waitMsDefault

export interface DriverDeps {
  readonly cluster: string
  readonly peer: Peer
  /** The machine to run, when it is not the peer itself: the simulator traces it, and plants bugs. */
  readonly machine?: Machine<PeerInput, PeerEffect>
  readonly store: FeedStore
  readonly commit: GroupCommit
  /** Watches the room on the disk, where that has an end. */
  readonly disk?: DiskSpace
  readonly transport: Transport
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly digests: Digests
  /** Where it has read the records of `$topics` to, at boot. */
  readonly topicRecords: TopicRecords
  readonly onMemberChanged?: (change: MemberChange) => void
  readonly onStatusChanged?: (change: StatusChange) => void
  readonly onLink?: (news: LinkNews) => void
  readonly onPartition?: (news: PartitionNews) => void
  /** Another process with the identity of this peer lives at these addresses. */
  readonly onDouble?: (addresses: readonly string[]) => void
  /** Some of what is stored here was damaged, or is here again. */
  readonly onDamage?: (news: DamageNews) => void
  /** A topic was deleted; or records are here that were published to one after it had been deleted elsewhere. */
  readonly onDeletion?: (news: DeletionNews) => void
  /** A frame that could not be understood; its link has been closed. */
  readonly onBadFrame?: (peer: PeerId | undefined, what: string) => void
}

export type DeletionNews =
  | { readonly type: 'topicDeleted'; readonly topic: TopicName; readonly generation: number }
  | Extract<PeerEffect, { type: 'remainsFound' }>

export type MemberChange = Extract<MembershipEffect, { type: 'memberChanged' }>
export type StatusChange = Extract<MembershipEffect, { type: 'statusChanged' }>

/** A link is up, or not any more: whose doing that was, and why. Not told of those that come and go all the time (`isRoutine`). */
export type LinkNews =
  | { readonly type: 'linkOpened'; readonly peer: PeerId }
  | { readonly type: 'linkClosed'; readonly peer: PeerId; readonly cause: 'closed' | 'broken'; readonly reason: string }

export type PartitionNews = Extract<PeerEffect, { type: 'partitionChanged' | 'partitionHealed' | 'sidesMerged' }>

export type DamageNews = Extract<PeerEffect, { type: 'feedDamaged' | 'feedRepaired' }>

/** What is told to whoever listens, and changes nothing here. */
type News = PartitionNews | DamageNews | MemberChange | StatusChange | Extract<PeerEffect, { type: 'doubleNoticed' }>

type TopicEditRequest = Extract<PeerInput, { type: 'topicEdited' }>['edit']

export interface PublishAnswer {
  readonly placed: PlacedPublish
  readonly settled: SettledPublish
}

export interface DriverBuffers {
  /** Publishes that wait for this peer's disk, and their bytes. */
  readonly unsyncedPublishes: number
  readonly unsyncedBytes: number
  /** Publishes that are in a batch and have no answer yet: they wait for the disk, or for copies. */
  readonly waitingPublishes: number
  /** Newest batches, kept for neighbors and live readers. */
  readonly recentBytes: number
  /** Batches read from others, kept for the next reader. */
  readonly remoteBytes: number
  /** Batches that are not yet known to be on disk. */
  readonly commitBatches: number
  readonly commitBytes: number
}

type Answer<T> = PromiseWithResolvers<T>

export class PeerDriver implements TransportListener, HeldFeeds {
  readonly peer: Peer
  readonly #deps: DriverDeps
  readonly #machine: Machine<PeerInput, PeerEffect>
  readonly #inputs: PeerInput[] = []
  #handling = false
  #inputsHandled = 0
  #stopped: MeshError | undefined
  #lastNumber = 0
  readonly #records = new Map<number, RecordSet>()
  readonly #publishes = new Map<number, Answer<PublishAnswer>>()
  readonly #topics = new Map<number, Answer<{ created: boolean }>>()
  readonly #registryEdits = new Map<number, Answer<RegistryStatus>>()
  readonly #received = new Map<number, ReceivedRange>()
  readonly #peers = new Map<LinkId, PeerId>()
  readonly #recent = new RecentBatches(recentBytesMax)
  readonly #remote = new RemoteBatches((wanted) => this.#input({ type: 'readRequested', ...wanted }))
  /** What readers of this peer read from. */
  readonly source: TopicSource
  readonly #advanced = new Map<TopicId, Set<() => void>>()
  /** Which advance was the last of each topic, of all topics; the oldest first. */
  readonly #lastAdvances = new Map<TopicId, number>()
  #advanceCount = 0
  /** Topics that listeners of `onTopic` know. */
  readonly #told = new Set<TopicId>()
  #readingTopics = false
  #topicsAreBehind = false
  /** Told of each topic that becomes known here. */
  readonly onTopic = new Listeners<[topic: TopicName]>()
  /** Told when what this peer believes of some member has changed. */
  readonly onMesh = new Listeners()
  /** And that is still to be told. */
  #meshChanged = false
  readonly #registry: LatestMeta
  readonly #ceiling: LatestMeta
  readonly #remains: LatestMeta
  readonly #producers: ProducerWork
  #ceilingMs = 0
  #storedRuns: StoredRun[] = []
  /** Frames not understood, by what was wrong with them. */
  readonly badFrames = new Map<string, number>()
  /** Since the start, in frames without what carries them. */
  readonly traffic = { controlBytesSent: 0, controlBytesReceived: 0, dataBytesSent: 0, dataBytesReceived: 0 }
  dials = 0
  dialsFailed = 0

  constructor(deps: DriverDeps) {
    this.#deps = deps
    this.peer = deps.peer
    this.#machine = deps.machine ?? deps.peer
    this.#registry = new LatestMeta(deps.commit, 'registry')
    this.#ceiling = new LatestMeta(deps.commit, 'clock')
    this.#remains = new LatestMeta(deps.commit, 'remains')
    for (const topicId of deps.peer.replication.local.topics()) this.#told.add(topicId)
    for (const state of deps.peer.topics.all()) if (exists(state)) this.#told.add(deps.peer.topicIdOf(state.topic))
    this.source = new TopicSource({
      held: this,
      remote: this.#remote,
      replication: deps.peer.replication,
      clock: deps.clock,
      producers: {
        of: (topicId) => this.#producers.of(topicId),
        read: (topicId, spans) => this.#input({ type: 'producersRead', topicId, spans }),
      },
      use: (topicId, waiting) => this.#input({ type: 'topicUsed', topicId, waiting }),
    })
    this.#producers = new ProducerWork({
      log: new ProducerLog({
        durable: (feed) => this.#durableEnd(feed),
        read: (feed, position, bytesMax) => this.read(feed, position, bytesMax),
        advanced: (topicId) => this.#advancedOnce(topicId),
        getMeta: (key) => deps.store.getMeta(key),
      }),
      indexes: deps.peer.producerIndexes,
      records: this.#records,
      commit: deps.commit,
      input: (input) => this.#input(input),
    })
  }

  /** Inputs that the machine has had: as long as it has no more, it is where it was. */
  get inputsHandled(): number {
    return this.#inputsHandled
  }

  start(): void {
    this.#input({ type: 'started' })
    void this.#deps.disk?.start()
    void this.#reclaim()
  }

  /** What was deleted since takes no room any more. A disk that is nearly full does not wait for this. */
  async #reclaim(): Promise<void> {
    const { store, clock } = this.#deps
    if (store.reclaim === undefined || this.#stopped !== undefined) return
    // A store that fails says so by its appends.
    await store.reclaim().catch(() => {})
    clock.after(reclaimEveryMs, () => void this.#reclaim())
  }

  /** Is so little room left on the disk that nothing is taken any more? */
  get isDiskFull(): boolean {
    return this.#deps.disk?.isFull === true
  }

  /** As it was last looked at. */
  get disk(): DiskView | undefined {
    return this.#deps.disk?.view
  }

  diskChanged(full: boolean): void {
    this.#input({ type: 'diskChanged', full })
  }

  /**
   * Appends record sets as they are, in order: all of them or, refused, none. Resolves with an answer for each. Rejects
   * with MeshError ACK_LEVEL_IMPOSSIBLE, OVERLOADED, TOO_MANY_TOPICS, PRODUCER_FENCED, PRODUCER_GAP, RETRY_DIFFERS,
   * DRAINING, STORAGE_FAILED. Records that are in the log already are answered with their places there (P6).
   */
  publish(
    topic: TopicName,
    sets: readonly RecordSet[],
    level: AckLevel,
    waitMs: number,
  ): Promise<readonly PublishAnswer[]> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    const parts = sets.map((records) => {
      const ref = this.#number()
      this.#records.set(ref, records)
      const producerRanges = records.producerRanges.map(indexedRangeOf)
      return { ref, count: records.count, sizeBytes: recordSetBytes(records), producerRanges }
    })
    const answers = parts.map(({ ref }) => {
      const answer = Promise.withResolvers<PublishAnswer>()
      this.#publishes.set(ref, answer)
      return answer.promise
    })
    const hlcMs = this.#deps.hybridClock.last.ms
    this.#input({ type: 'publishRequested', topic, parts, level, waitMs, hlcMs })
    return Promise.all(answers)
  }

  /**
   * Waits until a record has the copies that the level asks for, until `waitMs` has passed or the peer drains. Rejects with
   * MeshError ACK_LEVEL_IMPOSSIBLE, DRAINING, STORAGE_FAILED.
   */
  async awaitCopies(
    wanted: Omit<Extract<PeerInput, { type: 'copiesAwaited' }>, 'type' | 'ref'>,
  ): Promise<SettledPublish> {
    if (this.#stopped !== undefined) throw this.#stopped
    const ref = this.#number()
    const answer = Promise.withResolvers<PublishAnswer>()
    this.#publishes.set(ref, answer)
    this.#input({ type: 'copiesAwaited', ref, ...wanted })
    return (await answer.promise).settled
  }

  /**
   * Makes or changes a topic; resolves once that is on disk here. Rejects with MeshError TOPIC_DIFFERS, TOPIC_NOT_FOUND,
   * TOPIC_CHANGED, TOO_MANY_TOPICS, DRAINING, STORAGE_FAILED.
   */
  editTopic(topic: TopicName, edit: TopicEditRequest): Promise<{ readonly created: boolean }> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    const ref = this.#number()
    const answer = Promise.withResolvers<{ created: boolean }>()
    this.#topics.set(ref, answer)
    this.#input({ type: 'topicEdited', ref, topic, edit })
    return answer.promise
  }

  /**
   * Decides whether a peer belongs; resolves with what it is then, once that is on disk here. Rejects with MeshError
   * MEMBER_NOT_FOUND, MEMBER_ALIVE, LAST_MEMBER, DRAINING, STORAGE_FAILED.
   */
  async editRegistry(edit: RegistryEdit): Promise<RegistryStatus> {
    if (this.#stopped !== undefined) throw this.#stopped
    const ref = this.#number()
    const answer = Promise.withResolvers<RegistryStatus>()
    this.#registryEdits.set(ref, answer)
    this.#input({ type: 'registryEdited', ref, edit })
    const status = await answer.promise
    await this.#registry.written()
    return status
  }

  /** Lets go of what this peer has written before to a topic of the mesh, having said it again. */
  letGo(floors: Extract<PeerInput, { type: 'floorsRaised' }>['floors']): void {
    this.#input({ type: 'floorsRaised', floors })
  }

  /** Answers what waits for copies with those that there are; publishes are refused by the broker from now on. */
  drain(): void {
    this.#input({ type: 'drainRequested' })
  }

  /** Tells the others that this peer leaves. */
  leave(): void {
    this.#input({ type: 'leaveRequested' })
  }

  /** Resolves once everything handed to the disk is on it; rejects when the disk has failed. */
  idle(): Promise<void> {
    return this.#deps.commit.idle()
  }

  /** Nothing happens any more; what still waits is rejected. */
  stop(error = new MeshError('DRAINING')): void {
    if (this.#stopped !== undefined) return
    this.#stopped = error
    this.#deps.disk?.stop()
    for (const answers of [this.#publishes, this.#topics, this.#registryEdits]) {
      for (const answer of answers.values()) answer.reject(error)
    }
    this.#publishes.clear()
    this.#topics.clear()
    this.#remote.stop()
    this.#producers.stop(error)
    for (const listeners of this.#advanced.values()) for (const listener of listeners) listener()
  }

  /** What is in memory now, waiting or kept. */
  buffers(): DriverBuffers {
    const { pendingBatches, pendingBytes } = this.#deps.commit
    return {
      ...this.peer.pending,
      recentBytes: this.#recent.sizeBytes,
      remoteBytes: this.#remote.cachedBytes,
      commitBatches: pendingBatches,
      commitBytes: pendingBytes,
    }
  }

  // What is on this peer's disk: durable batches only ---------------------------------------------------------------------

  feeds(topicId: TopicId): readonly FeedView[] {
    const { local: feeds } = this.peer.replication
    return feeds.ofTopic(topicId).flatMap((local) => {
      const { feed, opening, durable: head, floor, rooted, holes } = local
      if (head === undefined) return []
      const lost = holes.length === 0 ? noRanges : this.peer.replication.lostOf(local)
      return [{ feed, opening, head, floor, rooted, lost }]
    })
  }

  async read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    const durable = this.peer.replication.local.get(feedKeyOf(feed))?.durable
    if (durable === undefined || durable.nextOffset <= position) return { batches: [] }
    const batches = this.#recent.read(feed, position, durable.nextOffset, bytesMax)
    return batches === undefined ? this.#readStore(feed, position, bytesMax) : { batches }
  }

  async #readStore(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    const read = await this.#deps.store.read(feed, position, bytesMax)
    if (read.damaged !== undefined) this.damageFound(feed, read.damaged)
    return read
  }

  /** A read, of the store or of a scrub, has come upon a range that is damaged or missing. */
  damageFound(feed: FeedId, range: OffsetRange): void {
    this.#input({ type: 'damageFound', feed, range })
  }

  onAdvance(topicId: TopicId, listener: () => void): () => void {
    const listeners = this.#advanced.get(topicId) ?? new Set()
    this.#advanced.set(topicId, listeners)
    listeners.add(listener)
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.#advanced.get(topicId) === listeners) this.#advanced.delete(topicId)
    }
  }

  advances(topicId: TopicId): number {
    return this.#lastAdvances.get(topicId) ?? 0
  }

  #advancedOnce(topicId: TopicId): Promise<void> {
    return new Promise((resolve) => {
      const unsubscribe = this.onAdvance(topicId, () => {
        unsubscribe()
        resolve()
      })
    })
  }

  #durableEnd(feed: FeedId): number | undefined {
    if (this.#stopped !== undefined) return undefined
    return this.peer.replication.local.get(feedKeyOf(feed))?.durable?.nextOffset ?? NOTHING
  }

  // What the transport tells ------------------------------------------------------------------------------------------

  linkUp(link: LinkId, peer: PeerId): void {
    const isRoutine = this.#isRoutine(peer)
    this.#peers.set(link, peer)
    this.#input({ type: 'linkUp', link, peer })
    if (!isRoutine) this.#deps.onLink?.({ type: 'linkOpened', peer })
  }

  linkDown(link: LinkId, cause: 'closed' | 'broken', reason: string): void {
    const peer = this.#peers.get(link)
    this.#peers.delete(link)
    if (peer !== undefined && !this.#isRoutine(peer)) this.#deps.onLink?.({ type: 'linkClosed', peer, cause, reason })
    this.#input({ type: 'linkDown', link, cause, reason })
  }

  /** To be asked before the machine hears of it. */
  #isRoutine(peer: PeerId): boolean {
    return this.peer.membership.isRoutine(peer, this.#deps.clock.nowMs())
  }

  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.dialsFailed += 1
    this.#input({ type: 'dialFailed', target, reason, there })
  }

  controlFrame(link: LinkId, frame: Uint8Array): void {
    this.traffic.controlBytesReceived += frame.length
    const message = decodeControl(frame)
    if (message.type !== 'fault') return this.#input({ type: 'messageReceived', link, message })
    this.#badFrame(link, `${message.fault} ${message.where}`)
  }

  dataFrame(link: LinkId, frame: Uint8Array): void {
    if (this.#stopped !== undefined) return
    this.traffic.dataBytesReceived += frame.length
    const { cluster, digests, hybridClock, clock } = this.#deps
    const range = readRange(frame, cluster, digests)
    if (typeof range === 'string') return this.#badFrame(link, range)
    // What this peer wrote in an earlier boot is its own time, however far ahead its wall clock was then.
    hybridClock.merge(range.hlc, range.feed.writer === this.peer.self ? Number.POSITIVE_INFINITY : clock.wallMs())
    const received = this.#number()
    this.#received.set(received, range)
    this.#input({ type: 'rangeReceived', link, received, ref: range.ref, feed: range.feed, batches: range.facts })
  }

  /** A newer version may send what we do not know: it is counted and skipped. Anything else is damage. */
  #badFrame(link: LinkId, what: string): void {
    const kind = what.split(' ', 1)[0] ?? what
    this.badFrames.set(kind, (this.badFrames.get(kind) ?? 0) + 1)
    this.#deps.onBadFrame?.(this.#peers.get(link), what)
    if (kind !== 'unknownType') this.#deps.transport.close(link, `it sent a frame that is not understood: ${what}`)
  }

  // Inputs in, effects out --------------------------------------------------------------------------------------------

  /** Effects may cause inputs at once (a batch that is made): those wait until the effects before them are performed. */
  #input(input: PeerInput): void {
    this.#inputs.push(input)
    if (this.#handling) return
    this.#handling = true
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        if (this.#stopped !== undefined) continue
        this.#inputsHandled++
        for (const effect of this.#machine.handle(next, this.#deps.clock.nowMs())) this.#perform(effect)
      }
    } finally {
      this.#handling = false
    }
    this.#tellOfMesh()
  }

  /** Once for all changes that came of an input: a full state may bring a page of them. */
  #tellOfMesh(): void {
    if (!this.#meshChanged) return
    this.#meshChanged = false
    this.onMesh.tell()
  }

  #perform(effect: PeerEffect): void {
    const { transport, clock } = this.#deps
    switch (effect.type) {
      case 'send':
        return this.#sendControl(effect)
      case 'sendRange':
        return this.#sendRange(effect)
      case 'makeBatch':
        return this.#makeBatch(effect)
      case 'storeReceived':
        return this.#storeReceived(effect)
      case 'discardReceived':
        this.#received.delete(effect.received)
        return
      case 'findChain':
      case 'fillHole':
      case 'changeFeed':
      case 'verifyCopy':
      case 'measureFeed':
      case 'readClock':
        return this.#tend(effect)
      case 'setTimer':
        return clock.after(effect.afterMs, () => this.#input({ type: 'timerFired', timer: effect.timer }))
      case 'dial':
        this.dials += 1
        return transport.dial(effect.target)
      case 'closeLink':
        return transport.close(effect.link, effect.reason)
      case 'persistRegistry':
        return this.#registry.set(encodeRegistry(effect.entries))
      case 'publishSettled':
        return this.#onSettled(effect)
      case 'publishRefused':
        this.#records.delete(effect.ref)
        return this.#take(this.#publishes, effect.ref)?.reject(new MeshError(effect.code, effect.detail))
      case 'loadProducers':
      case 'producersKnown':
      case 'keepProducers':
      case 'findOriginals':
        return this.#producers.perform(effect)
      case 'registrySettled':
      case 'registryRefused':
      case 'topicSettled':
      case 'topicRefused':
        return this.#answerEdit(effect)
      case 'readAnswered':
        return this.#answerRead(effect)
      case 'readFailed':
        return this.#remote.answered(effect.ref, [])
      case 'topicChanged':
        return this.#wakeReaders(effect.topicId)
      case 'remainsFound':
      case 'persistRemains':
      case 'writeTopics':
      case 'topicUpdated':
        return this.#onTopics(effect)
      case 'feedAdvanced':
        return this.#onAdvanced(effect)
      case 'memberChanged':
      case 'statusChanged':
      case 'doubleNoticed':
      case 'partitionChanged':
      case 'partitionHealed':
      case 'sidesMerged':
      case 'feedDamaged':
      case 'feedRepaired':
        return this.#tellNews(effect)
    }
  }

  #onSettled({ placed, settled }: PublishAnswer): void {
    this.#take(this.#publishes, placed.ref)?.resolve({ placed, settled })
  }

  #answerEdit(
    effect: Extract<PeerEffect, { type: 'registrySettled' | 'registryRefused' | 'topicSettled' | 'topicRefused' }>,
  ): void {
    switch (effect.type) {
      case 'registrySettled':
        return this.#take(this.#registryEdits, effect.ref)?.resolve(effect.status)
      case 'registryRefused':
        return this.#take(this.#registryEdits, effect.ref)?.reject(new MeshError(effect.code, effect.detail))
      case 'topicSettled':
        return this.#take(this.#topics, effect.ref)?.resolve({ created: effect.created })
      case 'topicRefused':
        return this.#take(this.#topics, effect.ref)?.reject(new MeshError(effect.code, effect.detail))
    }
  }

  #tellNews(news: News): void {
    switch (news.type) {
      case 'memberChanged':
        this.#meshChanged = true
        return this.#deps.onMemberChanged?.(news)
      case 'statusChanged':
        this.#meshChanged = true
        return this.#deps.onStatusChanged?.(news)
      case 'doubleNoticed':
        return this.#deps.onDouble?.(news.addresses)
      case 'partitionChanged':
      case 'partitionHealed':
      case 'sidesMerged':
        return this.#deps.onPartition?.(news)
      case 'feedDamaged':
      case 'feedRepaired':
        return this.#deps.onDamage?.(news)
    }
  }

  #onAdvanced({ feed, head }: Extract<PeerEffect, { type: 'feedAdvanced' }>): void {
    this.#recent.stored(feed, head.nextOffset)
    this.#tellAdvance(feed.topicId)
  }

  /** What concerns feeds that are on disk already, and how long they stay there. */
  #tend(
    effect: Extract<
      PeerEffect,
      { type: 'findChain' | 'fillHole' | 'changeFeed' | 'verifyCopy' | 'measureFeed' | 'readClock' }
    >,
  ): void {
    switch (effect.type) {
      case 'findChain':
        return this.#findChain(effect)
      case 'fillHole':
        return this.#fillHole(effect)
      case 'changeFeed':
        return this.#changeFeed(effect)
      case 'verifyCopy':
        return this.#verifyCopy(effect)
      case 'measureFeed':
        return this.#measureFeed(effect)
      case 'readClock':
        return this.#input({ type: 'clockRead', wallMs: this.#deps.clock.wallMs() })
    }
  }

  #answerRead({ ref, received, from, to }: Extract<PeerEffect, { type: 'readAnswered' }>): void {
    const range = this.#received.get(received)
    assert(range !== undefined, 'a received range waits for its order')
    this.#received.delete(received)
    this.#remote.answered(ref, range.batches.slice(from, to))
  }

  #onTopics(
    effect: Extract<PeerEffect, { type: 'remainsFound' | 'persistRemains' | 'writeTopics' | 'topicUpdated' }>,
  ): void {
    switch (effect.type) {
      case 'remainsFound':
        return this.#deps.onDeletion?.(effect)
      case 'persistRemains':
        return this.#remains.set(encodeRemains(effect.kept))
      case 'writeTopics':
        return this.#writeTopics(effect.text)
      case 'topicUpdated':
        return this.#onTopicUpdated(effect)
    }
  }

  #onTopicUpdated({ before, now }: Extract<PeerEffect, { type: 'topicUpdated' }>): void {
    if (now.generation > before.generation) {
      // Who reads a deleted generation has to hear of it.
      for (const topicId of this.peer.deletedIdsOf(now.topic)) this.#wakeReaders(topicId)
      this.#deps.onDeletion?.({ type: 'topicDeleted', topic: now.topic, generation: before.generation })
    }
    if (exists(now)) this.#tellTopic(now.topic)
  }

  #wakeReaders(topicId: TopicId): void {
    this.#lastAdvances.delete(topicId)
    this.#lastAdvances.set(topicId, ++this.#advanceCount)
    const oldest = this.#lastAdvances.keys().next().value
    if (this.#lastAdvances.size > limits.registeredTopicsMax && oldest !== undefined) this.#lastAdvances.delete(oldest)
    for (const listener of this.#advanced.get(topicId) ?? []) listener()
  }

  #tellAdvance(topicId: TopicId): void {
    this.#wakeReaders(topicId)
    if (topicId === this.peer.topicIdOf(topicsTopic)) return void this.#readTopics()
    if (this.#told.has(topicId)) return
    const topic = parseTopicName(this.feeds(topicId)[0]?.opening.topic)
    if (topic !== undefined && this.peer.topicIdOf(topic) === topicId) this.#tellTopic(topic)
  }

  /** Once, by its registration or its first feed, whatever comes first. */
  #tellTopic(topic: TopicName): void {
    const topicId = this.peer.topicIdOf(topic)
    if (this.#told.has(topicId)) return
    this.#told.add(topicId)
    this.onTopic.tell(topic)
  }

  #writeTopics(text: string): void {
    const records = encodeRecords([{ value: utf8(text), headers: { 'content-type': 'application/json' } }])
    const ref = this.#number()
    this.#records.set(ref, records)
    const parts = [{ ref, count: records.count, sizeBytes: recordSetBytes(records), producerRanges: [] }]
    const hlcMs = this.#deps.hybridClock.last.ms
    this.#input({ type: 'publishRequested', topic: topicsTopic, parts, level: { type: 'local' }, waitMs: 0, hlcMs })
  }

  /** One look after the other; whatever came meanwhile is one look more. */
  async #readTopics(): Promise<void> {
    this.#topicsAreBehind = true
    if (this.#readingTopics) return
    this.#readingTopics = true
    while (this.#topicsAreBehind && this.#stopped === undefined) {
      this.#topicsAreBehind = false
      const states = await this.#deps.topicRecords.readOn({
        feeds: () => this.feeds(this.peer.topicIdOf(topicsTopic)),
        read: (...range) => this.read(...range),
      })
      if (states.length > 0) this.#input({ type: 'recordsRead', states })
    }
    this.#readingTopics = false
  }

  #makeBatch({ feed, baseOffset, previous, opening, parts }: Extract<PeerEffect, { type: 'makeBatch' }>): void {
    const { clock, hybridClock, digests } = this.#deps
    const hlc = hybridClock.now(clock.wallMs())
    this.#persistCeiling()
    if (opening !== undefined) {
      const batch = encodeOpeningBatch(opening, hlc, digests)
      this.#keep(feed, NOTHING, batch, { opening })
      return this.#made(feed, hlc, batch)
    }
    assert(previous !== undefined, 'records follow the opening batch')
    const recordSets = parts.map((part) => this.#takeRecords(part))
    const batch = encodeBatch({ baseOffset, hlc, previousHash: previous.hash, recordSets }, digests)
    this.#keep(feed, baseOffset, batch, {})
    this.#made(feed, hlc, batch)
  }

  #made(feed: FeedId, hlc: Hlc, { bytes, head }: ReturnType<typeof encodeBatch>): void {
    this.#input({ type: 'batchMade', feed, head, sizeBytes: bytes.length, hlcMs: hlc.ms })
  }

  #keep(
    feed: FeedId,
    after: number,
    { bytes, head }: ReturnType<typeof encodeBatch>,
    more: { readonly opening?: Opening },
  ): void {
    this.#recent.add(feed, after, head.nextOffset, bytes)
    this.#deps.commit.store({ feed, bytes, head, ...more }, () => this.#stored({ feed, head }), 'urgent')
  }

  #takeRecords({ ref, pieces }: PartOfBatch): RecordSet {
    const records = this.#records.get(ref)
    assert(records !== undefined, 'the records of a publish wait for their batch')
    this.#records.delete(ref)
    return pieces === undefined ? records : recordSetOf(records, pieces)
  }

  #storeReceived({ received, link, feed, from, to }: Extract<PeerEffect, { type: 'storeReceived' }>): void {
    const range = this.#received.get(received)
    assert(range !== undefined, 'a received range waits for its order')
    this.#received.delete(received)
    const pace = this.#deps.hybridClock.last.ms - range.hlc.ms > backlogAgeMs ? 'backlog' : 'live'
    let creditBytes = 0
    let after = range.facts[from]?.opening === undefined ? (range.facts[from]?.baseOffset ?? NOTHING) : NOTHING
    for (let i = from; i < to; i++) {
      const bytes = range.batches[i] as Uint8Array
      const { nextOffset, hash, opening } = range.facts[i] as ReceivedRange['facts'][number]
      const head = { nextOffset, hash }
      creditBytes += bytes.length
      this.#recent.add(feed, after, nextOffset, bytes)
      after = nextOffset
      const run = i === to - 1 ? { feed, head, credit: { link, bytes: creditBytes } } : undefined
      this.#deps.commit.store({ feed, bytes, head, ...(opening && { opening }) }, () => run && this.#stored(run), pace)
    }
  }

  #findChain({ feed, range }: Extract<PeerEffect, { type: 'findChain' }>): void {
    const found = findChainEnds(this.#deps, feed, range)
    void found.then((ends) => this.#input({ type: 'chainFound', feed, range, ...ends }))
  }

  #fillHole({ received, link, feed, piece, holes }: Extract<PeerEffect, { type: 'fillHole' }>): void {
    const range = this.#received.get(received)
    assert(range !== undefined, 'a received range waits for its order')
    this.#received.delete(received)
    const batches = range.facts.map(({ nextOffset, hash }, index): BatchToStore => {
      return { feed, bytes: range.batches[index] as Uint8Array, head: { nextOffset, hash } }
    })
    const credit = { link, bytes: batches.reduce((sum, { bytes }) => sum + bytes.length, 0) }
    this.#deps.commit.storeChange({ type: 'fill', feed, batches, holes }, () => {
      this.#input({ type: 'holeFilled', feed, piece, credit })
    })
  }

  #changeFeed({ change }: Extract<PeerEffect, { type: 'changeFeed' }>): void {
    if (change.type === 'floor') this.#recent.letGo(change.feed, change.floor.nextOffset)
    if (change.type === 'kept') this.#recent.letGo(change.feed, change.keptFrom)
    if (change.type === 'forget') this.#recent.letGo(change.feed, Infinity)
    this.#deps.commit.storeChange(change, () => this.#input({ type: 'feedChanged', change }))
  }

  #verifyCopy({ number, ...copy }: Extract<PeerEffect, { type: 'verifyCopy' }>): void {
    const { clock, digests } = this.#deps
    const read: FeedStore['read'] = (...wanted) => this.#readStore(...wanted)
    void isCopySound({ clock, digests, read }, copy).then((sound) => {
      this.#input({ type: 'copyVerified', number, sound })
    })
  }

  #measureFeed({ feed, position, bytesMax }: Extract<PeerEffect, { type: 'measureFeed' }>): void {
    this.read(feed, position, bytesMax).then(
      ({ batches }) => {
        const measured = measuredBatches(batches, this.#deps.digests)
        this.#input({ type: 'feedMeasured', feed, position, batches: measured })
      },
      // It is asked for again.
      () => {},
    )
  }

  /** Everything that one fsync has stored is told in one input. */
  #stored(run: StoredRun): void {
    this.#storedRuns.push(run)
    if (this.#storedRuns.length > 1) return
    queueMicrotask(() => {
      const runs = this.#storedRuns
      this.#storedRuns = []
      this.#input({ type: 'rangesStored', runs })
    })
  }

  #persistCeiling(): void {
    const { ceilingDueMs } = this.#deps.hybridClock
    if (ceilingDueMs === undefined || ceilingDueMs === this.#ceilingMs) return
    this.#ceilingMs = ceilingDueMs
    this.#ceiling.set(new TextEncoder().encode(String(ceilingDueMs)), () => {
      this.#deps.hybridClock.ceilingPersisted(ceilingDueMs)
    })
  }

  #sendControl({ link, message }: Extract<PeerEffect, { type: 'send' }>): void {
    const frame = encodeControl(message)
    this.traffic.controlBytesSent += frame.length
    this.#deps.transport.sendControl(link, frame)
  }

  #sendRange(order: Extract<PeerEffect, { type: 'sendRange' }>): void {
    const { feed, position, endMax, bytesMax } = order
    const recent = this.#recent.read(feed, position, endMax, bytesMax)
    if (recent !== undefined) return this.#sendBatches(order, recent)
    const upToEnd = (batches: readonly Uint8Array[]) => batches.filter((bytes) => endOf(bytes) <= endMax)
    this.#readStore(feed, position, bytesMax).then(
      // A damaged batch is never served; whoever asked will ask another holder.
      ({ batches }) => this.#sendBatches(order, upToEnd(batches)),
      () => this.#sendBatches(order, []),
    )
  }

  #sendBatches(order: Extract<PeerEffect, { type: 'sendRange' }>, batches: readonly Uint8Array[]): void {
    const { link, ref, feed } = order
    const last = batches.at(-1)
    if (this.#stopped !== undefined) return
    if (last === undefined) return this.#input({ type: 'rangeSent', link, nextPosition: undefined, sizeBytes: 0 })
    const sizeBytes = batches.reduce((sum, bytes) => sum + bytes.length, 0)
    const nextPosition = endOf(last)
    const header = encodeDataHeader({ ref, feed })
    this.traffic.dataBytesSent += header.length + sizeBytes
    this.#deps.transport.sendData(link, [header, ...batches], () => {
      this.#input({ type: 'rangeSent', link, nextPosition, sizeBytes })
    })
  }

  #take<T>(answers: Map<number, Answer<T>>, ref: number): Answer<T> | undefined {
    const answer = answers.get(ref)
    answers.delete(ref)
    return answer
  }

  #number(): number {
    return ++this.#lastNumber
  }
}

/** Only for bytes that were verified when they were read. */
function endOf(bytes: Uint8Array): number {
  const header = readBatchHeader(bytes)
  assert(typeof header !== 'string', 'a verified batch has a header')
  return header.nextOffset
}
