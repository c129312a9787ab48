import type { PeerId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Predecessor } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { LinkNumber } from './inputs.ts'
import type { LocalFeeds } from './local-feeds.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'

/** How long a want may stay unanswered before another holder is asked. A slow link gets its credits in this time. */
const pullPatienceMs: Millis = 10_000
/** How long a linked writer may take to push its own feed before we ask anybody for it. */
const pushPatienceMs: Millis = 2_000
/** A holder that failed us is asked again after this, if it is the only one: a broken one must not make us spin. */
const retryMs: Millis = 1_000

interface Behind {
  readonly feed: FeedId
  /** A holder that failed us. */
  avoid: PeerId | undefined
}

export interface Pull {
  readonly ref: number
  readonly feed: FeedId
  readonly from: PeerId
  readonly link: LinkNumber
  readonly position: number
  readonly bytesMax: number
  readonly overdueMs: Millis
}

/**
 * Repair: which feeds this peer lacks a part of, and from whom to ask it. Rules (DESIGN §7):
 * 1. A feed is asked for in order, one want at a time; at most `catchUpsMax` feeds together, `catchUpsPerHolderMax` of them
 *    from one holder, so that a slow one does not keep the others waiting.
 * 2. A predecessor comes first, up to the link: order holds across restarts of the writer.
 * 3. What a linked writer pushes itself is left to it, unless it makes no progress.
 * 4. Any holder may serve; one that failed is passed over as long as there is another.
 *
 * A feed that we are behind in is in one place: `#ready` to be asked for, under a pull, or parked until something happens
 * (its predecessor advances, time passes). So planning costs what it starts, however many feeds there are.
 */
export class CatchUp {
  readonly #local: LocalFeeds
  readonly #neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly #ready = new Map<FeedKey, Behind>()
  readonly #pulls = new Map<FeedKey, Pull & Behind>()
  readonly #parked = new Map<FeedKey, Behind & { readonly untilMs: Millis }>()
  /** Feeds whose opening batch came before their predecessor was complete here, by predecessor. */
  readonly #waitingFor = new Map<FeedKey, Map<FeedKey, { readonly feed: FeedId; readonly predecessor: Predecessor }>>()
  #lastRef = 0

  constructor(local: LocalFeeds, neighbors: ReadonlyMap<PeerId, Neighbor>) {
    this.#local = local
    this.#neighbors = neighbors
  }

  /** A neighbor holds the feed up to `nextOffset`. */
  heard(feed: FeedId, nextOffset: number, nowMs: Millis): void {
    const key = feedKeyOf(feed)
    if (nextOffset <= this.#local.position(key) || this.#isKnown(key)) return
    if (this.#isPushed(feed)) this.#parked.set(key, { feed, avoid: undefined, untilMs: nowMs + pushPatienceMs })
    else this.#ready.set(key, { feed, avoid: undefined })
  }

  /** The opening batch of the feed was here, and names a predecessor that is not. */
  waitFor(feed: FeedId, predecessor: Predecessor): void {
    const key = feedKeyOf(feed)
    const before = feedKeyOf({ ...feed, epoch: predecessor.epoch })
    const waiting = this.#waitingFor.get(before) ?? new Map()
    this.#waitingFor.set(before, waiting)
    waiting.set(key, { feed, predecessor })
    this.#pulls.delete(key)
    this.#ready.delete(key)
    this.#parked.set(key, { feed, avoid: undefined, untilMs: Number.POSITIVE_INFINITY })
  }

  /** The feed has moved here: it is not stuck, and its next part may be asked for. */
  advanced(feed: FeedId, nowMs: Millis): void {
    const key = feedKeyOf(feed)
    const wasAsked = this.#pulls.has(key)
    this.#forget(key)
    const furthest = furthestOf(this.#neighbors, key)
    // Once we had to ask for what a writer should have pushed, we go on asking until we are even.
    if (wasAsked && furthest > this.#local.position(key)) this.#ready.set(key, { feed, avoid: undefined })
    else this.heard(feed, furthest, nowMs)
    for (const [successor, { feed: next, predecessor }] of this.#waitingFor.get(key) ?? []) {
      if (!isComplete(this.#local, next, predecessor)) continue
      this.#waitingFor.get(key)?.delete(successor)
      this.#parked.delete(successor)
      this.#ready.set(successor, { feed: next, avoid: undefined })
    }
    if (this.#waitingFor.get(key)?.size === 0) this.#waitingFor.delete(key)
  }

  /** The want of this number brought nothing that could be stored. */
  failed(ref: number, nowMs: Millis): void {
    this.#giveUp((pull) => pull.ref === ref, nowMs)
  }

  linkDown(peer: PeerId, nowMs: Millis): void {
    this.#giveUp((pull) => pull.from === peer, nowMs)
  }

  /** Time has passed: wants may be overdue, and what was parked may be asked for. */
  sweep(nowMs: Millis): void {
    this.#giveUp((pull) => nowMs >= pull.overdueMs, nowMs)
    for (const [key, { feed, avoid, untilMs }] of this.#parked) {
      if (nowMs < untilMs) continue
      this.#parked.delete(key)
      this.#ready.set(key, { feed, avoid })
    }
  }

  /** New wants to send, as many as may run at a time. */
  plan(nowMs: Millis): readonly Pull[] {
    const started: Pull[] = []
    for (const [key, { feed, avoid }] of this.#ready) {
      if (this.#pulls.size >= limits.catchUpsMax) break
      const holders = linkedHolders(this.#neighbors, key, this.#local.position(key))
      const holder = this.#idlest(holders, avoid)
      if (holder === undefined && holders.length > 0) continue
      this.#ready.delete(key)
      // Nobody linked has it: whoever comes with it will tell.
      if (holder !== undefined) started.push(this.#start(feed, holder, avoid, nowMs))
    }
    return started
  }

  snapshot(): { readonly behind: number; readonly pulls: readonly Pull[] } {
    return { behind: this.#ready.size + this.#pulls.size + this.#parked.size, pulls: [...this.#pulls.values()] }
  }

  #start(feed: FeedId, holder: LinkedNeighbor, avoid: PeerId | undefined, nowMs: Millis): Pull {
    const key = feedKeyOf(feed)
    const position = this.#local.position(key)
    const pull = {
      ref: ++this.#lastRef,
      feed,
      avoid,
      from: holder.peer,
      link: holder.link.number,
      position,
      // The opening batch of an unknown feed is asked for alone: it may name a predecessor that has to come first.
      bytesMax: position < 0 ? 1 : limits.dataFrameBytesTarget,
      overdueMs: nowMs + pullPatienceMs,
    }
    this.#pulls.set(key, pull)
    return pull
  }

  /** At once if there is another holder, else after a pause; behind all others that wait. */
  #giveUp(isLost: (pull: Pull) => boolean, nowMs: Millis): void {
    for (const [key, pull] of this.#pulls) {
      if (!isLost(pull)) continue
      this.#pulls.delete(key)
      const { feed, from: avoid } = pull
      const holders = linkedHolders(this.#neighbors, key, this.#local.position(key))
      if (holders.some(({ peer }) => peer !== avoid)) this.#ready.set(key, { feed, avoid })
      else this.#parked.set(key, { feed, avoid, untilMs: nowMs + retryMs })
    }
  }

  /** The holder with the fewest wants of ours, so that a heal spreads over everybody who can help. */
  #idlest(holders: readonly LinkedNeighbor[], avoid: PeerId | undefined): LinkedNeighbor | undefined {
    const asked = new Map<PeerId, number>()
    for (const { from } of this.#pulls.values()) asked.set(from, (asked.get(from) ?? 0) + 1)
    const free = holders.filter(({ peer }) => (asked.get(peer) ?? 0) < limits.catchUpsPerHolderMax)
    const cost = ({ peer }: Neighbor): number => (asked.get(peer) ?? 0) + (peer === avoid ? limits.catchUpsMax : 0)
    return free.reduce<LinkedNeighbor | undefined>(
      (best, holder) => (best === undefined || cost(holder) < cost(best) ? holder : best),
      undefined,
    )
  }

  #isKnown(key: FeedKey): boolean {
    return this.#ready.has(key) || this.#pulls.has(key) || this.#parked.has(key)
  }

  #forget(key: FeedKey): void {
    this.#ready.delete(key)
    this.#pulls.delete(key)
    this.#parked.delete(key)
  }

  /** The writer is linked, runs the boot that this feed is of, and will push it. */
  #isPushed(feed: FeedId): boolean {
    return this.#neighbors.get(feed.writer)?.link?.epoch === feed.epoch
  }
}

type LinkedNeighbor = Neighbor & { readonly link: NeighborLink }

const linkedHolders = (
  neighbors: ReadonlyMap<PeerId, Neighbor>,
  key: FeedKey,
  position: number,
): readonly LinkedNeighbor[] =>
  [...neighbors.values()].filter(
    (neighbor): neighbor is LinkedNeighbor => neighbor.link !== undefined && neighbor.position(key) > position,
  )

const furthestOf = (neighbors: ReadonlyMap<PeerId, Neighbor>, key: FeedKey): number =>
  Math.max(
    ...[...neighbors.values()].map((neighbor) => (neighbor.link === undefined ? -1 : neighbor.position(key))),
    -1,
  )

/** Is the predecessor here up to the link, so that the successor may follow? */
export function isComplete(local: LocalFeeds, feed: FeedId, predecessor: Predecessor | undefined): boolean {
  if (predecessor === undefined) return true
  return local.position(feedKeyOf({ ...feed, epoch: predecessor.epoch })) >= predecessor.nextOffset
}
