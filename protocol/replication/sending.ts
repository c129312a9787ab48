import type { PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { ReplicationInput } from './inputs.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Neighbor, NeighborLink, Want } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

/** Live pushes go before what was asked for, but a peer that never pauses must not starve one that catches up. */
const pushesInARowMax = 4
/** Wants of one neighbor that wait here; it has no reason to have more than a few under way. */
const wantsMax = 4 * limits.catchUpsMax

export interface SendingDeps {
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

  /** Our own feed goes further: whoever has told all it holds is pushed to. */
  appended(feed: LocalFeed): void {
    this.#own.set(feed.key, feed)
    for (const neighbor of this.#deps.neighbors.values()) {
      neighbor.link?.unpushed.add(feed.key)
      this.next(neighbor)
    }
  }

  /** The neighbor has told all it holds: what it lacks of our feeds may be pushed from there. */
  digestComplete(neighbor: Neighbor): void {
    for (const key of this.#own.keys()) neighbor.link?.unpushed.add(key)
    this.next(neighbor)
  }

  wanted(neighbor: Neighbor, link: NeighborLink, want: Want): void {
    const durable = this.#deps.local.get(want.key)?.durable
    if (durable === undefined || durable.nextOffset <= want.position || link.wants.length >= wantsMax) {
      return this.#deps.outbox.send(neighbor.peer, { type: 'wantMissing', ref: want.ref })
    }
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
    }
    this.next(neighbor)
  }

  next(neighbor: Neighbor): void {
    const link = neighbor.link
    if (link === undefined || link.sending !== undefined || link.creditOut < limits.dataFrameBytesMax) return
    const isWantsTurn = link.wants.length > 0 && link.pushesInARow >= pushesInARowMax
    const feed = link.digestComplete && !isWantsTurn ? this.#nextPush(neighbor, link) : undefined
    if (feed !== undefined) {
      link.pushesInARow++
      return this.#send(neighbor, link, feed, undefined)
    }
    link.pushesInARow = 0
    const want = link.wants.shift()
    const wanted = want && this.#deps.local.get(want.key)
    if (want !== undefined && wanted !== undefined) this.#send(neighbor, link, wanted, want)
  }

  /**
   * Push again what a neighbor has dropped. All credit is back, so everything that we pushed was stored or discarded; a
   * durable head below our position means discarded (its predecessor was not there yet, or its disk went back).
   */
  sweep(neighbor: Neighbor): void {
    const link = neighbor.link
    if (link === undefined || link.sending !== undefined || link.creditOut < limits.linkCreditBytes) return
    for (const key of this.#own.keys()) {
      if (link.pushPosition(key) <= neighbor.position(key)) continue
      link.pushed.set(key, neighbor.position(key))
      link.unpushed.add(key)
    }
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
    this.#deps.outbox.order({
      type: 'sendRange',
      to: neighbor.peer,
      link: link.number,
      ref: want?.ref ?? 0,
      feed: feed.feed,
      position: want?.position ?? link.pushPosition(feed.key),
      // A writer may push what its own fsync is still working on: its feed cannot fork (DESIGN §4).
      endMax: (want === undefined ? feed.appended : (feed.durable ?? feed.appended)).nextOffset,
      bytesMax: Math.min(want?.bytesMax ?? limits.dataFrameBytesTarget, limits.dataFrameBytesTarget),
    })
  }
}

/** A neighbor takes a successor only when it has the predecessor up to the link; until then it asks for that one. */
function isReady(neighbor: Neighbor, link: NeighborLink, { feed, key, opening }: LocalFeed): boolean {
  if (opening.predecessor === undefined || link.pushPosition(key) !== NOTHING) return true
  return neighbor.position(feedKeyOf({ ...feed, epoch: opening.predecessor.epoch })) >= opening.predecessor.nextOffset
}
