import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { Dissemination } from './dissemination.ts'
import type { Links } from './links.ts'
import type { Member, MemberTable } from './member.ts'
import type { MemberState } from './messages.ts'
import type { Probes } from './probe.ts'
import type { Registry } from './registry.ts'
import type { Rejoin } from './rejoin.ts'

/** A change of state as it was seen here. */
export interface StateChange {
  readonly atMs: Millis
  readonly peer: PeerId
  readonly from: MemberState | 'unknown'
  readonly to: MemberState
  readonly incarnation: number
  readonly by: PeerId
  readonly reason: string
}

/** The last state changes, oldest first. */
export class History {
  readonly #changes: StateChange[] = []
  readonly #lengthMax = 256

  record(change: StateChange): void {
    this.#changes.push(change)
    if (this.#changes.length > this.#lengthMax) this.#changes.shift()
  }

  snapshot(): readonly StateChange[] {
    return this.#changes
  }
}

export interface Believed {
  readonly self: PeerId
  readonly members: MemberTable
  readonly registry: Registry
  readonly links: Links
  readonly probes: Probes
  readonly dissemination: Dissemination
  readonly rejoin: Rejoin
  readonly history: History
  readonly mergedAtMs: ReadonlyMap<PeerId, Millis>
  readonly merged: boolean
  readonly rejected: number
}

export type MembershipSnapshot = ReturnType<typeof snapshotOf>

/** Everything membership believes (P8) as plain values; times are relative to `nowMs`. Shows members by name. */
export function snapshotOf(believed: Believed, nowMs: Millis) {
  const { self, members, registry, links, probes, dissemination, history, mergedAtMs } = believed
  const nameOf = (peer: PeerId): string => registry.get(peer)?.facts.name ?? peer
  return {
    self: { id: self as string, name: nameOf(self), incarnation: members.get(self)?.incarnation ?? 0 },
    members: [...members.values()].map((member) => memberView(believed, member, nameOf, nowMs)),
    rumors: dissemination.snapshot().flatMap(({ peer, sendsLeft }) => {
      const member = members.get(peer)
      if (member === undefined) return []
      const { incarnation, status } = member
      return [{ about: nameOf(peer), state: status.type as string, incarnation, sendsLeft }]
    }),
    probes: probes.snapshot().map(({ target, phase, startedMs }) => {
      return { peer: nameOf(target), phase, sinceMs: nowMs - startedMs }
    }),
    roundTrips: links.roundTrips().map(({ peer, rttMs, atMs }) => {
      return { peer: nameOf(peer), rttMs, agoMs: nowMs - atMs }
    }),
    pushPulls: [...mergedAtMs].map(([peer, atMs]) => ({ peer: nameOf(peer), agoMs: nowMs - atMs })),
    events: history.snapshot().map(({ atMs, peer, by, ...change }) => {
      return { agoMs: nowMs - atMs, peer: peer as string, name: nameOf(peer), by: nameOf(by), ...change }
    }),
    links: links.peers().flatMap((peer) => {
      const link = links.get(peer)
      if (link === undefined) return []
      const { sinceMs, rttMs } = link
      return [{ peer: peer as string, name: nameOf(peer), sinceMs: nowMs - sinceMs, ...(rttMs !== undefined && { rttMs }) }]
    }),
    dials: dialViews(believed, nowMs),
    registryVersion: registry.version,
    merged: believed.merged,
    /** Updates and messages of others that were refused: absurd, over a bound, or about nobody we know. */
    rejected: believed.rejected,
  }
}

function memberView(
  { self, registry, links }: Believed,
  member: Member,
  nameOf: (peer: PeerId) => string,
  nowMs: Millis,
) {
  const { peer, status, incarnation, reason } = member
  const facts = registry.get(peer)?.facts
  const rttMs = links.get(peer)?.rttMs
  return {
    id: peer as string,
    name: nameOf(peer),
    self: peer === self,
    state: status.type,
    incarnation,
    sinceMs: nowMs - member.sinceMs,
    reason,
    ...(status.type === 'suspect' && {
      suspectedBy: [...status.accusers].map(nameOf),
      deadInMs: Math.max(0, status.deadAtMs - nowMs),
    }),
    http: facts?.http ?? '',
    addresses: facts?.addresses ?? [],
    zone: facts?.zone ?? '',
    linked: links.has(peer),
    ...(rttMs !== undefined && { rttMs }),
  }
}

/** Links that are missing: whether each is being dialed, or when it will be. */
function dialViews({ rejoin }: Believed, nowMs: Millis) {
  return rejoin.snapshot().flatMap(({ target, phase, dueMs, startedMs, attempts, lastError }) => {
    if (phase === 'linked') return []
    return [
      {
        target: target.type === 'seed' ? target.address : (target.peer as string),
        type: target.type,
        state: phase === 'dialing' ? ('dialing' as const) : ('down' as const),
        sinceMs: nowMs - startedMs,
        dialAttempts: attempts,
        ...(phase === 'waiting' && { nextDialInMs: Math.max(0, dueMs - nowMs) }),
        ...(lastError !== undefined && { lastError }),
      },
    ]
  })
}
