import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'

/**
 * The wall time that retention by age goes by: the latest that the clocks of more than half of all registered members have
 * reached. While fewer than half of them run ahead it is never later than the true time, so no wrong clock lets go of what
 * should live; one that runs behind delays nothing, as long as enough others are heard. Without word of so many clocks
 * since the start of this peer there is no such time.
 */
export class MeshTime {
  /** Of each clock against the monotonic one of this peer. What was on its way for long looks behind, which does no harm. */
  readonly #offsets = new Map<PeerId, Millis>()
  readonly #heardMs = new Map<PeerId, Millis>()

  told(peer: PeerId, wallMs: Millis, nowMs: Millis): void {
    this.#offsets.set(peer, wallMs - nowMs)
    this.heard(peer, nowMs)
  }

  /** It has said something, whatever it was: all that it had said before has come. */
  heard(peer: PeerId, nowMs: Millis): void {
    this.#heardMs.set(peer, nowMs)
  }

  /** What the clock of the peer showed when it was heard last, or a little later. */
  whenHeard(peer: PeerId): Millis | undefined {
    const heardMs = this.#heardMs.get(peer)
    return heardMs === undefined ? undefined : this.of(peer, heardMs)
  }

  /** What the clock of the peer shows now, as far as is known here. */
  of(peer: PeerId, nowMs: Millis): Millis | undefined {
    const offset = this.#offsets.get(peer)
    return offset === undefined ? undefined : offset + nowMs
  }

  /** Of a mesh with these members. */
  now(members: ReadonlySet<PeerId>, nowMs: Millis): Millis | undefined {
    const clocks = [...members].flatMap((peer) => this.of(peer, nowMs) ?? []).toSorted((a, b) => b - a)
    return clocks[Math.floor(members.size / 2)]
  }
}
