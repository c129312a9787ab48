import type { Epoch, PeerId } from '#protocol/ids'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Machine, Millis } from '#protocol/machine'
import { Acks } from './acks.ts'
import { CatchUp } from './catch-up.ts'
import type {
  LinkNumber,
  ReplicationEffect,
  ReplicationInput,
  ReplicationOptions,
  ReplicationTimer,
  StoredRun,
} from './inputs.ts'
import { LocalFeeds } from './local-feeds.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import { Neighbor, type NeighborLink } from './neighbor.ts'
import { Anomalies, Outbox } from './outbox.ts'
import { Receiving } from './receiving.ts'
import { Sending } from './sending.ts'
import type { Home } from './settlement.ts'
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
 * `sending` and `receiving` (data frames), `catch-up` (what to ask for), `acks` (whose copies settle which publish).
 */

const sweepIntervalMs: Millis = 1_000

export class Replication implements Machine<ReplicationInput, ReplicationEffect> {
  readonly #self: PeerId
  readonly #epoch: Epoch
  readonly local: LocalFeeds
  readonly neighbors = new Map<PeerId, Neighbor>()
  readonly anomalies = new Anomalies()
  readonly #outbox = new Outbox()
  readonly #telling: Telling
  readonly #sending: Sending
  readonly #receiving: Receiving
  readonly #catchUp: CatchUp
  readonly #acks: Acks
  #sweeping = false

  constructor({ self, epoch, feeds }: ReplicationOptions) {
    this.#self = self
    this.#epoch = epoch
    this.local = new LocalFeeds(feeds)
    this.#catchUp = new CatchUp(this.local, this.neighbors)
    const { local, neighbors, anomalies } = this
    const shared = { local, neighbors, anomalies, outbox: this.#outbox }
    this.#telling = new Telling({ ...shared, epoch })
    this.#sending = new Sending(shared)
    this.#receiving = new Receiving({ ...shared, catchUp: this.#catchUp, isOwn: (feed) => this.#isOwn(feed) })
    this.#acks = new Acks({ ...shared, self })
  }

  handle(input: ReplicationInput, nowMs: Millis): readonly ReplicationEffect[] {
    this.#receive(input, nowMs)
    this.#startSweeping()
    return this.#outbox.take()
  }

  get home(): Home {
    return this.#acks.home
  }

  /** Publishes that wait for copies, at other peers or here. */
  get waitingPublishes(): number {
    return this.#acks.waitingPublishes
  }

  catchUps(): ReturnType<CatchUp['snapshot']> {
    return this.#catchUp.snapshot()
  }

  #receive(input: ReplicationInput, nowMs: Millis): void {
    switch (input.type) {
      case 'homeChanged':
        return this.#acks.homeChanged({ ...input, peers: input.home })
      case 'linkUp':
        return this.#onLinkUp(input.peer, input.link)
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
      case 'rangeSent':
        return this.#sending.sent(input)
      case 'publishAppended':
        return this.#acks.published(input.publish, nowMs)
      case 'drainRequested':
        return this.#acks.drain()
      case 'timerFired':
        return this.#onTimer(input.timer, nowMs)
    }
  }

  #onLinkUp(peer: PeerId, number: LinkNumber): void {
    const neighbor = this.neighbors.get(peer) ?? new Neighbor(peer)
    this.neighbors.set(peer, neighbor)
    this.#telling.linkUp(peer, neighbor.linkUp(number))
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
        return this.#telling.pageRead(from, link)
      case 'want':
        return this.#sending.wanted(neighbor, link, { ...message, key: feedKeyOf(message.feed) })
      case 'wantMissing':
        this.#catchUp.failed(message.ref, nowMs)
        return this.#plan(nowMs)
      case 'credit':
        link.creditOut = Math.min(limits.linkCreditBytes, link.creditOut + message.bytes)
        return this.#sending.next(neighbor)
    }
  }

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
    if (message.initial && message.more) {
      this.#outbox.send(neighbor.peer, { type: 'digestMore' })
    } else if (message.initial) {
      link.digestComplete = true
      this.#sending.digestComplete(neighbor)
    }
    this.#plan(nowMs)
    this.#sending.next(neighbor)
  }

  #onOwnHead(neighbor: Neighbor, link: NeighborLink, entry: FeedDigest): void {
    const key = feedKeyOf(entry.feed)
    // Durable progress can overtake the account of our own sends, when another holder served the feed.
    if (link.pushPosition(key) < entry.nextOffset) link.pushed.set(key, entry.nextOffset)
    this.#acks.heard(neighbor, entry)
  }

  #onAppended({ feed, head, opening }: Extract<ReplicationInput, { type: 'batchAppended' }>): void {
    const local = this.local.append(feed, head, opening && { opening })
    this.#acks.appended(local.key, head)
    this.#sending.appended(local)
  }

  #onStored(runs: readonly StoredRun[], nowMs: Millis): void {
    const stored = runs.map(({ feed, head, credit }) => {
      const { key } = this.local.stored(feed, head)
      if (credit !== undefined) this.#receiving.giveCredit(credit.link, credit.bytes)
      this.#outbox.order({ type: 'feedAdvanced', feed, head })
      this.#acks.settle(key)
      return key
    })
    this.#telling.stored(stored, new Set(runs.map(({ feed }) => feed.writer)))
    for (const neighbor of this.neighbors.values()) this.#sending.next(neighbor)
    this.#plan(nowMs)
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
    this.#catchUp.sweep(nowMs)
    for (const neighbor of this.neighbors.values()) this.#sending.sweep(neighbor)
    this.#plan(nowMs)
  }

  #plan(nowMs: Millis): void {
    for (const { ref, feed, from, position, bytesMax } of this.#catchUp.plan(nowMs)) {
      this.#outbox.send(from, { type: 'want', ref, feed, position, bytesMax })
    }
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
