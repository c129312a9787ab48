import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'

interface Link {
  readonly sinceMs: Millis
  /** When we last told this peer what is believed of it. */
  toldAtMs: Millis
  /** When we last sent it our full state. */
  stateSentAtMs: Millis
  ping: { readonly ref: number; readonly sentAtMs: Millis } | undefined
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
    const link = { toldAtMs: nowMs, stateSentAtMs: never, ping: undefined, rttMs: undefined }
    this.#links.set(peer, { sinceMs: nowMs, ...link })
  }

  /** False if there was no link. */
  down(peer: PeerId): boolean {
    return this.#links.delete(peer)
  }

  pinged(peer: PeerId, ref: number, nowMs: Millis): void {
    const link = this.#links.get(peer)
    if (link !== undefined) link.ping = { ref, sentAtMs: nowMs }
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
