import { assert } from '#protocol/assert'
import type { PeerId, TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, type Predecessor } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { Homes } from './homes.ts'
import type { BatchFacts, LinkNumber } from './inputs.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Losses } from './lost.ts'
import {
  isLinked,
  type LinkedNeighbor,
  linkedHolders,
  type Neighbor,
  type NeighborLink,
  patienceMs,
} from './neighbor.ts'

/** How long a linked writer may take to push its own feed before we ask anybody for it. */
const pushPatienceMs: Millis = 2_000
/** A holder that failed us is asked again after this, if it is the only one: a broken one must not make us spin. */
const retryMs: Millis = 1_000

interface Behind {
  readonly feed: FeedId
  /** A holder that failed us. */
  avoid: PeerId | undefined
  /** When it was first asked for, and from where on, if it has been and is behind since. */
  readonly begun?: Begun | undefined
}

interface Begun {
  readonly atMs: Millis
  readonly position: number
}

interface Parked extends Behind {
  readonly untilMs: Millis
  /** For want of somebody who can send what follows here: the next who tells of the feed may be the one. */
  readonly isStuck?: boolean
}

export interface Pull {
  readonly ref: number
  readonly feed: FeedId
  readonly from: PeerId
  readonly link: LinkNumber
  readonly position: number
  readonly bytesMax: number
  readonly askedMs: Millis
  overdueMs: Millis
  /** It begins behind a lost range: only the hash that its first batch follows is wanted. */
  readonly isBeyondLost: boolean
  readonly begun: Begun
}

/** A feed that is being asked for, up to `target`: the furthest head that a linked neighbor has told. */
export type CatchUpProgress = Pick<Pull, 'feed' | 'from' | 'position' | 'begun'> & { readonly target: number }

export interface CatchUpDeps {
  readonly self: PeerId
  readonly losses: Losses
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  /** Numbers a want. */
  readonly nextRef: () => number
  /** It was let go of for good. */
  readonly isForgotten: (feed: FeedId) => boolean
  /** What lies between the feed's head and this one is lost: it goes on from there. */
  readonly skip: (local: LocalFeed, to: Head) => void
}

/**
 * Repair: which feeds this peer lacks a part of, and from whom to ask it. Rules (DESIGN §7):
 * 1. A feed is asked for in order, one want at a time; at most `catchUpsMax` feeds together, `catchUpsPerHolderMax` of them
 *    from one holder, so that a slow one does not keep the others waiting.
 * 2. A predecessor comes first, up to the link: order holds across restarts of the writer.
 * 3. What a linked writer pushes itself is left to it, unless it makes no progress.
 * 4. Any holder may serve; one that failed is passed over as long as there is another.
 * 5. What follows here and is lost (`lost.ts`) is passed over, up to the first batch that anybody holds, or
 *    to the furthest head if nobody holds any. It becomes a hole, like any other damage.
 *
 * A feed that we are behind in is in one place: `#ready` to be asked for, under a pull, or parked until something happens
 * (its predecessor advances, time passes). So planning costs what it starts, however many feeds there are.
 */
export class CatchUp {
  readonly #deps: CatchUpDeps
  readonly #local: LocalFeeds
  readonly #neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly #ready = new Map<FeedKey, Behind>()
  readonly #pulls = new Map<FeedKey, Pull & Behind>()
  readonly #parked = new Map<FeedKey, Parked>()
  /** Feeds whose opening batch came before their predecessor was complete here, by predecessor. */
  readonly #waitingFor = new Map<FeedKey, Map<FeedKey, { readonly feed: FeedId; readonly predecessor: Predecessor }>>()

  constructor(deps: CatchUpDeps) {
    this.#deps = deps
    this.#local = deps.local
    this.#neighbors = deps.neighbors
  }

  /** A neighbor holds the feed up to `nextOffset`. */
  heard(feed: FeedId, nextOffset: number, nowMs: Millis): void {
    const key = feedKeyOf(feed)
    if (nextOffset <= this.#local.position(key) || !this.#isWanted(feed.topicId)) return
    if (!this.#waitingFor.has(key) && this.#deps.isForgotten(feed)) return
    const parked = this.#parked.get(key)
    if (parked?.isStuck === true) {
      this.#parked.delete(key)
      this.#ready.set(key, parked)
    }
    if (this.#isKnown(key)) return
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
    // Nobody asked for it as long as nothing went on from it.
    const isBehind = furthestOf(this.#neighbors, before) > this.#local.position(before)
    const beforeFeed = { ...feed, epoch: predecessor.epoch }
    if (isBehind && !this.#isKnown(before)) this.#ready.set(before, { feed: beforeFeed, avoid: undefined })
  }

  /** The feed need not wait for its predecessor any more. */
  admitted(feed: FeedId): void {
    const key = feedKeyOf(feed)
    for (const [before, waiting] of this.#waitingFor) {
      if (!waiting.delete(key)) continue
      if (waiting.size === 0) this.#waitingFor.delete(before)
      this.#parked.delete(key)
      this.#ready.set(key, { feed, avoid: undefined })
    }
  }

  /** Something is to come here that goes on from it. */
  isWaitedFor(key: FeedKey): boolean {
    return this.#waitingFor.has(key)
  }

  /** The feed has moved here: it is not stuck, and its next part may be asked for. */
  advanced(feed: FeedId, nowMs: Millis): void {
    const key = feedKeyOf(feed)
    const begun = this.#pulls.get(key)?.begun
    this.#forget(key)
    const furthest = furthestOf(this.#neighbors, key)
    // Once we had to ask for what a writer should have pushed, we go on asking until we are even.
    const isBehind = furthest > this.#local.position(key) && this.#isWanted(feed.topicId)
    if (begun !== undefined && isBehind) this.#ready.set(key, { feed, avoid: undefined, begun })
    else this.heard(feed, furthest, nowMs)
    for (const [successor, { feed: next, predecessor }] of this.#waitingFor.get(key) ?? []) {
      if (!isComplete(this.#local, next, predecessor)) continue
      this.#waitingFor.get(key)?.delete(successor)
      this.#parked.delete(successor)
      this.#ready.set(successor, { feed: next, avoid: undefined })
    }
    if (this.#waitingFor.get(key)?.size === 0) this.#waitingFor.delete(key)
  }

  /** This peer keeps other topics now. What is under way comes to its end. */
  homesChanged(nowMs: Millis): void {
    for (const [key, { feed }] of [...this.#ready, ...this.#parked]) {
      if (!this.#isWanted(feed.topicId)) this.#forget(key)
    }
    for (const { heads, link } of this.#neighbors.values()) {
      if (link === undefined || link.account === 'awaited') continue
      for (const { feed, nextOffset } of heads.values()) this.heard(feed, nextOffset, nowMs)
    }
  }

  /** The want of this number brought nothing that could be stored. */
  failed(ref: number, nowMs: Millis): void {
    this.#giveUp((pull) => pull.ref === ref, nowMs)
  }

  linkDown(peer: PeerId, nowMs: Millis): void {
    this.#giveUp((pull) => pull.from === peer, nowMs)
  }

  /** The link brings something: what was asked for there comes after it, if it is well-meant. */
  heardFrom(link: NeighborLink, nowMs: Millis): void {
    for (const pull of this.#pulls.values()) {
      if (pull.link === link.number) pull.overdueMs = Math.min(nowMs + link.patienceMs, pull.askedMs + patienceMs.max)
    }
  }

  /** Time has passed: wants may be overdue, and what was parked may be asked for. */
  sweep(nowMs: Millis): void {
    const slow = new Set<PeerId>()
    for (const { from, overdueMs } of this.#pulls.values()) if (nowMs >= overdueMs) slow.add(from)
    for (const peer of slow) this.#neighbors.get(peer)?.link?.wasSlow()
    this.#giveUp((pull) => nowMs >= pull.overdueMs, nowMs)
    for (const [key, parked] of this.#parked) {
      if (nowMs < parked.untilMs) continue
      this.#parked.delete(key)
      this.#ready.set(key, parked)
    }
  }

  /** New wants to send, as many as may run at a time. */
  plan(nowMs: Millis): readonly Pull[] {
    const started: Pull[] = []
    for (const [key, behind] of this.#ready) {
      if (this.#pulls.size >= limits.catchUpsMax || !this.#isAnybodyFree()) break
      const holders = linkedHolders(this.#neighbors, key, this.#local.position(key))
      const holder = this.#idlest(holders, behind.avoid)
      if (holder === undefined && holders.length > 0) continue
      this.#ready.delete(key)
      const pull =
        holder === undefined
          ? this.#passOver(behind, nowMs)
          : this.#start(behind, holder, { position: this.#local.position(key) }, nowMs)
      if (pull !== undefined) started.push(pull)
    }
    return started
  }

  /** True: the frame was asked for to go on behind a lost range, and is of no further use. */
  reachedBeyond(ref: number, feed: FeedId, [first]: readonly BatchFacts[], nowMs: Millis): boolean {
    const key = feedKeyOf(feed)
    const pull = this.#pulls.get(key)
    if (pull?.ref !== ref || !pull.isBeyondLost) return false
    const local = this.#local.get(key)
    // Somebody may have come with it meanwhile.
    const isLost = local !== undefined && this.#lostEnd(local) === pull.position
    if (isLost && first?.opening === undefined && first?.baseOffset === pull.position) {
      this.#pulls.delete(key)
      this.#deps.skip(local, { nextOffset: first.baseOffset, hash: first.previousHash })
    } else {
      this.failed(ref, nowMs)
    }
    return true
  }

  snapshot(): { readonly behind: number; readonly pulls: readonly CatchUpProgress[] } {
    const pulls = [...this.#pulls].map(([key, pull]) => ({ ...pull, target: furthestOf(this.#neighbors, key) }))
    return { behind: this.#ready.size + this.#pulls.size + this.#parked.size, pulls }
  }

  /** Nobody linked can send what follows here. */
  #passOver(behind: Behind, nowMs: Millis): Pull | undefined {
    const { feed, avoid } = behind
    const key = feedKeyOf(feed)
    const local = this.#local.get(key)
    const furthest = furthestOf(this.#neighbors, key)
    // Nobody linked has it: whoever comes with it will tell.
    if (local === undefined || furthest <= local.appended.nextOffset) return undefined
    this.#parked.set(key, { ...behind, untilMs: nowMs + retryMs, isStuck: true })
    // What is here is on disk first.
    if (local.durable?.nextOffset !== local.appended.nextOffset) return undefined
    const end = this.#lostEnd(local)
    if (end === undefined) return undefined
    const holder = this.#idlest(linkedHolders(this.#neighbors, key, end), avoid)
    if (holder === undefined && end < furthest) return undefined
    this.#parked.delete(key)
    if (holder !== undefined) return this.#start(behind, holder, { position: end, isBeyondLost: true }, nowMs)
    this.#deps.skip(local, headAt(this.#neighbors, key, end))
    return undefined
  }

  /** Where what is lost after the head of the feed ends; undefined if it is not lost, or if something is still on its way to disk. */
  #lostEnd({ key, appended, durable, holes }: LocalFeed): number | undefined {
    const { nextOffset: from } = appended
    if (from !== durable?.nextOffset || holes.length >= limits.feedHolesMax) return undefined
    const [lost] = this.#deps.losses.among(key, [{ from, to: furthestOf(this.#neighbors, key) }])
    return lost?.from === from ? lost.to : undefined
  }

  #start(
    { feed, avoid, begun }: Behind,
    holder: LinkedNeighbor,
    { position, isBeyondLost = false }: Pick<Pull, 'position'> & { isBeyondLost?: boolean },
    nowMs: Millis,
  ): Pull {
    const key = feedKeyOf(feed)
    const pull = {
      ref: this.#deps.nextRef(),
      feed,
      avoid,
      from: holder.peer,
      link: holder.link.number,
      position,
      // The opening batch of an unknown feed is asked for alone: it may name a predecessor that has to come first.
      bytesMax: position < 0 || isBeyondLost ? 1 : limits.dataFrameBytesTarget,
      isBeyondLost,
      askedMs: nowMs,
      overdueMs: nowMs + holder.link.patienceMs,
      begun: begun ?? { atMs: nowMs, position },
    }
    this.#pulls.set(key, pull)
    return pull
  }

  /** At once if there is another holder, else after a pause; behind all others that wait. */
  #giveUp(isLost: (pull: Pull) => boolean, nowMs: Millis): void {
    for (const [key, pull] of this.#pulls) {
      if (!isLost(pull)) continue
      this.#pulls.delete(key)
      const { feed, from: avoid, begun } = pull
      const holders = linkedHolders(this.#neighbors, key, this.#local.position(key))
      if (holders.some(({ peer }) => peer !== avoid)) this.#ready.set(key, { feed, avoid, begun })
      else this.#parked.set(key, { feed, avoid, begun, untilMs: nowMs + retryMs })
    }
  }

  /** Else there is no use in going through thousands of feeds. */
  #isAnybodyFree(): boolean {
    const asked = this.#asked()
    return [...this.#neighbors.values()].some(
      ({ peer, link }) => link !== undefined && (asked.get(peer) ?? 0) < limits.catchUpsPerHolderMax,
    )
  }

  #asked(): ReadonlyMap<PeerId, number> {
    const asked = new Map<PeerId, number>()
    for (const { from } of this.#pulls.values()) asked.set(from, (asked.get(from) ?? 0) + 1)
    return asked
  }

  /** The holder with the fewest wants of ours, so that a heal spreads over everybody who can help. */
  #idlest(holders: readonly LinkedNeighbor[], avoid: PeerId | undefined): LinkedNeighbor | undefined {
    const asked = this.#asked()
    const free = holders.filter(({ peer }) => (asked.get(peer) ?? 0) < limits.catchUpsPerHolderMax)
    const cost = ({ peer }: Neighbor): number => (asked.get(peer) ?? 0) + (peer === avoid ? limits.catchUpsMax : 0)
    return free.reduce<LinkedNeighbor | undefined>(
      (best, holder) => (best === undefined || cost(holder) < cost(best) ? holder : best),
      undefined,
    )
  }

  /** Does this peer keep the topic? */
  #isWanted(topicId: TopicId): boolean {
    return this.#deps.homes.isOurs(topicId)
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

const furthestOf = (neighbors: ReadonlyMap<PeerId, Neighbor>, key: FeedKey): number =>
  Math.max(
    ...[...neighbors.values()].map((neighbor) => (neighbor.link === undefined ? -1 : neighbor.position(key))),
    -1,
  )

/** The head that somebody linked has told to be there. */
function headAt(neighbors: ReadonlyMap<PeerId, Neighbor>, key: FeedKey, end: number): Head {
  const linked = [...neighbors.values()].filter(isLinked)
  const head = linked.map((neighbor) => neighbor.head(key)).find((told) => told?.nextOffset === end)
  assert(head !== undefined, 'a head is told by somebody')
  return { nextOffset: head.nextOffset, hash: head.hash }
}

/** Is the predecessor here up to the link, so that the successor may follow? */
export function isComplete(local: LocalFeeds, feed: FeedId, predecessor: Predecessor | undefined): boolean {
  if (predecessor === undefined) return true
  return local.position(feedKeyOf({ ...feed, epoch: predecessor.epoch })) >= predecessor.nextOffset
}
