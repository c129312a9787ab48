import { assert } from '#protocol/assert'
import type { TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING, type Opening } from '#protocol/log/feed'
import type { OpenedFeed } from './inputs.ts'
import type { FeedDigest } from './messages.ts'

/** One feed of which this peer holds at least the opening batch, or is storing it. */
export interface LocalFeed {
  readonly feed: FeedId
  readonly key: FeedKey
  readonly opening: Opening
  readonly floor: number
  readonly keptFrom: number
  /** Hybrid-clock time of one of its batches: it orders the boots of a writer, whose clock never goes back. */
  readonly hlcMs: number
  /** Made or accepted here; the fsync of what lies beyond `durable` is under way. */
  appended: Head
  /** Undefined until the opening batch is on disk. Only this head is told to others, counted as a copy and read. */
  durable: Head | undefined
}

/** The feeds of this peer, by key and by topic. Invariant: durable ≤ appended, both only rise while the peer runs. */
export class LocalFeeds {
  readonly #byKey = new Map<FeedKey, LocalFeed>()
  readonly #byTopic = new Map<TopicId, LocalFeed[]>()

  constructor(opened: readonly OpenedFeed[]) {
    for (const feed of opened) this.#add({ ...feed, durable: feed.head })
  }

  get(key: FeedKey): LocalFeed | undefined {
    return this.#byKey.get(key)
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
  append(feed: FeedId, head: Head, first: Partial<Pick<OpenedFeed, 'opening' | 'hlcMs'>> | undefined): LocalFeed {
    const local = this.#byKey.get(feedKeyOf(feed))
    if (local === undefined) {
      const { opening, hlcMs = Number.POSITIVE_INFINITY } = first ?? {}
      assert(opening !== undefined, 'a feed starts with its opening batch')
      const keptFrom = opening.predecessor?.nextOffset ?? 0
      return this.#add({ feed, opening, keptFrom, hlcMs, head, durable: undefined })
    }
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

  #add(found: Omit<OpenedFeed, 'head'> & { head: Head; durable: Head | undefined }): LocalFeed {
    const { feed, opening, keptFrom, hlcMs, head, durable } = found
    const local: LocalFeed = {
      feed,
      key: feedKeyOf(feed),
      opening,
      floor: opening.predecessor?.nextOffset ?? 0,
      keptFrom,
      hlcMs,
      appended: head,
      durable,
    }
    this.#byKey.set(local.key, local)
    const siblings = this.#byTopic.get(feed.topicId)
    if (siblings === undefined) this.#byTopic.set(feed.topicId, [local])
    else siblings.push(local)
    return local
  }
}

/** What this peer tells others of a feed: its durable head, never what is still on its way to disk. */
export function digestOf({ feed, floor, keptFrom, durable }: LocalFeed): FeedDigest | undefined {
  return durable === undefined
    ? undefined
    : { feed, floor, keptFrom, nextOffset: durable.nextOffset, hash: durable.hash }
}
