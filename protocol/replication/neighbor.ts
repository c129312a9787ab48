import type { Epoch, PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { LinkNumber } from './inputs.ts'
import type { FeedDigest } from './messages.ts'

export interface Want {
  readonly ref: number
  readonly key: FeedKey
  readonly position: number
  readonly bytesMax: number
}

/** State that lives and dies with one link: positions, credits, wants. Nothing of it outlives a reconnect. */
export class NeighborLink {
  readonly number: LinkNumber
  /** False until the other side has told everything that it holds: before that we do not know where to push from. */
  digestComplete = false
  /** The other side's boot: feeds of this epoch it pushes itself. */
  epoch: Epoch | undefined
  /** Bytes of batches that we may still send. */
  creditOut: number = limits.linkCreditBytes
  /** Bytes of batches that have come and are neither stored nor discarded yet. */
  inFlightIn = 0
  /** One `sendRange` at a time: the next is chosen when the stream can take it, so live traffic can go first. */
  sending: { readonly want: Want | undefined; readonly key: FeedKey } | undefined
  readonly pushed = new Map<FeedKey, number>()
  /** Our own feeds that it may lack a part of, in the order of their turns. */
  readonly unpushed = new Set<FeedKey>()
  readonly wants: Want[] = []
  /** Feeds whose heads here have moved and which the other side has not been told of. */
  readonly untold = new Set<FeedKey>()
  /** Feeds of the initial digest that are still to be told. */
  readonly unlisted: FeedKey[] = []
  /** Own feeds that were sent since a want was last served. */
  pushesInARow = 0

  constructor(number: LinkNumber) {
    this.number = number
  }

  pushPosition(key: FeedKey): number {
    return this.pushed.get(key) ?? NOTHING
  }
}

/** A peer that we share topics with: what it says that it holds, fsynced. Kept when the link is down, as the last we heard. */
export class Neighbor {
  readonly peer: PeerId
  link: NeighborLink | undefined
  readonly heads = new Map<FeedKey, FeedDigest>()
  /** For feeds of our own: how far its chain is known to be ours. Only this counts as a copy. */
  readonly verified = new Map<FeedKey, number>()

  constructor(peer: PeerId) {
    this.peer = peer
  }

  /** A new link tells everything anew; a head from before may have gone back since, with the disk it was on. */
  linkUp(number: LinkNumber): NeighborLink {
    this.heads.clear()
    this.verified.clear()
    this.link = new NeighborLink(number)
    return this.link
  }

  /** Takes over the newest word, also when it is lower than the one before. False: it names more feeds than we keep. */
  heard(digest: FeedDigest): boolean {
    const key = feedKeyOf(digest.feed)
    if (this.heads.size >= limits.feedsMax && !this.heads.has(key)) return false
    this.heads.set(key, digest)
    return true
  }

  position(key: FeedKey): number {
    return this.heads.get(key)?.nextOffset ?? NOTHING
  }
}
