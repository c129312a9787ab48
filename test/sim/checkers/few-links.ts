import type { SimPeer } from '../sim-peer.ts'
import type { LinkOptions } from '../swarm.ts'
import type { Anomaly } from './anomaly.ts'

/** Looks before these are of a mesh that still works. */
const looksSkipped = 20
/** From when a link may be closed to when both sides have agreed, and done it. */
const closingMs = 2_000

/**
 * In a quiet mesh the links that nobody needs are few: as many as are wanted, and those that probes have just dialed, about two a
 * second at each peer, which may not be closed for `linkIdleMs`. Over many looks, on average: what is idle is a matter of chance.
 */
export class FewLinks {
  readonly #options: LinkOptions
  #looks = 0
  #idle = 0
  #others = 0

  constructor(options: LinkOptions) {
    this.#options = options
  }

  look(peers: readonly SimPeer[]): void {
    if (++this.#looks <= looksSkipped) return
    const needs = new Set(
      peers.flatMap((peer) => linksOf(peer).flatMap((link) => (link.needed ? [pair(peer.id, link.peer)] : []))),
    )
    for (const peer of peers)
      this.#idle += linksOf(peer).filter((link) => !needs.has(pair(peer.id, link.peer))).length / peers.length
    this.#others = peers.length - 1
  }

  anomalies(): readonly Anomaly[] {
    const { linksMax, linkIdleMs } = this.#options
    const idle = this.#idle / (this.#looks - looksSkipped)
    const idleMax = linksMax + (2 * (linkIdleMs + closingMs)) / 1_000
    if (idle <= idleMax || this.#others <= linksMax) return []
    const detail = `${idle.toFixed(1)} links of a peer are idle, where ${linksMax} are wanted, and ${idleMax.toFixed(1)} may be`
    return [{ checker: 'links', detail }]
  }
}

const linksOf = ({ driver, upForMs }: SimPeer) => driver?.peer.membership.snapshot(upForMs).links ?? []

const pair = (a: string, b: string): string => [a, b].toSorted().join(' ')
