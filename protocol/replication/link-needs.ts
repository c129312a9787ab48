import type { PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Homes } from './homes.ts'
import { isLinked, type LinkedNeighbor, type Neighbor } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

/** So many sweeps, a second apart, a need outlasts what has made it: the next record of a topic finds its links there. */
const needSweeps = 10
/** Of a topic with more keepers than links are kept, a peer that is none of them is linked with so many. */
const fewKeepers = 3
/** Members, this peer included. Of more, not all would find a connection, however often they are dialed. */
const everybodyMax = limits.linksMax - limits.linksReserved

export interface LinkNeedsDeps {
  readonly self: PeerId
  /** Links that membership keeps, whether they are needed or not. */
  readonly linksMax: number
  readonly homes: Homes
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
}

/**
 * Whom this peer needs a link with, in a mesh of more members than membership keeps links (ADR 0018); in a smaller one
 * everybody is linked, and nothing is done here.
 *
 * 1. A topic that moves here, or is read here, needs its keepers. Of one that is kept by more than there are links, the
 *    keepers hand it on to whom they are linked with, and whoever else there is needs a few of them.
 * 2. Whoever waits for copies needs all keepers, however many.
 * 3. What is settled with everybody at once (is it lost? may it be forgotten?) needs everybody, while everybody is there, and there
 *    are connections for all. In a larger mesh it is not settled.
 * 4. A link on which something is under way is needed.
 *
 * What is not asked for here comes about all the same, a little later: probes link each pair once a round, and then both tell
 * each other what they hold.
 */
export class LinkNeeds {
  readonly #deps: LinkNeedsDeps
  /** Sweeps for which each is still needed. */
  readonly #keepers = new Map<TopicId, number>()
  readonly #copies = new Map<TopicId, number>()
  #everybody = 0
  /** Of new links: for so long what is told on them is waited for. */
  readonly #young = new Map<PeerId, number>()
  #needed = new Set<PeerId>()
  /** Others than were told last. */
  #isChanged = false
  /** They are to be counted anew: some may not be needed any more. */
  #isDue = false

  constructor(deps: LinkNeedsDeps) {
    this.#deps = deps
  }

  /** Are links closed that nobody needs? */
  get isLimited(): boolean {
    return this.#deps.homes.registered.size - 1 > this.#deps.linksMax
  }

  /** The topic moves here, or is read here. */
  topic(topicId: TopicId): void {
    this.#need(this.#keepers, topicId)
  }

  /** Somebody here waits for copies of it. */
  copies(topicId: TopicId): void {
    this.#need(this.#copies, topicId)
  }

  /** Not where they are too many. */
  everybody(): void {
    if (!this.isLimited || this.#deps.homes.registered.size > everybodyMax) return
    if (this.#everybody === 0) this.#add(this.#everybodyElse())
    this.#everybody = needSweeps
  }

  get isCallingEverybody(): boolean {
    return this.#everybody > 0
  }

  /** A keeper of the topic is there and not linked, but will be. */
  isAwaited(topicId: TopicId): boolean {
    if (!this.isLimited) return false
    const { homes, neighbors } = this.#deps
    return this.#keepersFor(topicId).some((peer) => homes.isPresent(peer) && neighbors.get(peer)?.link === undefined)
  }

  linkUp(peer: PeerId): void {
    if (this.isLimited) this.#young.set(peer, needSweeps)
  }

  sweep(): void {
    age(this.#keepers)
    age(this.#copies)
    age(this.#young)
    if (this.#everybody > 0) this.#everybody--
    this.#isDue = true
  }

  /** The end of a turn. */
  flush(): void {
    if (this.#isDue) this.#recount()
    if (!this.#isChanged) return
    this.#isChanged = false
    this.#deps.outbox.order({ type: 'linksNeeded', peers: new Set(this.#needed) })
  }

  /** The first record of a topic costs what its own keepers do, however many other topics there are. */
  #need(needs: Map<TopicId, number>, topicId: TopicId): void {
    if (!this.isLimited || needs.size >= limits.feedsMax) return
    if (!needs.has(topicId)) this.#add(needs === this.#copies ? this.#allKeepers(topicId) : this.#keepersFor(topicId))
    needs.set(topicId, needSweeps)
  }

  #add(peers: Iterable<PeerId>): void {
    for (const peer of peers) {
      if (peer === this.#deps.self || this.#needed.has(peer)) continue
      this.#needed.add(peer)
      this.#isChanged = true
    }
  }

  #recount(): void {
    this.#isDue = false
    const peers = this.isLimited ? this.#peers() : new Set<PeerId>()
    if (peers.size !== this.#needed.size || [...peers].some((peer) => !this.#needed.has(peer))) this.#isChanged = true
    this.#needed = peers
  }

  #peers(): Set<PeerId> {
    const { self, neighbors } = this.#deps
    const peers = new Set<PeerId>()
    for (const topicId of this.#keepers.keys()) for (const peer of this.#keepersFor(topicId)) peers.add(peer)
    for (const topicId of this.#copies.keys()) for (const peer of this.#allKeepers(topicId)) peers.add(peer)
    if (this.#everybody > 0) for (const peer of this.#everybodyElse()) peers.add(peer)
    for (const neighbor of neighbors.values()) {
      if (isLinked(neighbor) && this.#isBusy(neighbor)) peers.add(neighbor.peer)
    }
    peers.delete(self)
    return peers
  }

  #everybodyElse(): readonly PeerId[] {
    const { self, homes } = this.#deps
    const others = [...homes.registered].filter((peer) => peer !== self)
    return others.every((peer) => homes.isPresent(peer)) ? others : []
  }

  #allKeepers(topicId: TopicId): ReadonlySet<PeerId> {
    return this.#deps.homes.of(topicId).keepers
  }

  #keepersFor(topicId: TopicId): readonly PeerId[] {
    const { self, linksMax, homes } = this.#deps
    const keepers = [...homes.of(topicId).keepers].filter((peer) => peer !== self)
    if (keepers.length <= linksMax) return keepers
    return homes.isOurs(topicId) ? [] : keepers.filter((peer) => homes.isPresent(peer)).slice(0, fewKeepers)
  }

  /** Something is on its way, or owed, over this link. What is being asked for here is as busy over there. */
  #isBusy({ peer, link }: LinkedNeighbor): boolean {
    const isNew = link.account !== 'complete' && this.#young.has(peer)
    const isUnstored = link.creditOut < limits.linkCreditBytes || link.inFlightIn > 0
    const isSending = link.sending !== undefined || link.wants.length > 0 || isUnstored
    const isTelling = link.unlisted.length > 0 || link.unlistedTopics.length > 0 || link.untold.size > 0
    return isNew || isSending || isTelling || link.flush !== undefined || link.flushRef !== undefined
  }
}

function age<Key>(needs: Map<Key, number>): void {
  for (const [key, left] of needs) {
    if (left > 1) needs.set(key, left - 1)
    else needs.delete(key)
  }
}
