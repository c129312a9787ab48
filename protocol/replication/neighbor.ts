import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { canServe } from './holding.ts'
import type { LinkNumber } from './inputs.ts'
import type { FeedDigest } from './messages.ts'
import { bucketOf, type Entry, entryOf, SetHash } from './set-hash.ts'

export interface Want {
  readonly ref: number
  readonly key: FeedKey
  readonly position: number
  readonly end?: number
  readonly bytesMax: number
}

/**
 * How long a want may stay unanswered, while nothing comes over its link, before another holder is asked. A link that is
 * too slow for that is given twice the time from then on: what is asked for again is sent again, which takes longer still.
 */
export const patienceMs = { first: 10_000, max: 160_000 } as const

/** State that lives and dies with one link: positions, credits, wants. Nothing of it outlives a reconnect. */
export class NeighborLink {
  readonly number: LinkNumber
  /**
   * What we know of the other side's heads. `awaited`: it has not said yet whether what we remember still holds. `partial`:
   * it lists what has changed since. `complete`: we know all that it has for us, and may push from there.
   */
  account: 'awaited' | 'partial' | 'complete' = 'awaited'
  /** The other side's boot: feeds of this epoch it pushes itself. */
  epoch: Epoch | undefined
  /** Bytes of batches that we may still send. */
  creditOut: number = limits.linkCreditBytes
  /** Bytes of batches that have come and are neither stored nor discarded yet. */
  inFlightIn = 0
  /** One `sendRange` at a time: the next is chosen when the stream can take it, so live traffic can go first. */
  sending: { readonly want: Want | undefined; readonly key: FeedKey } | undefined
  readonly pushed = new Map<FeedKey, number>()
  /** Own feeds of which more was pushed than it has told to have on disk. */
  readonly unconfirmed = new Set<FeedKey>()
  /** Our own feeds that it may lack a part of, in the order of their turns. */
  readonly unpushed = new Set<FeedKey>()
  readonly wants: Want[] = []
  /** Topics of which it has told us a feed: it holds something of them, so it is told of all feeds that we have of them. */
  readonly heard = new Set<TopicId>()
  /** Topics of which it is told the feeds that we have. */
  readonly told = new Set<TopicId>()
  /** Of all digests that we have for it. */
  readonly telling = new SetHash()
  /** When it is told that hash again, if nothing else is to be told. */
  summaryDueMs: Millis = 0
  /** Feeds whose heads here have moved and which the other side has not been told of. */
  readonly untold = new Set<FeedKey>()
  /** Feeds that are not here any more, and which the other side has not been told of. */
  readonly gone = new Map<FeedKey, FeedId>()
  /** Feeds of the listing under way that are still to be told. */
  unlisted: FeedKey[] = []
  /** Topics that we follow there: since when it was asked, and whether it has told of all that it holds. */
  readonly asked = new Map<TopicId, { readonly sinceMs: Millis; told: boolean }>()
  /** Topics that the other side follows here. */
  readonly followed = new Set<TopicId>()
  /** Those that it has begun to follow, with the feeds that it is still to be told of. */
  readonly unlistedTopics: { readonly topicId: TopicId; readonly feeds: FeedKey[] }[] = []
  /** It stores nothing that we send. */
  isFull = false
  /** Asked to tell what it has not told yet, and when; and the time of the last such question that it has answered. */
  flush: { readonly ref: number; readonly askedMs: Millis } | undefined
  flushedMs: Millis = Number.NEGATIVE_INFINITY
  /** The same question of the other side, which is not answered yet. */
  flushRef: number | undefined
  /** Own feeds that were sent since a want was last served. */
  pushesInARow = 0
  patienceMs: Millis = patienceMs.first

  constructor(number: LinkNumber) {
    this.number = number
  }

  pushPosition(key: FeedKey): number {
    return this.pushed.get(key) ?? NOTHING
  }

  /** What it was asked for has not come in time. */
  wasSlow(): void {
    this.patienceMs = Math.min(2 * this.patienceMs, patienceMs.max)
  }
}

/** A peer that we share topics with: what it says that it holds, fsynced. Kept when the link is down, as the last we heard. */
export class Neighbor {
  readonly peer: PeerId
  link: NeighborLink | undefined
  /** When the last link went down we knew all that it had for us. */
  hadToldAll = false
  /** The newest boot of the other side that we know of. */
  epoch: Epoch | undefined
  readonly heads = new Map<FeedKey, FeedDigest>()
  /** Of these heads. */
  readonly remembered = new SetHash()
  readonly #entries = new Map<FeedKey, Entry>()
  /** For feeds of our own: how far its chain is known to be ours. Only this counts as a copy. */
  readonly verified = new Map<FeedKey, number>()

  constructor(peer: PeerId) {
    this.peer = peer
  }

  /** A head from before may have gone back since, with the disk it was on: nothing counts until it is told to hold. */
  linkUp(number: LinkNumber): NeighborLink {
    this.verified.clear()
    this.link = new NeighborLink(number)
    return this.link
  }

  /** Takes over the newest word, also when it is lower than the one before. False: it names more feeds than we keep. */
  heard(digest: FeedDigest): boolean {
    const key = feedKeyOf(digest.feed)
    if (!this.heads.has(key) && this.heads.size >= limits.feedsMax) return false
    const entry = entryOf(digest)
    this.#forgetEntry(key)
    this.remembered.add(entry)
    this.#entries.set(key, entry)
    this.heads.set(key, digest)
    return true
  }

  /** The feed is not there any more. */
  gone(key: FeedKey): void {
    this.#forgetEntry(key)
    this.#entries.delete(key)
    this.heads.delete(key)
    this.verified.delete(key)
  }

  #forgetEntry(key: FeedKey): void {
    const before = this.#entries.get(key)
    if (before !== undefined) this.remembered.remove(before)
  }

  /** What it says of these buckets comes anew. */
  forget(buckets: ReadonlySet<number>): void {
    if (buckets.size > 0) this.#forget((key) => buckets.has(bucketOf(key)))
  }

  /** It does not tell us of these topics any more. */
  forgetTopics(topics: ReadonlySet<TopicId>): void {
    if (topics.size > 0) this.#forget((_, { feed }) => topics.has(feed.topicId))
  }

  #forget(isForgotten: (key: FeedKey, digest: FeedDigest) => boolean): void {
    for (const [key, digest] of this.heads) if (isForgotten(key, digest)) this.gone(key)
  }

  /** How far it has the feed; what it had before this link counts for nothing until it is told to hold. */
  position(key: FeedKey): number {
    return this.head(key)?.nextOffset ?? NOTHING
  }

  /** What it has of the feed, likewise. */
  head(key: FeedKey): FeedDigest | undefined {
    return this.link?.account === 'awaited' ? undefined : this.heads.get(key)
  }

  /** Has it told that it can send what follows `position`? */
  canServe(key: FeedKey, position: number): boolean {
    const head = this.head(key)
    return head !== undefined && canServe(head, position)
  }
}

/** One that can be asked and told now. */
export type LinkedNeighbor = Neighbor & { readonly link: NeighborLink }

export const isLinked = (neighbor: Neighbor): neighbor is LinkedNeighbor => neighbor.link !== undefined

/** Who can send what follows `position`. */
export const linkedHolders = (
  neighbors: ReadonlyMap<PeerId, Neighbor>,
  key: FeedKey,
  position: number,
): readonly LinkedNeighbor[] =>
  [...neighbors.values()].filter(isLinked).filter((neighbor) => neighbor.canServe(key, position))
