import type { PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Homes } from './homes.ts'
import type { ReplicationInput } from './inputs.ts'
import { type LocalFeed, type LocalFeeds, servedEnd } from './local-feeds.ts'
import type { Neighbor, NeighborLink, Want } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

/** Live pushes go before what was asked for, but a peer that never pauses must not starve one that catches up. */
const pushesInARowMax = 4
/** Wants of one neighbor that wait here; it has no reason to have more than a few under way. */
const wantsMax = 4 * limits.catchUpsMax

export interface SendingDeps {
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
}

/**
 * What goes to a neighbor next: our own live feeds first, then what it asked for. One frame at a time, so that the choice
 * is made when the stream can take it, and only while credit covers the largest frame.
 */
export class Sending {
  readonly #deps: SendingDeps
  /** Feeds of this boot of ours. */
  readonly #own = new Map<FeedKey, LocalFeed>()

  constructor(deps: SendingDeps) {
    this.#deps = deps
  }

  /** Our own feed goes further: whoever keeps its topic, and has told all it holds, is pushed to. */
  appended(feed: LocalFeed): void {
    this.#own.set(feed.key, feed)
    for (const neighbor of this.#deps.neighbors.values()) {
      if (!this.#deps.homes.isKeeper(feed.feed.topicId, neighbor.peer)) continue
      neighbor.link?.unpushed.add(feed.key)
      this.next(neighbor)
    }
  }

  /** The neighbor has told all it holds: what it lacks of our feeds may be pushed from there. */
  accountComplete(neighbor: Neighbor): void {
    const { peer, link } = neighbor
    for (const { key, feed } of this.#own.values()) {
      if (this.#deps.homes.isKeeper(feed.topicId, peer)) link?.unpushed.add(key)
    }
    this.next(neighbor)
  }

  /** Other peers keep other topics now. */
  homesChanged(): void {
    for (const neighbor of this.#deps.neighbors.values()) {
      neighbor.link?.unpushed.clear()
      if (neighbor.link?.account === 'complete') this.accountComplete(neighbor)
    }
  }

  /** The neighbor has so much of a feed of ours on its disk. */
  heard({ link }: Neighbor, key: FeedKey, nextOffset: number): void {
    if (link === undefined) return
    // Durable progress can overtake the account of our own sends, when another holder served the feed.
    if (link.pushPosition(key) <= nextOffset) link.pushed.set(key, nextOffset)
    if (link.pushPosition(key) <= nextOffset) link.unconfirmed.delete(key)
    else link.unconfirmed.add(key)
  }

  wanted(neighbor: Neighbor, link: NeighborLink, want: Want): void {
    if (link.wants.length >= wantsMax || this.#served(want) === undefined) return this.#miss(neighbor, want)
    link.wants.push(want)
    this.next(neighbor)
  }

  sent({ to, link: number, nextPosition, sizeBytes }: Extract<ReplicationInput, { type: 'rangeSent' }>): void {
    const { neighbors, local, outbox } = this.#deps
    const neighbor = neighbors.get(to)
    const link = neighbor?.link
    if (neighbor === undefined || link === undefined || link.number !== number) return
    const { sending } = link
    link.sending = undefined
    link.creditOut -= sizeBytes
    if (sending?.want !== undefined) {
      if (nextPosition === undefined) outbox.send(to, { type: 'wantMissing', ref: sending.want.ref })
    } else if (sending !== undefined) {
      // Our own log could not be read there: the sweep will try again, so that a bad disk does not make us spin.
      const position = nextPosition ?? local.position(sending.key)
      link.pushed.set(sending.key, Math.max(link.pushPosition(sending.key), position))
      if (link.pushPosition(sending.key) > neighbor.position(sending.key)) link.unconfirmed.add(sending.key)
    }
    this.next(neighbor)
  }

  next(neighbor: Neighbor): void {
    const link = neighbor.link
    if (link === undefined || link.sending !== undefined || link.creditOut < limits.dataFrameBytesMax) return
    const isWantsTurn = link.wants.length > 0 && link.pushesInARow >= pushesInARowMax
    const mayPush = link.account === 'complete' && !link.isFull
    const feed = mayPush && !isWantsTurn ? this.#nextPush(neighbor, link) : undefined
    if (feed !== undefined) {
      link.pushesInARow++
      return this.#send(neighbor, link, feed, undefined)
    }
    link.pushesInARow = 0
    for (let want = link.wants.shift(); want !== undefined; want = link.wants.shift()) {
      const wanted = this.#served(want)
      if (wanted !== undefined) return this.#send(neighbor, link, wanted, want)
      this.#miss(neighbor, want)
    }
  }

  /** The feed, if what follows the position is on disk here, and sound. */
  #served(want: Want): LocalFeed | undefined {
    const feed = this.#deps.local.get(want.key)
    return feed !== undefined && wantedEnd(feed, want) > want.position ? feed : undefined
  }

  #miss(neighbor: Neighbor, { ref }: Want): void {
    this.#deps.outbox.send(neighbor.peer, { type: 'wantMissing', ref })
  }

  /**
   * Push again what a neighbor has dropped. All credit is back, so everything that we pushed was stored or discarded; a
   * durable head below our position means discarded (its predecessor was not there yet, or its disk went back).
   */
  sweep(neighbor: Neighbor): void {
    const link = neighbor.link
    if (link === undefined || link.sending !== undefined || link.creditOut < limits.linkCreditBytes) return
    if (link.isFull) return
    for (const key of link.unconfirmed) {
      link.pushed.set(key, neighbor.position(key))
      const topicId = this.#own.get(key)?.feed.topicId
      if (topicId !== undefined && this.#deps.homes.isKeeper(topicId, neighbor.peer)) link.unpushed.add(key)
    }
    link.unconfirmed.clear()
    this.next(neighbor)
  }

  /** In turns: a feed that was sent goes behind the others that wait. */
  #nextPush(neighbor: Neighbor, link: NeighborLink): LocalFeed | undefined {
    for (const key of link.unpushed) {
      const feed = this.#own.get(key)
      const isDone = feed === undefined || link.pushPosition(key) >= feed.appended.nextOffset
      if (!isDone && !isReady(neighbor, link, feed)) continue
      link.unpushed.delete(key)
      if (isDone) continue
      link.unpushed.add(key)
      return feed
    }
    return undefined
  }

  #send(neighbor: Neighbor, link: NeighborLink, feed: LocalFeed, want: Want | undefined): void {
    link.sending = { want, key: feed.key }
    const position = want?.position ?? link.pushPosition(feed.key)
    this.#deps.outbox.order({
      type: 'sendRange',
      to: neighbor.peer,
      link: link.number,
      ref: want?.ref ?? 0,
      feed: feed.feed,
      position,
      endMax: want === undefined ? pushedEnd(feed, position) : wantedEnd(feed, want),
      bytesMax: Math.min(want?.bytesMax ?? limits.dataFrameBytesTarget, limits.dataFrameBytesTarget),
    })
  }
}

/** A writer may push what its own fsync is still working on: its feed cannot fork (DESIGN §4). */
const pushedEnd = (feed: LocalFeed, position: number): number => servedEnd(feed, position, feed.appended.nextOffset)

const wantedEnd = (feed: LocalFeed, { position, end = Infinity }: Want): number =>
  servedEnd(feed, position, Math.min(feed.durable?.nextOffset ?? NOTHING, end))

/**
 * A neighbor takes a successor only when it has the predecessor up to the link; until then it asks for that one. What is
 * damaged here waits for its repair, and what lies behind a floor for the neighbor to follow there.
 */
function isReady(neighbor: Neighbor, link: NeighborLink, local: LocalFeed): boolean {
  const { feed, key, opening, keptFrom, rooted } = local
  const position = link.pushPosition(key)
  if (pushedEnd(local, position) <= position) return false
  if (position !== NOTHING) return position >= keptFrom
  if (opening.predecessor === undefined || rooted) return true
  return neighbor.position(feedKeyOf({ ...feed, epoch: opening.predecessor.epoch })) >= opening.predecessor.nextOffset
}
