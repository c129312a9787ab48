import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Machine, Millis } from '#protocol/machine'
import { CatchUp, isComplete } from './catch-up.ts'
import type {
  BatchFacts,
  LinkNumber,
  PendingPublish,
  ReplicationEffect,
  ReplicationInput,
  ReplicationOptions,
  ReplicationTimer,
  StoredRun,
} from './inputs.ts'
import { digestOf, type LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import { Neighbor, type NeighborLink, type Want } from './neighbor.ts'
import { type Copies, type Home, Settlement } from './settlement.ts'

/*
 * Replication of feeds between neighbors (DESIGN §7). The rules are in README.md; the invariants:
 *
 * 1. A feed here is a contiguous, chained prefix: a batch is accepted only onto our own head, hash by hash.
 * 2. Only what is on disk is told to others, counted as a copy or read. (`durable`; what is on its way is `appended`.)
 * 3. A successor is accepted only when its predecessor is here up to the link.
 * 4. Bytes of batches flow only against credit, which lives and dies with its link.
 * 5. The log is the buffer: per neighbor there are positions, never bytes.
 */

const sweepIntervalMs: Millis = 1_000
/** How long heads wait to be told to neighbors that do not wait for them; the writer of a feed is told at once. */
const digestDelayMs: Millis = 50
const settleIntervalMsMin: Millis = 10
/** Heads of our own chain that we remember to check neighbors' heads against; a neighbor further back is just not counted yet. */
const boundariesMax = 4_096
/** Live pushes go before what was asked for, but a peer that never pauses must not starve one that catches up. */
const pushesInARowMax = 4
/** Wants of one neighbor that wait here; it has no reason to have more than a few under way. */
const wantsMax = 4 * limits.catchUpsMax

export class Replication implements Machine<ReplicationInput, ReplicationEffect> {
  readonly #self: PeerId
  readonly #epoch: Epoch
  readonly local: LocalFeeds
  readonly neighbors = new Map<PeerId, Neighbor>()
  readonly #own = new Map<TopicId, LocalFeed>()
  readonly #boundaries = new Map<FeedKey, Map<number, Hash>>()
  readonly #catchUp: CatchUp
  readonly #settlement = new Settlement()
  #home: Home
  #settleAtMs: Millis = Number.POSITIVE_INFINITY
  #digestDue = false
  #sweeping = false
  #draining = false
  /** Frames that did not fit our chain, credit overruns and the like: nothing is lost by them, but somebody should look. */
  readonly anomalies = { unfitFrames: 0, foreignChains: 0, creditOverruns: 0, forgedFeeds: 0, feedsRefused: 0 }
  #effects: ReplicationEffect[] = []

  constructor(options: ReplicationOptions) {
    this.#self = options.self
    this.#epoch = options.epoch
    this.local = new LocalFeeds(options.feeds)
    this.#catchUp = new CatchUp(this.local, this.neighbors)
    this.#home = { peers: [options.self], registryVersion: '', merged: false }
  }

  handle(input: ReplicationInput, nowMs: Millis): readonly ReplicationEffect[] {
    this.#receive(input, nowMs)
    this.#startSweeping()
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  get home(): Home {
    return this.#home
  }

  /** Publishes that wait for copies, at other peers or here. */
  get waitingPublishes(): number {
    return this.#settlement.count
  }

  catchUps(): ReturnType<CatchUp['snapshot']> {
    return this.#catchUp.snapshot()
  }

  #receive(input: ReplicationInput, nowMs: Millis): void {
    switch (input.type) {
      case 'homeChanged':
        this.#home = { peers: input.home, registryVersion: input.registryVersion, merged: input.merged }
        return this.#settleAll()
      case 'linkUp':
        return this.#onLinkUp(input.peer, input.link)
      case 'linkDown':
        return this.#onLinkDown(input.peer, nowMs)
      case 'messageReceived':
        return this.#onMessage(input.from, input.message, nowMs)
      case 'batchAppended':
        return this.#onAppended(input)
      case 'rangeReceived':
        return this.#onRange(input, nowMs)
      case 'rangesStored':
        return this.#onStored(input.runs, nowMs)
      case 'rangeSent':
        return this.#onSent(input)
      case 'publishAppended':
        return this.#onPublish(input.publish, nowMs)
      case 'drainRequested':
        this.#draining = true
        return this.#expire(Number.POSITIVE_INFINITY)
      case 'timerFired':
        return this.#onTimer(input.timer, nowMs)
    }
  }

  #onLinkUp(peer: PeerId, number: LinkNumber): void {
    const neighbor = this.neighbors.get(peer) ?? new Neighbor(peer)
    this.neighbors.set(peer, neighbor)
    const link = neighbor.linkUp(number)
    link.unlisted.push(...[...this.local.all()].map(({ key }) => key))
    this.#tellNextPage(peer, link)
  }

  #onLinkDown(peer: PeerId, nowMs: Millis): void {
    const neighbor = this.neighbors.get(peer)
    if (neighbor !== undefined) neighbor.link = undefined
    this.#catchUp.linkDown(peer, nowMs)
    this.#plan(nowMs)
  }

  #onMessage(from: PeerId, message: ReplicationMessage, nowMs: Millis): void {
    const neighbor = this.neighbors.get(from)
    const link = neighbor?.link
    if (neighbor === undefined || link === undefined) return
    switch (message.type) {
      case 'digest':
        return this.#onDigest(neighbor, link, message, nowMs)
      case 'digestMore':
        if (link.unlisted.length > 0) this.#tellNextPage(from, link)
        return
      case 'want':
        return this.#onWant(neighbor, link, { ...message, key: feedKeyOf(message.feed) })
      case 'wantMissing':
        this.#catchUp.failed(message.ref, nowMs)
        return this.#plan(nowMs)
      case 'credit':
        link.creditOut = Math.min(limits.linkCreditBytes, link.creditOut + message.bytes)
        return this.#sendNext(neighbor)
    }
  }

  // Digests: who holds what -------------------------------------------------------------------------------------------

  #onDigest(
    neighbor: Neighbor,
    link: NeighborLink,
    message: Extract<ReplicationMessage, { type: 'digest' }>,
    nowMs: Millis,
  ): void {
    link.epoch = message.epoch
    for (const entry of message.feeds) {
      if (!neighbor.heard(entry)) this.anomalies.feedsRefused++
      else if (this.#isOwn(entry.feed)) this.#onOwnHead(neighbor, link, entry)
      else this.#catchUp.heard(entry.feed, entry.nextOffset, nowMs)
    }
    if (message.initial && message.more) this.#send(neighbor.peer, { type: 'digestMore' })
    else if (message.initial) link.digestComplete = true
    this.#plan(nowMs)
    this.#sendNext(neighbor)
  }

  /** A copy of our own feed counts up to where the neighbor's chain is known to be ours. A lower head takes it back. */
  #onOwnHead(neighbor: Neighbor, link: NeighborLink, { feed, nextOffset, hash }: FeedDigest): void {
    const key = feedKeyOf(feed)
    const ours = this.#boundaries.get(key)?.get(nextOffset)
    if (ours === undefined) {
      neighbor.verified.set(key, Math.min(neighbor.verified.get(key) ?? NOTHING, nextOffset))
    } else if (ours === hash) {
      neighbor.verified.set(key, nextOffset)
    } else {
      this.anomalies.foreignChains++
      neighbor.verified.set(key, NOTHING)
    }
    // Durable progress can overtake the account of our own sends, when another holder served the feed.
    if (link.pushPosition(key) < nextOffset) link.pushed.set(key, nextOffset)
    this.#settle(key)
  }

  /** A feed of this boot: all others, earlier ones of this peer too, are repaired by asking. */
  #isOwn(feed: FeedId): boolean {
    return feed.writer === this.#self && feed.epoch === this.#epoch
  }

  /** The heads of a new link, page by page: the next one when the last has been read, however many feeds there are. */
  #tellNextPage(to: PeerId, link: NeighborLink): void {
    const page = link.unlisted.splice(0, limits.digestFeedsPerMessageMax)
    this.#tell(to, page, { initial: true, more: link.unlisted.length > 0 })
  }

  #tellUntold({ peer, link }: Neighbor): void {
    if (link === undefined || link.untold.size === 0) return
    const page = [...link.untold].slice(0, limits.digestFeedsPerMessageMax)
    for (const key of page) link.untold.delete(key)
    this.#tell(peer, page, { initial: false, more: false })
  }

  #tell(to: PeerId, keys: readonly FeedKey[], page: { readonly initial: boolean; readonly more: boolean }): void {
    const feeds = keys.flatMap((key) => {
      const feed = this.local.get(key)
      return (feed && digestOf(feed)) ?? []
    })
    this.#send(to, { type: 'digest', epoch: this.#epoch, feeds, ...page })
  }

  // Appending, storing, settling --------------------------------------------------------------------------------------

  #onAppended(input: Extract<ReplicationInput, { type: 'batchAppended' }>): void {
    const local = this.local.append(input.feed, input.head, input.opening)
    this.#own.set(input.feed.topicId, local)
    this.#remember(local.key, input.head)
    for (const neighbor of this.neighbors.values()) this.#sendNext(neighbor)
  }

  #remember(key: FeedKey, head: Head): void {
    const boundaries = this.#boundaries.get(key) ?? new Map<number, Hash>()
    this.#boundaries.set(key, boundaries)
    boundaries.set(head.nextOffset, head.hash)
    const oldest = boundaries.keys().next().value
    if (boundaries.size > boundariesMax && oldest !== undefined) boundaries.delete(oldest)
  }

  #onStored(runs: readonly StoredRun[], nowMs: Millis): void {
    const writers = new Set<PeerId>()
    for (const { feed, head, credit } of runs) {
      const local = this.local.stored(feed, head)
      writers.add(feed.writer)
      for (const neighbor of this.neighbors.values()) neighbor.link?.untold.add(local.key)
      if (credit !== undefined) this.#giveCredit(credit.link, credit.bytes)
      this.#effects.push({ type: 'feedAdvanced', feed, head })
      this.#settle(local.key)
    }
    // The writer settles acks by our heads, so it hears at once; everybody else hears a little later, many at a time.
    for (const writer of writers) {
      const neighbor = this.neighbors.get(writer)
      if (neighbor !== undefined) this.#tellUntold(neighbor)
    }
    this.#armDigests()
    for (const neighbor of this.neighbors.values()) this.#sendNext(neighbor)
    this.#plan(nowMs)
  }

  #onPublish(publish: PendingPublish, nowMs: Millis): void {
    this.#settlement.add(publish)
    if (this.#draining) this.#settlement.expire(Number.POSITIVE_INFINITY)
    else if (publish.level.type !== 'local') this.#armSettling(publish.deadlineMs, nowMs)
    this.#settle(feedKeyOf(publish.feed))
  }

  #expire(nowMs: Millis): void {
    this.#settlement.expire(nowMs)
    this.#settleAll()
  }

  #settleAll(): void {
    for (const key of this.#settlement.keys()) this.#settle(key)
  }

  #settle(key: FeedKey): void {
    for (const settled of this.#settlement.settle(key, this.#home, this.#copies(key))) {
      this.#effects.push({ type: 'publishSettled', settled })
    }
  }

  /** Registered peers only: a copy at somebody who does not belong is none (P2). */
  #copies(key: FeedKey): Copies {
    const own = { peer: this.#self, nextOffset: this.local.get(key)?.durable?.nextOffset ?? NOTHING }
    const others = [...this.neighbors.values()].filter(({ peer }) => this.#home.peers.includes(peer))
    return [own, ...others.map(({ peer, verified }) => ({ peer, nextOffset: verified.get(key) ?? NOTHING }))]
  }

  // Receiving ---------------------------------------------------------------------------------------------------------

  #onRange(input: Extract<ReplicationInput, { type: 'rangeReceived' }>, nowMs: Millis): void {
    const { from, received, feed, batches } = input
    const sizeBytes = totalBytes(batches)
    const link = this.neighbors.get(from)?.link
    if (link === undefined || link.number !== input.link) return this.#discard(received)
    // Nobody else writes our feed of this boot, and nobody has more of it than we.
    if (this.#isOwn(feed)) {
      this.anomalies.forgedFeeds++
      this.#effects.push({ type: 'closeLink', peer: from, reason: 'it sent a feed that is ours' })
      return this.#discard(received)
    }
    link.inFlightIn += sizeBytes
    if (link.inFlightIn > limits.linkCreditBytes) {
      this.anomalies.creditOverruns++
      this.#effects.push({ type: 'closeLink', peer: from, reason: 'it sent more than it had credit for' })
      return this.#discard(received)
    }
    const fitting = this.#fitting(feed, batches)
    const last = batches[fitting.to - 1]
    if (last === undefined || fitting.from >= fitting.to) {
      this.#discard(received)
      this.#giveCredit(link.number, sizeBytes)
      if (input.ref !== 0) this.#catchUp.failed(input.ref, nowMs)
    } else {
      this.#accept(input, fitting.from, fitting.to, { nextOffset: last.nextOffset, hash: last.hash }, nowMs)
      this.#giveCredit(link.number, sizeBytes - totalBytes(batches.slice(fitting.from, fitting.to)))
    }
    this.#plan(nowMs)
  }

  #accept(
    input: Extract<ReplicationInput, { type: 'rangeReceived' }>,
    from: number,
    to: number,
    head: Head,
    nowMs: Millis,
  ): void {
    const { feed, link, received } = input
    this.local.append(feed, head, input.batches[from]?.opening)
    this.#effects.push({ type: 'storeReceived', received, link, feed, from, to, head })
    this.#catchUp.advanced(feed, nowMs)
  }

  /** The batches that continue what we have: half-open, empty when none does. Ones that we hold already are passed over. */
  #fitting(feed: FeedId, batches: readonly BatchFacts[]): { readonly from: number; readonly to: number } {
    const local = this.local.get(feedKeyOf(feed))
    const position = local?.appended.nextOffset ?? NOTHING
    const from = batches.findIndex((batch) => batch.nextOffset > position)
    const first = batches[from]
    if (first === undefined || !this.#continues(feed, local, first)) {
      if (first !== undefined && local !== undefined) this.anomalies.unfitFrames++
      return { from: 0, to: 0 }
    }
    let to = from + 1
    while (to < batches.length && follows(batches[to - 1] as BatchFacts, batches[to] as BatchFacts)) to++
    return { from, to }
  }

  #continues(feed: FeedId, local: LocalFeed | undefined, batch: BatchFacts): boolean {
    if (local !== undefined) return follows({ ...local.appended }, batch)
    const { opening } = batch
    if (opening === undefined || feed.writer !== opening.writer) return false
    if (this.local.size >= limits.feedsMax) {
      this.anomalies.feedsRefused++
      return false
    }
    if (isComplete(this.local, feed, opening.predecessor)) return true
    if (opening.predecessor !== undefined) this.#catchUp.waitFor(feed, opening.predecessor)
    return false
  }

  #discard(received: number): void {
    this.#effects.push({ type: 'discardReceived', received })
  }

  #giveCredit(link: LinkNumber, bytes: number): void {
    const neighbor = this.#linked(link)
    if (neighbor === undefined || bytes === 0) return
    neighbor.link.inFlightIn -= bytes
    this.#send(neighbor.peer, { type: 'credit', bytes })
  }

  #linked(link: LinkNumber): (Neighbor & { link: NeighborLink }) | undefined {
    for (const neighbor of this.neighbors.values()) {
      if (neighbor.link?.number === link) return neighbor as Neighbor & { link: NeighborLink }
    }
    return undefined
  }

  // Sending -----------------------------------------------------------------------------------------------------------

  #onWant(neighbor: Neighbor, link: NeighborLink, want: Want): void {
    const durable = this.local.get(want.key)?.durable
    if (durable === undefined || durable.nextOffset <= want.position || link.wants.length >= wantsMax) {
      return this.#send(neighbor.peer, { type: 'wantMissing', ref: want.ref })
    }
    link.wants.push(want)
    this.#sendNext(neighbor)
  }

  /** Our own live feeds first, then what was asked for; one frame at a time, and only while credit covers the largest. */
  #sendNext(neighbor: Neighbor): void {
    const link = neighbor.link
    if (link === undefined || link.sending !== undefined || link.creditOut < limits.dataFrameBytesMax) return
    const isWantsTurn = link.wants.length > 0 && link.pushesInARow >= pushesInARowMax
    const feed = link.digestComplete && !isWantsTurn ? this.#nextPush(neighbor, link) : undefined
    if (feed !== undefined) {
      link.pushesInARow++
      return this.#sendRange(neighbor, link, feed, undefined)
    }
    link.pushesInARow = 0
    const want = link.wants.shift()
    const wanted = want && this.local.get(want.key)
    if (want !== undefined && wanted !== undefined) this.#sendRange(neighbor, link, wanted, want)
  }

  #nextPush(neighbor: Neighbor, link: NeighborLink): LocalFeed | undefined {
    for (const [topicId, feed] of this.#own) {
      if (link.pushPosition(feed.key) >= feed.appended.nextOffset || !isReady(neighbor, link, feed)) continue
      // To the end of the order: the next turn is another topic's.
      this.#own.delete(topicId)
      this.#own.set(topicId, feed)
      return feed
    }
    return undefined
  }

  #sendRange(neighbor: Neighbor, link: NeighborLink, feed: LocalFeed, want: Want | undefined): void {
    link.sending = { want, key: feed.key }
    this.#effects.push({
      type: 'sendRange',
      to: neighbor.peer,
      link: link.number,
      ref: want?.ref ?? 0,
      feed: feed.feed,
      position: want?.position ?? link.pushPosition(feed.key),
      // A writer may push what its own fsync is still working on: its feed cannot fork (DESIGN §4).
      endMax: (want === undefined ? feed.appended : (feed.durable ?? feed.appended)).nextOffset,
      bytesMax: Math.min(want?.bytesMax ?? limits.dataFrameBytesTarget, limits.dataFrameBytesTarget),
    })
  }

  #onSent(input: Extract<ReplicationInput, { type: 'rangeSent' }>): void {
    const neighbor = this.neighbors.get(input.to)
    const link = neighbor?.link
    if (neighbor === undefined || link === undefined || link.number !== input.link) return
    const { sending } = link
    link.sending = undefined
    link.creditOut -= input.sizeBytes
    if (sending?.want !== undefined && input.nextPosition === undefined) {
      this.#send(input.to, { type: 'wantMissing', ref: sending.want.ref })
    } else if (sending !== undefined && sending.want === undefined) {
      // Our own log could not be read there: the sweep will try again, so that a bad disk does not make us spin.
      const position = input.nextPosition ?? this.local.position(sending.key)
      link.pushed.set(sending.key, Math.max(link.pushPosition(sending.key), position))
    }
    this.#sendNext(neighbor)
  }

  // Time --------------------------------------------------------------------------------------------------------------

  #onTimer(timer: ReplicationTimer, nowMs: Millis): void {
    switch (timer.type) {
      case 'sweep':
        return this.#sweep(nowMs)
      case 'digestDue':
        this.#digestDue = false
        for (const neighbor of this.neighbors.values()) this.#tellUntold(neighbor)
        if ([...this.neighbors.values()].some(({ link }) => (link?.untold.size ?? 0) > 0)) this.#armDigests()
        return
      case 'settleDue':
        if (timer.dueMs !== this.#settleAtMs) return
        this.#settleAtMs = Number.POSITIVE_INFINITY
        this.#expire(nowMs)
        // Looking for the next deadline costs what waits: not for each of thousands that are a moment apart.
        return this.#armSettling(Math.max(this.#settlement.nextDeadlineMs(), nowMs + settleIntervalMsMin), nowMs)
    }
  }

  #sweep(nowMs: Millis): void {
    this.#sweeping = false
    this.#catchUp.sweep(nowMs)
    for (const neighbor of this.neighbors.values()) this.#pushAgain(neighbor)
    this.#plan(nowMs)
  }

  /**
   * All credit is back, so everything that we pushed was stored or discarded; a durable head below our position means
   * discarded (its predecessor was not there yet, or the neighbor's disk went back): push again from the head.
   */
  #pushAgain(neighbor: Neighbor): void {
    const link = neighbor.link
    if (link === undefined || link.sending !== undefined || link.creditOut < limits.linkCreditBytes) return
    for (const feed of this.#own.values()) {
      if (link.pushPosition(feed.key) > neighbor.position(feed.key))
        link.pushed.set(feed.key, neighbor.position(feed.key))
    }
    this.#sendNext(neighbor)
  }

  #plan(nowMs: Millis): void {
    for (const { ref, feed, from, position, bytesMax } of this.#catchUp.plan(nowMs)) {
      this.#send(from, { type: 'want', ref, feed, position, bytesMax })
    }
  }

  #startSweeping(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#effects.push({ type: 'setTimer', timer: { type: 'sweep' }, afterMs: sweepIntervalMs })
  }

  #armDigests(): void {
    if (this.#digestDue || this.neighbors.size === 0) return
    this.#digestDue = true
    this.#effects.push({ type: 'setTimer', timer: { type: 'digestDue' }, afterMs: digestDelayMs })
  }

  #armSettling(deadlineMs: Millis, nowMs: Millis): void {
    if (deadlineMs >= this.#settleAtMs) return
    this.#settleAtMs = deadlineMs
    this.#effects.push({
      type: 'setTimer',
      timer: { type: 'settleDue', dueMs: deadlineMs },
      afterMs: Math.max(0, deadlineMs - nowMs),
    })
  }

  #send(to: PeerId, message: ReplicationMessage): void {
    this.#effects.push({ type: 'send', to, message })
  }
}

const totalBytes = (batches: readonly BatchFacts[]): number =>
  batches.reduce((total, { sizeBytes }) => total + sizeBytes, 0)

/** Contiguous and chained: the only way a feed grows. */
const follows = (before: Head, after: BatchFacts): boolean =>
  after.opening === undefined && after.baseOffset === before.nextOffset && after.previousHash === before.hash

/** A neighbor takes a successor only when it has the predecessor up to the link; until then it asks for that one. */
function isReady(neighbor: Neighbor, link: NeighborLink, { feed, key, opening }: LocalFeed): boolean {
  if (opening.predecessor === undefined || link.pushPosition(key) !== NOTHING) return true
  return neighbor.position(feedKeyOf({ ...feed, epoch: opening.predecessor.epoch })) >= opening.predecessor.nextOffset
}
