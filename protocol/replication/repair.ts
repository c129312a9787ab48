import type { Hash, PeerId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, type OffsetRange } from '#protocol/log/feed'
import {
  coarsened,
  lengthOf,
  noRanges,
  type OffsetRanges,
  rangeAt,
  united,
  within,
  without,
} from '#protocol/log/offset-ranges'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { Homes } from './homes.ts'
import { heldWithin } from './holding.ts'
import type { Losses } from './lost.ts'
import type { BatchFacts, LinkNumber, ReplicationInput } from './inputs.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Neighbor } from './neighbor.ts'
import type { Anomalies, Outbox } from './outbox.ts'

/** How long a piece may make no progress before another holder is asked. */
const patienceMs: Millis = 10_000
/** A feed that nobody could mend just now is looked at again after this. */
const retryMs: Millis = 5_000

type Input<T extends ReplicationInput['type']> = Extract<ReplicationInput, { type: T }>

export interface RepairDeps {
  readonly self: PeerId
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly anomalies: Anomalies
  readonly outbox: Outbox
  readonly losses: Losses
  /** Numbers a want. */
  readonly nextRef: () => number
  /** There is no room for what is repaired, not even for what was asked for before. */
  readonly isFull: () => boolean
}

/** A piece of a hole on its way here from one holder. */
interface Filling {
  readonly local: LocalFeed
  readonly piece: OffsetRange
  readonly from: PeerId
  readonly link: LinkNumber
  /** Another holder has failed just before. */
  readonly isRetry: boolean
  /** `looking`: for the batches here that it has to fit to. `finishing`: its last batches are on their way to disk. */
  state: 'looking' | 'asking' | 'finishing'
  ref: number
  /** How far it has come, and the chain hash there, unless what is before the piece is not here. */
  at: { readonly nextOffset: number; readonly hash: Hash | undefined }
  /** The chain hash at its end, unless what comes after it is not here. */
  after: Hash | undefined
  overdueMs: Millis
}

/**
 * Damage and its repair (DESIGN §5):
 * 1. What is damaged is a hole at once: not told to be here, not served, not counted as a copy. It is one on disk, too, lest
 *    a restart serves what a disk reads well once in a while.
 * 2. A hole is filled piece by piece, as far as a linked neighbor holds it, whoever wrote the feed.
 * 3. A piece has to fit to what is here, at both of its ends, hash by hash. Until its last batch has come and does, it stays
 *    a hole, whatever of it is on disk already: that hash alone proves all before it.
 * 4. A range is lost when every registered peer is linked, has told all that it holds, and does not hold it. It stays a
 *    hole, since somebody may come back with it.
 *
 * A feed with holes is in one place: `#ready` to be looked at, under `#fillings`, or `#parked` until time passes or somebody
 * tells of it.
 */
export class Repair {
  readonly #deps: RepairDeps
  /** With a holder that failed us. */
  readonly #ready = new Map<FeedKey, PeerId | undefined>()
  readonly #fillings = new Map<FeedKey, Filling>()
  readonly #parked = new Map<FeedKey, { readonly avoid: PeerId | undefined; readonly untilMs: Millis }>()
  /** How much of each was lost when readers were last told to look. */
  readonly #lost = new Map<FeedKey, number>()
  /** Ranges since the start. */
  readonly counts = { found: 0, repaired: 0 }

  constructor(deps: RepairDeps) {
    this.#deps = deps
    for (const { key, holes } of deps.local.all()) if (holes.length > 0) this.#ready.set(key, undefined)
  }

  /** The feed, if this is news: what is not kept here, or was a hole before, is none. */
  damaged({ feed, range }: Input<'damageFound'>): LocalFeed | undefined {
    const { local: feeds, outbox } = this.#deps
    const local = feeds.get(feedKeyOf(feed))
    if (local?.durable === undefined) return undefined
    const found = without(within([range], { from: local.keptFrom, to: local.durable.nextOffset }), local.holes)
    if (found.length === 0) return undefined
    local.holes = coarsened(united(local.holes, found), limits.feedHolesMax)
    outbox.order({ type: 'changeFeed', change: { type: 'holes', feed, holes: this.#holesLeft(local) } })
    this.counts.found += found.length
    for (const damage of found) outbox.order({ type: 'feedDamaged', feed, range: damage })
    if (!this.#fillings.has(local.key)) this.#look(local.key)
    return local
  }

  /** A feed has holes that nobody has found: what it had let go of is wanted again, or was lost before it came here. */
  holed({ key }: LocalFeed): void {
    if (!this.#fillings.has(key)) this.#look(key)
  }

  /** A neighbor has told something of the feed. */
  heard(key: FeedKey): void {
    if (this.#parked.has(key)) this.#look(key)
  }

  /** What the batches here say of the piece between them. */
  chainFound({ feed, range, before, after }: Input<'chainFound'>): void {
    const filling = this.#fillings.get(feedKeyOf(feed))
    if (filling?.state !== 'looking' || !isSame(filling.piece, range)) return
    const { floor, durable } = filling.local
    filling.at = { nextOffset: range.from, hash: range.from === floor.nextOffset ? floor.hash : before }
    filling.after = range.to === durable?.nextOffset ? durable.hash : after
    this.#ask(filling)
  }

  /** True: the frame was asked for here, and its credit, all or none of which is given back now, is taken care of. */
  received(frame: Input<'rangeReceived'>, giveCredit: (bytes: number) => void, nowMs: Millis): boolean {
    const filling = this.#fillings.get(feedKeyOf(frame.feed))
    if (filling?.state !== 'asking' || filling.ref !== frame.ref || filling.link !== frame.link) return false
    const isFull = this.#deps.isFull()
    const isFit = this.#fits(filling, frame.batches)
    if (isFit && !isFull) {
      this.#fill(filling, frame, nowMs)
    } else {
      giveCredit(frame.batches.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
      if (!isFit) this.#deps.anomalies.unfitFrames++
      this.#deps.outbox.order({ type: 'discardReceived', received: frame.received })
      this.#refused(filling, nowMs)
    }
    return true
  }

  /** The feed, if the whole piece is on disk and no hole any more. */
  filled({ feed, piece }: Input<'holeFilled'>): LocalFeed | undefined {
    const filling = this.#fillings.get(feedKeyOf(feed))
    if (filling?.state !== 'finishing' || !isSame(filling.piece, piece)) return undefined
    const { local } = filling
    local.holes = without(local.holes, [piece])
    this.counts.repaired++
    this.#deps.outbox.order({ type: 'feedRepaired', feed, range: piece, from: filling.from })
    this.#look(local.key)
    return local
  }

  /** The want of this number brought nothing. */
  failed(ref: number, nowMs: Millis): void {
    for (const filling of this.#fillings.values()) {
      if (filling.state === 'asking' && filling.ref === ref) this.#refused(filling, nowMs)
    }
  }

  linkDown(peer: PeerId, nowMs: Millis): void {
    this.#giveUp((filling) => filling.from === peer, nowMs)
  }

  sweep(nowMs: Millis): void {
    this.#giveUp(({ overdueMs }) => nowMs >= overdueMs, nowMs)
    for (const [key, { avoid, untilMs }] of this.#parked) {
      if (nowMs < untilMs) continue
      this.#parked.delete(key)
      this.#ready.set(key, avoid)
    }
  }

  /** Feeds of which more is lost by now, or less, than when this was last asked: whoever reads them shall look again. */
  lostAnew(): readonly LocalFeed[] {
    const damaged = [...this.#ready.keys(), ...this.#fillings.keys(), ...this.#parked.keys()]
    return damaged.flatMap((key) => {
      const local = this.#deps.local.get(key)
      const lost = local === undefined ? 0 : lengthOf(this.lostOf(local))
      if (local === undefined || lost === (this.#lost.get(key) ?? 0)) return []
      this.#lost.set(key, lost)
      return [local]
    })
  }

  /** Starts as many pieces as may be under way at a time. */
  plan(nowMs: Millis): void {
    for (const [key, avoid] of this.#ready) {
      if (this.#fillings.size >= limits.repairsMax) return
      this.#ready.delete(key)
      const local = this.#deps.local.get(key)
      const next = local && this.#nextPiece(local, avoid)
      // Whoever comes with it will tell.
      if (next !== undefined) this.#start(next, avoid !== undefined, nowMs)
      else if (local !== undefined && local.holes.length > 0) this.#parked.set(key, { avoid, untilMs: Infinity })
    }
  }

  /** Ranges of the feed that nobody has any more. */
  lostOf({ key, holes }: LocalFeed): OffsetRanges {
    return this.#deps.losses.among(key, holes)
  }

  get fillings(): readonly Pick<Filling, 'local' | 'piece' | 'from' | 'at'>[] {
    return [...this.#fillings.values()]
  }

  /** Of the first hole that anybody linked has a part of. */
  #nextPiece(local: LocalFeed, avoid: PeerId | undefined): NextPiece | undefined {
    for (const hole of local.holes) {
      const pieces = [...this.#deps.neighbors.values()].flatMap((neighbor): readonly NextPiece[] => {
        const head = neighbor.head(local.key)
        const [piece] = head === undefined ? noRanges : heldWithin(head, hole)
        if (neighbor.link === undefined || piece === undefined) return []
        return [{ local, piece, from: neighbor.peer, link: neighbor.link.number }]
      })
      const cost = ({ piece, from }: NextPiece): number => (from === avoid ? Number.MAX_SAFE_INTEGER : piece.from)
      const best = pieces.toSorted((a, b) => cost(a) - cost(b))[0]
      if (best !== undefined) return best
    }
    return undefined
  }

  #start(next: NextPiece, isRetry: boolean, nowMs: Millis): void {
    const { local, piece } = next
    const at = { nextOffset: piece.from, hash: undefined }
    const overdueMs = nowMs + patienceMs
    this.#fillings.set(local.key, { ...next, isRetry, state: 'looking', ref: 0, at, after: undefined, overdueMs })
    this.#deps.outbox.order({ type: 'findChain', feed: local.feed, range: piece })
  }

  #ask(filling: Filling): void {
    const { local, piece, from, at } = filling
    filling.state = 'asking'
    filling.ref = this.#deps.nextRef()
    this.#deps.outbox.send(from, {
      type: 'want',
      ref: filling.ref,
      feed: local.feed,
      position: at.nextOffset,
      end: piece.to,
      bytesMax: limits.dataFrameBytesTarget,
    })
  }

  #fits({ local, piece, at, after }: Filling, batches: readonly BatchFacts[]): boolean {
    let { nextOffset, hash } = at
    for (const batch of batches) {
      if (batch.opening !== undefined || batch.baseOffset !== nextOffset) return false
      if (hash !== undefined && batch.previousHash !== hash) return false
      ;({ nextOffset, hash } = batch)
    }
    if (nextOffset > piece.to || (nextOffset === piece.to && after !== undefined && hash !== after)) return false
    // Retention may have passed over it meanwhile.
    return (rangeAt(local.holes, at.nextOffset)?.to ?? 0) >= piece.to
  }

  #fill(filling: Filling, { received, link, feed, batches }: Input<'rangeReceived'>, nowMs: Millis): void {
    const { local, piece } = filling
    const { nextOffset, hash } = batches.at(-1) as BatchFacts
    filling.at = { nextOffset, hash }
    filling.overdueMs = nowMs + patienceMs
    if (nextOffset === piece.to) filling.state = 'finishing'
    this.#deps.outbox.order({ type: 'fillHole', received, link, feed, piece, holes: this.#holesLeft(local) })
    if (filling.state === 'asking') this.#ask(filling)
  }

  /** The holes of the feed on disk, once everything that was ordered is there. */
  #holesLeft({ key, holes, passedOver }: LocalFeed): OffsetRanges {
    const filling = this.#fillings.get(key)
    const left = filling?.state === 'finishing' ? without(holes, [filling.piece]) : holes
    return passedOver === undefined ? left : united(left, [passedOver])
  }

  #giveUp(isLost: (filling: Filling) => boolean, nowMs: Millis): void {
    for (const filling of this.#fillings.values()) {
      // What is on its way to our own disk needs nobody else any more.
      if (filling.state !== 'finishing' && isLost(filling)) this.#park(filling, nowMs)
    }
  }

  /** Two in a row that say that they cannot, though they have told that they hold it, may go on so: then after a pause. */
  #refused(filling: Filling, nowMs: Millis): void {
    if (!filling.isRetry) return this.#park(filling, nowMs)
    const { local, from } = filling
    this.#fillings.delete(local.key)
    this.#parked.set(local.key, { avoid: from, untilMs: nowMs + retryMs })
  }

  /** Behind all others that wait: at once if somebody else may have it, else after a pause. */
  #park({ local, from }: Filling, nowMs: Millis): void {
    const { key } = local
    this.#fillings.delete(key)
    const others = [...this.#deps.neighbors.values()].some((neighbor) => {
      return neighbor.peer !== from && neighbor.link !== undefined && neighbor.head(key) !== undefined
    })
    if (others) this.#ready.set(key, from)
    else this.#parked.set(key, { avoid: from, untilMs: nowMs + retryMs })
  }

  #look(key: FeedKey): void {
    this.#parked.delete(key)
    this.#fillings.delete(key)
    this.#ready.set(key, undefined)
  }
}

type NextPiece = Pick<Filling, 'local' | 'piece' | 'from' | 'link'>

const isSame = (a: OffsetRange, b: OffsetRange): boolean => a.from === b.from && a.to === b.to
