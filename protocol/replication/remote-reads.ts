import type { PeerId, TopicId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { BatchFacts, LinkNumber, ReplicationInput } from './inputs.ts'
import type { LocalFeeds } from './local-feeds.ts'
import { type LinkedNeighbor, linkedHolders, type Neighbor } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'

/** How long a holder may take before another one is asked as well; whichever answers first is heard. */
const holderPatienceMs: Millis = 2_000
/** How long a read may take in all: then its reader is told that it waits, and other feeds of the topic go on. */
const readPatienceMs: Millis = 6_000
/** Weight of the newest answer in what is known of how quick a holder is. */
const newestWeight = 0.2
/** Quicker ones are alike: what they have to do for us decides. */
const answerMsMin: Millis = 0.1
/** Feeds of which the end of the last answer is remembered, to hold the next answer against. */
const endsMax = 1_024

type RangeReceived = Extract<ReplicationInput, { type: 'rangeReceived' }>

export interface RemoteReadsDeps {
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly anomalies: Anomalies
  readonly outbox: Outbox
  readonly nextRef: () => number
  /** Who holds the topic is not known yet, and will be soon: a read that finds nobody waits. */
  readonly isAsking: (topicId: TopicId) => boolean
}

export interface ReadRequest {
  readonly feed: FeedId
  /** NOTHING: the opening batch. */
  readonly position: number
  readonly bytesMax: number
}

export type ReadResult =
  /** Batches `from` ≤ i < `to` of the frame go on from the position, contiguous and chained. */
  | { readonly type: 'answered'; readonly frame: RangeReceived; readonly from: number; readonly to: number }
  | { readonly type: 'failed' }

type Done = (result: ReadResult, nowMs: Millis) => void

interface Read extends ReadRequest {
  readonly done: Done
  readonly key: FeedKey
  readonly sinceMs: Millis
  /** Holders that have failed, or are slow. */
  readonly avoid: Set<PeerId>
  /** Wants that may still be answered. */
  readonly refs: Set<number>
}

interface Asked {
  readonly read: Read
  readonly holder: PeerId
  readonly link: LinkNumber
  readonly atMs: Millis
}

/**
 * Batches that are not on this peer's disk and go through it to a reader: a want for each read, answered by whoever holds
 * the range. Nothing of them is stored.
 *
 * 1. A holder is linked, goes beyond the position, and keeps what is there. The one that has least to do for us, and has
 *    been quickest, is asked.
 * 2. If it fails, another one is; if it is slow, another one as well. A read that nobody is left for has failed.
 * 3. An answer goes on from the position, hash by hash: from the end of the answer before it, and to the head that its
 *    holder has told. Otherwise it is as good as none.
 */
export class RemoteReads {
  readonly #deps: RemoteReadsDeps
  readonly #asked = new Map<number, Asked>()
  /** Reads that look for a holder, the oldest first. */
  readonly #looking = new Set<Read>()
  readonly #answerMs = new Map<PeerId, Millis>()
  readonly #ends = new Map<FeedKey, Head>()

  constructor(deps: RemoteReadsDeps) {
    this.#deps = deps
  }

  get waiting(): number {
    return this.#asked.size + this.#looking.size
  }

  /** `done` is called once. */
  request(request: ReadRequest, nowMs: Millis, done: Done): void {
    if (this.#looking.size >= limits.remoteReadsWaitingMax) return done({ type: 'failed' }, nowMs)
    const key = feedKeyOf(request.feed)
    this.#looking.add({ ...request, done, key, sinceMs: nowMs, avoid: new Set(), refs: new Set() })
    this.plan(nowMs)
  }

  /** True: the frame answers a read. Credit for it is the caller's. */
  received(frame: RangeReceived, nowMs: Millis): boolean {
    const asked = this.#take(frame.ref, frame.from, frame.link)
    if (asked === undefined) return false
    const { read, holder, atMs } = asked
    const fitting = this.#fitting(read, holder, frame)
    if (fitting === undefined) {
      this.#deps.anomalies.unfitAnswers++
      this.#deps.outbox.order({ type: 'discardReceived', received: frame.received })
      this.#lookOn(read, holder)
    } else {
      this.#answered(holder, nowMs - atMs)
      this.#end(read)
      read.done({ type: 'answered', frame, ...fitting }, nowMs)
    }
    this.plan(nowMs)
    return true
  }

  /** True: the want was that of a read. */
  missing(ref: number, from: PeerId, link: LinkNumber, nowMs: Millis): boolean {
    const asked = this.#take(ref, from, link)
    if (asked === undefined) return false
    this.#lookOn(asked.read, asked.holder)
    this.plan(nowMs)
    return true
  }

  linkDown(peer: PeerId, nowMs: Millis): void {
    for (const [ref, { holder, read }] of this.#asked) {
      if (holder !== peer) continue
      this.#forget(ref)
      this.#lookOn(read, holder)
    }
    this.plan(nowMs)
  }

  sweep(nowMs: Millis): void {
    for (const { read, holder, atMs } of this.#asked.values()) {
      if (nowMs - atMs >= holderPatienceMs && !read.avoid.has(holder)) {
        this.#answered(holder, nowMs - atMs)
        this.#lookOn(read, holder)
      }
    }
    const reads = new Set([...this.#looking, ...[...this.#asked.values()].map(({ read }) => read)])
    for (const read of reads) if (nowMs - read.sinceMs >= readPatienceMs) this.#fail(read, nowMs)
    this.plan(nowMs)
  }

  /** Asks holders, as many as may be asked at a time; fails reads that have none. */
  plan(nowMs: Millis): void {
    for (const read of this.#looking) {
      if (this.#asked.size >= limits.remoteReadsMax) return
      const holders = linkedHolders(this.#deps.neighbors, read.key, read.position)
      const holder = this.#best(holders.filter(({ peer }) => !read.avoid.has(peer)))
      if (holder !== undefined) this.#ask(read, holder, nowMs)
      else if (read.refs.size > 0) this.#looking.delete(read)
      else if (holders.length > 0 || !this.#deps.isAsking(read.feed.topicId)) this.#fail(read, nowMs)
    }
  }

  #ask(read: Read, { peer, link }: LinkedNeighbor, nowMs: Millis): void {
    const { feed, position, bytesMax } = read
    const ref = this.#deps.nextRef()
    this.#looking.delete(read)
    read.refs.add(ref)
    this.#asked.set(ref, { read, holder: peer, link: link.number, atMs: nowMs })
    this.#deps.outbox.send(peer, { type: 'want', ref, feed, position, bytesMax })
  }

  #best(holders: readonly LinkedNeighbor[]): LinkedNeighbor | undefined {
    if (holders.length < 2) return holders[0]
    const load = new Map<PeerId, number>()
    for (const { holder } of this.#asked.values()) load.set(holder, (load.get(holder) ?? 0) + 1)
    // One that was never asked seems quick, so that each is tried.
    const costOf = ({ peer }: Neighbor): number =>
      ((load.get(peer) ?? 0) + 1) * Math.max(answerMsMin, this.#answerMs.get(peer) ?? 0)
    return holders.reduce((best, holder) => (costOf(holder) < costOf(best) ? holder : best))
  }

  #answered(holder: PeerId, tookMs: Millis): void {
    const before = this.#answerMs.get(holder) ?? tookMs
    this.#answerMs.set(holder, before + newestWeight * (tookMs - before))
  }

  #fitting(read: Read, holder: PeerId, { feed, batches }: RangeReceived): { from: number; to: number } | undefined {
    if (feedKeyOf(feed) !== read.key) return undefined
    const head = this.#deps.neighbors.get(holder)?.heads.get(read.key)
    const from = batches.findIndex(({ nextOffset }) => nextOffset > read.position)
    const first = batches[from]
    if (first === undefined || !this.#goesOn(read, first)) return undefined
    let to = from + 1
    while (to < batches.length && isNext(batches[to - 1] as BatchFacts, batches[to] as BatchFacts)) to++
    const taken = batches.slice(from, to)
    const atHead = taken.find(({ nextOffset }) => nextOffset === head?.nextOffset)
    if (atHead !== undefined && atHead.hash !== head?.hash) return undefined
    const { nextOffset, hash } = taken.at(-1) as BatchFacts
    this.#remember(read.key, { nextOffset, hash })
    return { from, to }
  }

  #goesOn({ key, position }: Read, first: BatchFacts): boolean {
    if (position === NOTHING) return first.opening !== undefined
    if (first.opening !== undefined || first.baseOffset > position) return false
    const before = [this.#ends.get(key), this.#deps.local.get(key)?.durable]
    return before.every((end) => end?.nextOffset !== first.baseOffset || end.hash === first.previousHash)
  }

  #remember(key: FeedKey, end: Head): void {
    this.#ends.delete(key)
    this.#ends.set(key, end)
    const oldest = this.#ends.keys().next().value
    if (this.#ends.size > endsMax && oldest !== undefined) this.#ends.delete(oldest)
  }

  #lookOn(read: Read, avoid: PeerId): void {
    read.avoid.add(avoid)
    this.#looking.add(read)
  }

  #fail(read: Read, nowMs: Millis): void {
    this.#end(read)
    read.done({ type: 'failed' }, nowMs)
  }

  /** What still comes for it is not heard any more. */
  #end(read: Read): void {
    this.#looking.delete(read)
    for (const ref of read.refs) this.#forget(ref)
  }

  #take(ref: number, from: PeerId, link: LinkNumber): Asked | undefined {
    const asked = this.#asked.get(ref)
    if (asked?.holder !== from || asked.link !== link) return undefined
    this.#forget(ref)
    return asked
  }

  #forget(ref: number): void {
    this.#asked.get(ref)?.read.refs.delete(ref)
    this.#asked.delete(ref)
  }
}

const isNext = (before: BatchFacts, after: BatchFacts): boolean =>
  after.opening === undefined && after.baseOffset === before.nextOffset && after.previousHash === before.hash
