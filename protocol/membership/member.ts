import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { MemberState, MemberUpdate } from './messages.ts'

export type MemberStatus =
  | { readonly type: 'alive' | 'dead' | 'left' }
  | { readonly type: 'suspect'; readonly accusers: ReadonlySet<PeerId>; readonly deadAtMs: Millis }

/** A peer as we see it. `by` and `reason` say whose word that is and why. */
export interface Member {
  readonly peer: PeerId
  readonly incarnation: number
  readonly status: MemberStatus
  readonly sinceMs: Millis
  readonly by: PeerId
  readonly reason: string
}

export interface Claim {
  readonly state: MemberState
  readonly incarnation: number
}

const rank: Readonly<Record<MemberState, number>> = { alive: 0, suspect: 1, dead: 2, left: 3 }

/**
 * Does claim `a` replace claim `b` about the same member? The later incarnation wins, and within one the graver state
 * (SWIM 4.2; `dead` yields to a later incarnation as in memberlist). A total order, so the order in which claims arrive
 * does not matter.
 */
export function supersedes(a: Claim, b: Claim): boolean {
  return a.incarnation === b.incarnation ? rank[a.state] > rank[b.state] : a.incarnation > b.incarnation
}

export type Supersedes = typeof supersedes

export const claimOf = (member: Member): Claim => ({ state: member.status.type, incarnation: member.incarnation })

/** What we now believe, and the state we believed before. */
export interface MemberChange {
  readonly member: Member
  readonly from: MemberState | 'unknown'
}

/** What we believe of each member, ourselves included. */
export class MemberTable {
  readonly #members = new Map<PeerId, Member>()
  readonly #supersedes: Supersedes

  constructor(rule: Supersedes) {
    this.#supersedes = rule
  }

  get(peer: PeerId): Member | undefined {
    return this.#members.get(peer)
  }

  values(): Iterable<Member> {
    return this.#members.values()
  }

  set(member: Member): void {
    this.#members.set(member.peer, member)
  }

  wouldChange(update: MemberUpdate): boolean {
    const known = this.#members.get(update.peer)
    return known === undefined || this.#supersedes(update, claimOf(known))
  }

  /** Believes `update` if it supersedes what we know; a suspicion that we share already gains an accuser. */
  believe(update: MemberUpdate, time: { readonly nowMs: Millis; readonly deadAtMs: Millis }): MemberChange | undefined {
    const known = this.#members.get(update.peer)
    if (!this.wouldChange(update)) {
      if (known !== undefined) this.#addAccuser(known, update)
      return undefined
    }
    const from = known?.status.type ?? 'unknown'
    const { peer, incarnation, by, reason } = update
    const sinceMs = known !== undefined && from === update.state ? known.sinceMs : time.nowMs
    const status: MemberStatus =
      update.state === 'suspect'
        ? { type: 'suspect', accusers: new Set([by]), deadAtMs: time.deadAtMs }
        : { type: update.state }
    const member = { peer, incarnation, status, sinceMs, by, reason }
    this.#members.set(peer, member)
    return { member, from }
  }

  #addAccuser(known: Member, update: MemberUpdate): void {
    if (known.status.type !== 'suspect' || update.state !== 'suspect') return
    // Only members may accuse: that bounds the set.
    if (update.incarnation !== known.incarnation || !this.#members.has(update.by)) return
    const accusers = new Set([...known.status.accusers, update.by])
    this.#members.set(known.peer, { ...known, status: { ...known.status, accusers } })
  }
}
