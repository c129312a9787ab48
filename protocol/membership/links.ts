import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { Standing } from './messages.ts'

/** A full state that goes out page by page. */
export interface StateLeft {
  readonly peers: readonly PeerId[]
  /** Asks for the other side's. */
  readonly reply: boolean
}

interface Link {
  readonly sinceMs: Millis
  /** When we last told this peer what is believed of it. */
  toldAtMs: Millis
  /** When we last sent it our full state. */
  stateSentAtMs: Millis
  /** What is left of it. */
  stateLeft: StateLeft | undefined
  /** What it has last told of itself, over this link. */
  standing: Standing | undefined
  ping: { readonly ref: number; readonly sentAtMs: Millis } | undefined
  /** When the first ping was sent since which nothing at all has been heard. */
  unansweredSinceMs: Millis | undefined
  /** Why we have had it closed. */
  closedFor: string | undefined
  rttMs: Millis | undefined
}

const roundTripsMax = 64

/** Whom we can send to, and how long a ping takes. */
export class Links {
  readonly #links = new Map<PeerId, Link>()
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

  up(peer: PeerId, nowMs: Millis): void {
    const never = Number.NEGATIVE_INFINITY
    const link = {
      toldAtMs: nowMs,
      stateSentAtMs: never,
      stateLeft: undefined,
      standing: undefined,
      ping: undefined,
      rttMs: undefined,
    }
    this.#links.set(peer, { sinceMs: nowMs, unansweredSinceMs: undefined, closedFor: undefined, ...link })
  }

  /** The link that was there. */
  down(peer: PeerId): Link | undefined {
    const link = this.#links.get(peer)
    this.#links.delete(peer)
    return link
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
    if (this.#roundTrips.length > roundTripsMax) this.#roundTrips.shift()
  }

  roundTrips(): readonly { readonly peer: PeerId; readonly rttMs: Millis; readonly atMs: Millis }[] {
    return this.#roundTrips
  }
}
