import type { PeerId } from '#protocol/ids'
import { type FeedId, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { type CatchUp, isComplete } from './catch-up.ts'
import type { BatchFacts, LinkNumber, ReplicationInput } from './inputs.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Neighbor, NeighborLink } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'

type RangeReceived = Extract<ReplicationInput, { type: 'rangeReceived' }>

export interface ReceivingDeps {
  readonly isOwn: (feed: FeedId) => boolean
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly catchUp: CatchUp
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
    if (!this.#isAdmitted(input, link)) return this.#discard(input)
    const fitting = this.#fitting(feed, batches)
    const taken = batches.slice(fitting.from, fitting.to)
    const last = taken.at(-1)
    this.giveCredit(link.number, totalBytes(batches) - totalBytes(taken))
    if (last === undefined) {
      this.#discard(input)
      if (input.ref !== 0) catchUp.failed(input.ref, nowMs)
      return
    }
    this.#store(input, fitting, { nextOffset: last.nextOffset, hash: last.hash })
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
  #isAdmitted({ from, feed, batches }: RangeReceived, link: NeighborLink): boolean {
    const { anomalies, outbox, isOwn } = this.#deps
    link.inFlightIn += totalBytes(batches)
    // Nobody else writes our feed of this boot, and nobody has more of it than we.
    if (isOwn(feed)) {
      anomalies.forgedFeeds++
      outbox.order({ type: 'closeLink', peer: from, reason: 'it sent a feed that is ours' })
      return false
    }
    if (link.inFlightIn <= limits.linkCreditBytes) return true
    anomalies.creditOverruns++
    outbox.order({ type: 'closeLink', peer: from, reason: 'it sent more than it had credit for' })
    return false
  }

  #store(
    { feed, link, received, batches }: RangeReceived,
    { from, to }: { from: number; to: number },
    head: Head,
  ): void {
    this.#deps.local.append(feed, head, batches[from])
    this.#deps.outbox.order({ type: 'storeReceived', received, link, feed, from, to, head })
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
    if (isComplete(this.#deps.local, feed, opening.predecessor)) return true
    if (opening.predecessor !== undefined) this.#deps.catchUp.waitFor(feed, opening.predecessor)
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
