import type { Machine, Millis } from '#protocol/machine'
import type { PeerEffect, PeerInput } from '#protocol/peer/inputs'

type PeerMachine = Machine<PeerInput, PeerEffect>
type LinkNumber = Extract<PeerInput, { type: 'messageReceived' }>['link']

/** Some peers are of the version before this one, in so many of their runs: after that somebody has upgraded them. */
export interface OlderOptions {
  /** Indices of peers. */
  readonly peers: readonly number[]
  readonly runs: number
}

/**
 * The wire of the version before this one, put between a peer and its codec. It has no `pushPullDigest` (ADR 0020): it skips
 * those of others, as any type that it does not know; and where this version says its own, it tells all that it believes. For that the
 * peer is shown a digest in which everything differs. Who asks within a second of being told gets nothing, then as now.
 */
export class OlderVersion implements PeerMachine {
  readonly #peer: PeerMachine

  constructor(peer: PeerMachine) {
    this.#peer = peer
  }

  handle(input: PeerInput, nowMs: Millis): readonly PeerEffect[] {
    if (input.type !== 'messageReceived') return this.#translated(this.#peer.handle(input, nowMs), nowMs)
    const { link, message } = input
    if (message.type === 'pushPullDigest') return []
    const isAsked = message.type === 'pushPull' && message.reply && !message.more
    if (!isAsked) return this.#translated(this.#peer.handle(input, nowMs), nowMs)
    const merged = this.#peer.handle({ ...input, message: { ...message, reply: false } }, nowMs)
    return [...this.#translated(merged, nowMs), ...this.#everything(link, { reply: false }, nowMs)]
  }

  #translated(effects: readonly PeerEffect[], nowMs: Millis): readonly PeerEffect[] {
    return effects.flatMap((effect) => {
      const isDigest = effect.type === 'send' && effect.message.type === 'pushPullDigest'
      return isDigest ? this.#everything(effect.link, { reply: true }, nowMs) : [effect]
    })
  }

  #everything(link: LinkNumber, { reply }: { readonly reply: boolean }, nowMs: Millis): readonly PeerEffect[] {
    // `seeking`: who says so is told everything also while other news is under way.
    const digest = {
      type: 'pushPullDigest',
      buckets: 'deadbeef'.repeat(16),
      standing: 'seeking',
      reply: false,
    } as const
    return this.#peer.handle({ type: 'messageReceived', link, message: digest }, nowMs).map((effect) => {
      const isPage = effect.type === 'send' && effect.message.type === 'pushPull'
      return isPage ? { ...effect, message: { ...effect.message, reply } } : effect
    })
  }
}
