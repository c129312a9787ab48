import type { PeerId } from '#protocol/ids'
import { type FeedId, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { Acks } from './acks.ts'
import { type CatchUp, isComplete } from './catch-up.ts'
import type { Forgetting } from './forgetting.ts'
import type { Homes } from './homes.ts'
import type { BatchFacts, LinkNumber, ReplicationInput } from './inputs.ts'
import { type LocalFeed, type LocalFeeds, predecessorKeyOf } from './local-feeds.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'
import type { Repair } from './repair.ts'
import type { RemoteReads } from './remote-reads.ts'
import type { RetentionRule } from './retention.ts'

type RangeReceived = Extract<ReplicationInput, { type: 'rangeReceived' }>

export interface ReceivingDeps {
  readonly homes: Homes
  /** Nothing is stored for want of room. */
  readonly isFull: () => boolean
  readonly isOwn: (feed: FeedId) => boolean
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly catchUp: CatchUp
  readonly repair: Repair
  readonly reads: RemoteReads
  readonly acks: Acks
  readonly retention: RetentionRule
  readonly forgetting: Forgetting
  readonly anomalies: Anomalies
  readonly outbox: Outbox
}

/** Which batches of a data frame are taken, and the credit for all of them. */
export class Receiving {
  readonly #deps: ReceivingDeps

  constructor(deps: ReceivingDeps) {
    this.#deps = deps
  }

  received(input: RangeReceived, nowMs: Millis): void {
    const { catchUp } = this.#deps
    const { feed, batches } = input
    const link = this.#deps.neighbors.get(input.from)?.link
    if (link === undefined || link.number !== input.link) return this.#discard(input)
    if (!this.#isWithinCredit(input, link)) return this.#discard(input)
    catchUp.heardFrom(link, nowMs)
    if (this.#deps.repair.received(input, (bytes) => this.giveCredit(link.number, bytes), nowMs)) return
    if (this.#deps.reads.received(input, nowMs)) return this.giveCredit(link.number, totalBytes(batches))
    if (this.#isForged(input)) return this.#discard(input)
    // What we asked for and do not wait for any more; it was for a reader, unless the topic is ours.
    if (input.ref !== 0 && !this.#deps.homes.isOurs(feed.topicId)) {
      this.giveCredit(link.number, totalBytes(batches))
      return this.#discard(input)
    }
    if (catchUp.reachedBeyond(input.ref, feed, batches, nowMs)) {
      this.giveCredit(link.number, totalBytes(batches))
      return this.#discard(input)
    }
    // Who is on its way out takes nothing that it would have to hand over; whoever pushes will hear of that.
    const takesNothing = this.#deps.isFull() || this.#deps.homes.isOnItsWayOut
    const fitting = takesNothing ? { from: 0, to: 0 } : this.#fitting(feed, batches)
    const taken = batches.slice(fitting.from, fitting.to)
    const last = taken.at(-1)
    this.giveCredit(link.number, totalBytes(batches) - totalBytes(taken))
    if (last === undefined) {
      this.#discard(input)
      if (input.ref !== 0) catchUp.failed(input.ref, nowMs)
      return
    }
    this.#store(input, { ...fitting, head: { nextOffset: last.nextOffset, hash: last.hash }, nowMs })
    catchUp.advanced(feed, nowMs)
  }

  giveCredit(number: LinkNumber, bytes: number): void {
    if (bytes === 0) return
    for (const { peer, link } of this.#deps.neighbors.values()) {
      if (link?.number !== number) continue
      link.inFlightIn -= bytes
      this.#deps.outbox.send(peer, { type: 'credit', bytes })
    }
  }

  /** Otherwise the link is closed: no peer that means well does this. */
  #isWithinCredit({ from, batches }: RangeReceived, link: NeighborLink): boolean {
    const { anomalies, outbox } = this.#deps
    link.inFlightIn += totalBytes(batches)
    if (link.inFlightIn <= limits.linkCreditBytes) return true
    anomalies.creditOverruns++
    outbox.order({ type: 'closeLink', peer: from, reason: 'it sent more than it had credit for' })
    return false
  }

  /** Nobody else writes our feed of this boot, and nobody has more of it than we. Neither does a peer that means well. */
  #isForged({ from, feed }: RangeReceived): boolean {
    const { anomalies, outbox, isOwn } = this.#deps
    if (!isOwn(feed)) return false
    anomalies.forgedFeeds++
    outbox.order({ type: 'closeLink', peer: from, reason: 'it sent a feed that is ours' })
    return true
  }

  #store(
    { feed, link, received, batches }: RangeReceived,
    { from, to, head, nowMs }: { from: number; to: number; head: Head; nowMs: Millis },
  ): void {
    const local = this.#deps.local.append(feed, head, batches[from])
    const taken = batches.slice(from, to)
    this.#deps.acks.received(local.key, taken)
    this.#deps.retention.appended(local, taken, nowMs)
    this.#deps.outbox.order({ type: 'storeReceived', received, link, feed, from, to, head })
    if (taken[0]?.opening?.predecessor !== undefined && !this.#deps.local.has(predecessorKeyOf(local))) {
      this.#deps.forgetting.root(local)
    }
  }

  /** The batches that continue what we have: half-open, empty when none does. Ones that we hold already are passed over. */
  #fitting(feed: FeedId, batches: readonly BatchFacts[]): { readonly from: number; readonly to: number } {
    const local = this.#deps.local.get(feedKeyOf(feed))
    const position = local?.appended.nextOffset ?? NOTHING
    const from = batches.findIndex((batch) => batch.nextOffset > position)
    const first = batches[from]
    if (first === undefined || !this.#continues(feed, local, first)) {
      if (first !== undefined && local !== undefined) this.#deps.anomalies.unfitFrames++
      return { from: 0, to: 0 }
    }
    let to = from + 1
    while (to < batches.length && follows(batches[to - 1] as BatchFacts, batches[to] as BatchFacts)) to++
    return { from, to }
  }

  #continues(feed: FeedId, local: LocalFeed | undefined, batch: BatchFacts): boolean {
    if (local !== undefined) return follows(local.appended, batch)
    const { opening } = batch
    if (opening === undefined || feed.writer !== opening.writer) return false
    if (this.#deps.local.size >= limits.feedsMax) {
      this.#deps.anomalies.feedsRefused++
      return false
    }
    const { predecessor } = opening
    if (predecessor === undefined || isComplete(this.#deps.local, feed, predecessor)) return true
    if (this.#deps.forgetting.admits(feed, predecessor)) return true
    this.#deps.catchUp.waitFor(feed, predecessor)
    return false
  }

  #discard({ received }: RangeReceived): void {
    this.#deps.outbox.order({ type: 'discardReceived', received })
  }
}

const totalBytes = (batches: readonly BatchFacts[]): number =>
  batches.reduce((total, { sizeBytes }) => total + sizeBytes, 0)

/** Contiguous and chained: the only way a feed grows. */
const follows = (before: Head, after: BatchFacts): boolean =>
  after.opening === undefined && after.baseOffset === before.nextOffset && after.previousHash === before.hash
