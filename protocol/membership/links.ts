import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { Standing } from './messages.ts'

export interface Link {
  readonly sinceMs: Millis
  /** When we last told this peer what is believed of it. */
  toldAtMs: Millis
  /** When we last sent it our digest. */
  digestSentAtMs: Millis
  /** It has sent one. A peer of an earlier version does not, and is told everything. */
  hasDigests: boolean
  /** When we last began to send it what differs. */
  stateSentAtMs: Millis
  /** Whom we still have to tell it of. */
  stateLeft: readonly PeerId[] | undefined
  /** What it has last told of itself, over this link. */
  standing: Standing | undefined
  ping: { readonly ref: number; readonly sentAtMs: Millis } | undefined
  /** When the first ping was sent since which nothing at all has been heard. */
  unansweredSinceMs: Millis | undefined
  /** Why we have had it closed. */
  closedFor: string | undefined
  /** When something else than membership last used it. */
  usedAtMs: Millis
  /** When we last asked whether it may be closed. */
  restAskedMs: Millis
  /** Both sides agree that it is closed until then: then its end says nothing. */
  restUntilMs: Millis | undefined
  rttMs: Millis | undefined
}

/**
 * Since the start. `idle`: both sides had no use for it; `silent`: given up here, or its member believed dead; `closed`: by the
 * other process; `broken`: by an error.
 */
export interface LinkCounts {
  readonly opened: number
  readonly closed: Readonly<Record<'idle' | 'silent' | 'closed' | 'broken', number>>
}

const roundTripsMax = 64

/** Whom we can send to, and how long a ping takes. */
export class Links {
  readonly #links = new Map<PeerId, Link>()
  #opened = 0
  readonly #closed = { idle: 0, silent: 0, closed: 0, broken: 0 }
  /** Since the start; the last of them are kept. */
  roundTripCount = 0
  readonly #roundTrips: { readonly peer: PeerId; readonly rttMs: Millis; readonly atMs: Millis }[] = []

  get count(): number {
    return this.#links.size
  }

  has(peer: PeerId): boolean {
    return this.#links.has(peer)
  }

  get(peer: PeerId): Link | undefined {
    return this.#links.get(peer)
  }

  peers(): readonly PeerId[] {
    return [...this.#links.keys()]
  }

  all(): ReadonlyMap<PeerId, Link> {
    return this.#links
  }

  up(peer: PeerId, nowMs: Millis): void {
    const never = Number.NEGATIVE_INFINITY
    const link = {
      toldAtMs: nowMs,
      digestSentAtMs: never,
      hasDigests: false,
      stateSentAtMs: never,
      stateLeft: undefined,
      standing: undefined,
      ping: undefined,
      rttMs: undefined,
      usedAtMs: nowMs,
      restAskedMs: never,
      restUntilMs: undefined,
    }
    this.#opened++
    this.#links.set(peer, { sinceMs: nowMs, unansweredSinceMs: undefined, closedFor: undefined, ...link })
  }

  /** The link that was there. */
  down(peer: PeerId): Link | undefined {
    const link = this.#links.get(peer)
    this.#links.delete(peer)
    return link
  }

  /** Counts the end of a link. */
  ended(why: keyof LinkCounts['closed']): void {
    this.#closed[why]++
  }

  get counts(): LinkCounts {
    return { opened: this.#opened, closed: this.#closed }
  }

  used(peer: PeerId, nowMs: Millis): void {
    const link = this.#links.get(peer)
    if (link !== undefined) link.usedAtMs = nowMs
  }

  heard(peer: PeerId): void {
    const link = this.#links.get(peer)
    if (link !== undefined) link.unansweredSinceMs = undefined
  }

  pinged(peer: PeerId, ref: number, nowMs: Millis): void {
    const link = this.#links.get(peer)
    if (link === undefined) return
    link.ping = { ref, sentAtMs: nowMs }
    link.unansweredSinceMs ??= nowMs
  }

  /** Only the ack of the last ping measures a round trip: other traffic proves life, but not how long an answer takes. */
  acked(peer: PeerId, ref: number, nowMs: Millis): void {
    const link = this.#links.get(peer)
    if (link?.ping?.ref !== ref) return
    link.rttMs = nowMs - link.ping.sentAtMs
    link.ping = undefined
    this.#roundTrips.push({ peer, rttMs: link.rttMs, atMs: nowMs })
    this.roundTripCount++
    if (this.#roundTrips.length > roundTripsMax) this.#roundTrips.shift()
  }

  roundTrips(): readonly { readonly peer: PeerId; readonly rttMs: Millis; readonly atMs: Millis }[] {
    return this.#roundTrips
  }
}
