import type { Hash, PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { PendingPublish } from './inputs.ts'
import type { LocalFeeds } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Neighbor } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'
import { type Copies, type Home, Settlement } from './settlement.ts'

/** Heads of our own chain that we remember to check neighbors' heads against; a neighbor further back is just not counted yet. */
const boundariesMax = 4_096
/** Looking for the next deadline costs what waits, so it is not done for each of thousands that are a moment apart. */
const settleIntervalMsMin: Millis = 10

export interface AcksDeps {
  readonly self: PeerId
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly anomalies: Anomalies
  readonly outbox: Outbox
}

/** Whose copies of our own feeds count, and which publishes they settle (P2). */
export class Acks {
  readonly #deps: AcksDeps
  readonly #boundaries = new Map<FeedKey, Map<number, Hash>>()
  readonly #settlement = new Settlement()
  #home: Home
  #settleAtMs: Millis = Number.POSITIVE_INFINITY
  #draining = false

  constructor(deps: AcksDeps) {
    this.#deps = deps
    this.#home = { peers: [deps.self], registryVersion: '', merged: false }
  }

  get home(): Home {
    return this.#home
  }

  get waitingPublishes(): number {
    return this.#settlement.count
  }

  homeChanged(home: Home): void {
    this.#home = home
    this.#settleAll()
  }

  appended(key: FeedKey, head: Head): void {
    const boundaries = this.#boundaries.get(key) ?? new Map<number, Hash>()
    this.#boundaries.set(key, boundaries)
    boundaries.set(head.nextOffset, head.hash)
    const oldest = boundaries.keys().next().value
    if (boundaries.size > boundariesMax && oldest !== undefined) boundaries.delete(oldest)
  }

  /** A copy counts up to where the neighbor's chain is known to be ours. A lower head takes it back. */
  heard(neighbor: Neighbor, { feed, nextOffset, hash }: FeedDigest): void {
    const key = feedKeyOf(feed)
    const ours = this.#boundaries.get(key)?.get(nextOffset)
    if (ours === undefined) {
      neighbor.verified.set(key, Math.min(neighbor.verified.get(key) ?? NOTHING, nextOffset))
    } else if (ours === hash) {
      neighbor.verified.set(key, nextOffset)
    } else {
      this.#deps.anomalies.foreignChains++
      neighbor.verified.set(key, NOTHING)
    }
    this.settle(key)
  }

  published(publish: PendingPublish, nowMs: Millis): void {
    this.#settlement.add(publish)
    if (this.#draining) this.#settlement.expire(Number.POSITIVE_INFINITY)
    else if (publish.level.type !== 'local') this.#arm(publish.deadlineMs, nowMs)
    this.settle(feedKeyOf(publish.feed))
  }

  settle(key: FeedKey): void {
    for (const settled of this.#settlement.settle(key, this.#home, this.#copies(key))) {
      this.#deps.outbox.order({ type: 'publishSettled', settled })
    }
  }

  timerFired(dueMs: Millis, nowMs: Millis): void {
    if (dueMs !== this.#settleAtMs) return
    this.#settleAtMs = Number.POSITIVE_INFINITY
    this.#expire(nowMs)
    this.#arm(Math.max(this.#settlement.nextDeadlineMs(), nowMs + settleIntervalMsMin), nowMs)
  }

  /** Publishes that wait for copies are answered with those that there are. */
  drain(): void {
    this.#draining = true
    this.#expire(Number.POSITIVE_INFINITY)
  }

  #expire(nowMs: Millis): void {
    this.#settlement.expire(nowMs)
    this.#settleAll()
  }

  #settleAll(): void {
    for (const key of this.#settlement.keys()) this.settle(key)
  }

  /** Registered peers only: a copy at somebody who does not belong is none. */
  #copies(key: FeedKey): Copies {
    const { self, local, neighbors } = this.#deps
    const own = { peer: self, nextOffset: local.get(key)?.durable?.nextOffset ?? NOTHING }
    const others = [...neighbors.values()].filter(({ peer }) => this.#home.peers.includes(peer))
    return [own, ...others.map(({ peer, verified }) => ({ peer, nextOffset: verified.get(key) ?? NOTHING }))]
  }

  #arm(deadlineMs: Millis, nowMs: Millis): void {
    if (deadlineMs >= this.#settleAtMs) return
    this.#settleAtMs = deadlineMs
    const afterMs = Math.max(0, deadlineMs - nowMs)
    this.#deps.outbox.order({ type: 'setTimer', timer: { type: 'settleDue', dueMs: deadlineMs }, afterMs })
  }
}
