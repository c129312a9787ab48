import { copiesNeeded } from '#protocol/ack-level'
import type { Digests } from '#protocol/digests'
import type { ErrorCode } from '#protocol/errors'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { feedKeyOf, type Predecessor } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Machine, Millis } from '#protocol/machine'
import type { Membership, MembershipEffect, MembershipInput } from '#protocol/membership/membership'
import type { MembershipMessage } from '#protocol/membership/messages'
import type { LinkNumber, ReplicationEffect, ReplicationInput, StoredRun } from '#protocol/replication/inputs'
import type { LocalFeed } from '#protocol/replication/local-feeds'
import type { ReplicationMessage } from '#protocol/replication/messages'
import type { Replication } from '#protocol/replication/replication'
import type { PeerEffect, PeerInput, PlacedPublish } from './inputs.ts'
import type { TopicName } from '#protocol/topic-name'
import { type TopicWriter, Writers } from './writer.ts'

/*
 * A peer is one machine made of the others (DESIGN §3). It joins what they do not know of each other:
 *
 *   publishes ──► Writers ──makeBatch──► shell ──batchMade──► Replication (push, acks)
 *   links, frames ──► Membership (who is alive) and Replication (what goes over the link)
 *   Membership's registry ──homeChanged──► Replication (whose copies count)
 *
 * The peer process and the simulator run this machine through the same driver (`#node/driver`).
 */

export interface PeerOptions {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly cluster: string
  readonly digests: Digests
  readonly membership: Membership
  readonly replication: Replication
}

export class Peer implements Machine<PeerInput, PeerEffect> {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly membership: Membership
  readonly replication: Replication
  readonly #writers: Writers
  readonly #linkOf = new Map<PeerId, LinkNumber>()
  readonly #peerOf = new Map<LinkNumber, PeerId>()
  /** Publishes that are in a batch and not settled yet. */
  readonly #placed = new Map<number, PlacedPublish>()
  /** Requests to make a topic known, until its opening batch is on disk. */
  readonly #topicRequests = new Map<TopicId, number[]>()
  /** Publishes that are not on this peer's disk yet. */
  #unsyncedPublishes = 0
  #unsyncedBytes = 0
  #registryVersion = ''
  #effects: PeerEffect[] = []

  constructor(options: PeerOptions) {
    this.self = options.self
    this.epoch = options.epoch
    this.membership = options.membership
    this.replication = options.replication
    this.#writers = new Writers({ ...options, predecessorOf: (topicId) => this.#newestOwnFeed(topicId) })
  }

  handle(input: PeerInput, nowMs: Millis): readonly PeerEffect[] {
    this.#receive(input, nowMs)
    this.#shareRegistry(nowMs)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** Publishes that wait for this peer's disk, with their bytes, and those in a batch that have no answer yet. */
  get pending(): Readonly<Record<'unsyncedPublishes' | 'unsyncedBytes' | 'waitingPublishes', number>> {
    const { waitingPublishes } = this.replication
    return { unsyncedPublishes: this.#unsyncedPublishes, unsyncedBytes: this.#unsyncedBytes, waitingPublishes }
  }

  topicIdOf(topic: Parameters<Writers['topicIdOf']>[0]): TopicId {
    return this.#writers.topicIdOf(topic)
  }

  linkTo(peer: PeerId): LinkNumber | undefined {
    return this.#linkOf.get(peer)
  }

  #receive(input: PeerInput, nowMs: Millis): void {
    switch (input.type) {
      case 'started':
        return this.#tellMembership({ type: 'started' }, nowMs)
      case 'publishRequested':
        return this.#onPublish(input, nowMs)
      case 'topicRequested':
        return this.#onTopic(input)
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
      case 'drainRequested':
        return this.#tellReplication(input, nowMs)
      case 'leaveRequested':
        return this.#tellMembership({ type: 'leaveRequested' }, nowMs)
      case 'timerFired':
        return input.timer.machine === 'membership'
          ? this.#tellMembership({ type: 'timerFired', timer: input.timer.timer }, nowMs)
          : this.#tellReplication({ type: 'timerFired', timer: input.timer.timer }, nowMs)
    }
  }

  // Publishing --------------------------------------------------------------------------------------------------------

  #onPublish(input: Extract<PeerInput, { type: 'publishRequested' }>, nowMs: Millis): void {
    const { parts, level, topic } = input
    const refusal = this.#refusalOf(input)
    if (refusal !== undefined) {
      for (const { ref } of parts) this.#effects.push({ type: 'publishRefused', ref, ...refusal })
      return
    }
    const writer = this.#writers.open(topic)
    for (const part of parts) {
      this.#unsyncedPublishes++
      this.#unsyncedBytes += unsyncedBytesOf(part)
      writer.add({ ...part, level, deadlineMs: nowMs + input.waitMs })
    }
    this.#makeNext(writer)
  }

  /** Only what waits for this peer's own disk is refused: what waits for others must not keep anybody from publishing (P1). */
  #refusalOf({ parts, level, topic }: Extract<PeerInput, { type: 'publishRequested' }>): Refusal | undefined {
    const { peers, merged } = this.replication.home
    const needed = copiesNeeded(level, peers.length).count
    if (merged && needed > peers.length) {
      const detail = `${needed} copies were asked for, and ${peers.length} peers are registered.`
      return { code: 'ACK_LEVEL_IMPOSSIBLE', detail }
    }
    const bytes = parts.reduce((sum, part) => sum + unsyncedBytesOf(part), this.#unsyncedBytes)
    const count = this.#unsyncedPublishes + parts.length
    if (count > limits.pendingPublishesMax || bytes > limits.pendingPublishBytesMax) {
      return { code: 'OVERLOADED', detail: `${this.#unsyncedPublishes} publishes wait for the disk of this peer.` }
    }
    return this.#topicRefusal(topic)
  }

  #topicRefusal(topic: TopicName): Refusal | undefined {
    const isKnown = this.#writers.get(this.#writers.topicIdOf(topic)) !== undefined
    if (isKnown || this.#writers.size < limits.topicsMax) return undefined
    return { code: 'TOO_MANY_TOPICS', detail: `${limits.topicsMax} topics were published to at this peer.` }
  }

  #onTopic({ ref, topic }: Extract<PeerInput, { type: 'topicRequested' }>): void {
    const topicId = this.#writers.topicIdOf(topic)
    if (this.replication.local.ofTopic(topicId).some(({ durable }) => durable !== undefined)) {
      this.#effects.push({ type: 'topicSettled', ref, topicId, created: false })
      return
    }
    const refusal = this.#topicRefusal(topic)
    if (refusal !== undefined) {
      this.#effects.push({ type: 'topicRefused', ref, ...refusal })
      return
    }
    const requests = this.#topicRequests.get(topicId)
    if (requests === undefined) this.#topicRequests.set(topicId, [ref])
    else requests.push(ref)
    this.#makeNext(this.#writers.open(topic))
  }

  #makeNext(writer: TopicWriter): void {
    const batch = writer.next()
    if (batch !== undefined) this.#effects.push(batch)
  }

  #onMade({ feed, head }: Extract<PeerInput, { type: 'batchMade' }>, nowMs: Millis): void {
    const writer = this.#writers.get(feed.topicId)
    if (writer === undefined) return
    const { opening, placed } = writer.made(head)
    this.#tellReplication({ type: 'batchAppended', feed, head, ...(opening && { opening }) }, nowMs)
    for (const { intent, place } of placed) {
      this.#placed.set(intent.ref, place)
      const publish = { ...intent, feed, endOffset: place.firstOffset + place.count }
      this.#tellReplication({ type: 'publishAppended', publish }, nowMs)
    }
    this.#makeNext(writer)
  }

  #onStored(runs: readonly StoredRun[], nowMs: Millis): void {
    this.#tellReplication({ type: 'rangesStored', runs }, nowMs)
    for (const { feed, head } of runs) {
      this.#settleTopic(feed.topicId)
      if (feed.writer !== this.self || feed.epoch !== this.epoch) continue
      const writer = this.#writers.get(feed.topicId)
      if (writer === undefined) continue
      for (const intent of writer.stored(head)) {
        this.#unsyncedPublishes--
        this.#unsyncedBytes -= unsyncedBytesOf(intent)
      }
      this.#makeNext(writer)
    }
  }

  #settleTopic(topicId: TopicId): void {
    const requests = this.#topicRequests.get(topicId)
    if (requests === undefined) return
    this.#topicRequests.delete(topicId)
    // Whoever asked first made it; the others found it being made.
    requests.forEach((ref, index) => {
      this.#effects.push({ type: 'topicSettled', ref, topicId, created: index === 0 })
    })
  }

  /** Where a feed opened now goes on from: this peer's newest feed of the topic, as far as the disk knows it. */
  #newestOwnFeed(topicId: TopicId): Predecessor | undefined {
    // A neighbor may give back an opening that a crash kept from our disk: until it is there, it goes on from nothing.
    const known = this.replication.local.ofTopic(topicId).filter(({ durable }) => durable !== undefined)
    const own = known.filter(({ feed }) => feed.writer === this.self)
    const continued = new Set(own.map(({ opening }) => opening.predecessor?.epoch))
    const tips = own.filter(({ feed }) => !continued.has(feed.epoch))
    const tip = tips.reduce<LocalFeed | undefined>((best, feed) => (isNewer(feed, best) ? feed : best), undefined)
    return tip?.durable && { epoch: tip.feed.epoch, nextOffset: tip.durable.nextOffset, hash: tip.durable.hash }
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
      switch (message.type) {
        case 'digest':
        case 'digestMore':
        case 'want':
        case 'wantMissing':
        case 'credit':
          return this.#tellReplication({ type: 'messageReceived', from, message }, nowMs)
        case 'ping':
        case 'ack':
        case 'pingRequest':
        case 'nack':
        case 'gossip':
        case 'pushPull':
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
    this.#tellReplication({ ...input, from }, nowMs)
  }

  #withPeer(link: LinkNumber, then: (peer: PeerId) => void): void {
    const peer = this.#peerOf.get(link)
    if (peer !== undefined) then(peer)
  }

  // The machines inside -----------------------------------------------------------------------------------------------

  /** Whenever the registry has changed, replication learns whose copies count. */
  #shareRegistry(nowMs: Millis): void {
    const { version, merged, peers } = this.membership.registryView()
    const state = `${version}/${merged}`
    if (state === this.#registryVersion) return
    this.#registryVersion = state
    this.#tellReplication({ type: 'homeChanged', home: peers, registryVersion: version, merged }, nowMs)
  }

  #tellMembership(input: MembershipInput, nowMs: Millis): void {
    for (const effect of this.membership.handle(input, nowMs)) this.#onMembership(effect)
  }

  #tellReplication(input: ReplicationInput, nowMs: Millis): void {
    for (const effect of this.replication.handle(input, nowMs)) this.#onReplication(effect)
  }

  #onMembership(effect: MembershipEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#send(effect.to, effect.message)
      case 'closeLink':
        return this.#close(effect.peer, effect.reason)
      case 'setTimer':
        this.#effects.push({ ...effect, timer: { machine: 'membership', timer: effect.timer } })
        return
      case 'dial':
      case 'persistRegistry':
      case 'memberChanged':
        this.#effects.push(effect)
    }
  }

  #onReplication(effect: ReplicationEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#send(effect.to, effect.message)
      case 'closeLink':
        return this.#close(effect.peer, effect.reason)
      case 'setTimer':
        this.#effects.push({ ...effect, timer: { machine: 'replication', timer: effect.timer } })
        return
      case 'publishSettled': {
        const placed = this.#placed.get(effect.settled.ref)
        this.#placed.delete(effect.settled.ref)
        if (placed !== undefined) this.#effects.push({ ...effect, placed })
        return
      }
      case 'sendRange':
      case 'storeReceived':
      case 'discardReceived':
      case 'feedAdvanced':
        this.#effects.push(effect)
    }
  }

  #send(to: PeerId, message: MembershipMessage | ReplicationMessage): void {
    const link = this.#linkOf.get(to)
    if (link !== undefined) this.#effects.push({ type: 'send', link, message })
  }

  #close(peer: PeerId, reason: string): void {
    const link = this.#linkOf.get(peer)
    if (link !== undefined) this.#effects.push({ type: 'closeLink', link, reason })
  }
}

interface Refusal {
  readonly code: ErrorCode
  readonly detail: string
}

/** With the batch around it, and the opening batch of its feed: thousands of topics may be opened during one fsync. */
const unsyncedBytesOf = ({ sizeBytes }: { readonly sizeBytes: number }): number => sizeBytes + 1_024

/**
 * There may be several tips: a feed that a crash kept from our disk had no successor of ours when a neighbor gave it back,
 * and a cloned directory has two. What we acked last is in the newest, however short it is. (Simulator, seed 2054.)
 */
function isNewer(feed: LocalFeed, best: LocalFeed | undefined): boolean {
  if (best === undefined || feed.hlcMs !== best.hlcMs) return feed.hlcMs > (best?.hlcMs ?? -1)
  return feedKeyOf(feed.feed) > feedKeyOf(best.feed)
}
