import { type AckLevel, copiesNeeded, strictest } from '#protocol/ack-level'
import type { Digests } from '#protocol/digests'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import {
  type FeedId,
  type FeedKey,
  feedKeyOf,
  type OffsetRange,
  parseFeedKey,
  type Predecessor,
} from '#protocol/log/feed'
import { type Piece, rangesOfPieces } from '#protocol/log/record'
import { limits } from '#protocol/limits'
import type { Machine, Millis } from '#protocol/machine'
import type { Membership, MembershipEffect, MembershipInput, RegistryView } from '#protocol/membership/membership'
import type { MembershipMessage } from '#protocol/membership/messages'
import type {
  LinkNumber,
  ReplicationEffect,
  ReplicationInput,
  SettledPublish,
  StoredRun,
} from '#protocol/replication/inputs'
import { Partitions, type PartitionsConfig } from '#protocol/partitions/partitions'
import type { HandoffsLeft } from '#protocol/replication/handoff'
import type { LocalFeed } from '#protocol/replication/local-feeds'
import type { ReplicationMessage } from '#protocol/replication/messages'
import type { Replication } from '#protocol/replication/replication'
import type { Original, PeerEffect, PeerInput, PeerTimer, PlacedPublish, PublishPart, Refusal } from './inputs.ts'
import { endsOf, piecesOf, runsOf, settledTogether } from './placing.ts'
import { ProducerIndexes } from './producer-indexes.ts'
import { Producers, type PublishRequest } from './producers.ts'
import type { RemainingTopic } from './deleted-topics.ts'
import { holdingsOf } from './holdings.ts'
import { Sides } from './sides.ts'
import { TopicNames } from './topic-names.ts'
import { TopicRegistry } from './topic-registry.ts'
import { isInternal, type TopicName, topicsTopic } from '#protocol/topic-name'
import type { Remains } from '#protocol/topics/remains'
import { configOf } from '#protocol/topics/topic-state'
import type { Topics } from '#protocol/topics/topics'
import { type TopicWriter, Writers } from './writer.ts'

/*
 * A peer is one machine made of the others (DESIGN §3). It joins what they do not know of each other:
 *
 *   publishes ──► Producers ──► Writers ──makeBatch──► shell ──batchMade──► Replication (push, acks)
 *                 (those that carry one: is it a retry?)
 *   links, frames ──► Membership (who is alive) and Replication (what goes over the link)
 *   Membership ──registryChanged, presenceChanged──► Replication (who keeps what, whose copies count)
 *   all of them ──who is away, what moves between disks──► Partitions (who is on which side; what a heal merged)
 *   publishes, edits, records of `$topics` ──► TopicRegistry ──replicasChanged, retentionChanged, floorsRaised──► Replication;
 *                 what it writes itself are publishes
 *
 * The peer process and the simulator run this machine through the same driver (`#node/driver`).
 */

export interface PeerOptions {
  readonly self: PeerId
  readonly epoch: Epoch
  /** Earlier boots of this peer that its disk knows of, oldest first. */
  readonly boots: readonly Epoch[]
  readonly cluster: string
  readonly digests: Digests
  readonly membership: Membership
  readonly replication: Replication
  readonly topics: Topics
  readonly remains: Remains
  readonly partitions: PartitionsConfig
  /** See `ProducerIndexes`. */
  readonly checkpointEvery: number
}

export class Peer implements Machine<PeerInput, PeerEffect> {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly membership: Membership
  readonly replication: Replication
  readonly #boots: ReadonlyMap<Epoch, number>
  readonly topics: Topics
  readonly #names: TopicNames
  readonly #registry: TopicRegistry
  readonly #writers: Writers
  readonly #linkOf = new Map<PeerId, LinkNumber>()
  readonly #peerOf = new Map<LinkNumber, PeerId>()
  readonly producers: Producers
  readonly producerIndexes: ProducerIndexes
  readonly partitions: Partitions
  readonly #sides: Sides
  /** Parts that have their offsets and no answer yet. */
  readonly #placed = new Map<number, PlacedPart>()
  /** Publishes that are not on this peer's disk yet. */
  #unsyncedPublishes = 0
  #unsyncedBytes = 0
  #isDiskFull = false
  /** Of the registry, as replication knows it. */
  #shared: Pick<RegistryView, 'revision' | 'merged'> | undefined
  #effects: PeerEffect[] = []
  #nowMs: Millis = 0

  constructor(options: PeerOptions) {
    this.self = options.self
    this.epoch = options.epoch
    this.membership = options.membership
    this.replication = options.replication
    this.#boots = new Map(options.boots.map((epoch, index) => [epoch, index]))
    const order = (effect: PeerEffect): void => void this.#effects.push(effect)
    const names = new TopicNames(options)
    this.topics = options.topics
    this.#names = names
    this.#writers = new Writers({ ...options, names, predecessorOf: (topicId) => this.#newestOwnFeed(topicId) })
    this.#registry = new TopicRegistry({
      ...options,
      names,
      order,
      tellReplication: (input) => this.#tellReplication(input, this.#nowMs),
      retire: (topicId) => this.#writers.retire(topicId),
    })
    const { local } = this.replication
    const { checkpointEvery } = options
    this.producerIndexes = new ProducerIndexes({
      checkpointEvery,
      local,
      order,
      endOf: (feed) => this.#endOf(feed),
    })
    this.producers = new Producers({
      self: this.self,
      indexes: this.producerIndexes,
      held: (feed) => this.#heldOf(feed),
      order,
      place: (request, originals) => this.#place(request, originals),
      refuse: (request, refusal) => this.#refuse(request, refusal),
    })
    const holdings = holdingsOf(this.replication)
    this.partitions = new Partitions({ self: this.self, config: options.partitions, holdings })
    this.#sides = new Sides({
      ...options,
      partitions: this.partitions,
      producersOf: ({ topicId }) => this.producerIndexes.get(topicId),
      order,
    })
  }

  handle(input: PeerInput, nowMs: Millis): readonly PeerEffect[] {
    this.#nowMs = nowMs
    this.#receive(input, nowMs)
    this.#shareRegistry(nowMs)
    this.#sides.turnEnds(nowMs)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** Publishes that wait for this peer's disk, with their bytes, and those in a batch that have no answer yet. */
  get pending(): Readonly<Record<'unsyncedPublishes' | 'unsyncedBytes' | 'waitingPublishes', number>> {
    const { waitingPublishes } = this.replication
    return { unsyncedPublishes: this.#unsyncedPublishes, unsyncedBytes: this.#unsyncedBytes, waitingPublishes }
  }

  /** Of the topic that has this name now. */
  topicIdOf(topic: TopicName): TopicId {
    return this.#names.idOf(topic)
  }

  /** The generations that came before the one that this name has now, the newest first. */
  deletedIdsOf(topic: TopicName): readonly TopicId[] {
    return this.#names.deletedIdsOf(topic)
  }

  /** What is left of deleted topics here. */
  remainingTopics(): readonly RemainingTopic[] {
    return this.#registry.remaining()
  }

  linkTo(peer: PeerId): LinkNumber | undefined {
    return this.#linkOf.get(peer)
  }

  #receive(input: PeerInput, nowMs: Millis): void {
    switch (input.type) {
      case 'started':
        this.#registry.started(nowMs)
        this.#tellMembership({ type: 'started' }, nowMs)
        return this.#sides.started(nowMs)
      case 'publishRequested':
        return this.#onPublish(input, nowMs)
      case 'copiesAwaited':
        return this.#onAwaited(input, nowMs)
      case 'producersWanted':
        if (this.producerIndexes.want(input.topicId) === undefined) return
        this.#effects.push({ type: 'producersKnown', topicId: input.topicId })
        return
      case 'producersRead':
        return this.producerIndexes.read(input.topicId, input.spans)
      case 'producersLoaded':
        this.producerIndexes.loaded(input.topicId)
        return this.producers.loaded(input.topicId)
      case 'producersKept':
        return this.producerIndexes.kept()
      case 'originalsFound':
        return this.producers.found(input.lookup, input.originals, input.differs)
      case 'topicEdited':
        return this.#onTopicEdited(input, nowMs)
      case 'recordsRead':
        return this.#registry.handle(input, nowMs)
      case 'batchMade':
        return this.#onMade(input, nowMs)
      case 'rangesStored':
        return this.#onStored(input.runs, nowMs)
      case 'linkUp':
        return this.#onLinkUp(input.peer, input.link, nowMs)
      case 'linkDown':
        return this.#onLinkDown(input, nowMs)
      case 'dialFailed':
        return this.#tellMembership(input, nowMs)
      case 'messageReceived':
        return this.#onMessage(input.link, input.message, nowMs)
      case 'rangeReceived':
        return this.#onRange(input, nowMs)
      case 'rangeSent':
        return this.#withPeer(input.link, (to) => this.#tellReplication({ ...input, to }, nowMs))
      case 'diskChanged':
        this.#isDiskFull = input.full
        return this.#tellReplication(input, nowMs)
      case 'topicUsed':
      case 'floorsRaised':
      case 'readRequested':
      case 'drainRequested':
      case 'damageFound':
      case 'chainFound':
      case 'holeFilled':
      case 'feedChanged':
      case 'copyVerified':
      case 'clockRead':
      case 'feedMeasured':
        return this.#tellReplication(input, nowMs)
      case 'leaveRequested':
      case 'registryEdited':
        return this.#tellMembership(input, nowMs)
      case 'timerFired':
        return this.#onTimer(input.timer, nowMs)
    }
  }

  #onTimer({ machine, timer }: PeerTimer, nowMs: Millis): void {
    switch (machine) {
      case 'membership':
        return this.#tellMembership({ type: 'timerFired', timer }, nowMs)
      case 'replication':
        this.#tellReplication({ type: 'timerFired', timer }, nowMs)
        if (timer.type === 'sweep') this.#leaveIfDone(nowMs)
        return
      case 'partitions':
        return this.#sides.timerFired(timer, nowMs)
      case 'topics':
        return this.#registry.timerFired(timer.dueMs, nowMs)
    }
  }

  // Decommission ------------------------------------------------------------------------------------------------------

  /** What this peer has to hand over before it may go; undefined while it belongs, and is to. */
  leftToHandOver(): HandoffsLeft | undefined {
    return this.replication.homes.isOnItsWayOut ? this.replication.handoffs.left() : undefined
  }

  /** Others hold all that is here, and nothing is on its way to disk: this peer is not needed any more. */
  #leaveIfDone(nowMs: Millis): void {
    if (this.membership.statusOf(this.self)?.type !== 'leaving' || this.#unsyncedPublishes > 0) return
    if (this.leftToHandOver()?.feeds === 0) this.#tellMembership({ type: 'handedOver' }, nowMs)
  }

  /** A peer on its way out takes nothing that it would have to hand over. Its clients find others. */
  #farewell(): Refusal | undefined {
    const type = this.membership.statusOf(this.self)?.type
    if (type === 'leaving') return { code: 'DECOMMISSIONED', detail: 'This peer is handing over what it holds.' }
    if (type === 'forgotten') return { code: 'FORGOTTEN', detail: 'The mesh was told to forget this peer.' }
    return undefined
  }

  #onTopicEdited(input: Extract<PeerInput, { type: 'topicEdited' }>, nowMs: Millis): void {
    const refusal = this.#farewell()
    if (refusal === undefined) return this.#registry.edited(input, nowMs)
    this.#effects.push({ type: 'topicRefused', ref: input.ref, ...refusal })
  }

  // Publishing --------------------------------------------------------------------------------------------------------

  #onPublish(input: Extract<PeerInput, { type: 'publishRequested' }>, nowMs: Millis): void {
    const { parts, topic, hlcMs } = input
    // What the mesh writes itself is little, and has nobody to be told.
    const refusal = isInternal(topic) ? undefined : this.#refusalOf(input)
    if (refusal !== undefined) {
      for (const { ref } of parts) this.#effects.push({ type: 'publishRefused', ref, ...refusal })
      return
    }
    if (!isInternal(topic)) this.#registry.handle({ type: 'topicUsed', topic }, nowMs)
    // A topic may ask for more than its publisher. Never for less, and it is no reason to refuse anything (P1).
    const level = strictest(input.level, configOf(this.topics.get(topic)).minAck)
    for (const part of parts) this.#countUnsynced(part, 1)
    const topicId = this.topicIdOf(topic)
    const request = { topic, topicId, parts, level, hlcMs, deadlineMs: nowMs + input.waitMs }
    if (parts.some(({ producerRanges }) => producerRanges.length > 0)) this.producers.admit(request)
    else this.#place(request, [])
  }

  /** Every record gets its offset: its original's, or the next of this peer's feed. Answers come with their copies. */
  #place({ topic, parts, level, deadlineMs, hlcMs }: PublishRequest, originals: readonly Original[]): void {
    for (const part of parts) {
      const { ref } = part
      const found = originals.filter((original) => original.ref === ref)
      const pieces = piecesOf(part.count, found)
      const added = pieces.length === 0 ? undefined : this.#writers.open(topic)
      const own = added?.feed
      const ends = endsOf(found).filter(({ feed }) => own === undefined || feedKeyOf(feed) !== feedKeyOf(own))
      const waits = ends.length + (added === undefined ? 0 : 1)
      const firstOffset = added?.nextOffset ?? 0
      const runs = own === undefined ? found : runsOf(pieces, found, { feed: own, firstOffset })
      this.#placed.set(ref, { placed: { ref, runs }, waits, settled: undefined })
      if (added === undefined) this.#countUnsynced(part, -1)
      else this.#append(added, { ...part, level, deadlineMs, hlcMs, ...(found.length > 0 && { pieces }) })
      for (const end of ends) {
        this.#tellReplication({ type: 'publishAppended', publish: { ref, ...end, level, deadlineMs } }, this.#nowMs)
      }
    }
  }

  #onAwaited(input: Extract<PeerInput, { type: 'copiesAwaited' }>, nowMs: Millis): void {
    const { ref, feed, endOffset, level, waitMs } = input
    const refusal = this.#impossibility(level, input.topic, feed.topicId)
    if (refusal !== undefined) return void this.#effects.push({ type: 'publishRefused', ref, ...refusal })
    this.#placed.set(ref, { placed: { ref, runs: [] }, waits: 1, settled: undefined })
    const publish = { ref, feed, endOffset, level, deadlineMs: nowMs + waitMs }
    this.#tellReplication({ type: 'copiesAwaited', publish }, nowMs)
  }

  #append(writer: TopicWriter, part: PublishPart & NewRecords): void {
    const { pieces, producerRanges, hlcMs } = part
    const count = pieces?.reduce((sum, piece) => sum + piece.count, 0) ?? part.count
    const baseOffset = writer.add({ ...part, count })
    const ranges = pieces === undefined ? producerRanges : rangesOfPieces(pieces, producerRanges)
    this.producerIndexes.appended(writer.feed, [{ baseOffset, hlcMs, producerRanges: ranges }])
    this.#makeNext(writer)
  }

  #refuse({ parts }: PublishRequest, refusal: Refusal): void {
    for (const part of parts) {
      this.#countUnsynced(part, -1)
      this.#effects.push({ type: 'publishRefused', ref: part.ref, ...refusal })
    }
  }

  #countUnsynced(part: Pick<PublishPart, 'sizeBytes'>, sign: 1 | -1): void {
    this.#unsyncedPublishes += sign
    this.#unsyncedBytes += sign * unsyncedBytesOf(part)
  }

  /** Only what waits for this peer's own disk is refused: what waits for others must not keep anybody from publishing (P1). */
  #refusalOf({ parts, level, topic }: Extract<PeerInput, { type: 'publishRequested' }>): Refusal | undefined {
    const refusal = this.#farewell() ?? this.#impossibility(level, topic, this.topicIdOf(topic))
    if (refusal !== undefined) return refusal
    if (this.#isDiskFull) return diskFull
    const bytes = parts.reduce((sum, part) => sum + unsyncedBytesOf(part), this.#unsyncedBytes)
    const count = this.#unsyncedPublishes + parts.length
    if (count > limits.pendingPublishesMax || bytes > limits.pendingPublishBytesMax) {
      return { code: 'OVERLOADED', detail: `${this.#unsyncedPublishes} publishes wait for the disk of this peer.` }
    }
    return this.#topicRefusal(topic)
  }

  #impossibility(level: AckLevel, topic: TopicName, topicId: TopicId): Refusal | undefined {
    const { peers, merged } = this.replication.homes.of(topicId)
    const needed = Math.max(...copiesNeeded(level, peers.length).map(({ count }) => count))
    // A writer that is not at home holds one copy more.
    const most = Math.min(peers.length + 1, this.replication.homes.registered.size)
    if (!merged || needed <= most) return undefined
    const detail = `${needed} copies were asked for; ${most} are the most there can be of ${topic}.`
    return { code: 'ACK_LEVEL_IMPOSSIBLE', detail }
  }

  #topicRefusal(topic: TopicName): Refusal | undefined {
    if (!this.topics.admits(topic)) {
      return { code: 'TOO_MANY_TOPICS', detail: `The mesh has had ${limits.registeredTopicsMax} topics.` }
    }
    const isKnown = this.#writers.get(this.topicIdOf(topic)) !== undefined
    if (isKnown || this.#writers.size < limits.topicsMax) return undefined
    return { code: 'TOO_MANY_TOPICS', detail: `${limits.topicsMax} topics were published to at this peer.` }
  }

  #makeNext(writer: TopicWriter): void {
    const batch = writer.next()
    if (batch !== undefined) this.#effects.push(batch)
  }

  #onMade({ feed, head, sizeBytes, hlcMs }: Extract<PeerInput, { type: 'batchMade' }>, nowMs: Millis): void {
    const writer = this.#writers.get(feed.topicId)
    if (writer === undefined) return
    const { opening, intents } = writer.made(head)
    const appended = { type: 'batchAppended', feed, head, sizeBytes, hlcMs } as const
    this.#tellReplication({ ...appended, ...(opening && { opening }) }, nowMs)
    for (const { intent, endOffset } of intents) {
      const { ref, level, deadlineMs } = intent
      this.#tellReplication({ type: 'publishAppended', publish: { ref, feed, endOffset, level, deadlineMs } }, nowMs)
    }
    this.#makeNext(writer)
  }

  #onStored(runs: readonly StoredRun[], nowMs: Millis): void {
    this.#sides.storing(runs, nowMs)
    this.#tellReplication({ type: 'rangesStored', runs }, nowMs)
    this.#sides.stored(runs, nowMs)
    for (const { feed, head } of runs) {
      if (feed.writer !== this.self || feed.epoch !== this.epoch) continue
      const writer = this.#writers.get(feed.topicId)
      if (writer === undefined) continue
      for (const intent of writer.stored(head)) this.#countUnsynced(intent, -1)
      this.#makeNext(writer)
      this.#writers.letGo(feed.topicId)
    }
  }

  /** The end of a feed here, with the records that wait for their batch. */
  #endOf(feed: FeedId): number {
    const writer = this.#isOurs(feed) ? this.#writers.get(feed.topicId) : undefined
    return writer?.nextOffset ?? this.replication.local.position(feedKeyOf(feed))
  }

  /**
   * Which offsets of a feed are here, or on their way to disk: a feed of ours may have records before it has a batch. What is
   * damaged among them is found to be when it is looked for.
   */
  #heldOf(key: FeedKey): OffsetRange | undefined {
    const feed = parseFeedKey(key)
    const local = this.replication.local.get(key)
    if (feed === undefined || (local === undefined && !this.#isOurs(feed))) return undefined
    return { from: local?.keptFrom ?? 0, to: this.#endOf(feed) }
  }

  #isOurs(feed: FeedId): boolean {
    return feed.writer === this.self && feed.epoch === this.epoch
  }

  /** Where a feed opened now goes on from: this peer's newest feed of the topic, as far as the disk knows it. */
  #newestOwnFeed(topicId: TopicId): Predecessor | undefined {
    // A neighbor may give back an opening that a crash kept from our disk: until it is there, it goes on from nothing.
    const known = this.replication.local.ofTopic(topicId).filter(({ durable }) => durable !== undefined)
    const own = known.filter(({ feed }) => feed.writer === this.self)
    let tip = this.#newestOf(own)
    // What goes on from the newest may be of a boot that the disk does not know. A ring would be a lie: the bound ends it.
    for (let steps = 0; tip !== undefined && steps < own.length; steps++) {
      const { feed, durable } = tip
      // What branches off below its end is of a clone, or of a boot that had lost the rest: it did not see what we acked since.
      const goesOn = ({ opening: { predecessor } }: LocalFeed): boolean =>
        predecessor?.epoch === feed.epoch && predecessor.nextOffset === durable?.nextOffset
      const next = this.#newestOf(own.filter(goesOn))
      if (next === undefined) break
      tip = next
    }
    return tip?.durable && { epoch: tip.feed.epoch, nextOffset: tip.durable.nextOffset, hash: tip.durable.hash }
  }

  #newestOf(feeds: readonly LocalFeed[]): LocalFeed | undefined {
    return feeds.reduce<LocalFeed | undefined>((best, feed) => (this.#isNewer(feed, best) ? feed : best), undefined)
  }

  /**
   * Own feeds may branch: a feed that a crash kept from our disk had no successor of ours when a neighbor gave it back,
   * and a cloned directory has two. What we acked last is in the newest, however short it is (simulator, seed 2054). A boot
   * that our disk does not know has acked nothing. Times only decide between those: they stand still after a wall clock was
   * set back (seed 14, harsh).
   */
  #isNewer(feed: LocalFeed, best: LocalFeed | undefined): boolean {
    if (best === undefined) return true
    const [a, b] = [this.#boots.get(feed.feed.epoch) ?? -1, this.#boots.get(best.feed.epoch) ?? -1]
    if (a !== b) return a > b
    return feed.hlcMs === best.hlcMs ? feedKeyOf(feed.feed) > feedKeyOf(best.feed) : feed.hlcMs > best.hlcMs
  }

  // Links -------------------------------------------------------------------------------------------------------------

  #onLinkUp(peer: PeerId, link: LinkNumber, nowMs: Millis): void {
    const old = this.#linkOf.get(peer)
    if (old !== undefined) {
      this.#effects.push({ type: 'closeLink', link: old, reason: 'replaced by a newer link' })
      this.#onLinkDown({ link: old, cause: 'broken', reason: 'replaced by a newer link' }, nowMs)
    }
    this.#linkOf.set(peer, link)
    this.#peerOf.set(link, peer)
    this.#tellMembership({ type: 'linkUp', peer }, nowMs)
    this.#sides.linkUp(peer, nowMs)
    this.#tellReplication({ type: 'linkUp', peer, link }, nowMs)
  }

  #onLinkDown({ link, cause, reason }: Omit<Extract<PeerInput, { type: 'linkDown' }>, 'type'>, nowMs: Millis): void {
    this.#withPeer(link, (peer) => {
      this.#peerOf.delete(link)
      this.#linkOf.delete(peer)
      this.#tellReplication({ type: 'linkDown', peer }, nowMs)
      this.#tellMembership({ type: 'linkDown', peer, cause, reason }, nowMs)
    })
  }

  #onMessage(link: LinkNumber, message: MembershipMessage | ReplicationMessage, nowMs: Millis): void {
    this.#withPeer(link, (from) => {
      this.#tellMembership({ type: 'trafficReceived', peer: from }, nowMs)
      this.replication.meshTime.heard(from, nowMs)
      switch (message.type) {
        case 'summary':
        case 'summaryDiffers':
        case 'digest':
        case 'digestMore':
        case 'want':
        case 'wantMissing':
        case 'disk':
        case 'credit':
        case 'follow':
        case 'followed':
        case 'followMore':
        case 'handoff':
        case 'handoffConfirmed':
        case 'flush':
        case 'flushed':
        case 'clock':
          this.#noteUse(from, message)
          this.#tellReplication({ type: 'messageReceived', from, message }, nowMs)
          return this.#sides.heard(from, message, nowMs)
        case 'ping':
        case 'ack':
        case 'pingRequest':
        case 'nack':
        case 'gossip':
        case 'pushPullDigest':
        case 'pushPull':
        case 'pushPullMore':
        case 'rest':
          return this.#tellMembership({ type: 'messageReceived', from, message }, nowMs)
      }
    })
  }

  #onRange(input: Extract<PeerInput, { type: 'rangeReceived' }>, nowMs: Millis): void {
    const from = this.#peerOf.get(input.link)
    if (from === undefined) {
      this.#effects.push({ type: 'discardReceived', received: input.received })
      return
    }
    this.#tellMembership({ type: 'trafficReceived', peer: from }, nowMs)
    this.#tellMembership({ type: 'linkUsed', peer: from }, nowMs)
    const effects = this.replication.handle({ ...input, from }, nowMs)
    for (const effect of effects) {
      if (effect.type === 'storeReceived') {
        const taken = input.batches.slice(effect.from, effect.to)
        this.#sides.appending(effect.feed, taken, nowMs)
        this.producerIndexes.appended(effect.feed, taken)
      }
      this.#onReplication(effect)
    }
  }

  #withPeer(link: LinkNumber, then: (peer: PeerId) => void): void {
    const peer = this.#peerOf.get(link)
    if (peer !== undefined) then(peer)
  }

  // The machines inside -----------------------------------------------------------------------------------------------

  /** Whenever the registry has changed, replication learns who keeps what, and whose copies count. */
  #shareRegistry(nowMs: Millis): void {
    const { revision, version, merged, peers, ...gone } = this.membership.registryView()
    if (revision === this.#shared?.revision && merged === this.#shared.merged) return
    this.#shared = { revision, merged }
    const members = peers.map((peer) => ({ peer, zone: this.membership.zoneOf(peer) }))
    const [leaving, forgotten] = [new Set(gone.leaving), new Set(gone.forgotten)]
    this.#tellReplication({ type: 'registryChanged', version, merged, members, leaving, forgotten }, nowMs)
  }

  #tellMembership(input: MembershipInput, nowMs: Millis): void {
    for (const effect of this.membership.handle(input, nowMs)) this.#onMembership(effect, nowMs)
  }

  #tellReplication(input: ReplicationInput, nowMs: Millis): void {
    for (const effect of this.replication.handle(input, nowMs)) this.#onReplication(effect)
  }

  #onMembership(effect: MembershipEffect, nowMs: Millis): void {
    switch (effect.type) {
      case 'send':
        return this.#send(effect.to, effect.message)
      case 'closeLink':
        return this.#close(effect.peer, effect.reason)
      case 'setTimer':
        this.#effects.push({ ...effect, timer: { machine: 'membership', timer: effect.timer } })
        return
      case 'memberChanged': {
        const present = effect.to === 'alive' || effect.to === 'suspect'
        this.#tellReplication({ type: 'presenceChanged', peer: effect.peer, present }, nowMs)
        this.#sides.memberChanged(effect.peer)
        this.#effects.push(effect)
        return
      }
      case 'statusChanged':
        this.#sides.memberChanged(effect.peer)
        this.#effects.push(effect)
        return
      case 'dial':
      case 'persistRegistry':
      case 'registrySettled':
      case 'registryRefused':
      case 'doubleNoticed':
        this.#effects.push(effect)
    }
  }

  #onReplication(effect: ReplicationEffect): void {
    switch (effect.type) {
      case 'send':
        this.#noteUse(effect.to, effect.message)
        return this.#send(effect.to, effect.message)
      case 'linksNeeded':
        return this.#tellMembership(effect, this.#nowMs)
      case 'closeLink':
        return this.#close(effect.peer, effect.reason)
      case 'setTimer':
        this.#effects.push({ ...effect, timer: { machine: 'replication', timer: effect.timer } })
        return
      case 'publishSettled':
        return this.#onSettled(effect.settled)
      case 'sendRange':
      case 'storeReceived':
      case 'discardReceived':
      case 'readAnswered':
      case 'readFailed':
      case 'topicChanged':
      case 'feedAdvanced':
      case 'findChain':
      case 'fillHole':
      case 'changeFeed':
      case 'verifyCopy':
      case 'measureFeed':
      case 'readClock':
      case 'feedDamaged':
        this.#effects.push(effect)
        return
      case 'feedRepaired':
        this.#effects.push(effect)
        return this.producerIndexes.repaired(effect.feed, effect.range)
    }
  }

  #onSettled(settled: SettledPublish): void {
    const part = this.#placed.get(settled.ref)
    if (part === undefined) return
    const together = part.settled === undefined ? settled : settledTogether(part.settled, settled)
    if (part.waits > 1) {
      this.#placed.set(settled.ref, { ...part, waits: part.waits - 1, settled: together })
      return
    }
    this.#placed.delete(settled.ref)
    const isRegistry = part.placed.runs[0]?.feed.topicId === this.topicIdOf(topicsTopic)
    if (isRegistry) return this.#registry.handle({ type: 'recordWritten' }, this.#nowMs)
    this.#effects.push({ type: 'publishSettled', placed: part.placed, settled: together })
  }

  #send(to: PeerId, message: MembershipMessage | ReplicationMessage): void {
    const link = this.#linkOf.get(to)
    if (link !== undefined) this.#effects.push({ type: 'send', link, message })
  }

  /** What is said on every link, however little it is needed, is no use of it. */
  #noteUse(peer: PeerId, { type }: ReplicationMessage): void {
    const isRoutine = type === 'summary' || type === 'clock' || type === 'disk'
    if (!isRoutine) this.#tellMembership({ type: 'linkUsed', peer }, this.#nowMs)
  }

  #close(peer: PeerId, reason: string): void {
    const link = this.#linkOf.get(peer)
    if (link !== undefined) this.#effects.push({ type: 'closeLink', link, reason })
  }
}

interface PlacedPart {
  readonly placed: PlacedPublish
  /** In how many feeds its records still wait for copies. */
  readonly waits: number
  readonly settled: SettledPublish | undefined
}

/** Which records of a part are added, if not all. */
interface NewRecords extends Pick<PublishRequest, 'level' | 'deadlineMs' | 'hlcMs'> {
  readonly pieces?: readonly Piece[]
}

const diskFull: Refusal = { code: 'DISK_FULL', detail: 'This peer keeps what room is left on its disk for itself.' }

/** With the batch around it, and the opening batch of its feed: thousands of topics may be opened during one fsync. */
const unsyncedBytesOf = ({ sizeBytes }: { readonly sizeBytes: number }): number => sizeBytes + 1_024
