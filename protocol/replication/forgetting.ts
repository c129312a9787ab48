import type { PeerId, TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, type Predecessor } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { isComplete } from './catch-up.ts'
import { isEmptied } from './holding.ts'
import type { Homes } from './homes.ts'
import type { LinkNeeds } from './link-needs.ts'
import { baseOf, type LocalFeed, type LocalFeeds, predecessorKeyOf, predecessorOf } from './local-feeds.ts'
import { isLinked, type LinkedNeighbor, type Neighbor } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

export interface ForgettingDeps {
  readonly self: PeerId
  readonly everyMs: Millis
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
  readonly needs: LinkNeeds
  /** A feed of this boot. */
  readonly isOwn: (feed: FeedId) => boolean
  /** Something here is about to happen to it, or waits for it. */
  readonly isInUse: (local: LocalFeed) => boolean
  readonly raise: (local: LocalFeed, floor: Head) => void
  /** It may come now. */
  readonly onAdmitted: (feed: FeedId) => void
  /** It is rooted now. */
  readonly onRooted: (local: LocalFeed) => void
  /** It is not here any more. */
  readonly onForgotten: (local: LocalFeed) => void
}

/** Of so many looks that find not everybody linked, one may call them. */
const looksPerCall = 6
/** So long dials take, and what is told on a new link. */
const linkedWithinMs: Millis = 3_000

/**
 * Finished feeds of which retention has left nothing are forgotten (DESIGN §4, ADR 0016). Each peer decides for itself:
 * 1. A feed goes when nothing of it is left here, nor, by what they tell now, at any other member, all of which are linked;
 *    and when its writer does not run that boot any more. One member that is away keeps all feeds.
 * 2. Something is here that goes on from it, and is *rooted* in the same write: it has no predecessor any more. Without that
 *    a reader could not tell a feed that is gone from one that has not come yet; and its writer goes on from it. Who need
 *    not keep the feed of another needs nothing of the kind.
 * 3. The oldest goes first, so that what is left of a writer is always the end of its feeds.
 * 4. Rooted says for good: the floor of the predecessor is where this feed begins, at the least. So it is handed on. Who has no
 *    such predecessor takes the feed without it; who has one raises its floor; and a feed that comes back goes on from there.
 * 5. What others still hold of a forgotten feed is not asked for, as long as that is nothing. Whatever has records is a feed like
 *    any other: rules 4 and 5 save work, and nothing depends on them.
 */
export class Forgetting {
  readonly #deps: ForgettingDeps
  #lookAtMs: Millis = 0
  /** Looks before everybody may be called again. */
  #looksToCall = 0
  /** Feeds forgotten since the start. */
  count = 0

  constructor(deps: ForgettingDeps) {
    this.#deps = deps
  }

  sweep(nowMs: Millis): void {
    const { everyMs, homes, local } = this.#deps
    if (nowMs < this.#lookAtMs) return
    this.#lookAtMs = nowMs + everyMs
    const members = homes.merged ? this.#linkedMembers() : undefined
    if (members === undefined) return this.#callEverybody(nowMs)
    this.#looksToCall = 0
    const topics = new Set<TopicId>()
    for (const feed of local.all()) if (isEmpty(feed)) topics.add(feed.feed.topicId)
    let left: number = limits.feedsForgottenAtOnceMax
    for (const topicId of topics) left -= this.#look(topicId, members, left)
  }

  /** Where links are few, everybody is linked now and then for this, if there is something to forget. */
  #callEverybody(nowMs: Millis): void {
    const { homes, needs, local } = this.#deps
    if (!homes.merged || !needs.isLimited) return
    // Dials that fail are tried again.
    if (needs.isCallingEverybody) {
      this.#lookAtMs = Math.min(this.#lookAtMs, nowMs + linkedWithinMs)
      return
    }
    if (this.#looksToCall > 0) {
      this.#looksToCall--
      return
    }
    const empty = [...local.all()].filter((feed) => isEmpty(feed) && !local.has(predecessorKeyOf(feed)))
    const isDue = (feed: LocalFeed): boolean =>
      this.#isOver(
        feed,
        local.ofTopic(feed.feed.topicId).filter((other) => predecessorKeyOf(other) === feed.key),
      )
    if (!empty.some(isDue)) return
    this.#looksToCall = looksPerCall - 1
    needs.everybody()
    this.#lookAtMs = Math.min(this.#lookAtMs, nowMs + linkedWithinMs)
  }

  /** A neighbor says that the feed is rooted. */
  heardRooted(feed: FeedId): void {
    const local = this.#deps.local.get(feedKeyOf(feed))
    if (local === undefined) return this.#deps.onAdmitted(feed)
    const { predecessor } = local.opening
    if (local.rooted || local.durable === undefined || predecessor === undefined) return
    if (this.#isAbsent(local.feed, predecessor)) this.root(local)
  }

  /** May this feed be taken, whose predecessor is not here up to the link? Then it is rooted, or that one's floor rises. */
  admits(feed: FeedId, predecessor: Predecessor): boolean {
    const key = feedKeyOf(feed)
    const isRooted = this.#linked().some((neighbor) => neighbor.head(key)?.rooted === true)
    if (!isRooted) return false
    return this.#isAbsent(feed, predecessor) || isComplete(this.#deps.local, feed, predecessor)
  }

  /** It has come here without its predecessor. */
  root(local: LocalFeed): void {
    local.rooted = true
    const forgotten = predecessorOf(local)
    if (forgotten === undefined) return
    const change = { type: 'forget', feed: forgotten, rooted: [local.feed] } as const
    this.#deps.outbox.order({ type: 'changeFeed', change })
    this.#deps.onRooted(local)
  }

  /** The opening of the feed is on disk: it may have come back. */
  opened(local: LocalFeed): void {
    const after = this.#siblingsOf(local.feed).find(({ rooted, opening }) => {
      return rooted && opening.predecessor?.epoch === local.feed.epoch
    })
    if (after?.opening.predecessor !== undefined) this.#deps.raise(local, headOf(after.opening.predecessor))
  }

  /** Is the feed not here because it was forgotten, and nothing is to be had of it? */
  isForgotten(feed: FeedId): boolean {
    const key = feedKeyOf(feed)
    if (this.#deps.local.get(key) !== undefined) return false
    const told = this.#linked().flatMap((neighbor) => neighbor.head(key) ?? [])
    const end = Math.max(...told.map(({ nextOffset }) => nextOffset))
    return told.length > 0 && told.every(isEmptied) && this.#isBeforeRoot(feed, end)
  }

  /** How many were forgotten. */
  #look(topicId: TopicId, members: readonly LinkedNeighbor[], max: number): number {
    const { local } = this.#deps
    const feeds = local.ofTopic(topicId)
    const successors = Map.groupBy(feeds, predecessorKeyOf)
    const isNext = (feed: LocalFeed): boolean => isEmpty(feed) && !local.has(predecessorKeyOf(feed))
    const due = feeds.filter(isNext)
    let count = 0
    for (const feed of due) {
      if (count >= max) break
      const after = successors.get(feed.key) ?? []
      if (!this.#isOver(feed, after) || !isNowhereLeft(feed.key, members)) continue
      this.#forget(feed, after)
      due.push(...after.filter(isNext))
      count++
    }
    return count
  }

  #forget(local: LocalFeed, after: readonly LocalFeed[]): void {
    const { outbox, onForgotten, onRooted } = this.#deps
    const rooted = after.map(({ feed }) => feed)
    outbox.order({ type: 'changeFeed', change: { type: 'forget', feed: local.feed, rooted } })
    this.count++
    onForgotten(local)
    for (const successor of after) {
      successor.rooted = true
      onRooted(successor)
    }
  }

  /** Nobody writes it, needs it, or goes on from it any more. */
  #isOver(local: LocalFeed, after: readonly LocalFeed[]): boolean {
    const { self, homes, isOwn, isInUse, neighbors } = this.#deps
    const { feed, appended } = local
    const writer = neighbors.get(feed.writer)
    const isThere = writer?.link !== undefined || homes.isPresent(feed.writer)
    const isRunning = isThere && writer?.epoch === feed.epoch
    if (isRunning || isOwn(feed) || isInUse(local)) return false
    const isOurs = feed.writer === self
    // What branches off below its end is of a clone, or of a boot that had lost the rest: its writer may still go on from it.
    const next = after.filter(({ opening }) => !isOurs || baseOf(opening) === appended.nextOffset)
    if (next.some(({ durable }) => durable !== undefined)) return true
    const isLeftOver = !isOurs && !homes.isOurs(feed.topicId)
    return isLeftOver || (after.length === 0 && this.#isBeforeRoot(feed, appended.nextOffset))
  }

  /** Does something else of the same writer that is rooted go on from it, or begin at its end or further on? */
  #isBeforeRoot({ epoch, ...of }: FeedId, end: number): boolean {
    return this.#siblingsOf(of).some(({ rooted, feed, opening }) => {
      const isBehind = opening.predecessor?.epoch === epoch || baseOf(opening) >= end
      return rooted && feed.epoch !== epoch && isBehind
    })
  }

  /** True: nothing of the predecessor is to be waited for. If it is here, it goes on from where it is said to have been. */
  #isAbsent(feed: FeedId, predecessor: Predecessor): boolean {
    const key = feedKeyOf({ ...feed, epoch: predecessor.epoch })
    const before = this.#deps.local.get(key)
    if (before === undefined) return true
    this.#deps.raise(before, headOf(predecessor))
    return false
  }

  #siblingsOf({ topicId, writer }: Omit<FeedId, 'epoch'>): readonly LocalFeed[] {
    return this.#deps.local.ofTopic(topicId).filter(({ feed }) => feed.writer === writer)
  }

  #linked(): readonly LinkedNeighbor[] {
    return [...this.#deps.neighbors.values()].filter(isLinked)
  }

  /** All other members; undefined if of one of them it is not known what it holds. */
  #linkedMembers(): readonly LinkedNeighbor[] | undefined {
    const { self, homes, neighbors } = this.#deps
    const members = [...homes.registered].filter((peer) => peer !== self).map((peer) => neighbors.get(peer))
    return members.every(hasToldAll) ? members : undefined
  }
}

/** All that was here was let go of by retention, and nothing is on its way. */
const isEmpty = ({ floor, appended, durable }: LocalFeed): boolean =>
  durable !== undefined && floor.nextOffset >= durable.nextOffset && appended.nextOffset === durable.nextOffset

const headOf = ({ nextOffset, hash }: Predecessor): Head => ({ nextOffset, hash })

const isNowhereLeft = (key: FeedKey, members: readonly LinkedNeighbor[]): boolean =>
  members.every((member) => {
    const head = member.head(key)
    return head === undefined || isEmptied(head)
  })

const hasToldAll = (neighbor: Neighbor | undefined): neighbor is LinkedNeighbor =>
  neighbor?.link?.account === 'complete'
