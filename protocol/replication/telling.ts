import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { Homes } from './homes.ts'
import { digestOf, type LocalFeed, type LocalFeeds } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'
import type { Outbox } from './outbox.ts'
import { bucketOf, type Entry, entryOf } from './set-hash.ts'

/** How long heads wait to be told to neighbors that do not wait for them; the writer of a feed is told at once. */
const digestDelayMs: Millis = 50
/**
 * How often a neighbor with nothing to hear is told the hash of all that it should know, some 90 bytes. Streams lose
 * nothing, so this mends only what a mistake of ours, or a change of who is told what, has left behind.
 */
const summaryIntervalMs: Millis = 60_000

export interface TellingDeps {
  readonly epoch: Epoch
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
}

/**
 * What this peer tells of its durable heads: on a new link what the other side does not remember, then what moves. A topic
 * concerns whoever keeps it; whoever has told us that it holds some of it, since a writer settles acks by what the keepers
 * tell it, and a peer that is to hand over its copy must know who has one; and whoever follows it.
 */
export class Telling {
  readonly #deps: TellingDeps
  /** Of feeds that somebody was told of, as they are now. */
  readonly #entries = new Map<FeedKey, Entry>()
  #isDue = false

  constructor(deps: TellingDeps) {
    this.#deps = deps
  }

  linkUp(peer: PeerId, link: NeighborLink, nowMs: Millis): void {
    for (const topicId of this.#deps.local.topics()) {
      if (this.#concerns(topicId, peer, link)) this.#cover(topicId, link)
    }
    this.#summarize(peer, link, nowMs)
  }

  /** The other side remembers something else: it is told all of the buckets in which it does. */
  differs(peer: PeerId, link: NeighborLink, buckets: string): void {
    const replaced = link.telling.differing(buckets)
    const listed = new Set(replaced)
    const feeds = [...link.told].flatMap((topicId) => this.#deps.local.ofTopic(topicId))
    link.unlisted = feeds.flatMap(({ key }) => (listed.has(bucketOf(key)) ? [key] : []))
    this.#nextPage(peer, link, replaced)
  }

  /** The other side has read a page of a listing: the next one may follow, however many feeds there are. */
  pageRead(peer: PeerId, link: NeighborLink): void {
    if (link.unlisted.length > 0) this.#nextPage(peer, link, [])
  }

  /** The other side holds something of the topic. */
  heardOf(topicId: TopicId, peer: PeerId, link: NeighborLink): void {
    if (link.heard.has(topicId)) return
    link.heard.add(topicId)
    this.#review(topicId, peer, link)
    this.#arm()
  }

  /** The other side has begun to follow the topic, or does no longer. What it has to be told of it now is the caller's. */
  followChanged(topicId: TopicId, peer: PeerId, link: NeighborLink): void {
    const isConcerned = this.#concerns(topicId, peer, link)
    if (link.told.has(topicId) === isConcerned) return
    if (isConcerned) this.#cover(topicId, link)
    else this.#uncover(topicId, link)
  }

  /** Tells these heads now. */
  tell(to: PeerId, keys: readonly FeedKey[]): void {
    const feeds = this.#digestsOf(keys)
    if (feeds.length > 0) this.#deps.outbox.send(to, { type: 'digest', feeds })
  }

  /** Other peers keep other topics now. */
  homesChanged(): void {
    for (const { peer, link } of this.#deps.neighbors.values()) {
      if (link === undefined) continue
      for (const topicId of this.#deps.local.topics()) this.#review(topicId, peer, link)
    }
    this.#arm()
  }

  /** Heads have moved here. Writers settle acks by them, so those hear at once, and `prompt`; others later, in one go. */
  changed(feeds: readonly LocalFeed[], prompt: readonly PeerId[] = []): void {
    for (const feed of feeds) this.#changed(feed)
    const first = new Set([...feeds.map(({ feed }) => feed.writer), ...prompt])
    for (const peer of first) this.#untold(this.#deps.neighbors.get(peer))
    this.#arm()
  }

  /** They are not here any more. */
  forgotten({ key, feed }: LocalFeed): void {
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    for (const { link } of this.#deps.neighbors.values()) {
      if (link?.told.has(feed.topicId) !== true) continue
      if (entry !== undefined) link.telling.remove(entry)
      link.untold.delete(key)
      link.gone.set(key, feed)
    }
    this.#arm()
  }

  /** The other side wants to know now. */
  flush(neighbor: Neighbor, link: NeighborLink, ref: number): void {
    link.flushRef = ref
    this.#untold(neighbor)
    this.#arm()
  }

  timerFired(): void {
    this.#isDue = false
    for (const neighbor of this.#deps.neighbors.values()) this.#untold(neighbor)
    this.#arm()
  }

  sweep(nowMs: Millis): void {
    for (const { peer, link } of this.#deps.neighbors.values()) {
      if (link === undefined || nowMs < link.summaryDueMs) continue
      if (!hasUntold(link) && link.unlisted.length === 0) this.#summarize(peer, link, nowMs)
    }
  }

  // Which topics concern whom -----------------------------------------------------------------------------------------

  #concerns(topicId: TopicId, peer: PeerId, link: NeighborLink): boolean {
    return link.heard.has(topicId) || link.followed.has(topicId) || this.#deps.homes.isKeeper(topicId, peer)
  }

  /** A topic that has come to concern the other side is told in full. */
  #review(topicId: TopicId, peer: PeerId, link: NeighborLink): void {
    if (link.told.has(topicId) === this.#concerns(topicId, peer, link)) return
    if (link.told.has(topicId)) return this.#uncover(topicId, link)
    this.#cover(topicId, link)
    for (const { key } of this.#deps.local.ofTopic(topicId)) link.untold.add(key)
  }

  #cover(topicId: TopicId, link: NeighborLink): void {
    link.told.add(topicId)
    for (const feed of this.#deps.local.ofTopic(topicId)) {
      const entry = this.#entries.get(feed.key) ?? this.#renew(feed)
      if (entry !== undefined) link.telling.add(entry)
    }
  }

  #uncover(topicId: TopicId, link: NeighborLink): void {
    link.told.delete(topicId)
    for (const { key } of this.#deps.local.ofTopic(topicId)) {
      const entry = this.#entries.get(key)
      if (entry !== undefined) link.telling.remove(entry)
    }
  }

  #changed(feed: LocalFeed): void {
    const { topicId } = feed.feed
    const before = this.#entries.get(feed.key)
    const entry = this.#renew(feed)
    for (const { peer, link } of this.#deps.neighbors.values()) {
      if (link === undefined) continue
      if (link.told.has(topicId)) {
        if (before !== undefined) link.telling.remove(before)
        if (entry !== undefined) link.telling.add(entry)
        link.untold.add(feed.key)
        link.gone.delete(feed.key)
      }
      this.#review(topicId, peer, link)
    }
  }

  #renew(feed: LocalFeed): Entry | undefined {
    const digest = digestOf(feed)
    const entry = digest && entryOf(digest)
    if (entry !== undefined) this.#entries.set(feed.key, entry)
    return entry
  }

  // Saying it ---------------------------------------------------------------------------------------------------------

  #summarize(to: PeerId, link: NeighborLink, nowMs: Millis): void {
    link.summaryDueMs = nowMs + summaryIntervalMs
    this.#deps.outbox.send(to, { type: 'summary', epoch: this.#deps.epoch, root: link.telling.root() })
  }

  #nextPage(to: PeerId, link: NeighborLink, replaced: readonly number[]): void {
    const page = link.unlisted.splice(0, this.#pageLength(link.unlisted))
    const listing = { replaced, more: link.unlisted.length > 0 }
    this.#deps.outbox.send(to, { type: 'digest', feeds: this.#digestsOf(page), listing })
  }

  #untold(neighbor: Neighbor | undefined): void {
    const link = neighbor?.link
    if (neighbor === undefined || link === undefined) return
    if (hasUntold(link)) this.#tellPage(neighbor, link)
    if (link.flushRef === undefined || hasUntold(link) || link.unlisted.length > 0) return
    this.#deps.outbox.send(neighbor.peer, { type: 'flushed', ref: link.flushRef })
    link.flushRef = undefined
  }

  #tellPage(neighbor: Neighbor, link: NeighborLink): void {
    const gone = [...link.gone.values()].slice(0, limits.digestFeedsPerMessageMax)
    for (const feed of gone) link.gone.delete(feedKeyOf(feed))
    const page = [...link.untold].slice(0, limits.digestFeedsPerMessageMax)
    page.length = this.#pageLength(page)
    for (const key of page) link.untold.delete(key)
    const feeds = this.#digestsOf(page)
    const more = gone.length > 0 && { gone }
    if (feeds.length > 0 || gone.length > 0) this.#deps.outbox.send(neighbor.peer, { type: 'digest', feeds, ...more })
  }

  /** How many of these feeds fit into one message with their holes; one always does. */
  #pageLength(keys: readonly FeedKey[]): number {
    let holes = 0
    const end = keys.slice(0, limits.digestFeedsPerMessageMax).findIndex((key) => {
      holes += this.#deps.local.get(key)?.holes.length ?? 0
      return holes > limits.digestHolesPerMessageMax
    })
    return end < 0 ? Math.min(keys.length, limits.digestFeedsPerMessageMax) : end
  }

  #digestsOf(keys: readonly FeedKey[]): readonly FeedDigest[] {
    return keys.flatMap((key) => {
      const feed = this.#deps.local.get(key)
      return (feed && digestOf(feed)) ?? []
    })
  }

  #arm(): void {
    const { neighbors, outbox } = this.#deps
    if (this.#isDue || ![...neighbors.values()].some(({ link }) => link !== undefined && isOwed(link))) return
    this.#isDue = true
    outbox.order({ type: 'setTimer', timer: { type: 'digestDue' }, afterMs: digestDelayMs })
  }
}

const hasUntold = ({ untold, gone }: NeighborLink): boolean => untold.size > 0 || gone.size > 0

const isOwed = (link: NeighborLink): boolean => hasUntold(link) || link.flushRef !== undefined
