import type { PeerId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Predecessor } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { LocalFeeds } from './local-feeds.ts'
import type { LinkNumber } from './inputs.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'

/** How long a want may stay unanswered before another holder is asked. A slow link gets its credits in this time. */
const pullPatienceMs: Millis = 10_000
/** How long a linked writer may take to push its own feed before we ask anybody for it. */
const pushPatienceMs: Millis = 2_000
/** A holder that failed us is asked again after this, if it is the only one: a broken one must not make us spin. */
const retryMs: Millis = 1_000

interface Behind {
  readonly feed: FeedId
  /** Since when it has made no progress. */
  sinceMs: Millis
  avoid: PeerId | undefined
  retryAtMs: Millis
}

export interface Pull {
  readonly ref: number
  readonly feed: FeedId
  readonly from: PeerId
  readonly link: LinkNumber
  readonly position: number
  readonly bytesMax: number
  readonly overdueMs: Millis
}

/**
 * Repair: which feeds this peer lacks a part of, and from whom to ask it. Rules (DESIGN §7):
 * 1. A feed is asked for in order, one want at a time, at most `catchUpsMax` feeds together.
 * 2. A predecessor comes first, up to the link: order holds across restarts of the writer.
 * 3. What a linked writer pushes itself is left to it, unless it makes no progress.
 * 4. Any holder may serve; one that did not answer is passed over as long as there is another.
 */
export class CatchUp {
  readonly #local: LocalFeeds
  readonly #behind = new Map<FeedKey, Behind>()
  readonly #pulls = new Map<FeedKey, Pull>()
  /** Links of feeds whose opening batch came before their predecessor was complete here. */
  readonly #waitsFor = new Map<FeedKey, { readonly feed: FeedId; readonly predecessor: Predecessor }>()
  #lastRef = 0

  constructor(local: LocalFeeds) {
    this.#local = local
  }

  /** A neighbor holds the feed up to `nextOffset`. */
  heard(feed: FeedId, nextOffset: number, nowMs: Millis): void {
    const key = feedKeyOf(feed)
    if (nextOffset > this.#local.position(key) && !this.#behind.has(key)) {
      this.#behind.set(key, { feed, sinceMs: nowMs, avoid: undefined, retryAtMs: nowMs })
    }
  }

  waitFor(feed: FeedId, predecessor: Predecessor): void {
    this.#waitsFor.set(feedKeyOf(feed), { feed, predecessor })
  }

  /** The feed has moved here: it is not stuck, and its next part may be asked for. */
  advanced(key: FeedKey, nowMs: Millis): void {
    this.#pulls.delete(key)
    this.#waitsFor.delete(key)
    const behind = this.#behind.get(key)
    if (behind !== undefined) Object.assign(behind, { sinceMs: nowMs, avoid: undefined })
  }

  /** The want of this number brought nothing that could be stored. */
  failed(ref: number, nowMs: Millis): void {
    this.#giveUp((pull) => pull.ref === ref, nowMs)
  }

  linkDown(peer: PeerId, nowMs: Millis): void {
    this.#giveUp((pull) => pull.from === peer, nowMs)
  }

  expire(nowMs: Millis): void {
    this.#giveUp((pull) => nowMs >= pull.overdueMs, nowMs)
  }

  /** New wants to send, as many as may run at a time. */
  plan(neighbors: ReadonlyMap<PeerId, Neighbor>, nowMs: Millis): readonly Pull[] {
    const started: Pull[] = []
    for (const [key, behind] of this.#behind) {
      if (this.#pulls.size >= limits.catchUpsMax) break
      if (this.#pulls.has(key) || this.#waitsForPredecessor(key)) continue
      const holders = linkedHolders(neighbors, key, this.#local.position(key))
      if (holders.length === 0) {
        this.#behind.delete(key)
        continue
      }
      if (isPushed(neighbors, behind.feed) && nowMs - behind.sinceMs < pushPatienceMs) continue
      const holder = this.#holderOf(holders, behind.avoid)
      if (holder.peer === behind.avoid && nowMs < behind.retryAtMs) continue
      started.push(this.#start(behind.feed, holder, nowMs))
    }
    return started
  }

  snapshot(): { readonly behind: number; readonly pulls: readonly Pull[] } {
    return { behind: this.#behind.size, pulls: [...this.#pulls.values()] }
  }

  #start(feed: FeedId, holder: LinkedNeighbor, nowMs: Millis): Pull {
    const key = feedKeyOf(feed)
    const position = this.#local.position(key)
    const pull = {
      ref: ++this.#lastRef,
      feed,
      from: holder.peer,
      link: holder.link.number,
      position,
      // The opening batch of an unknown feed is asked for alone: it may name a predecessor that has to come first.
      bytesMax: position < 0 ? 1 : limits.dataFrameBytesTarget,
      overdueMs: nowMs + pullPatienceMs,
    }
    this.#pulls.set(key, pull)
    return pull
  }

  #giveUp(isLost: (pull: Pull) => boolean, nowMs: Millis): void {
    for (const [key, pull] of this.#pulls) {
      if (!isLost(pull)) continue
      this.#pulls.delete(key)
      const behind = this.#behind.get(key)
      if (behind !== undefined) Object.assign(behind, { avoid: pull.from, retryAtMs: nowMs + retryMs })
    }
  }

  /** The holder with the fewest wants of ours, so that a heal spreads over everybody who can help. */
  #holderOf(holders: readonly LinkedNeighbor[], avoid: PeerId | undefined): LinkedNeighbor {
    const asked = (peer: PeerId): number => [...this.#pulls.values()].filter((pull) => pull.from === peer).length
    const cost = (holder: LinkedNeighbor): number =>
      asked(holder.peer) + (holder.peer === avoid ? limits.catchUpsMax : 0)
    return holders.reduce((best, holder) => (cost(holder) < cost(best) ? holder : best))
  }

  #waitsForPredecessor(key: FeedKey): boolean {
    const waiting = this.#waitsFor.get(key)
    return waiting !== undefined && !isComplete(this.#local, waiting.feed, waiting.predecessor)
  }
}

type LinkedNeighbor = Neighbor & { readonly link: NeighborLink }

const linkedHolders = (
  neighbors: ReadonlyMap<PeerId, Neighbor>,
  key: FeedKey,
  position: number,
): readonly LinkedNeighbor[] =>
  [...neighbors.values()].filter(
    (neighbor): neighbor is LinkedNeighbor => neighbor.link !== undefined && neighbor.position(key) > position,
  )

/** The writer is linked, runs the boot that this feed is of, and will push it. */
function isPushed(neighbors: ReadonlyMap<PeerId, Neighbor>, feed: FeedId): boolean {
  return neighbors.get(feed.writer)?.link?.epoch === feed.epoch
}

/** Is the predecessor here up to the link, so that the successor may follow? */
export function isComplete(local: LocalFeeds, feed: FeedId, predecessor: Predecessor | undefined): boolean {
  if (predecessor === undefined) return true
  return local.position(feedKeyOf({ ...feed, epoch: predecessor.epoch })) >= predecessor.nextOffset
}
