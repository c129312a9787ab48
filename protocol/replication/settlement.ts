import { type AckLevel, ackLevelText, copiesNeeded } from '#protocol/ack-level'
import type { PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { PendingPublish, SettledPublish } from './inputs.ts'

/** Who belongs to a topic: in this version every registered member. The denominator of `majority` and `all` (DESIGN §7). */
export interface Home {
  readonly peers: readonly PeerId[]
  readonly registryVersion: string
  /** False until a joining peer has merged one registry: it does not know yet whom to count. */
  readonly merged: boolean
}

/** How far each registered peer has a feed of ours on disk, with our chain; this peer first. */
export type Copies = readonly { readonly peer: PeerId; readonly nextOffset: number }[]

type Waiting = Map<number, PendingPublish>

interface FeedWaits {
  /** By level, each in the order of offsets: what one level waits for is met from the front. */
  readonly byLevel: Map<string, { readonly level: AckLevel; readonly waiting: Waiting }>
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
    const feed = this.#feeds.get(key) ?? { byLevel: new Map(), overdue: new Map() }
    this.#feeds.set(key, feed)
    // More would be memory that others decide on: one more is told right away how far it got. `local` waits for our disk only.
    const isCrowded = this.#count >= limits.waitingPublishesMax && publish.level.type !== 'local'
    const waiting = isCrowded ? feed.overdue : waitingAt(feed, publish.level)
    waiting.set(publish.ref, publish)
    this.#count++
  }

  get count(): number {
    return this.#count
  }

  keys(): readonly FeedKey[] {
    return [...this.#feeds.keys()]
  }

  /** Takes out and returns what the copies of this feed suffice for. */
  settle(key: FeedKey, home: Home, copies: Copies): readonly SettledPublish[] {
    const feed = this.#feeds.get(key)
    if (feed === undefined) return []
    const settled: SettledPublish[] = []
    const durable = copies[0]?.nextOffset ?? NOTHING
    for (const [text, { level, waiting }] of feed.byLevel) {
      const end = Math.min(durable, offsetReached(level, home, copies))
      for (const publish of takeUpTo(waiting, end)) settled.push(answerOf(publish, true, home, copies))
      if (waiting.size === 0) feed.byLevel.delete(text)
    }
    for (const publish of takeUpTo(feed.overdue, durable)) {
      const reached = publish.endOffset <= offsetReached(publish.level, home, copies)
      settled.push(answerOf(publish, reached, home, copies))
    }
    if (feed.byLevel.size === 0 && feed.overdue.size === 0) this.#feeds.delete(key)
    this.#count -= settled.length
    return settled
  }

  /** Whose time is over waits for this peer's disk only. Infinity: everybody's. */
  expire(nowMs: Millis): void {
    for (const { byLevel, overdue } of this.#feeds.values()) {
      for (const { waiting } of byLevel.values()) {
        for (const publish of waiting.values()) {
          if (publish.deadlineMs > nowMs) continue
          waiting.delete(publish.ref)
          overdue.set(publish.ref, publish)
        }
      }
    }
  }

  /** When the next publish runs out of time; Infinity for none. */
  nextDeadlineMs(): Millis {
    let earliest = Number.POSITIVE_INFINITY
    for (const { byLevel } of this.#feeds.values()) {
      for (const { level, waiting } of byLevel.values()) {
        if (level.type === 'local') continue
        for (const { deadlineMs } of waiting.values()) earliest = Math.min(earliest, deadlineMs)
      }
    }
    return earliest
  }
}

function waitingAt(feed: FeedWaits, level: AckLevel): Waiting {
  const text = ackLevelText(level)
  const known = feed.byLevel.get(text)
  if (known !== undefined) return known.waiting
  const waiting: Waiting = new Map()
  feed.byLevel.set(text, { level, waiting })
  return waiting
}

function* takeUpTo(waiting: Waiting, end: number): Generator<PendingPublish> {
  for (const publish of waiting.values()) {
    if (publish.endOffset > end) return
    waiting.delete(publish.ref)
    yield publish
  }
}

/** Up to which offset as many peers as the level needs have the feed: with K needed, the K-th furthest copy. */
function offsetReached(level: AckLevel, home: Home, copies: Copies): number {
  if (!home.merged && level.type !== 'local') return NOTHING
  const { count, homeOnly } = copiesNeeded(level, home.peers.length)
  const counted = homeOnly ? copies.filter(({ peer }) => home.peers.includes(peer)) : copies
  const offsets = counted.map(({ nextOffset }) => nextOffset).toSorted((a, b) => b - a)
  return offsets[count - 1] ?? NOTHING
}

function answerOf(publish: PendingPublish, reached: boolean, home: Home, copies: Copies): SettledPublish {
  const peers = copies.flatMap(({ peer, nextOffset }) => (nextOffset >= publish.endOffset ? [peer] : []))
  return { ref: publish.ref, reached, peers, registryVersion: home.registryVersion, home: home.peers }
}
