import { assert } from '#protocol/assert'
import type { TopicId } from '#protocol/ids'
import {
  type FeedId,
  type FeedKey,
  feedKeyOf,
  type Head,
  NOTHING,
  type OffsetRange,
  type Opening,
} from '#protocol/log/feed'
import { noRanges, type OffsetRanges, united, within } from '#protocol/log/offset-ranges'
import type { OpenedFeed } from './inputs.ts'
import type { FeedDigest } from './messages.ts'

/** One feed of which this peer holds at least the opening batch, or is storing it. */
export interface LocalFeed {
  readonly feed: FeedId
  readonly key: FeedKey
  readonly opening: Opening
  /** On disk; what others are told. */
  floor: Head
  /** Below it nothing is served. It rises as soon as that is decided, and on disk a little later. */
  keptFrom: number
  /** Damaged ranges between `keptFrom` and the durable head. They grow when damage is found, and shrink once it is repaired on disk. */
  holes: OffsetRanges
  /** Passed over by the head, which is on its way to disk; then it is a hole. */
  passedOver?: OffsetRange | undefined
  /** Its predecessor was forgotten: nobody needs that one first. */
  rooted: boolean
  /** Hybrid-clock time of one of its batches: it orders the boots of a writer, whose clock never goes back. */
  readonly hlcMs: number
  /** Made or accepted here; the fsync of what lies beyond `durable` is under way. */
  appended: Head
  /** Undefined until the opening batch is on disk. Only this head is told to others, counted as a copy and read. */
  durable: Head | undefined
}

/** Where the feed begins: its opening batch has the position of its first record. */
export const baseOf = (opening: Opening): number => opening.predecessor?.nextOffset ?? 0

/** The feed that it goes on from, if any. */
export function predecessorOf({ feed, opening }: Pick<LocalFeed, 'feed' | 'opening'>): FeedId | undefined {
  return opening.predecessor && { ...feed, epoch: opening.predecessor.epoch }
}

export function predecessorKeyOf(local: Pick<LocalFeed, 'feed' | 'opening'>): FeedKey | undefined {
  const predecessor = predecessorOf(local)
  return predecessor && feedKeyOf(predecessor)
}

/**
 * The feeds of this peer, by key and by topic. Invariants: `floor ≤ keptFrom ≤ appended`, `durable ≤ appended`, and all of them
 * only rise while the peer runs, but for a `keptFrom` that is reclaimed.
 */
export class LocalFeeds {
  readonly #byKey = new Map<FeedKey, LocalFeed>()
  readonly #byTopic = new Map<TopicId, LocalFeed[]>()

  constructor(opened: readonly OpenedFeed[]) {
    for (const { head, ...feed } of opened) this.#add({ ...feed, appended: head, durable: head })
  }

  get(key: FeedKey): LocalFeed | undefined {
    return this.#byKey.get(key)
  }

  has(key: FeedKey | undefined): boolean {
    return key !== undefined && this.#byKey.has(key)
  }

  get size(): number {
    return this.#byKey.size
  }

  all(): IterableIterator<LocalFeed> {
    return this.#byKey.values()
  }

  ofTopic(topicId: TopicId): readonly LocalFeed[] {
    return this.#byTopic.get(topicId) ?? []
  }

  topics(): IterableIterator<TopicId> {
    return this.#byTopic.keys()
  }

  /** How far this peer has the feed, what is being stored included; NOTHING without its opening batch. */
  position(key: FeedKey): number {
    return this.#byKey.get(key)?.appended.nextOffset ?? NOTHING
  }

  /** `first`: the batch that is appended first. Without a time it is made now, by this peer. */
  append(feed: FeedId, head: Head, first: FirstBatch | undefined): LocalFeed {
    const local = this.#byKey.get(feedKeyOf(feed))
    if (local === undefined) return this.#open(feed, head, first)
    assert(head.nextOffset >= local.appended.nextOffset, 'a feed is only appended to')
    local.appended = head
    return local
  }

  stored(feed: FeedId, head: Head): LocalFeed {
    const local = this.#byKey.get(feedKeyOf(feed))
    assert(local !== undefined, 'what was stored was appended before')
    assert(head.nextOffset <= local.appended.nextOffset, 'nothing is stored that was not appended')
    local.durable = head
    return local
  }

  /** What retention let go of, or this peer alone: nothing of it is served from now on. */
  letGo(local: LocalFeed, keptFrom: number): void {
    assert(keptFrom <= local.appended.nextOffset, 'what is kept begins at the head at the latest')
    local.keptFrom = Math.max(local.keptFrom, keptFrom)
    local.holes = within(local.holes, { from: local.keptFrom, to: Number.POSITIVE_INFINITY })
  }

  /** It is not here any more, as if it had never been. */
  forget({ feed, key }: LocalFeed): void {
    this.#byKey.delete(key)
    const siblings = (this.#byTopic.get(feed.topicId) ?? []).filter((local) => local.key !== key)
    if (siblings.length === 0) this.#byTopic.delete(feed.topicId)
    else this.#byTopic.set(feed.topicId, siblings)
  }

  /** What this peer alone had let go of is wanted again: until it is back it is a hole. */
  reclaim(local: LocalFeed): void {
    local.holes = united(local.holes, [{ from: local.floor.nextOffset, to: local.keptFrom }])
    local.keptFrom = local.floor.nextOffset
  }

  /** What lies between its head, all of which is on disk, and this one is lost. */
  skip(local: LocalFeed, to: Head): void {
    local.passedOver = { from: local.appended.nextOffset, to: to.nextOffset }
    local.appended = to
  }

  /** That is on disk. */
  skipped(local: LocalFeed, to: Head): void {
    assert(local.passedOver?.to === to.nextOffset, 'what was passed over was ordered')
    local.holes = united(local.holes, [local.passedOver])
    local.passedOver = undefined
    local.durable = to
  }

  #open(feed: FeedId, head: Head, first: FirstBatch | undefined): LocalFeed {
    const { opening, hash = head.hash, hlcMs = Number.POSITIVE_INFINITY, rooted = false } = first ?? {}
    assert(opening !== undefined, 'a feed starts with its opening batch')
    const floor = { nextOffset: baseOf(opening), hash }
    const whole = { floor, keptFrom: floor.nextOffset, holes: noRanges, rooted }
    return this.#add({ feed, opening, ...whole, hlcMs, appended: head, durable: undefined })
  }

  #add(found: Omit<LocalFeed, 'key'>): LocalFeed {
    const local: LocalFeed = { ...found, key: feedKeyOf(found.feed) }
    const { topicId } = found.feed
    this.#byKey.set(local.key, local)
    const siblings = this.#byTopic.get(topicId)
    if (siblings === undefined) this.#byTopic.set(topicId, [local])
    else siblings.push(local)
    return local
  }
}

/** The opening batch with its own hash, or any other. */
export type FirstBatch = Partial<Pick<OpenedFeed, 'opening' | 'hlcMs' | 'rooted'> & Pick<Head, 'hash'>>

/** What this peer tells others of a feed: its durable head, never what is still on its way to disk. */
export function digestOf({
  feed,
  opening,
  floor,
  keptFrom,
  holes,
  rooted,
  durable,
}: LocalFeed): FeedDigest | undefined {
  if (durable === undefined) return undefined
  return {
    feed,
    floor: floor.nextOffset,
    keptFrom,
    nextOffset: durable.nextOffset,
    hash: durable.hash,
    ...(floor.nextOffset > baseOf(opening) && { floorHash: floor.hash }),
    ...(holes.length > 0 && { holes }),
    ...(rooted && { rooted }),
  }
}

/**
 * How far what follows `position` may be served, up to `end`: nothing below what is kept, but the opening batch, and nothing
 * across a hole. Not beyond `position` if nothing may.
 */
export function servedEnd({ opening, keptFrom, holes }: LocalFeed, position: number, end: number): number {
  if (position < keptFrom && position !== NOTHING) return position
  if (position === NOTHING && keptFrom > baseOf(opening)) return baseOf(opening)
  return Math.min(end, holes.find(({ to }) => to > position)?.from ?? end)
}
