import type { PeerId } from '#protocol/ids'
import { type FeedKey, parseFeedKey } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, united, without } from '#protocol/log/offset-ranges'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { heldWithin } from './holding.ts'
import type { Homes } from './homes.ts'
import type { LinkNeeds } from './link-needs.ts'
import { isLinked, type Neighbor, type NeighborLink } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

export interface LossesDeps {
  readonly self: PeerId
  readonly homes: Homes
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
  readonly nextRef: () => number
  readonly needs: LinkNeeds
}

/** Ranges of a feed that nobody is known to hold. */
interface Missing {
  ranges: OffsetRanges
  /** When this round of asking began; undefined until it has. */
  sinceMs: Millis | undefined
  /** So often everybody has answered since they were first missed. */
  rounds: number
  /** Sweeps since somebody here last wanted to know. */
  idleSweeps: number
}

/** A copy may move behind the back of whoever asks, from one that has not answered yet to one that has: once, not twice. */
const roundsMin = 2
const idleSweepsMax = 60

/**
 * What is lost: every registered peer is linked, has told all that it holds, and does not hold it; nor does anybody else who is linked.
 *
 * What neighbors have told may be old, each by another while: one has let go of what another has taken over, and word of
 * that one is still on its way. So all are asked to tell what they have not told yet (`flush`) after the range was missed,
 * and again; only then it is lost. Where not everybody is linked all the time, everybody is for this long; what has been found
 * lost stays so, until somebody tells that it holds it.
 */
export class Losses {
  readonly #deps: LossesDeps
  readonly #missing = new Map<FeedKey, Missing>()

  constructor(deps: LossesDeps) {
    this.#deps = deps
  }

  /** What of these ranges, none of which is here, is lost. Who asks for the first time is told later. */
  among(key: FeedKey, ranges: OffsetRanges): OffsetRanges {
    const known = this.#missing.get(key)
    const missing = this.#unheld(key, ranges, known)
    if (missing.length === 0) return noRanges
    const { self, homes } = this.#deps
    if (homes.registered.size === 1 && homes.registered.has(self)) return missing
    if (known === undefined) {
      if (this.#missing.size >= limits.feedsMissedMax) return noRanges
      this.#missing.set(key, { ranges: missing, sinceMs: undefined, rounds: 0, idleSweeps: 0 })
      return noRanges
    }
    known.idleSweeps = 0
    if (without(missing, known.ranges).length > 0) {
      Object.assign(known, { ranges: united(known.ranges, missing), sinceMs: undefined, rounds: 0 })
    }
    return known.rounds >= roundsMin ? missing : noRanges
  }

  /** The neighbor has told everything that it had to tell when it was asked. */
  flushed(link: NeighborLink, ref: number): void {
    if (link.flush?.ref !== ref) return
    link.flushedMs = link.flush.askedMs
    link.flush = undefined
  }

  sweep(nowMs: Millis): void {
    for (const [key, missing] of this.#missing) {
      missing.ranges = this.#unheld(key, missing.ranges, missing)
      if (missing.ranges.length === 0 || ++missing.idleSweeps > idleSweepsMax) this.#missing.delete(key)
      else if (missing.rounds < roundsMin) this.#ask(key, missing, nowMs)
    }
  }

  #ask(key: FeedKey, missing: Missing, nowMs: Millis): void {
    const sinceMs = (missing.sinceMs ??= nowMs)
    const awaited = [...this.#deps.neighbors.values()].filter(isLinked).filter(({ link }) => link.flushedMs < sinceMs)
    for (const { peer, link } of awaited) {
      if (link.flush !== undefined) continue
      link.flush = { ref: this.#deps.nextRef(), askedMs: nowMs }
      this.#deps.outbox.send(peer, { type: 'flush', ref: link.flush.ref })
    }
    if (awaited.length > 0) return
    missing.rounds++
    missing.sinceMs = undefined
    if (missing.rounds < roundsMin) return
    const topicId = parseFeedKey(key)?.topicId
    if (topicId !== undefined) this.#deps.outbox.order({ type: 'topicChanged', topicId })
  }

  /**
   * By what is known of everybody who belongs to the mesh, and of whoever else is linked: one that is forgotten may bring what
   * only it has. Nothing, if of somebody it is not known.
   */
  #unheld(key: FeedKey, ranges: OffsetRanges, known: Missing | undefined): OffsetRanges {
    const { self, homes, neighbors, needs } = this.#deps
    const isFound = needs.isLimited && (known?.rounds ?? 0) >= roundsMin
    if (homes.registered.size === 0) return noRanges
    const guests = [...neighbors.values()].filter(isLinked).map(({ peer }) => peer)
    let unheld = ranges
    for (const peer of new Set([...homes.registered, ...guests])) {
      if (unheld.length === 0) return noRanges
      if (peer === self) continue
      const neighbor = neighbors.get(peer)
      if (neighbor?.link?.account !== 'complete' && !isFound) {
        needs.everybody()
        return noRanges
      }
      const head = neighbor?.head(key)
      if (head === undefined) continue
      const held = unheld.flatMap((range) => heldWithin(head, range))
      unheld = without(unheld, held)
    }
    return unheld
  }
}
