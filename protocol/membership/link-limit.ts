import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'
import type { Link, Links } from './links.ts'

export interface LinkLimitDeps {
  readonly config: MembershipConfig
  readonly links: Links
  /** How many belong to the mesh, this peer included. */
  readonly members: () => number
  /** Does membership itself wait for something over the link with that peer? */
  readonly isAwaited: (peer: PeerId) => boolean
}

/**
 * Which links are closed because there are more than are wanted (DESIGN §6, ADR 0018). Where no more others belong than
 * `linksMax`, none is, whoever else is linked: one that was forgotten and drains, say. Replication counts the same (`link-needs.ts`).
 * 1. A link is idle when nothing but membership has used it for `linkIdleMs`, and nobody here needs it.
 * 2. Above `linksMax` those idle for longest are closed, if the other side finds them idle too (`rest`). Who has few links
 *    itself does not agree: nobody is to be cut off by the thrift of others.
 * 3. The end of such a link is no evidence, and nobody dials. The next that needs it does; at the latest a probe, within a
 *    round. So all pairs meet once per round of probes, and what waits for that comes about.
 */
export class LinkLimit {
  readonly #deps: LinkLimitDeps
  #needed: ReadonlySet<PeerId> = new Set()

  constructor(deps: LinkLimitDeps) {
    this.#deps = deps
  }

  needs(peers: ReadonlySet<PeerId>, nowMs: Millis): void {
    this.#markNeeded(nowMs)
    this.#needed = peers
    this.#markNeeded(nowMs)
  }

  isNeeded(peer: PeerId): boolean {
    return this.#needed.has(peer)
  }

  /** So many are linked or being linked: one more has to be needed. */
  isFull(dialing: number): boolean {
    return this.isLimited && this.#deps.links.count + dialing >= this.#deps.config.linksMax
  }

  /** With whom links are to be closed, those not used for longest first. Whoever does not agree is asked again after a while. */
  surplus(nowMs: Millis): readonly PeerId[] {
    const { links, config } = this.#deps
    const surplus = this.#standing(nowMs) - config.linksMax
    if (!this.isLimited || surplus <= 0) return []
    const isDue = ([peer, link]: readonly [PeerId, Link]): boolean =>
      this.#isIdle(peer, link, nowMs) && nowMs - link.restAskedMs >= config.linkIdleMs
    const idle = [...links.all()].filter(isDue).toSorted(([, a], [, b]) => a.usedAtMs - b.usedAtMs)
    return idle.slice(0, surplus).map(([peer]) => peer)
  }

  /** The other side has no use for the link: have we? */
  agrees(peer: PeerId, nowMs: Millis): boolean {
    const { links, config } = this.#deps
    const link = links.get(peer)
    if (!this.isLimited || link === undefined || !this.#isIdle(peer, link, nowMs)) return false
    return this.#standing(nowMs) > Math.ceil(config.linksMax / 2)
  }

  /** The other side agrees to what we have asked: is it still so? */
  confirms(peer: PeerId, nowMs: Millis): boolean {
    const link = this.#deps.links.get(peer)
    return link !== undefined && Number.isFinite(link.restAskedMs) && this.#isIdle(peer, link, nowMs)
  }

  /** More others belong than links are kept. */
  get isLimited(): boolean {
    const { members, config } = this.#deps
    return members() - 1 > config.linksMax
  }

  #isIdle(peer: PeerId, link: Link, nowMs: Millis): boolean {
    const { config, isAwaited } = this.#deps
    const isUsed = this.#needed.has(peer) || nowMs - link.usedAtMs < config.linkIdleMs
    return !isUsed && !isAwaited(peer)
  }

  #markNeeded(nowMs: Millis): void {
    for (const peer of this.#needed) this.#deps.links.used(peer, nowMs)
  }

  /** Links that are not about to be closed. */
  #standing(nowMs: Millis): number {
    return [...this.#deps.links.all().values()].filter((link) => !isAtRest(link, nowMs)).length
  }
}

/** Its end has been agreed on, not long ago. */
export const isAtRest = ({ restUntilMs }: Link, nowMs: Millis): boolean =>
  restUntilMs !== undefined && nowMs <= restUntilMs
