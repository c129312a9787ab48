import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { type FeedId, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import type { OffsetRanges } from '#protocol/log/offset-ranges'
import { limits } from '#protocol/limits'
import type { Machine, Millis } from '#protocol/machine'
import { Acks } from './acks.ts'
import { CatchUp } from './catch-up.ts'
import { Confirming } from './confirming.ts'
import { Floors } from './floors.ts'
import { Forgetting } from './forgetting.ts'
import { Followers } from './followers.ts'
import { Following } from './following.ts'
import { Handoffs } from './handoff.ts'
import { Homes } from './homes.ts'
import type {
  LinkNumber,
  FeedChange,
  ReplicationEffect,
  ReplicationInput,
  ReplicationOptions,
  ReplicationTimer,
  StoredRun,
} from './inputs.ts'
import { LinkNeeds } from './link-needs.ts'
import { type LocalFeed, LocalFeeds } from './local-feeds.ts'
import { Losses } from './lost.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import { MeshTime } from './mesh-time.ts'
import { Neighbor, type NeighborLink } from './neighbor.ts'
import { Anomalies, Outbox } from './outbox.ts'
import { Receiving } from './receiving.ts'
import { RemoteReads } from './remote-reads.ts'
import { Repair } from './repair.ts'
import { RetentionRule } from './retention.ts'
import { Sending } from './sending.ts'
import { Telling } from './telling.ts'

/*
 * Replication of feeds between neighbors (DESIGN §7). The rules are in README.md; the invariants:
 *
 * 1. A feed here is a contiguous, chained prefix: a batch is accepted only onto our own head, hash by hash.
 * 2. Only what is on disk is told to others, counted as a copy or read. (`durable`; what is on its way is `appended`.)
 * 3. A successor is accepted only when its predecessor is here up to the link.
 * 4. Bytes of batches flow only against credit, which lives and dies with its link.
 * 5. The log is the buffer: per neighbor there are positions, never bytes.
 *
 * This file holds the switch. Its parts share the feeds, the neighbors and the outbox: `telling` (our heads to others),
 * `sending` and `receiving` (data frames), `catch-up` (what to ask for), `acks` (whose copies settle which publish), `following` and
 * `remote-reads` (what readers here get from others), `followers` (who reads here in turn).
 */

const sweepIntervalMs: Millis = 1_000

type Message<Type> = Extract<ReplicationMessage, { type: Type }>

export class Replication implements Machine<ReplicationInput, ReplicationEffect> {
  readonly #self: PeerId
  readonly #epoch: Epoch
  readonly local: LocalFeeds
  readonly homes: Homes
  readonly neighbors = new Map<PeerId, Neighbor>()
  readonly anomalies = new Anomalies()
  readonly #outbox = new Outbox()
  readonly #needs: LinkNeeds
  readonly #telling: Telling
  readonly #sending: Sending
  readonly #receiving: Receiving
  readonly #catchUp: CatchUp
  readonly #repair: Repair
  readonly #losses: Losses
  readonly #floors: Floors
  readonly meshTime = new MeshTime()
  readonly #retention: RetentionRule
  readonly #clockEveryMs: Millis
  #readClockAtMs: Millis = 0
  readonly forgetting: Forgetting
  readonly #handoffs: Handoffs
  readonly #confirming: Confirming
  readonly #acks: Acks
  readonly #followers: Followers
  readonly #reads: RemoteReads
  readonly following: Following
  #isFull = false
  #lastRef = 0
  #nowMs: Millis = 0
  #sweeping = false

  constructor({ self, epoch, feeds, config }: ReplicationOptions) {
    this.#self = self
    this.#epoch = epoch
    this.local = new LocalFeeds(feeds)
    this.homes = new Homes(self, config)
    const { local, neighbors, anomalies, homes } = this
    const nextRef = (): number => this.#nextRef()
    const isOwn = (feed: FeedId): boolean => this.#isOwn(feed)
    const linked = { self, homes, neighbors, outbox: this.#outbox }
    this.#needs = new LinkNeeds({ ...linked, linksMax: config.linksMax })
    const known = { ...linked, nextRef, needs: this.#needs }
    this.#losses = new Losses(known)
    const shared = { ...known, local, anomalies, isOwn, losses: this.#losses }
    this.#catchUp = new CatchUp({
      ...shared,
      skip: (local, to) => this.#skip(local, to),
      isForgotten: (feed) => this.forgetting.isForgotten(feed),
    })
    this.#repair = new Repair({ ...shared, isFull: () => this.#isFull })
    const isAsking = (topicId: TopicId): boolean => this.following.standing(topicId) === 'asking'
    this.#reads = new RemoteReads({ ...shared, isAsking })
    this.following = new Following({ ...shared, reads: this.#reads })
    this.#floors = new Floors({ ...shared, onChange: (local) => this.#telling.changed([local]) })
    this.#retention = new RetentionRule({
      ...shared,
      everyMs: config.retentionEveryMs,
      meshTime: this.meshTime,
      raise: (local, floor) => this.#raise(local, floor),
    })
    this.forgetting = new Forgetting({
      ...shared,
      everyMs: config.retentionEveryMs,
      isInUse: (local) => this.#isInUse(local),
      raise: (local, floor) => this.#raise(local, floor),
      onAdmitted: (feed) => this.#catchUp.admitted(feed),
      onRooted: (local) => this.#onRooted(local),
      onForgotten: (local) => this.#onLetGo(local, undefined),
    })
    this.#clockEveryMs = config.clockEveryMs
    this.#telling = new Telling({ ...shared, epoch })
    this.#followers = new Followers({ ...shared, telling: this.#telling })
    this.#sending = new Sending(shared)
    this.#handoffs = new Handoffs({
      ...shared,
      graceMs: config.handoffGraceMs,
      isWaitedFor: (key) => this.#acks.isWaitedFor(key),
      onLetGo: (local, keptFrom) => this.#onLetGo(local, keptFrom),
    })
    this.#confirming = new Confirming(shared)
    this.#acks = new Acks(shared)
    const parts = {
      catchUp: this.#catchUp,
      repair: this.#repair,
      reads: this.#reads,
      acks: this.#acks,
      retention: this.#retention,
      forgetting: this.forgetting,
    }
    this.#receiving = new Receiving({ ...shared, ...parts, isFull: () => this.#isFull })
  }

  handle(input: ReplicationInput, nowMs: Millis): readonly ReplicationEffect[] {
    this.#nowMs = nowMs
    this.#receive(input, nowMs)
    this.following.flush()
    this.#needs.flush()
    this.#startSweeping()
    return this.#outbox.take()
  }

  /** Is there hardly any room left on this peer's disk? */
  get isFull(): boolean {
    return this.#isFull
  }

  /** Feeds that this peer would like to let go of. */
  get handoffs(): Pick<Handoffs, 'all' | 'count' | 'finished' | 'waitsFor' | 'left'> {
    return this.#handoffs
  }

  /** Copies that are read here, or are to be, for peers that would like to let go of theirs. */
  get verifications(): number {
    return this.#confirming.count
  }

  /**
   * Is what we know of the member all that it holds? Where links are closed because nobody needs them, what it told last holds
   * while it is believed to be there, also on a new link until that has told something.
   */
  isCurrent(peer: PeerId): boolean {
    const neighbor = this.neighbors.get(peer)
    const { account = 'awaited' } = neighbor?.link ?? {}
    if (account !== 'awaited') return account === 'complete'
    return this.#needs.isLimited && neighbor?.hadToldAll === true && this.homes.isPresent(peer)
  }

  /** Publishes that wait for copies, at other peers or here. */
  get waitingPublishes(): number {
    return this.#acks.waitingPublishes
  }

  /** Reads of readers here that wait for others. */
  get remoteReads(): number {
    return this.#reads.waiting
  }

  catchUps(): ReturnType<CatchUp['snapshot']> {
    return this.#catchUp.snapshot()
  }

  /** Pieces of damaged ranges that are on their way here. */
  repairs(): Repair['fillings'] {
    return this.#repair.fillings
  }

  get repairCounts(): Repair['counts'] {
    return this.#repair.counts
  }

  /** What retention has let go of, as decided here. */
  get retentionCounts(): RetentionRule['counts'] {
    return this.#retention.counts
  }

  /** Damaged ranges of the feed that nobody has any more. */
  lostOf(local: LocalFeed): OffsetRanges {
    return this.#repair.lostOf(local)
  }

  #receive(input: ReplicationInput, nowMs: Millis): void {
    switch (input.type) {
      case 'registryChanged':
        this.homes.registryChanged(input, nowMs)
        return this.#onHomesChanged(nowMs)
      case 'presenceChanged':
        if (this.homes.presenceChanged(input.peer, input.present, nowMs)) this.#onHomesChanged(nowMs)
        return
      case 'replicasChanged':
        if (this.homes.replicasChanged(input.topics)) this.#onHomesChanged(nowMs)
        return
      case 'retentionChanged':
        return this.#retention.changed(input.topics)
      case 'clockRead':
        return this.#onClock(input.wallMs, nowMs)
      case 'feedMeasured':
        return this.#retention.measured(input, nowMs)
      case 'floorsRaised':
        return this.#onFloors(input.floors, nowMs)
      case 'linkUp':
        return this.#onLinkUp(input.peer, input.link, nowMs)
      case 'linkDown':
        return this.#onLinkDown(input.peer, nowMs)
      case 'messageReceived':
        return this.#onMessage(input.from, input.message, nowMs)
      case 'batchAppended':
        return this.#onAppended(input)
      case 'rangeReceived':
        this.#receiving.received(input, nowMs)
        return this.#plan(nowMs)
      case 'rangesStored':
        return this.#onStored(input.runs, nowMs)
      case 'damageFound':
        return this.#onDamage(input, nowMs)
      case 'chainFound':
        return this.#repair.chainFound(input)
      case 'holeFilled':
        return this.#onFilled(input, nowMs)
      case 'feedChanged':
        return this.#onChanged(input.change, nowMs)
      case 'copyVerified':
        return this.#confirming.verified(input.number, input.sound)
      case 'rangeSent':
        return this.#sending.sent(input)
      case 'publishAppended':
        return this.#acks.published(input.publish, nowMs)
      case 'copiesAwaited':
        return this.#acks.awaited(input.publish, nowMs)
      case 'topicUsed':
        return this.following.used(input.topicId, input.waiting, nowMs)
      case 'readRequested':
        return this.#onRead(input, nowMs)
      case 'diskChanged':
        return this.#onDisk(input.full, nowMs)
      case 'drainRequested':
        return this.#acks.drain()
      case 'timerFired':
        return this.#onTimer(input.timer, nowMs)
    }
  }

  #onHomesChanged(nowMs: Millis): void {
    for (const local of this.local.all()) this.#reclaim(local)
    this.#handoffs.homesChanged()
    this.#acks.homesChanged()
    this.#telling.homesChanged()
    this.#sending.homesChanged()
    this.#catchUp.homesChanged(nowMs)
    this.following.reviewAll(nowMs)
    this.#plan(nowMs)
  }

  /** What a peer let go of while the topic was not its own it wants again. */
  #reclaim(local: LocalFeed): void {
    const { feed, floor, keptFrom } = local
    // What is kept is also ahead of a floor that is on its way to disk.
    if (keptFrom === floor.nextOffset || !this.homes.isOurs(feed.topicId) || this.#floors.isRising(local)) return
    this.#outbox.order({ type: 'changeFeed', change: { type: 'kept', feed, keptFrom: floor.nextOffset } })
    this.local.reclaim(local)
    this.#repair.holed(local)
    this.#telling.changed([local])
  }

  /** What lies between is lost: it is a hole once that is on disk, and the feed goes on behind it. */
  #skip(local: LocalFeed, to: Head): void {
    this.local.skip(local, to)
    this.#outbox.order({ type: 'changeFeed', change: { type: 'skip', feed: local.feed, to } })
  }

  #onLetGo(local: LocalFeed, keptFrom: number | undefined): void {
    // Whoever reads it looks where else it is.
    this.#outbox.order({ type: 'topicChanged', topicId: local.feed.topicId })
    if (keptFrom === undefined) {
      this.local.forget(local)
      this.#retention.forgotten(local)
      this.#floors.forgotten(local)
      return this.#telling.forgotten(local)
    }
    this.local.letGo(local, keptFrom)
    this.#telling.changed([local])
  }

  #isInUse(local: LocalFeed): boolean {
    const isAwaited = this.#acks.isWaitedFor(local.key) || this.#catchUp.isWaitedFor(local.key)
    return isAwaited || this.#floors.isRising(local)
  }

  #onRooted(local: LocalFeed): void {
    this.#outbox.order({ type: 'topicChanged', topicId: local.feed.topicId })
    this.#telling.changed([local])
  }

  #onLinkUp(peer: PeerId, number: LinkNumber, nowMs: Millis): void {
    const neighbor = this.neighbors.get(peer) ?? new Neighbor(peer)
    this.neighbors.set(peer, neighbor)
    this.#needs.linkUp(peer)
    this.#telling.linkUp(peer, neighbor.linkUp(number), nowMs)
    if (this.#isFull) this.#outbox.send(peer, { type: 'disk', full: true })
    const wallMs = this.meshTime.of(this.#self, nowMs)
    if (wallMs !== undefined) this.#outbox.send(peer, { type: 'clock', wallMs: Math.floor(wallMs) })
    this.following.linkUp(neighbor, nowMs)
  }

  #onClock(wallMs: Millis, nowMs: Millis): void {
    this.meshTime.told(this.#self, wallMs, nowMs)
    for (const { peer, link } of this.neighbors.values()) {
      if (link !== undefined) this.#outbox.send(peer, { type: 'clock', wallMs: Math.floor(wallMs) })
    }
  }

  #onLinkDown(peer: PeerId, nowMs: Millis): void {
    const neighbor = this.neighbors.get(peer)
    if (neighbor !== undefined) {
      const { account = 'awaited' } = neighbor.link ?? {}
      if (account !== 'awaited') neighbor.hadToldAll = account === 'complete'
      neighbor.link = undefined
    }
    this.#catchUp.linkDown(peer, nowMs)
    this.#repair.linkDown(peer, nowMs)
    this.following.reviewAll(nowMs)
    this.#reads.linkDown(peer, nowMs)
    this.#handoffs.linkDown(peer)
    this.#confirming.linkDown(peer)
    this.#plan(nowMs)
  }

  #onMessage(from: PeerId, message: ReplicationMessage, nowMs: Millis): void {
    const neighbor = this.neighbors.get(from)
    const link = neighbor?.link
    if (neighbor === undefined || link === undefined) return
    switch (message.type) {
      case 'summary':
        return this.#onSummary(neighbor, link, message, nowMs)
      case 'summaryDiffers':
        return this.#telling.differs(from, link, message.buckets)
      case 'digest':
        return this.#onDigest(neighbor, link, message, nowMs)
      case 'digestMore':
        return this.#telling.pageRead(from, link)
      case 'want':
        if (this.homes.isForgotten(from)) return this.#outbox.send(from, { type: 'wantMissing', ref: message.ref })
        return this.#sending.wanted(neighbor, link, { ...message, key: feedKeyOf(message.feed) })
      case 'wantMissing':
        if (this.#reads.missing(message.ref, from, link.number, nowMs)) return
        this.#catchUp.failed(message.ref, nowMs)
        this.#repair.failed(message.ref, nowMs)
        return this.#plan(nowMs)
      case 'follow':
        if (this.homes.isForgotten(from)) return
        if (message.on) return this.#followers.follow(from, link, message.topics)
        return this.#followers.unfollow(from, link, message.topics)
      case 'followMore':
        return this.#followers.more(from, link)
      case 'followed':
        this.following.told(neighbor, message, nowMs)
        return this.#reads.plan(nowMs)
      case 'disk':
        link.isFull = message.full
        return this.#sending.sweep(neighbor)
      case 'clock':
        return this.meshTime.told(from, message.wallMs, nowMs)
      case 'handoff': {
        const { ref, feed, nextOffset, hash } = message
        return this.#confirming.asked({ from, ref, feed, head: { nextOffset, hash } })
      }
      case 'handoffConfirmed':
        return this.#handoffs.confirmed(from, message.ref, nowMs)
      case 'flush':
        return this.#telling.flush(neighbor, link, message.ref)
      case 'flushed':
        return this.#losses.flushed(link, message.ref)
      case 'credit':
        link.creditOut = Math.min(limits.linkCreditBytes, link.creditOut + message.bytes)
        return this.#sending.next(neighbor)
    }
  }

  #onSummary(neighbor: Neighbor, link: NeighborLink, { epoch, root }: Message<'summary'>, nowMs: Millis): void {
    link.epoch = epoch
    neighbor.epoch = epoch
    if (neighbor.remembered.root() !== root) {
      neighbor.hadToldAll = false
      const buckets = neighbor.remembered.buckets()
      return this.#outbox.send(neighbor.peer, { type: 'summaryDiffers', buckets })
    }
    this.#adoptHeads(neighbor, link, nowMs)
    this.#accountComplete(neighbor, link)
    this.#plan(nowMs)
    this.#reads.plan(nowMs)
  }

  #onDigest(
    neighbor: Neighbor,
    link: NeighborLink,
    { feeds, gone = [], listing }: Message<'digest'>,
    nowMs: Millis,
  ): void {
    if (listing !== undefined) {
      neighbor.forget(new Set(listing.replaced))
      this.#adoptHeads(neighbor, link, nowMs)
    }
    for (const feed of gone) this.#onGone(neighbor, feed)
    if (gone.length > 0) this.following.headsReplaced(neighbor.peer)
    for (const entry of feeds) {
      if (neighbor.heard(entry)) this.#onHead(neighbor, link, entry, nowMs)
      else this.anomalies.feedsRefused++
    }
    if (listing?.more === true) this.#outbox.send(neighbor.peer, { type: 'digestMore' })
    else if (listing !== undefined) this.#accountComplete(neighbor, link)
    this.#plan(nowMs)
    this.#reads.plan(nowMs)
    this.#sending.next(neighbor)
  }

  #onGone(neighbor: Neighbor, feed: FeedId): void {
    const key = feedKeyOf(feed)
    neighbor.gone(key)
    if (this.#isOwn(feed)) this.#sending.heard(neighbor, key, NOTHING)
  }

  /** What we remember of the other side still holds, but for what it tells us. */
  #adoptHeads(neighbor: Neighbor, link: NeighborLink, nowMs: Millis): void {
    if (link.account !== 'awaited') return
    link.account = 'partial'
    for (const entry of neighbor.heads.values()) this.#onHead(neighbor, link, entry, nowMs)
  }

  #accountComplete(neighbor: Neighbor, link: NeighborLink): void {
    link.account = 'complete'
    this.following.headsReplaced(neighbor.peer)
    this.#sending.accountComplete(neighbor)
  }

  #onHead(neighbor: Neighbor, link: NeighborLink, entry: FeedDigest, nowMs: Millis): void {
    this.#telling.heardOf(entry.feed.topicId, neighbor.peer, link)
    this.#repair.heard(feedKeyOf(entry.feed))
    if (entry.rooted === true) this.forgetting.heardRooted(entry.feed)
    if (this.#floors.heard(entry)) this.#catchUp.advanced(entry.feed, nowMs)
    this.following.heard(neighbor, entry, nowMs)
    if (this.#isOwn(entry.feed)) this.#sending.heard(neighbor, feedKeyOf(entry.feed), entry.nextOffset)
    else this.#catchUp.heard(entry.feed, entry.nextOffset, nowMs)
    this.#acks.heard(neighbor, entry)
  }

  #onAppended({ feed, head, sizeBytes, hlcMs, opening }: Extract<ReplicationInput, { type: 'batchAppended' }>): void {
    this.#needs.topic(feed.topicId)
    const baseOffset = this.local.position(feedKeyOf(feed))
    const local = this.local.append(feed, head, opening && { opening })
    if (opening === undefined) this.#retention.appended(local, [{ ...head, baseOffset, sizeBytes, hlcMs }], this.#nowMs)
    this.#acks.appended(local.key, head)
    this.#sending.appended(local)
  }

  #onStored(runs: readonly StoredRun[], nowMs: Millis): void {
    const stored = runs.map(({ feed, head, credit }) => {
      const isNew = this.local.get(feedKeyOf(feed))?.durable === undefined
      const local = this.local.stored(feed, head)
      if (isNew) this.forgetting.opened(local)
      if (credit !== undefined) this.#receiving.giveCredit(credit.link, credit.bytes)
      if (this.#floors.stored(local)) this.#catchUp.advanced(feed, nowMs)
      return local
    })
    this.#moved(stored, nowMs)
  }

  #onDamage(input: Extract<ReplicationInput, { type: 'damageFound' }>, nowMs: Millis): void {
    const local = this.#repair.damaged(input)
    if (local !== undefined) this.#moved([local], nowMs)
  }

  #onFilled(input: Extract<ReplicationInput, { type: 'holeFilled' }>, nowMs: Millis): void {
    this.#receiving.giveCredit(input.credit.link, input.credit.bytes)
    const local = this.#repair.filled(input)
    if (local === undefined) return
    this.#retention.repaired(local)
    this.#moved([local], nowMs)
  }

  #onChanged(change: FeedChange, nowMs: Millis): void {
    const local = this.local.get(feedKeyOf(change.feed))
    if (local === undefined || (change.type !== 'floor' && change.type !== 'skip')) return
    if (change.type === 'floor') {
      this.#floors.changed(local, change.floor)
      this.#reclaim(local)
    } else {
      this.local.skipped(local, change.to)
      this.#repair.holed(local)
    }
    if (this.#floors.stored(local) || change.type === 'skip') this.#catchUp.advanced(change.feed, nowMs)
    this.#moved([local], nowMs)
  }

  #onFloors(floors: Extract<ReplicationInput, { type: 'floorsRaised' }>['floors'], nowMs: Millis): void {
    for (const { feed, floor } of floors) {
      const local = this.local.get(feedKeyOf(feed))
      if (local !== undefined) this.#raise(local, floor)
    }
    this.#plan(nowMs)
  }

  #raise(local: LocalFeed, floor: Head): void {
    if (this.#floors.raise(local, floor)) this.#catchUp.advanced(local.feed, this.#nowMs)
  }

  /** What is on our disk of these feeds has changed. */
  #moved(feeds: readonly LocalFeed[], nowMs: Millis): void {
    for (const local of feeds) {
      this.#needs.topic(local.feed.topicId)
      this.#tellReaders(local)
      this.#acks.settle(local.feed)
    }
    this.#telling.changed(feeds, this.#followers.promptly(feeds))
    for (const neighbor of this.neighbors.values()) this.#sending.next(neighbor)
    this.#plan(nowMs)
  }

  #tellReaders({ feed, durable }: LocalFeed): void {
    if (durable !== undefined) this.#outbox.order({ type: 'feedAdvanced', feed, head: durable })
  }

  #onTimer(timer: ReplicationTimer, nowMs: Millis): void {
    switch (timer.type) {
      case 'sweep':
        return this.#sweep(nowMs)
      case 'digestDue':
        return this.#telling.timerFired()
      case 'settleDue':
        return this.#acks.timerFired(timer.dueMs, nowMs)
    }
  }

  #sweep(nowMs: Millis): void {
    this.#sweeping = false
    if (this.homes.timePassed(nowMs)) this.#onHomesChanged(nowMs)
    this.#losses.sweep(nowMs)
    this.#catchUp.sweep(nowMs)
    this.#telling.sweep(nowMs)
    this.#repair.sweep(nowMs)
    this.#handoffs.sweep(nowMs)
    this.#retention.sweep(nowMs)
    this.forgetting.sweep(nowMs)
    this.#readClock(nowMs)
    for (const local of this.#repair.lostAnew()) this.#tellReaders(local)
    this.following.sweep(nowMs)
    this.#reads.sweep(nowMs)
    this.#acks.sweep()
    this.#needs.sweep()
    for (const neighbor of this.neighbors.values()) this.#sending.sweep(neighbor)
    this.#plan(nowMs)
  }

  #readClock(nowMs: Millis): void {
    if (nowMs < this.#readClockAtMs) return
    this.#readClockAtMs = nowMs + this.#clockEveryMs
    this.#outbox.order({ type: 'readClock' })
  }

  /** What others hold is theirs to serve meanwhile; floors rise and feeds are forgotten here all the same. */
  #onDisk(full: boolean, nowMs: Millis): void {
    if (full === this.#isFull) return
    this.#isFull = full
    for (const { peer, link } of this.neighbors.values()) {
      if (link !== undefined) this.#outbox.send(peer, { type: 'disk', full })
    }
    this.#plan(nowMs)
  }

  /** Who has no room asks for nothing, nor who is forgotten, whom nobody serves. */
  #plan(nowMs: Millis): void {
    if (this.#isFull || this.homes.isForgotten(this.#self)) return
    for (const { ref, feed, from, position, bytesMax } of this.#catchUp.plan(nowMs)) {
      this.#outbox.send(from, { type: 'want', ref, feed, position, bytesMax })
    }
    this.#repair.plan(nowMs)
  }

  #onRead(input: Extract<ReplicationInput, { type: 'readRequested' }>, nowMs: Millis): void {
    const { ref, feed } = input
    this.#reads.request(input, nowMs, (result) => {
      if (result.type === 'answered') {
        const { frame, from, to } = result
        this.#outbox.order({ type: 'readAnswered', ref, received: frame.received, from, to })
      } else {
        this.#outbox.order({ type: 'readFailed', ref })
        this.following.readFailed(feed.topicId)
      }
    })
  }

  /** Of a want; data frames carry it as a u32, and 0 there means a push. */
  #nextRef(): number {
    this.#lastRef = (this.#lastRef % 0xffff_ffff) + 1
    return this.#lastRef
  }

  /** A feed of this boot: all others, earlier ones of this peer too, are repaired by asking. */
  #isOwn(feed: FeedId): boolean {
    return feed.writer === this.#self && feed.epoch === this.#epoch
  }

  #startSweeping(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#outbox.order({ type: 'setTimer', timer: { type: 'sweep' }, afterMs: sweepIntervalMs })
  }
}
