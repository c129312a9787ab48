import type { Hash, PeerId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import { copyEnd } from './holding.ts'
import type { Homes } from './homes.ts'
import type { PendingPublish } from './inputs.ts'
import type { LinkNeeds } from './link-needs.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Neighbor } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'
import { type Copies, type Copy, Settlement } from './settlement.ts'

/** Heads of our own chain that we remember to check neighbors' heads against; a neighbor further back is just not counted yet. */
const boundariesMax = 4_096
/** Looking for the next deadline costs what waits, so it is not done for each of thousands that are a moment apart. */
const settleIntervalMsMin: Millis = 10

export interface AcksDeps {
  readonly self: PeerId
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly anomalies: Anomalies
  readonly outbox: Outbox
  readonly needs: LinkNeeds
}

/**
 * Whose copies of a feed count, and which publishes they settle (P2). Publishes go to our feed of this boot; a retry waits
 * for the feed that has its original, whoever wrote it, and that one's chain is remembered as long as it does.
 */
export class Acks {
  readonly #deps: AcksDeps
  readonly #boundaries = new Map<FeedKey, Map<number, Hash>>()
  /** Feeds of others, and of our earlier boots, that a retry waits for. */
  readonly #watched = new Set<FeedKey>()
  readonly #settlement = new Settlement()
  /** Of records that are not here, or not whole: the copies of others are waited for, and nothing else. */
  readonly #elsewhere = new Settlement()
  #settleAtMs: Millis = Number.POSITIVE_INFINITY
  #draining = false

  constructor(deps: AcksDeps) {
    this.#deps = deps
  }

  /** Somebody waits for copies of the feed. */
  isWaitedFor(key: FeedKey): boolean {
    return this.#settlement.isWaiting(key)
  }

  get waitingPublishes(): number {
    return this.#settlement.count + this.#elsewhere.count
  }

  homesChanged(): void {
    this.#settleAll()
  }

  appended(key: FeedKey, head: Head): void {
    const boundaries = this.#boundaries.get(key) ?? new Map<number, Hash>()
    this.#boundaries.set(key, boundaries)
    boundaries.set(head.nextOffset, head.hash)
    const oldest = boundaries.keys().next().value
    if (boundaries.size > boundariesMax && oldest !== undefined) boundaries.delete(oldest)
  }

  /** Batches of somebody else's feed are taken here, which end at these heads. */
  received(key: FeedKey, heads: readonly Head[]): void {
    if (!this.#watched.has(key)) return
    for (const head of heads) this.appended(key, head)
    this.#hearAgain(key)
  }

  /** A copy counts up to where the neighbor's chain is known to be ours. A lower head takes it back, and so does a hole. */
  heard(neighbor: Neighbor, head: FeedDigest): void {
    const { feed, nextOffset, hash } = head
    const key = feedKeyOf(feed)
    const boundaries = this.#boundaries.get(key)
    if (boundaries === undefined) return this.#settleElsewhere(feed)
    this.#passed(head)
    const ours = boundaries.get(nextOffset)
    if (ours === undefined) {
      neighbor.verified.set(key, Math.min(neighbor.verified.get(key) ?? NOTHING, copyEnd(head)))
    } else if (ours === hash) {
      neighbor.verified.set(key, copyEnd(head))
    } else {
      this.#deps.anomalies.foreignChains++
      neighbor.verified.set(key, NOTHING)
    }
    this.settle(feed)
  }

  /**
   * Retention has passed over what lies below the floor. Who had it had it; who comes now goes on from the floor, and was
   * never a copy of it. So what waits for copies of that is answered with those that there were.
   */
  #passed({ feed, floor }: FeedDigest): void {
    if (this.#settlement.passed(feedKeyOf(feed), floor)) this.settle(feed)
  }

  published(publish: PendingPublish, nowMs: Millis): void {
    this.#watch(feedKeyOf(publish.feed))
    this.#wait(this.#settlement, publish, nowMs)
  }

  /** Somebody asks for copies of a record that is in the log, here or elsewhere. */
  awaited(publish: PendingPublish, nowMs: Millis): void {
    const held = this.#deps.local.get(feedKeyOf(publish.feed))
    const isHere = held !== undefined && held.keptFrom < publish.endOffset && publish.endOffset <= ownEnd(held)
    if (isHere) return this.published(publish, nowMs)
    // Not here it is on one disk at the least if anybody has it.
    const level = publish.level.type === 'local' ? ({ type: 'count', count: 1 } as const) : publish.level
    this.#wait(this.#elsewhere, { ...publish, level }, nowMs)
  }

  /** Links that somebody waits for stay up. */
  sweep(): void {
    for (const { topicId } of [...this.#settlement.feeds(), ...this.#elsewhere.feeds()])
      this.#deps.needs.copies(topicId)
  }

  #wait(settlement: Settlement, publish: PendingPublish, nowMs: Millis): void {
    settlement.add(publish)
    if (this.#draining) settlement.expire(Number.POSITIVE_INFINITY)
    else if (publish.level.type !== 'local') {
      this.#arm(publish.deadlineMs, nowMs)
      this.#deps.needs.copies(publish.feed.topicId)
    }
    this.settle(publish.feed)
  }

  settle(feed: FeedId): void {
    const key = feedKeyOf(feed)
    this.#settleElsewhere(feed)
    if (!this.#settlement.isWaiting(key)) return
    const home = this.#deps.homes.of(feed.topicId)
    for (const settled of this.#settlement.settle(key, home, this.#copies(feed))) {
      this.#deps.outbox.order({ type: 'publishSettled', settled })
    }
    if (!this.#settlement.isWaiting(key)) this.#unwatch(key)
  }

  #settleElsewhere(feed: FeedId): void {
    const key = feedKeyOf(feed)
    if (!this.#elsewhere.isWaiting(key)) return
    const home = this.#deps.homes.of(feed.topicId)
    const copies = this.#copiesElsewhere(feed)
    for (const settled of this.#elsewhere.settle(key, home, copies, Number.POSITIVE_INFINITY)) {
      this.#deps.outbox.order({ type: 'publishSettled', settled })
    }
  }

  timerFired(dueMs: Millis, nowMs: Millis): void {
    if (dueMs !== this.#settleAtMs) return
    this.#settleAtMs = Number.POSITIVE_INFINITY
    this.#expire(nowMs)
    const nextMs = Math.min(this.#settlement.nextDeadlineMs(), this.#elsewhere.nextDeadlineMs())
    this.#arm(Math.max(nextMs, nowMs + settleIntervalMsMin), nowMs)
  }

  /** Publishes that wait for copies are answered with those that there are. */
  drain(): void {
    this.#draining = true
    this.#expire(Number.POSITIVE_INFINITY)
  }

  #expire(nowMs: Millis): void {
    this.#settlement.expire(nowMs)
    this.#elsewhere.expire(nowMs)
    this.#settleAll()
  }

  #settleAll(): void {
    for (const feed of [...this.#settlement.feeds(), ...this.#elsewhere.feeds()]) this.settle(feed)
  }

  #watch(key: FeedKey): void {
    const local = this.#deps.local.get(key)
    if (local === undefined || this.#boundaries.has(key)) return
    this.#watched.add(key)
    if (local.durable !== undefined) this.appended(key, local.durable)
    this.appended(key, local.appended)
    this.#hearAgain(key)
  }

  #unwatch(key: FeedKey): void {
    if (!this.#watched.delete(key)) return
    this.#boundaries.delete(key)
    for (const { verified } of this.#deps.neighbors.values()) verified.delete(key)
  }

  /** What neighbors have said of the feed can be held against more of its chain. */
  #hearAgain(key: FeedKey): void {
    for (const neighbor of this.#deps.neighbors.values()) {
      // What is remembered from an earlier link says nothing until it is told to hold.
      const head = (neighbor.link?.account ?? 'awaited') === 'awaited' ? undefined : neighbor.heads.get(key)
      if (head !== undefined && this.#boundaries.get(key)?.has(head.nextOffset)) this.heard(neighbor, head)
    }
  }

  #copies(feed: FeedId): Copies {
    const { self, local } = this.#deps
    const key = feedKeyOf(feed)
    const held = local.get(key)
    const own = { peer: self, nextOffset: ownEnd(held), keptFrom: 0 }
    const whole = this.#copiesOfOthers(feed, ({ verified }) => verified.get(key) ?? NOTHING)
    const durable = held === undefined ? own.nextOffset : (held.durable?.nextOffset ?? NOTHING)
    return { self, durable, whole: [own, ...whole] }
  }

  /** By what each peer tells of itself: there is no chain here to hold it against. */
  #copiesElsewhere(feed: FeedId): Copies {
    const { self, local } = this.#deps
    const key = feedKeyOf(feed)
    const held = local.get(key)
    const own = { peer: self, nextOffset: held === undefined ? NOTHING : ownEnd(held), keptFrom: held?.keptFrom ?? 0 }
    const whole = this.#copiesOfOthers(feed, (neighbor) => {
      const head = neighbor.head(key)
      return head === undefined ? NOTHING : copyEnd(head)
    })
    return { self, durable: NOTHING, whole: [own, ...whole] }
  }

  /** Registered peers only: a copy at somebody who does not belong is none. */
  #copiesOfOthers(feed: FeedId, endOf: (neighbor: Neighbor) => number): readonly Copy[] {
    const { homes, neighbors } = this.#deps
    const others = [...neighbors.values()].filter(({ peer }) => homes.registered.has(peer))
    return others.map((neighbor) => {
      const { peer } = neighbor
      return {
        peer,
        nextOffset: endOf(neighbor),
        keptFrom: homes.isKeeper(feed.topicId, peer) ? 0 : keptAt(neighbor, feed),
      }
    })
  }

  #arm(deadlineMs: Millis, nowMs: Millis): void {
    if (deadlineMs >= this.#settleAtMs) return
    this.#settleAtMs = deadlineMs
    const afterMs = Math.max(0, deadlineMs - nowMs)
    this.#deps.outbox.order({ type: 'setTimer', timer: { type: 'settleDue', dueMs: deadlineMs }, afterMs })
  }
}

/** Who does not keep the topic lets go of what it has written; what retention lets go of goes everywhere, and is no less copied. */
function keptAt(neighbor: Neighbor, feed: FeedId): number {
  const head = neighbor.head(feedKeyOf(feed))
  return head === undefined || head.keptFrom === head.floor ? 0 : head.keptFrom
}

/** A feed that is gone was here when somebody began to wait for it: retention has let go of what was stored. */
function ownEnd(local: LocalFeed | undefined): number {
  if (local === undefined) return Number.POSITIVE_INFINITY
  return local.durable === undefined ? NOTHING : copyEnd({ ...local.durable, holes: local.holes })
}
