import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { MemberState, MemberUpdate } from './messages.ts'

export type MemberStatus = { readonly type: 'alive' | 'dead' | 'left' } | Suspicion

/** Accusers in the order in which we heard of them. */
export interface Suspicion {
  readonly type: 'suspect'
  readonly accusers: ReadonlySet<PeerId>
  readonly fromMs: Millis
  readonly deadAtMs: Millis
}

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

/** What we now believe, and the state we believed before: the same, if somebody confirmed a suspicion. */
export interface MemberChange {
  readonly member: Member
  readonly from: MemberState | 'unknown'
}

/** When it is, and how long a suspect has to refute that so many accuse beside the first. */
export interface SuspicionTime {
  readonly nowMs: Millis
  readonly timeoutMs: (confirmations: number) => Millis
  /** More confirmations than these change nothing. */
  readonly confirmationsMax: number
}

/** What we believe of each member, ourselves included. */
export class MemberTable {
  readonly #members = new Map<PeerId, Member>()
  #revision = 0
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

  /** Rises with every change. */
  get revision(): number {
    return this.#revision
  }

  set(member: Member): void {
    this.#revision++
    this.#members.set(member.peer, member)
  }

  wouldChange(update: MemberUpdate): boolean {
    const known = this.#members.get(update.peer)
    return known === undefined || this.#supersedes(update, claimOf(known))
  }

  /** Believes `update` if it supersedes what we know; a suspicion that we share already gains accusers. */
  believe(update: MemberUpdate, time: SuspicionTime): MemberChange | undefined {
    const known = this.#members.get(update.peer)
    if (known !== undefined && !this.wouldChange(update)) return this.#confirm(known, update, time)
    const from = known?.status.type ?? 'unknown'
    const { peer, incarnation, by, reason } = update
    const sinceMs = known !== undefined && from === update.state ? known.sinceMs : time.nowMs
    const status: MemberStatus =
      update.state === 'suspect' ? this.#suspicion(new Set([by]), update, time.nowMs, time) : { type: update.state }
    const member = { peer, incarnation, status, sinceMs, by, reason }
    this.set(member)
    return { member, from }
  }

  #confirm(known: Member, update: MemberUpdate, time: SuspicionTime): MemberChange | undefined {
    const { status } = known
    if (status.type !== 'suspect' || update.state !== 'suspect' || update.incarnation !== known.incarnation)
      return undefined
    const before = status.accusers
    const after = this.#suspicion(before, update, status.fromMs, time)
    if (after.accusers.size === before.size) return undefined
    const member = { ...known, status: after }
    this.set(member)
    return { member, from: 'suspect' }
  }

  /** Only members may accuse, and only as many as matter are kept. */
  #suspicion(before: ReadonlySet<PeerId>, update: MemberUpdate, fromMs: Millis, time: SuspicionTime): Suspicion {
    const accusers = new Set(before)
    for (const peer of [update.by, ...(update.confirmedBy ?? [])]) {
      if (accusers.size > time.confirmationsMax) break
      if (this.#members.has(peer) && peer !== update.peer) accusers.add(peer)
    }
    return { type: 'suspect', accusers, fromMs, deadAtMs: fromMs + time.timeoutMs(accusers.size - 1) }
  }
}
