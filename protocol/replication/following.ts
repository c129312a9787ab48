import type { PeerId, TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING, type Opening } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, without } from '#protocol/log/offset-ranges'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { heldWithin, isEmptied } from './holding.ts'
import type { Homes } from './homes.ts'
import type { LinkNeeds } from './link-needs.ts'
import type { LocalFeeds } from './local-feeds.ts'
import type { Losses } from './lost.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'
import type { Outbox } from './outbox.ts'
import type { RemoteReads } from './remote-reads.ts'

/** A topic is followed for so long after its last use: clients come back for the next page. */
const lingerMs: Millis = 60_000
/** Who has not told what it holds after this is not waited for. */
const askPatienceMs: Millis = 2_000

/** What this peer knows of a topic. */
export type Standing =
  /** All that some keeper holds, itself included. */
  | 'current'
  /** Keepers are being asked. */
  | 'asking'
  /** No keeper can be reached: others may hold more. */
  | 'isolated'

/** A feed that neighbors hold. */
export interface FollowedFeed {
  readonly feed: FeedId
  readonly key: FeedKey
  /** The furthest head that any of them has told. */
  head: FeedDigest
  by: PeerId
  /** What its opening batch says, once that was read. */
  opening: Opening | undefined
  isOpeningAsked: boolean
  /** The highest floor that was told, or where it begins; known with the opening at the latest. */
  floor: Head | undefined
  rooted: boolean
}

/** With an opening. */
export type ShownFeed = FollowedFeed & { readonly opening: Opening; readonly floor: Head }

type FollowedMessage = Extract<ReplicationMessage, { type: 'followed' }>

interface UsedTopic {
  readonly topicId: TopicId
  waiting: boolean
  untilMs: Millis
  readonly sinceMs: Millis
  standing: Standing
  readonly feeds: Map<FeedKey, FollowedFeed>
}

export interface FollowingDeps {
  readonly self: PeerId
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly reads: RemoteReads
  readonly outbox: Outbox
  readonly losses: Losses
  readonly needs: LinkNeeds
  /** A feed of this boot: nobody has more of it, though somebody's disk may be quicker than ours. */
  readonly isOwn: (feed: FeedId) => boolean
}

/**
 * Topics that are read here without a whole copy of them here. This peer follows them at all neighbors: each tells which
 * feeds it holds, and their heads as they move. Bytes come when a reader wants them (`remote-reads`).
 *
 * 1. A topic is followed while it is used and a while longer, unless this peer keeps it and has once held all that it was
 *    told of: so a keeper that is new, or was away, serves its readers from others until it has caught up.
 * 2. Not only keepers are asked: in a split without one, what the others have accepted is there to be read.
 * 3. A feed is shown to readers once its opening is here, which is read like any other batch.
 * 4. Everything told lives with its link; a new link is asked anew.
 */
export class Following {
  readonly #deps: FollowingDeps
  /** Those not used for the longest time first. */
  readonly #used = new Map<TopicId, UsedTopic>()
  /** Topics of ours of which we have held all that we were told of. */
  readonly #complete = new Set<TopicId>()
  /** To be told at the end of the turn. */
  readonly #changed = new Set<TopicId>()
  readonly #retried = new Set<TopicId>()
  readonly #follows = new Map<PeerId, Map<TopicId, boolean>>()

  constructor(deps: FollowingDeps) {
    this.#deps = deps
  }

  get topicCount(): number {
    return [...this.#used.keys()].filter((topicId) => this.#isFollowed(topicId)).length
  }

  /** Feeds that neighbors hold, of a topic that is followed. */
  *feeds(topicId: TopicId): Generator<ShownFeed> {
    for (const feed of this.#used.get(topicId)?.feeds.values() ?? []) if (isShown(feed)) yield feed
  }

  /** What of a followed feed, from there on, nobody has any more. Whoever belongs to the mesh has to have told of the topic. */
  lostFrom({ feed, key, head }: FollowedFeed, from: number): OffsetRanges {
    if (from >= head.nextOffset) return noRanges
    const missing = without([{ from, to: head.nextOffset }], heldWithin(head, { from, to: head.nextOffset }))
    if (missing.length === 0) return noRanges
    const { self, homes, neighbors } = this.#deps
    const haveTold = [...homes.registered].every((peer) => {
      return peer === self || neighbors.get(peer)?.link?.asked.get(feed.topicId)?.told === true
    })
    return haveTold ? this.#deps.losses.among(key, missing) : noRanges
  }

  standing(topicId: TopicId): Standing {
    return this.#used.get(topicId)?.standing ?? (this.#deps.homes.isOurs(topicId) ? 'current' : 'isolated')
  }

  /** Does this use of the topic have to be told? Not while one that was is fresh. */
  isUseNews(topicId: TopicId, waiting: boolean, nowMs: Millis): boolean {
    const topic = this.#used.get(topicId)
    return topic?.waiting !== waiting || (!waiting && topic.untilMs - nowMs < lingerMs / 2)
  }

  used(topicId: TopicId, waiting: boolean, nowMs: Millis): void {
    const known = this.#used.get(topicId)
    if (known === undefined && !this.#makeRoom()) return
    const topic = known ?? { topicId, waiting, untilMs: 0, sinceMs: nowMs, standing: 'asking', feeds: new Map() }
    this.#deps.needs.topic(topicId)
    topic.waiting = waiting
    topic.untilMs = nowMs + lingerMs
    this.#used.delete(topicId)
    this.#used.set(topicId, topic)
    if (known === undefined) this.#review(topic, nowMs)
  }

  /** What it told of topics that we follow only, it tells anew when it is asked. */
  linkUp(neighbor: Neighbor, nowMs: Millis): void {
    neighbor.forgetTopics(new Set([...this.#used.keys()].filter((topicId) => !this.#isToldAnyway(topicId))))
    this.headsReplaced(neighbor.peer)
    this.reviewAll(nowMs)
  }

  /** What we remember of the neighbor is not what it was. */
  headsReplaced(peer: PeerId): void {
    for (const { feeds } of this.#used.values()) {
      for (const feed of feeds.values()) if (feed.by === peer) this.#findHead(feeds, feed)
    }
  }

  /** A link has gone down, or topics have other keepers. */
  reviewAll(nowMs: Millis): void {
    for (const topicId of this.#complete) if (!this.#deps.homes.isOurs(topicId)) this.#complete.delete(topicId)
    for (const topic of this.#used.values()) this.#review(topic, nowMs)
  }

  /** The neighbor, whose memory has it, holds so much of a feed. */
  heard({ peer }: Neighbor, head: FeedDigest, nowMs: Millis): void {
    const { topicId } = head.feed
    const topic = this.#used.get(topicId)
    if (topic === undefined || !this.#isFollowed(topicId) || this.#deps.isOwn(head.feed)) return
    const key = feedKeyOf(head.feed)
    const known = topic.feeds.get(key)
    if (known === undefined) return this.#meet(topic, { feed: head.feed, key, head, by: peer }, nowMs)
    raiseFloor(known, floorOf(head))
    known.rooted ||= head.rooted === true
    const isFurther = head.nextOffset > known.head.nextOffset
    if (isFurther || known.by === peer) Object.assign(known, { head, by: peer })
    if (!isFurther && known.by === peer) this.#findHead(topic.feeds, known)
    if (isFurther && isShown(known)) this.#changed.add(topicId)
  }

  /** The neighbor has told of all that it holds of these topics. */
  told({ peer, link }: Neighbor, { topics, more }: FollowedMessage, nowMs: Millis): void {
    if (more) this.#deps.outbox.send(peer, { type: 'followMore' })
    for (const topicId of topics) {
      const asked = link?.asked.get(topicId)
      const topic = this.#used.get(topicId)
      if (asked === undefined || topic === undefined) continue
      asked.told = true
      this.#review(topic, nowMs)
    }
  }

  /** A reader waits for what could not be had: it will want to try again. */
  readFailed(topicId: TopicId): void {
    this.#retried.add(topicId)
  }

  sweep(nowMs: Millis): void {
    for (const topicId of this.#retried) this.#changed.add(topicId)
    this.#retried.clear()
    for (const topic of this.#used.values()) {
      if (!topic.waiting && nowMs >= topic.untilMs) this.#drop(topic)
      else if (this.#isFollowed(topic.topicId)) {
        this.#deps.needs.topic(topic.topicId)
        this.#sweepTopic(topic, nowMs)
      }
    }
  }

  /** The end of a turn: what has changed in it is told once. */
  flush(): void {
    for (const [peer, topics] of this.#follows) {
      for (const on of [true, false]) {
        const some = [...topics].flatMap(([topicId, wanted]) => (wanted === on ? [topicId] : []))
        for (let at = 0; at < some.length; at += limits.followTopicsPerMessageMax) {
          const page = some.slice(at, at + limits.followTopicsPerMessageMax)
          this.#deps.outbox.send(peer, { type: 'follow', topics: page, on })
        }
      }
    }
    this.#follows.clear()
    for (const topicId of this.#changed) this.#deps.outbox.order({ type: 'topicChanged', topicId })
    this.#changed.clear()
  }

  #isFollowed(topicId: TopicId): boolean {
    return this.#used.has(topicId) && !this.#complete.has(topicId)
  }

  #review(topic: UsedTopic, nowMs: Millis): void {
    const { topicId } = topic
    if (this.#isCompleted(topic)) this.#complete.add(topicId)
    const isFollowed = this.#isFollowed(topicId)
    for (const { peer, link } of this.#deps.neighbors.values()) {
      if (link === undefined || link.asked.has(topicId) === isFollowed) continue
      if (isFollowed) link.asked.set(topicId, { sinceMs: nowMs, told: false })
      else link.asked.delete(topicId)
      this.#order(peer, topicId, isFollowed)
    }
    if (!isFollowed) topic.feeds.clear()
    const standing = this.#standingOf(topic, nowMs)
    if (standing !== topic.standing) this.#changed.add(topicId)
    topic.standing = standing
  }

  #standingOf({ topicId, feeds, sinceMs }: UsedTopic, nowMs: Millis): Standing {
    const isOurs = this.#deps.homes.isOurs(topicId)
    if (this.#complete.has(topicId)) return 'current'
    const asked = this.#linkedKeepers(topicId).flatMap((link) => link.asked.get(topicId) ?? [])
    if (asked.some(({ told }) => told)) return [...feeds.values()].every(isShown) ? 'current' : 'asking'
    if (asked.some((one) => nowMs - one.sinceMs < askPatienceMs)) return 'asking'
    if (nowMs - sinceMs < askPatienceMs && this.#deps.needs.isAwaited(topicId)) return 'asking'
    // Who has not merged a registry yet takes itself for the only keeper of all there is.
    return isOurs && this.#deps.homes.of(topicId).merged ? 'current' : 'isolated'
  }

  /** Ours, and nothing is left to be read elsewhere. */
  #isCompleted({ topicId, feeds }: UsedTopic): boolean {
    const { homes, local } = this.#deps
    if (this.#complete.has(topicId) || !homes.isOurs(topicId)) return false
    const keepers = this.#linkedKeepers(topicId)
    if (keepers.length === 0 || !keepers.every((link) => link.asked.get(topicId)?.told === true)) return false
    return [...feeds.values()].every(
      ({ key, head }) => isEmptied(head) || (local.get(key)?.durable?.nextOffset ?? NOTHING) >= head.nextOffset,
    )
  }

  #linkedKeepers(topicId: TopicId): readonly NeighborLink[] {
    return [...this.#deps.neighbors.values()].flatMap(({ peer, link }) =>
      link !== undefined && this.#deps.homes.isKeeper(topicId, peer) ? [link] : [],
    )
  }

  #sweepTopic(topic: UsedTopic, nowMs: Millis): void {
    this.#review(topic, nowMs)
    for (const feed of topic.feeds.values()) if (!isShown(feed)) this.#askOpening(topic, feed, nowMs)
  }

  #meet(topic: UsedTopic, feed: Pick<FollowedFeed, 'feed' | 'key' | 'head' | 'by'>, nowMs: Millis): void {
    const { opening, floor } = this.#deps.local.get(feed.key) ?? {}
    const met: FollowedFeed = { ...feed, opening, floor, isOpeningAsked: false, rooted: feed.head.rooted === true }
    raiseFloor(met, floorOf(feed.head))
    topic.feeds.set(feed.key, met)
    if (opening === undefined) this.#askOpening(topic, met, nowMs)
    else this.#changed.add(topic.topicId)
  }

  #askOpening(topic: UsedTopic, feed: FollowedFeed, nowMs: Millis): void {
    if (feed.isOpeningAsked) return
    feed.isOpeningAsked = true
    const request = { feed: feed.feed, position: NOTHING, bytesMax: 1 }
    this.#deps.reads.request(request, nowMs, (result, atMs) => {
      feed.isOpeningAsked = false
      if (result.type === 'failed') return
      const first = result.frame.batches[result.from]
      feed.opening = first?.opening
      raiseFloor(feed, first)
      this.#deps.outbox.order({ type: 'discardReceived', received: result.frame.received })
      this.#changed.add(topic.topicId)
      this.#review(topic, atMs)
    })
  }

  /** The neighbor that had gone furthest has not any more. */
  #findHead(feeds: Map<FeedKey, FollowedFeed>, feed: FollowedFeed): void {
    let best: { head: FeedDigest; by: PeerId } | undefined
    for (const { peer, heads } of this.#deps.neighbors.values()) {
      const head = heads.get(feed.key)
      if (head !== undefined && head.nextOffset > (best?.head.nextOffset ?? NOTHING)) best = { head, by: peer }
    }
    if (best === undefined) feeds.delete(feed.key)
    else Object.assign(feed, best)
  }

  /** True: one more topic may be used. */
  #makeRoom(): boolean {
    if (this.#used.size < limits.followedTopicsMax) return true
    for (const topic of this.#used.values()) {
      if (topic.waiting) continue
      this.#drop(topic)
      return true
    }
    return false
  }

  #drop({ topicId }: UsedTopic): void {
    this.#used.delete(topicId)
    const forgotten = new Set(this.#isToldAnyway(topicId) ? [] : [topicId])
    for (const neighbor of this.#deps.neighbors.values()) {
      if (neighbor.link?.asked.delete(topicId) === true) this.#order(neighbor.peer, topicId, false)
      neighbor.forgetTopics(forgotten)
    }
  }

  /** By whoever keeps the topic, whether we follow it or not (`telling`). */
  #isToldAnyway(topicId: TopicId): boolean {
    return this.#deps.homes.isOurs(topicId) || this.#deps.local.ofTopic(topicId).length > 0
  }

  #order(peer: PeerId, topicId: TopicId, on: boolean): void {
    const topics = this.#follows.get(peer) ?? new Map<TopicId, boolean>()
    this.#follows.set(peer, topics)
    topics.set(topicId, on)
  }
}

const isShown = (feed: FollowedFeed): feed is ShownFeed => feed.opening !== undefined && feed.floor !== undefined

function raiseFloor(feed: FollowedFeed, floor: Head | undefined): void {
  if (floor === undefined || floor.nextOffset <= (feed.floor?.nextOffset ?? NOTHING)) return
  feed.floor = { nextOffset: floor.nextOffset, hash: floor.hash }
}

/** Without a hash it is where the feed begins. */
const floorOf = ({ floor, floorHash }: FeedDigest): Head | undefined =>
  floorHash && { nextOffset: floor, hash: floorHash }
