import type { Epoch, PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { digestOf, type LocalFeeds } from './local-feeds.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

/** How long heads wait to be told to neighbors that do not wait for them; the writer of a feed is told at once. */
const digestDelayMs: Millis = 50

export interface TellingDeps {
  readonly epoch: Epoch
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
}

/** What this peer tells of its durable heads: everything on a new link, then what moves. */
export class Telling {
  readonly #deps: TellingDeps
  #isDue = false

  constructor(deps: TellingDeps) {
    this.#deps = deps
  }

  linkUp(peer: PeerId, link: NeighborLink): void {
    for (const { key } of this.#deps.local.all()) link.unlisted.push(key)
    this.#nextPage(peer, link)
  }

  /** The other side has read a page of the initial digest: the next one may follow, however many feeds there are. */
  pageRead(peer: PeerId, link: NeighborLink): void {
    if (link.unlisted.length > 0) this.#nextPage(peer, link)
  }

  /** Heads have moved here. Writers settle acks by them, so those hear at once; everybody else a little later, in one go. */
  stored(keys: readonly FeedKey[], writers: ReadonlySet<PeerId>): void {
    for (const { link } of this.#deps.neighbors.values()) for (const key of keys) link?.untold.add(key)
    for (const writer of writers) this.#untold(this.#deps.neighbors.get(writer))
    this.#arm()
  }

  timerFired(): void {
    this.#isDue = false
    for (const neighbor of this.#deps.neighbors.values()) this.#untold(neighbor)
    this.#arm()
  }

  #nextPage(to: PeerId, link: NeighborLink): void {
    const page = link.unlisted.splice(0, limits.digestFeedsPerMessageMax)
    this.#tell(to, page, { initial: true, more: link.unlisted.length > 0 })
  }

  #untold(neighbor: Neighbor | undefined): void {
    const link = neighbor?.link
    if (neighbor === undefined || link === undefined || link.untold.size === 0) return
    const page = [...link.untold].slice(0, limits.digestFeedsPerMessageMax)
    for (const key of page) link.untold.delete(key)
    this.#tell(neighbor.peer, page, { initial: false, more: false })
  }

  #tell(to: PeerId, keys: readonly FeedKey[], page: { readonly initial: boolean; readonly more: boolean }): void {
    const { epoch, local, outbox } = this.#deps
    const feeds = keys.flatMap((key) => {
      const feed = local.get(key)
      return (feed && digestOf(feed)) ?? []
    })
    outbox.send(to, { type: 'digest', epoch, feeds, ...page })
  }

  #arm(): void {
    const { neighbors, outbox } = this.#deps
    if (this.#isDue || ![...neighbors.values()].some(({ link }) => (link?.untold.size ?? 0) > 0)) return
    this.#isDue = true
    outbox.order({ type: 'setTimer', timer: { type: 'digestDue' }, afterMs: digestDelayMs })
  }
}
