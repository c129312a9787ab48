import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { MemberUpdate } from './messages.ts'

/** How often each member sends a rumor on (memberlist's formula). It steps at powers of ten, see the README. */
export function retransmitLimit(options: { readonly retransmitMult: number; readonly members: number }): number {
  return options.retransmitMult * Math.ceil(Math.log10(options.members + 1))
}

interface Rumor {
  sends: number
  /** Rumors of equal sends go newest first. */
  readonly order: number
}

/**
 * Which members there is news about. A rumor is put into words only when it is sent, from what we believe then, so a
 * newer belief replaces an older one in the queue by itself.
 */
export class Dissemination {
  readonly #rumors = new Map<PeerId, Rumor>()
  readonly #describe: (peer: PeerId) => MemberUpdate | undefined
  readonly #sendsMax: () => number
  #order = 0

  constructor(deps: {
    readonly describe: (peer: PeerId) => MemberUpdate | undefined
    readonly sendsMax: () => number
  }) {
    this.#describe = deps.describe
    this.#sendsMax = deps.sendsMax
  }

  get isEmpty(): boolean {
    return this.#rumors.size === 0
  }

  /** There is news about `peer`: it is told anew, as often as any news. */
  spread(peer: PeerId): void {
    this.#rumors.set(peer, { sends: 0, order: ++this.#order })
  }

  /** The updates to ride on one message that is sent now: those told least often first. */
  take(): MemberUpdate[] {
    if (this.#rumors.size === 0) return []
    const sendsMax = this.#sendsMax()
    const queue = [...this.#rumors].toSorted(([, a], [, b]) => a.sends - b.sends || b.order - a.order)
    const updates: MemberUpdate[] = []
    for (const [peer, rumor] of queue.slice(0, limits.updatesPerMessageMax)) {
      const update = this.#describe(peer)
      if (update !== undefined) updates.push(update)
      rumor.sends += 1
      if (rumor.sends >= sendsMax) this.#rumors.delete(peer)
    }
    return updates
  }

  snapshot(): readonly { readonly peer: PeerId; readonly sendsLeft: number }[] {
    const sendsMax = this.#sendsMax()
    return [...this.#rumors].map(([peer, { sends }]) => ({ peer, sendsLeft: Math.max(0, sendsMax - sends) }))
  }
}
