import { type FeedId, type FeedKey, feedKeyOf, type Head } from '#protocol/log/feed'
import type { PeerId } from '#protocol/ids'
import type { FeedDigest } from './messages.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Neighbor } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'

export interface FloorsDeps {
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly anomalies: Anomalies
  readonly outbox: Outbox
  readonly isOwn: (feed: FeedId) => boolean
  /** What is told of the feed is another now. */
  readonly onChange: (local: LocalFeed) => void
}

/**
 * Floors (DESIGN §7): what lies below one was trimmed by retention, for everybody and for good.
 * 1. A floor only rises. Of those that are heard the highest holds, so what was trimmed somewhere cannot come back.
 * 2. Nothing below it is served or asked for as soon as it is known; it is told once it is on disk.
 * 3. A peer that is behind a floor goes on from there: its head jumps, to the chain hash that comes with the floor. What of
 *    the feed is on its way to disk gets there first.
 */
export class Floors {
  readonly #deps: FloorsDeps
  /** On its way to disk. */
  readonly #ordered = new Map<FeedKey, Head>()
  /** Waiting for what has to be there before; above what is on its way. */
  readonly #waiting = new Map<FeedKey, Head>()

  constructor(deps: FloorsDeps) {
    this.#deps = deps
  }

  /** A neighbor knows a floor. True: our own head has jumped to it. */
  heard({ feed, floor: nextOffset, floorHash: hash }: FeedDigest): boolean {
    const local = hash === undefined ? undefined : this.#deps.local.get(feedKeyOf(feed))
    return local !== undefined && hash !== undefined && this.raise(local, { nextOffset, hash })
  }

  /** The feed has a floor there, at the least. True: its head has jumped. */
  raise(local: LocalFeed, floor: Head): boolean {
    const { key, durable } = local
    const highest = this.#waiting.get(key) ?? this.#ordered.get(key) ?? local.floor
    if (floor.nextOffset <= highest.nextOffset || !this.#isPossible(local, floor)) return false
    const isJump = floor.nextOffset > local.appended.nextOffset
    if (durable === undefined || (floor.nextOffset > durable.nextOffset && !isSettled(local))) {
      this.#waiting.set(key, floor)
      return false
    }
    if (isJump) local.appended = floor
    this.#deps.local.letGo(local, floor.nextOffset)
    this.#ordered.set(key, floor)
    this.#deps.outbox.order({ type: 'changeFeed', change: { type: 'floor', feed: local.feed, floor } })
    this.#deps.onChange(local)
    return isJump
  }

  /** The feed has come further on disk, its opening batch maybe: what waited for that may follow. True: its head has jumped. */
  stored(local: LocalFeed): boolean {
    const waiting = this.#waiting.get(local.key)
    if (this.#waiting.delete(local.key) && waiting !== undefined) return this.raise(local, waiting)
    if (this.isRising(local) || local.durable?.nextOffset !== local.floor.nextOffset) return false
    // Until now there was nothing here of it to have a floor.
    let jumped = false
    for (const { heads } of this.#deps.neighbors.values()) {
      const head = heads.get(local.key)
      if (head !== undefined && this.heard(head)) jumped = true
    }
    return jumped
  }

  /** A floor of the feed is on its way to disk, or will be. */
  isRising({ key }: LocalFeed): boolean {
    return this.#ordered.has(key) || this.#waiting.has(key)
  }

  /** The floor is on disk. */
  changed(local: LocalFeed, floor: Head): void {
    if (this.#ordered.get(local.key) === floor) this.#ordered.delete(local.key)
    local.floor = floor
    if (local.durable === undefined || local.durable.nextOffset < floor.nextOffset) local.durable = floor
  }

  /** The feed is not here any more. */
  forgotten({ key }: LocalFeed): void {
    this.#ordered.delete(key)
    this.#waiting.delete(key)
  }

  /** A peer that tells a floor on another chain, or beyond what we ourselves have written, is wrong. */
  #isPossible({ feed, appended, durable }: LocalFeed, { nextOffset, hash }: Head): boolean {
    const isBeyond = nextOffset > appended.nextOffset && this.#deps.isOwn(feed)
    const isForeign = [appended, durable].some((head) => head?.nextOffset === nextOffset && head.hash !== hash)
    if (isBeyond || isForeign) this.#deps.anomalies.foreignChains++
    return !isBeyond && !isForeign
  }
}

const isSettled = ({ appended, durable }: LocalFeed): boolean => appended.nextOffset === durable?.nextOffset
