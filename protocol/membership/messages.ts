import type { PeerId } from '#protocol/ids'

/** Liveness of a member, as gossiped. Registry (who belongs) is separate: see `registry.ts`. */
export type MemberState = 'alive' | 'suspect' | 'dead' | 'left'

/**
 * What a member says of itself. Written by the subject alone, under its own counter; the entry with the higher counter
 * replaces the other. Addresses are `host:port`; `http` is the URL of its gateway; `zone` may be empty.
 */
export interface MemberFacts {
  readonly name: string
  readonly addresses: readonly string[]
  readonly http: string
  readonly zone: string
  readonly counter: number
}

/**
 * Whether a peer belongs. `leaving`: it belongs, is given no topic to keep any more, and hands over what it holds.
 * `forgotten`: it does not belong. The higher generation is the later word, and within one the graver; whoever is admitted
 * again begins the next.
 */
export interface RegistryStatus {
  readonly type: 'member' | 'leaving' | 'forgotten'
  readonly generation: number
}

/** One rumor. `by` is who says so (the accuser of a suspect), `reason` why; facts travel with what the subject says. */
export interface MemberUpdate {
  readonly peer: PeerId
  readonly state: MemberState
  readonly incarnation: number
  readonly by: PeerId
  readonly reason: string
  /** Of a suspect: who else accuses it, of their own observation. */
  readonly confirmedBy?: readonly PeerId[]
  readonly facts?: MemberFacts
  /** Left out of a member that has never been anything else. */
  readonly status?: RegistryStatus
}

/**
 * Whether a peer knows who belongs, so that acks may be counted against its registry: not while some of its seeds have
 * never been reached (`seeking`), nor while all have but nobody there knows either (`founding`). Only ever goes on.
 */
export type Standing = 'seeking' | 'founding' | 'merged'

/** SWIM over streams (DESIGN §6). `ref` numbers probes of their sender; updates ride on every message. */
export type MembershipMessage =
  | { readonly type: 'ping'; readonly ref: number; readonly updates: readonly MemberUpdate[] }
  | { readonly type: 'ack'; readonly ref: number; readonly updates: readonly MemberUpdate[] }
  | {
      readonly type: 'pingRequest'
      readonly ref: number
      readonly target: PeerId
      readonly updates: readonly MemberUpdate[]
    }
  /** The indirect prober's word that it is there but the target did not answer it. */
  | { readonly type: 'nack'; readonly ref: number; readonly updates: readonly MemberUpdate[] }
  | { readonly type: 'gossip'; readonly updates: readonly MemberUpdate[] }
  /**
   * What we believe of all members, as hashes of 8 hex digits for each bucket of them (`table-digest.ts`): whoever believes
   * something else tells all that it believes of the members in the buckets that differ. `reply` asks for the other side's.
   */
  | {
      readonly type: 'pushPullDigest'
      readonly buckets: string
      readonly standing: Standing
      readonly reply: boolean
    }
  /**
   * All that is believed of those members. Large tables come in pages, `more` on all but the last of them. Each page is sent when
   * the one before it has been read: all of them at once would be more than a link holds. `reply` asks for the other side's.
   */
  | {
      readonly type: 'pushPull'
      readonly members: readonly MemberUpdate[]
      readonly standing: Standing
      readonly reply: boolean
      readonly more: boolean
    }
  /** The page of a push-pull with `more` has been read: the next one may come. */
  | { readonly type: 'pushPullMore' }
  /**
   * Nothing but membership uses this link, and the sender has more than it wants to keep: may it be closed? `agreed`: the
   * answer, which is yes; a no is not told. What is closed so is no evidence of anything.
   */
  | { readonly type: 'rest'; readonly agreed: boolean }
