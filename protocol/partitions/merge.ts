import type { PeerId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { limits } from '#protocol/limits'

/** What a peer holds of a feed on its disk: the records [from, to). */
export interface Holding {
  readonly feed: FeedId
  readonly from: number
  readonly to: number
}

/** Who holds what, as replication knows it. */
export interface Holdings {
  /** Feeds of this peer. */
  local(): Iterable<Holding>
  localEnd(key: FeedKey): number | undefined
  /** Has it been linked since this peer started? Then what it had is what it has told. */
  knows(peer: PeerId): boolean
  /** By the last word of that member, which may be from before the cut. */
  heldBy(peer: PeerId): Iterable<Holding>
  endAt(peer: PeerId, key: FeedKey): number | undefined
  /** Does the peer keep the topic of that feed? Nobody sends it anything else. */
  keeps(peer: PeerId, feed: FeedId): boolean
}

/** Records [from, to) of a feed that go one way, and up to where they have come. */
interface Way extends Holding {
  to: number
  at: number
}

/** All that go one way. */
class Ways {
  readonly #byFeed = new Map<FeedKey, Way>()
  moved = 0
  left = 0

  get size(): number {
    return this.#byFeed.size
  }

  get count(): MergeCount {
    return { records: this.moved, left: this.left, feeds: this.#byFeed.size }
  }

  /** Of a feed that is known already, the further end counts. */
  add(key: FeedKey, { feed, from, to }: Holding): void {
    const way = this.#byFeed.get(key)
    if (way === undefined) {
      if (to <= from) return
      this.#byFeed.set(key, { feed, from, to, at: from })
      this.left += to - from
    } else if (to > way.to) {
      this.left += to - way.to
      way.to = to
    }
  }

  has(key: FeedKey): boolean {
    return this.#byFeed.has(key)
  }

  endOf(key: FeedKey): number | undefined {
    return this.#byFeed.get(key)?.to
  }

  advance(key: FeedKey, end: number | undefined): void {
    const way = this.#byFeed.get(key)
    if (way === undefined || end === undefined) return
    const at = Math.min(Math.max(end, way.at), way.to)
    this.moved += at - way.at
    this.left -= at - way.at
    way.at = at
  }

  /** Nothing beyond this end is still to come. */
  shorten(key: FeedKey, end: number): void {
    const way = this.#byFeed.get(key)
    if (way === undefined) return
    const to = Math.max(way.at, Math.min(end, way.to))
    this.left -= way.to - to
    way.to = to
  }

  /** Of others nothing more comes. */
  keepOnly(isKept: (feed: FeedId) => boolean): void {
    if (this.left === 0) return
    for (const [key, { feed, at, to }] of this.#byFeed) if (at < to && !isKept(feed)) this.shorten(key, 0)
  }
}

/** Of one direction, in records. `left`: those that are still to come. */
export interface MergeCount {
  readonly records: number
  readonly left: number
  /** Feeds that differed. */
  readonly feeds: number
}

/**
 * Counts what two sides give each other once they meet. What was written over there since the cut, and is read from disk
 * here then, was received; what was written elsewhere, and they say that they have on disk since, was taken. Both ends are
 * fixed when a member of theirs has told what it holds, so that what is published after the heal does not count.
 */
export class Merge {
  readonly #holdings: Holdings
  readonly #self: PeerId
  readonly #theirs: ReadonlySet<PeerId>
  /** Where feeds of theirs ended here before anything came. */
  readonly #before: ReadonlyMap<FeedKey, number | undefined>
  readonly #received = new Ways()
  readonly #taken = new Map<PeerId, Ways>()
  /** Who has told of the furthest end of a feed of theirs. */
  readonly #sources = new Map<FeedKey, PeerId>()
  readonly #met = new Set<PeerId>()
  readonly #accounted = new Set<PeerId>()
  /** Of whom it is known what they lacked when they were met. */
  readonly #expected = new Set<PeerId>()
  #feeds = 0
  duplicates = 0
  /** There were more feeds than are counted. */
  isPartial = false

  /** `before`: where feeds ended of which something of theirs has come already; undefined: they were not here. */
  constructor(deps: {
    readonly holdings: Holdings
    readonly self: PeerId
    readonly theirs: ReadonlySet<PeerId>
    readonly before: ReadonlyMap<FeedKey, number | undefined>
  }) {
    this.#holdings = deps.holdings
    this.#self = deps.self
    this.#theirs = deps.theirs
    const theirFeeds = [...deps.holdings.local()].filter(({ feed }) => this.#theirs.has(feed.writer))
    const now = theirFeeds.map(({ feed, to }) => [feedKeyOf(feed), to] as const)
    this.#before = new Map<FeedKey, number | undefined>([...now, ...deps.before])
  }

  /** A link to a member of theirs comes up: what it lacks, by its last word. Of a stranger that is known when it has told. */
  met(peer: PeerId): void {
    if (this.#met.has(peer)) return
    this.#met.add(peer)
    if (!this.#holdings.knows(peer)) return
    const held = Array.from(this.#holdings.heldBy(peer), ({ feed, to }) => [feedKeyOf(feed), to] as const)
    this.#expectTaking(peer, new Map(held))
  }

  /** It has told all that it holds, maybe not for the first time. */
  accounted(peer: PeerId): void {
    if (this.#accounted.has(peer)) return this.lookAtHomes(peer)
    this.#accounted.add(peer)
    const held = new Map<FeedKey, number>()
    for (const { feed, from, to } of this.#holdings.heldBy(peer)) {
      const key = feedKeyOf(feed)
      held.set(key, to)
      const isWanted = this.#theirs.has(feed.writer) && this.#holdings.keeps(this.#self, feed)
      const isFurthest = !this.#sources.has(key) || to > (this.#received.endOf(key) ?? -1)
      if (isWanted && isFurthest) this.#sources.set(key, peer)
      if (isWanted) this.#add(this.#received, key, { feed, from: this.#before.get(key) ?? from, to })
      this.#received.advance(key, this.#holdings.localEnd(key))
    }
    if (!this.#expected.has(peer)) this.#expectTaking(peer, held)
    for (const key of held.keys()) this.told(peer, key)
  }

  /** It cannot be reached any more, or is gone. What has moved counts; if it is met again, what is still to come is found anew. */
  lost(peer: PeerId): void {
    for (const peers of [this.#met, this.#accounted, this.#expected]) peers.delete(peer)
    this.#taken.get(peer)?.keepOnly(() => false)
    for (const [key, source] of this.#sources) if (source === peer) this.#findSource(key)
  }

  /** Who keeps a topic may change meanwhile, and nobody else is sent it: to be called now and then. */
  lookAtHomes(peer: PeerId): void {
    this.#received.keepOnly((feed) => this.#holdings.keeps(this.#self, feed))
    this.#taken.get(peer)?.keepOnly((feed) => this.#holdings.keeps(peer, feed))
  }

  /** Has it told all that it holds? */
  isAccounted(peer: PeerId): boolean {
    return this.#accounted.has(peer)
  }

  hasMet(peer: PeerId): boolean {
    return this.#met.has(peer)
  }

  stored(key: FeedKey): void {
    this.#received.advance(key, this.#holdings.localEnd(key))
  }

  told(peer: PeerId, key: FeedKey): void {
    const end = this.#holdings.endAt(peer, key)
    this.#taken.get(peer)?.advance(key, end)
    // Its disk has lost what it had told of.
    if (end !== undefined && this.#sources.get(key) === peer) this.#received.shorten(key, end)
  }

  /** The feed was forgotten there, and will be here. */
  gone(key: FeedKey): void {
    for (const ways of [this.#received, ...this.#taken.values()]) ways.shorten(key, 0)
  }

  /** Of what was written there before they met. */
  duplicatesFound({
    feed,
    offset,
    records,
  }: {
    readonly feed: FeedId
    readonly offset: number
    readonly records: number
  }) {
    const key = feedKeyOf(feed)
    const end = (this.#sources.has(key) ? this.#received.endOf(key) : undefined) ?? Number.POSITIVE_INFINITY
    if (this.#theirs.has(feed.writer) && offset < end) this.duplicates += records
  }

  get received(): MergeCount {
    return this.#received.count
  }

  takenBy(peer: PeerId): MergeCount {
    return this.#taken.get(peer)?.count ?? { records: 0, left: 0, feeds: 0 }
  }

  get left(): number {
    return [this.#received, ...this.#taken.values()].reduce((sum, { left }) => sum + left, 0)
  }

  /** Of those who have told and can be reached, who holds most of the feed. */
  #findSource(key: FeedKey): void {
    this.#sources.delete(key)
    let most = 0
    for (const peer of this.#accounted) {
      const end = this.#holdings.endAt(peer, key) ?? 0
      if (end <= most) continue
      most = end
      this.#sources.set(key, peer)
    }
    this.#received.shorten(key, most)
  }

  #expectTaking(peer: PeerId, held: ReadonlyMap<FeedKey, number>): void {
    this.#expected.add(peer)
    const ways = this.#taken.get(peer) ?? new Ways()
    this.#taken.set(peer, ways)
    for (const { feed, from, to } of this.#holdings.local()) {
      if (this.#theirs.has(feed.writer) || !this.#holdings.keeps(peer, feed)) continue
      const key = feedKeyOf(feed)
      this.#add(ways, key, { feed, from: Math.max(from, held.get(key) ?? from), to })
    }
  }

  #add(ways: Ways, key: FeedKey, range: Holding): void {
    if (!ways.has(key) && this.#feeds >= limits.mergeFeedsMax) {
      this.isPartial ||= range.to > range.from
      return
    }
    const before = ways.size
    ways.add(key, range)
    this.#feeds += ways.size - before
  }
}
