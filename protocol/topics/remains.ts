import type { FeedKey, Head } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'

/** A feed of a deleted generation on this peer's disk. */
export interface DeletedFeed {
  readonly key: FeedKey
  readonly floor: Head
  readonly head: Head
  /** How far somebody who deleted the generation had seen it. */
  readonly seen?: Head | undefined
}

/** What is to be done with it. */
export type RemainsOrder<Feed> =
  | { readonly type: 'raiseFloor'; readonly feed: Feed; readonly floor: Head }
  | { readonly type: 'forget'; readonly feed: Feed }

/** Long enough that a person sees on Monday what was deleted on Friday. */
export const deletedGraceMsDefault: Millis = 7 * 24 * 60 * 60 * 1_000

/** How long a feed has been as it is. */
export interface KeptFeed {
  readonly key: FeedKey
  readonly floor: number
  readonly end: number
  readonly keptMs: Millis
}

/**
 * What becomes of a deleted generation (DESIGN §10). What its deleters have seen goes at once. What lies beyond was published
 * by somebody who did not know of the deletion, and acked: it stays readable for the grace time, counted from when it came
 * here or the deletion became known here, whatever was later. Then it goes, too; and a feed that has been empty for another
 * grace time is forgotten. Until then its floor is told, so that nobody brings back what has gone.
 *
 * Time counts while the peer runs, by looks that are not far apart: no wrong clock and no long absence makes it shorter.
 */
export class Remains {
  readonly graceMs: Millis
  readonly #kept: Map<FeedKey, KeptFeed>
  #lookedAtMs: Millis | undefined

  constructor(graceMs: Millis, kept: Iterable<KeptFeed>) {
    this.graceMs = graceMs
    this.#kept = new Map([...kept].map((feed) => [feed.key, feed]))
  }

  /** How often to look. */
  get lookEveryMs(): Millis {
    return Math.min(Math.max(this.graceMs / 20, 1_000), 600_000)
  }

  /** Those that have been kept longest first, and not more than one write of metadata may hold: others begin anew after a restart. */
  get kept(): readonly KeptFeed[] {
    return [...this.#kept.values()].toSorted((a, b) => b.keptMs - a.keptMs).slice(0, limits.keptFeedsStoredMax)
  }

  /** How long the feed still stays as it is. */
  leftMs(key: FeedKey): Millis {
    return Math.max(0, this.graceMs - (this.#kept.get(key)?.keptMs ?? 0))
  }

  /** At all feeds of deleted generations that are here. */
  look<Feed extends DeletedFeed>(feeds: Iterable<Feed>, nowMs: Millis): readonly RemainsOrder<Feed>[] {
    const passedMs = Math.min(nowMs - (this.#lookedAtMs ?? nowMs), 2 * this.lookEveryMs)
    this.#lookedAtMs = nowMs
    const orders: RemainsOrder<Feed>[] = []
    const before = new Map(this.#kept)
    this.#kept.clear()
    for (const feed of feeds) {
      const floor = furthest(feed.floor, feed.seen)
      const end = Math.max(feed.head.nextOffset, floor.nextOffset)
      const earlier = before.get(feed.key)
      const isAsBefore = earlier?.floor === floor.nextOffset && earlier.end === end
      const keptMs = isAsBefore ? earlier.keptMs + passedMs : 0
      this.#kept.set(feed.key, { key: feed.key, floor: floor.nextOffset, end, keptMs })
      const order = orderFor(feed, { floor, end, isOver: keptMs >= this.graceMs })
      if (order !== undefined) orders.push(order)
    }
    return orders
  }
}

function orderFor<Feed extends DeletedFeed>(
  feed: Feed,
  { floor, end, isOver }: { readonly floor: Head; readonly end: number; readonly isOver: boolean },
): RemainsOrder<Feed> | undefined {
  if (isOver && end > floor.nextOffset) return { type: 'raiseFloor', feed, floor: feed.head }
  if (floor.nextOffset > feed.floor.nextOffset) return { type: 'raiseFloor', feed, floor }
  return isOver ? { type: 'forget', feed } : undefined
}

const furthest = (floor: Head, seen: Head | undefined): Head =>
  seen !== undefined && seen.nextOffset > floor.nextOffset ? seen : floor
