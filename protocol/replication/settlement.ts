import { type AckLevel, ackLevelText, copiesNeeded } from '#protocol/ack-level'
import type { PeerId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { Home } from './homes.ts'
import type { PendingPublish, SettledPublish } from './inputs.ts'

/** How far a feed of ours has come, fsynced. */
export interface Copies {
  readonly self: PeerId
  /** On this peer's own disk: what is new is there, whatever damage there is before it. */
  readonly durable: number
  /** Which part of it each registered peer, this one included, has a copy of. */
  readonly whole: readonly Copy[]
}

export interface Copy {
  readonly peer: PeerId
  /** All before it, without a hole, on our chain. */
  readonly nextOffset: number
  /** What lies below it was let go of there: a writer that is not at home keeps what home has not confirmed yet. */
  readonly keptFrom: number
}

/** In the order of the offsets that they wait for. */
type Waiting = PendingPublish[]

interface FeedWaits {
  readonly feed: FeedId
  /** What one level waits for is met from the front. */
  readonly byLevel: Map<string, { readonly level: AckLevel; waiting: Waiting }>
  /** Out of time, and answered as soon as they are durable here. */
  readonly overdue: Waiting
}

/**
 * Publishes that wait for copies. One is settled as `reached` when its level is met, or as not reached at its deadline; in
 * both cases only once it is durable here (P2). A split can keep thousands waiting, so progress costs what it settles.
 */
export class Settlement {
  readonly #feeds = new Map<FeedKey, FeedWaits>()
  #count = 0

  add(publish: PendingPublish): void {
    const key = feedKeyOf(publish.feed)
    const feed = this.#feeds.get(key) ?? { feed: publish.feed, byLevel: new Map(), overdue: [] }
    this.#feeds.set(key, feed)
    // More would be memory that others decide on: one more is told right away how far it got. `local` waits for our disk only.
    const isCrowded = this.#count >= limits.waitingPublishesMax && publish.level.type !== 'local'
    const waiting = isCrowded ? feed.overdue : waitingAt(feed, publish.level)
    insert(waiting, publish)
    this.#count++
  }

  get count(): number {
    return this.#count
  }

  isWaiting(key: FeedKey): boolean {
    return this.#feeds.has(key)
  }

  feeds(): readonly FeedId[] {
    return [...this.#feeds.values()].map(({ feed }) => feed)
  }

  /** Takes out and returns what the copies of this feed suffice for; nothing beyond `answerable`. */
  settle(key: FeedKey, home: Home, copies: Copies, answerable = copies.durable): readonly SettledPublish[] {
    const feed = this.#feeds.get(key)
    if (feed === undefined) return []
    const settled: SettledPublish[] = []
    for (const [text, { level, waiting }] of feed.byLevel) {
      // What suffices for the first of them suffices for those behind it: nobody keeps less of what is newer.
      for (let first = waiting[0]; first !== undefined; first = waiting[0]) {
        const end = Math.min(answerable, offsetReached(level, home, keptAt(first, copies)))
        const taken = takeUpTo(waiting, end)
        if (taken.length === 0) break
        for (const publish of taken) settled.push(answerOf(publish, true, home, copies))
      }
      if (waiting.length === 0) feed.byLevel.delete(text)
    }
    for (const publish of takeUpTo(feed.overdue, answerable)) {
      const reached = publish.endOffset <= offsetReached(publish.level, home, keptAt(publish, copies))
      settled.push(answerOf(publish, reached, home, copies))
    }
    if (feed.byLevel.size === 0 && feed.overdue.length === 0) this.#feeds.delete(key)
    this.#count -= settled.length
    return settled
  }

  /** Whose time is over waits for this peer's disk only. Infinity: everybody's. */
  expire(nowMs: Millis): void {
    for (const { byLevel, overdue } of this.#feeds.values()) {
      for (const level of byLevel.values()) {
        const late = level.waiting.filter(({ deadlineMs }) => deadlineMs <= nowMs)
        if (late.length === 0) continue
        level.waiting = level.waiting.filter(({ deadlineMs }) => deadlineMs > nowMs)
        for (const publish of late) insert(overdue, publish)
      }
    }
  }

  /** What ends at the offset, or before it, waits for nobody else any more. True: there was some. */
  passed(key: FeedKey, floor: number): boolean {
    const { byLevel, overdue } = this.#feeds.get(key) ?? { byLevel: new Map<string, never>(), overdue: [] }
    const passed = [...byLevel.values()].flatMap(({ waiting }) => takeUpTo(waiting, floor))
    for (const publish of passed) insert(overdue, publish)
    return passed.length > 0
  }

  /** When the next publish runs out of time; Infinity for none. */
  nextDeadlineMs(): Millis {
    let earliest = Number.POSITIVE_INFINITY
    for (const { byLevel } of this.#feeds.values()) {
      for (const { level, waiting } of byLevel.values()) {
        if (level.type === 'local') continue
        for (const { deadlineMs } of waiting) earliest = Math.min(earliest, deadlineMs)
      }
    }
    return earliest
  }
}

function waitingAt(feed: FeedWaits, level: AckLevel): Waiting {
  const text = ackLevelText(level)
  const known = feed.byLevel.get(text)
  if (known !== undefined) return known.waiting
  const waiting: Waiting = []
  feed.byLevel.set(text, { level, waiting })
  return waiting
}

/** At the end, as a rule; a retry waits for an earlier offset than what came before it. */
function insert(waiting: Waiting, publish: PendingPublish): void {
  let at = waiting.length
  if (at > 0 && (waiting[at - 1] as PendingPublish).endOffset > publish.endOffset) {
    at = waiting.findIndex(({ endOffset }) => endOffset > publish.endOffset)
  }
  waiting.splice(at, 0, publish)
}

function takeUpTo(waiting: Waiting, end: number): readonly PendingPublish[] {
  const past = waiting.findIndex(({ endOffset }) => endOffset > end)
  return waiting.splice(0, past < 0 ? waiting.length : past)
}

const keptAt = ({ endOffset }: PendingPublish, copies: Copies): Copies => ({
  ...copies,
  whole: copies.whole.filter(({ keptFrom }) => keptFrom < endOffset),
})

/** Up to which offset as many peers as the level needs have the feed: with K needed, the K-th furthest copy. */
function offsetReached(level: AckLevel, home: Home, { durable, whole }: Copies): number {
  if (level.type === 'local') return durable
  if (!home.merged) return NOTHING
  const reached = copiesNeeded(level, home.peers.length).map(({ count, homeOnly }) => {
    const counted = homeOnly ? whole.filter(({ peer }) => home.peers.includes(peer)) : whole
    const offsets = counted.map(({ nextOffset }) => nextOffset).toSorted((a, b) => b - a)
    return offsets[count - 1] ?? NOTHING
  })
  return Math.min(...reached)
}

function answerOf(publish: PendingPublish, reached: boolean, home: Home, copies: Copies): SettledPublish {
  const { ref, level, endOffset } = publish
  const holders = keptAt(publish, copies).whole.filter(({ nextOffset }) => nextOffset >= endOffset)
  const others = holders.map(({ peer }) => peer).filter((peer) => peer !== copies.self)
  // What is new is durable here, whatever damage there is before it.
  const isHere = copies.durable >= endOffset || others.length < holders.length
  const peers = isHere ? [copies.self, ...others] : others
  return { ref, level, reached, peers, registryVersion: home.registryVersion, home: home.peers }
}
