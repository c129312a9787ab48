import type { AckLevel } from '#protocol/ack-level'
import { assert } from '#protocol/assert'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import type { PeerId, TopicId } from '#protocol/ids'
import { encodeBatch, encodeOpeningBatch, readBatchHeader } from '#protocol/log/batch'
import { type FeedId, feedKeyOf, NOTHING, type Opening } from '#protocol/log/feed'
import type { HybridClock } from '#protocol/log/hybrid-clock'
import { type RecordSet, recordSetBytes } from '#protocol/log/record'
import type { Machine } from '#protocol/machine'
import type { MembershipEffect } from '#protocol/membership/membership'
import type { PeerEffect, PeerInput, PlacedPublish } from '#protocol/peer/inputs'
import type { Peer } from '#protocol/peer/peer'
import type { SettledPublish, StoredRun } from '#protocol/replication/inputs'
import { parseAnyTopicName, type TopicName } from '#protocol/topic-name'
import { decodeControl, encodeControl } from '#protocol/wire/control-frame'
import { encodeDataHeader } from '#protocol/wire/data-frame'
import type { FeedStore } from '#storage/feed-store'
import type { GroupCommit } from '#storage/group-commit'
import type { Clock, DialTarget, LinkId, Transport, TransportListener } from './driver-ports.ts'
import { Listeners } from './listeners.ts'
import { readRange, type ReceivedRange } from './received-range.ts'
import { LatestMeta } from './latest-meta.ts'
import { RecentBatches } from './recent-batches.ts'
import { encodeRegistry } from './registry-codec.ts'
import type { ReadSource } from './reader.ts'
import type { FeedView } from './reader.ts'

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

const recentBytesMax = 8 * 1024 * 1024

export interface DriverDeps {
  readonly cluster: string
  readonly peer: Peer
  /** The machine to run, when it is not the peer itself: the simulator traces it, and plants bugs. */
  readonly machine?: Machine<PeerInput, PeerEffect>
  readonly store: FeedStore
  readonly commit: GroupCommit
  readonly transport: Transport
  readonly clock: Clock
  readonly hybridClock: HybridClock
  readonly digests: Digests
  readonly onMemberChanged?: (change: Extract<MembershipEffect, { type: 'memberChanged' }>) => void
  /** A frame that could not be understood; its link has been closed. */
  readonly onBadFrame?: (peer: PeerId | undefined, what: string) => void
}

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
  /** Batches that are not yet known to be on disk. */
  readonly commitBatches: number
  readonly commitBytes: number
}

type Answer<T> = PromiseWithResolvers<T>

export class PeerDriver implements TransportListener, ReadSource {
  readonly peer: Peer
  readonly #deps: DriverDeps
  readonly #machine: Machine<PeerInput, PeerEffect>
  readonly #inputs: PeerInput[] = []
  #handling = false
  #stopped: MeshError | undefined
  #lastNumber = 0
  readonly #records = new Map<number, RecordSet>()
  readonly #publishes = new Map<number, Answer<PublishAnswer>>()
  readonly #topics = new Map<number, Answer<{ created: boolean }>>()
  readonly #received = new Map<number, ReceivedRange>()
  readonly #peers = new Map<LinkId, PeerId>()
  readonly #recent = new RecentBatches(recentBytesMax)
  readonly #advanced = new Map<TopicId, Set<() => void>>()
  readonly #topicIds: Set<TopicId>
  /** Told of each topic that becomes known here. */
  readonly onTopic = new Listeners<[topic: TopicName]>()
  /** Told when what this peer believes of some member has changed. */
  readonly onMesh = new Listeners()
  readonly #registry: LatestMeta
  readonly #ceiling: LatestMeta
  #ceilingMs = 0
  #storedRuns: StoredRun[] = []
  /** Frames not understood, by what was wrong with them. */
  readonly badFrames = new Map<string, number>()
  /** Since the start, in frames without what carries them. */
  readonly traffic = { controlBytesSent: 0, controlBytesReceived: 0, dataBytesSent: 0, dataBytesReceived: 0 }
  dialsFailed = 0

  constructor(deps: DriverDeps) {
    this.#deps = deps
    this.peer = deps.peer
    this.#machine = deps.machine ?? deps.peer
    this.#registry = new LatestMeta(deps.commit, 'registry')
    this.#ceiling = new LatestMeta(deps.commit, 'clock')
    this.#topicIds = new Set(deps.peer.replication.local.topics())
  }

  start(): void {
    this.#input({ type: 'started' })
  }

  /**
   * Appends record sets as they are, in order: all of them or, refused, none. Resolves with an answer for each. Rejects
   * with MeshError ACK_LEVEL_IMPOSSIBLE, OVERLOADED, TOO_MANY_TOPICS, DRAINING, STORAGE_FAILED.
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
      return { ref, count: records.count, sizeBytes: recordSetBytes(records) }
    })
    const answers = parts.map(({ ref }) => {
      const answer = Promise.withResolvers<PublishAnswer>()
      this.#publishes.set(ref, answer)
      return answer.promise
    })
    this.#input({ type: 'publishRequested', topic, parts, level, waitMs })
    return Promise.all(answers)
  }

  createTopic(topic: TopicName): Promise<{ readonly created: boolean }> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped)
    const ref = this.#number()
    const answer = Promise.withResolvers<{ created: boolean }>()
    this.#topics.set(ref, answer)
    this.#input({ type: 'topicRequested', ref, topic })
    return answer.promise
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
    for (const answer of [...this.#publishes.values(), ...this.#topics.values()]) answer.reject(error)
    this.#publishes.clear()
    this.#topics.clear()
    for (const listeners of this.#advanced.values()) for (const listener of listeners) listener()
  }

  /** What is in memory now, waiting or kept. */
  buffers(): DriverBuffers {
    const { pendingBatches, pendingBytes } = this.#deps.commit
    return {
      ...this.peer.pending,
      recentBytes: this.#recent.sizeBytes,
      commitBatches: pendingBatches,
      commitBytes: pendingBytes,
    }
  }

  // Reading: durable batches only -------------------------------------------------------------------------------------

  feeds(topicId: TopicId): readonly FeedView[] {
    return this.peer.replication.local.ofTopic(topicId).flatMap(({ feed, opening, durable, keptFrom }) => {
      return durable === undefined ? [] : [{ feed, opening, head: durable, keptFrom }]
    })
  }

  async read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]> {
    const durable = this.peer.replication.local.get(feedKeyOf(feed))?.durable
    if (durable === undefined || durable.nextOffset <= position) return []
    return (
      this.#recent.read(feed, position, durable.nextOffset, bytesMax) ?? this.#deps.store.read(feed, position, bytesMax)
    )
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

  // What the transport tells ------------------------------------------------------------------------------------------

  linkUp(link: LinkId, peer: PeerId): void {
    this.#peers.set(link, peer)
    this.#input({ type: 'linkUp', link, peer })
  }

  linkDown(link: LinkId, cause: 'closed' | 'broken', reason: string): void {
    this.#peers.delete(link)
    this.#input({ type: 'linkDown', link, cause, reason })
  }

  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.dialsFailed += 1
    this.#input({ type: 'dialFailed', target, reason, there })
  }

  controlFrame(link: LinkId, frame: Uint8Array): void {
    this.traffic.controlBytesReceived += frame.length
    const message = decodeControl(frame)
    if (message.type !== 'fault') return this.#input({ type: 'messageReceived', link, message })
    // A newer version may send what we do not know: it is counted and skipped. Anything else is damage.
    this.#badFrame(link, `${message.fault} ${message.where}`, message.fault !== 'unknownType')
  }

  dataFrame(link: LinkId, frame: Uint8Array): void {
    if (this.#stopped !== undefined) return
    this.traffic.dataBytesReceived += frame.length
    const { cluster, digests, hybridClock, clock } = this.#deps
    const range = readRange(frame, cluster, digests)
    if (typeof range === 'string') return this.#badFrame(link, range, true)
    hybridClock.merge(range.hlc, clock.wallMs())
    const received = this.#number()
    this.#received.set(received, range)
    this.#input({ type: 'rangeReceived', link, received, ref: range.ref, feed: range.feed, batches: range.facts })
  }

  #badFrame(link: LinkId, what: string, close: boolean): void {
    const kind = what.split(' ', 1)[0] ?? what
    this.badFrames.set(kind, (this.badFrames.get(kind) ?? 0) + 1)
    this.#deps.onBadFrame?.(this.#peers.get(link), what)
    if (close) this.#deps.transport.close(link, `it sent a frame that is not understood: ${what}`)
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
        for (const effect of this.#machine.handle(next, this.#deps.clock.nowMs())) this.#perform(effect)
      }
    } finally {
      this.#handling = false
    }
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
      case 'setTimer':
        return clock.after(effect.afterMs, () => this.#input({ type: 'timerFired', timer: effect.timer }))
      case 'dial':
        return transport.dial(effect.target)
      case 'closeLink':
        return transport.close(effect.link, effect.reason)
      case 'persistRegistry':
        return this.#registry.set(encodeRegistry(effect.entries))
      case 'publishSettled':
        return this.#take(this.#publishes, effect.placed.ref)?.resolve({
          placed: effect.placed,
          settled: effect.settled,
        })
      case 'publishRefused':
        this.#records.delete(effect.ref)
        return this.#take(this.#publishes, effect.ref)?.reject(new MeshError(effect.code, effect.detail))
      case 'topicRefused':
        return this.#take(this.#topics, effect.ref)?.reject(new MeshError(effect.code, effect.detail))
      case 'topicSettled':
        return this.#take(this.#topics, effect.ref)?.resolve({ created: effect.created })
      case 'feedAdvanced':
        this.#recent.stored(effect.feed, effect.head.nextOffset)
        for (const listener of this.#advanced.get(effect.feed.topicId) ?? []) listener()
        return this.#tellTopic(effect.feed.topicId)
      case 'memberChanged':
        this.onMesh.tell()
        return this.#deps.onMemberChanged?.(effect)
    }
  }

  #tellTopic(topicId: TopicId): void {
    if (this.#topicIds.has(topicId)) return
    this.#topicIds.add(topicId)
    const topic = parseAnyTopicName(this.feeds(topicId)[0]?.opening.topic)
    if (topic !== undefined) this.onTopic.tell(topic)
  }

  #makeBatch({ feed, baseOffset, previous, opening, refs }: Extract<PeerEffect, { type: 'makeBatch' }>): void {
    const { clock, hybridClock, digests } = this.#deps
    const hlc = hybridClock.now(clock.wallMs())
    this.#persistCeiling()
    if (opening !== undefined) {
      const batch = encodeOpeningBatch(opening, hlc, digests)
      this.#keep(feed, NOTHING, batch, { opening })
      return this.#input({ type: 'batchMade', feed, head: batch.head })
    }
    assert(previous !== undefined, 'records follow the opening batch')
    const recordSets = refs.map((ref) => this.#takeRecords(ref))
    const batch = encodeBatch({ baseOffset, hlc, previousHash: previous.hash, recordSets }, digests)
    this.#keep(feed, baseOffset, batch, {})
    this.#input({ type: 'batchMade', feed, head: batch.head })
  }

  #keep(
    feed: FeedId,
    after: number,
    { bytes, head }: ReturnType<typeof encodeBatch>,
    more: { readonly opening?: Opening },
  ): void {
    this.#recent.add(feed, after, head.nextOffset, bytes)
    this.#deps.commit.store({ feed, bytes, head, ...more }, () => this.#stored({ feed, head }))
  }

  #takeRecords(ref: number): RecordSet {
    const records = this.#records.get(ref)
    assert(records !== undefined, 'the records of a publish wait for their batch')
    this.#records.delete(ref)
    return records
  }

  #storeReceived({ received, link, feed, from, to }: Extract<PeerEffect, { type: 'storeReceived' }>): void {
    const range = this.#received.get(received)
    assert(range !== undefined, 'a received range waits for its order')
    this.#received.delete(received)
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
      this.#deps.commit.store({ feed, bytes, head, ...(opening && { opening }) }, () => run && this.#stored(run))
    }
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
    this.#deps.store.read(feed, position, bytesMax).then(
      (batches) => this.#sendBatches(order, upToEnd(batches)),
      // A damaged batch is never served; whoever asked will ask another holder.
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
