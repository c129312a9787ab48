import type { PeerId } from '#protocol/ids'
import { type FeedId, feedKeyOf, type Head } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Homes } from './homes.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Outbox } from './outbox.ts'

export interface ConfirmingDeps {
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly outbox: Outbox
}

interface Asked {
  readonly from: PeerId
  readonly ref: number
  readonly feed: FeedId
  readonly head: Head
}

/**
 * Handoff before delete, the side that keeps: confirms to another peer that it may let go of a feed. Only a peer that is at
 * home by its own view does, so nobody who is letting go itself; and only once its shell has read the whole copy from disk,
 * batch by batch, before and not from memory. Who asks in vain asks again, so what is not so is simply not said.
 */
export class Confirming {
  readonly #deps: ConfirmingDeps
  /** In the order in which they are read, by number; the first is being read. */
  readonly #asked = new Map<number, Asked>()
  #lastNumber = 0

  constructor(deps: ConfirmingDeps) {
    this.#deps = deps
  }

  get count(): number {
    return this.#asked.size
  }

  asked(asked: Asked): void {
    const isKnown = [...this.#asked.values()].some(({ from, ref }) => from === asked.from && ref === asked.ref)
    if (isKnown || this.#asked.size >= limits.verificationsMax || this.#kept(asked) === undefined) return
    this.#asked.set(++this.#lastNumber, asked)
    if (this.#asked.size === 1) this.#readNext()
  }

  /** The copy of that number was read: it is `sound`, every batch of it up to its head, or not. */
  verified(number: number, sound: boolean): void {
    const asked = this.#asked.get(number)
    if (asked === undefined) return
    this.#asked.delete(number)
    // Much may have happened while it was read.
    if (sound && this.#kept(asked) !== undefined) {
      this.#deps.outbox.send(asked.from, { type: 'handoffConfirmed', ref: asked.ref })
    }
    this.#readNext()
  }

  /** Who has a new link asks anew. */
  linkDown(peer: PeerId): void {
    const [first] = this.#asked.keys()
    for (const [number, { from }] of this.#asked) if (from === peer && number !== first) this.#asked.delete(number)
  }

  #readNext(): void {
    for (const [number, asked] of this.#asked) {
      const held = this.#kept(asked)
      if (held !== undefined) {
        const { feed, floor } = held
        return this.#deps.outbox.order({ type: 'verifyCopy', number, feed, floor, head: asked.head })
      }
      this.#asked.delete(number)
    }
  }

  /** The feed, if this peer is at home and has all of it from the floor on, without a hole. */
  #kept({ feed, head }: Asked): LocalFeed | undefined {
    const { homes, local } = this.#deps
    const held = local.get(feedKeyOf(feed))
    if (held?.durable === undefined || !homes.isAtHome(feed.topicId)) return undefined
    const { floor, keptFrom, holes, durable } = held
    const isWhole = keptFrom === floor.nextOffset && holes.length === 0 && durable.nextOffset >= head.nextOffset
    return isWhole ? held : undefined
  }
}
