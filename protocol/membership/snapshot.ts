import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import type { GossipView, LinkView, MemberView } from '#protocol/views'
import type { Beliefs } from './beliefs.ts'
import type { LinkLimit } from './link-limit.ts'
import type { LinkCounts, Links } from './links.ts'
import type { Member } from './member.ts'
import type { Probes } from './probe.ts'
import type { Rejoin } from './rejoin.ts'

export interface SnapshotParts {
  readonly beliefs: Beliefs
  readonly links: Links
  readonly probes: Probes
  readonly limit: LinkLimit
  readonly rejoin: Rejoin
  readonly mergedAtMs: ReadonlyMap<PeerId, Millis>
  readonly counts: Omit<MembershipCounts, 'roundTrips'>
  readonly merged: boolean
  readonly awareness: number
}

/** Since the start. */
export interface MembershipCounts {
  /** Full states of others that were merged. */
  readonly pushPulls: number
  /** Times that somebody held us for suspect or dead. */
  readonly refutations: number
  /** Probes that were answered by an ack. */
  readonly roundTrips: number
}

type MissingLink = Pick<LinkView, 'sinceMs' | 'nextDialInMs' | 'dialAttempts' | 'lastError'>

export interface MembershipSnapshot extends GossipView {
  /** Links that are up; whether this peer needs them now, for something else than membership. */
  readonly links: readonly (Pick<LinkView, 'peer' | 'name' | 'sinceMs' | 'rttMs'> & { readonly needed: boolean })[]
  /** Links that are missing: whether each is being dialed, or when it will be. `target` is an address or a peer id. */
  readonly dials: readonly (MissingLink & {
    readonly target: string
    readonly type: 'seed' | 'member'
    readonly state: 'down' | 'dialing'
  })[]
  /** Members without a link, because nobody needs one. */
  readonly resting: number
  readonly linkCounts: LinkCounts
  readonly counts: MembershipCounts
  readonly registryVersion: string
  readonly merged: boolean
  readonly rejected: number
}

/** Everything membership believes (P8) as plain values; times are relative to `nowMs`, rounded for people (`protocol/views.ts`). */
export function snapshotOf(parts: SnapshotParts, nowMs: Millis): MembershipSnapshot {
  const { beliefs, links, probes, rejoin, mergedAtMs, merged, awareness } = parts
  const { self, registry, dissemination, history, rejected, incarnation } = beliefs
  const nameOf = (peer: PeerId): string => registry.nameOf(peer)
  const named = (peer: PeerId) => ({ peer, name: nameOf(peer) })
  const isListed = (peer: PeerId): boolean => peer === self || registry.belongs(peer)
  const views = [...beliefs.members.values()].map((member) => memberView(parts, member, nowMs))
  return {
    self: { id: self, name: nameOf(self), incarnation, awareness, ...doubleView(beliefs, nowMs) },
    members: views.filter(({ id }) => isListed(id as PeerId)),
    forgotten: views.filter(({ id }) => !isListed(id as PeerId)),
    rumors: dissemination.snapshot().flatMap(({ peer, sendsLeft }) => {
      const update = beliefs.updateOf(peer)
      if (update === undefined) return []
      return [{ ...named(peer), state: update.state, incarnation: update.incarnation, sendsLeft }]
    }),
    probes: probes.snapshot().map(({ target, phase, startedMs }) => {
      return { ...named(target), phase, sinceMs: wholeMs(nowMs - startedMs) }
    }),
    roundTrips: links.roundTrips().map(({ peer, rttMs, atMs }) => {
      return { ...named(peer), rttMs: roundedRttMs(rttMs), agoMs: wholeMs(nowMs - atMs) }
    }),
    pushPulls: [...mergedAtMs].map(([peer, atMs]) => ({ ...named(peer), agoMs: wholeMs(nowMs - atMs) })),
    events: history.snapshot().map(({ atMs, by, ...change }) => {
      return { ...change, agoMs: wholeMs(nowMs - atMs), name: nameOf(change.peer), by: nameOf(by) }
    }),
    links: links.peers().map((peer) => linkView(parts, peer, nowMs)),
    dials: dialViews(parts, nowMs),
    resting: rejoin.snapshot().filter(({ phase }) => phase === 'resting').length,
    linkCounts: links.counts,
    counts: { ...parts.counts, roundTrips: links.roundTripCount },
    registryVersion: registry.version,
    merged,
    rejected,
  }
}

function doubleView({ doubles: { last } }: Beliefs, nowMs: Millis): Pick<GossipView['self'], 'double'> {
  return last === undefined ? {} : { double: { agoMs: wholeMs(nowMs - last.atMs), addresses: last.addresses } }
}

function memberView({ beliefs, links }: SnapshotParts, member: Member, nowMs: Millis): MemberView {
  const { self, registry } = beliefs
  const { peer, status, incarnation, reason } = member
  const facts = registry.get(peer)?.facts
  const rttMs = links.get(peer)?.rttMs
  return {
    id: peer,
    name: registry.nameOf(peer),
    self: peer === self,
    state: status.type,
    status: registry.statusOf(peer)?.type ?? 'member',
    incarnation,
    sinceMs: wholeMs(nowMs - member.sinceMs),
    reason,
    ...(status.type === 'suspect' && {
      suspectedBy: [...status.accusers].map((accuser) => registry.nameOf(accuser)),
      deadInMs: wholeMs(Math.max(0, status.deadAtMs - nowMs)),
    }),
    http: facts?.http ?? '',
    addresses: facts?.addresses ?? [],
    zone: facts?.zone ?? '',
    linked: links.has(peer),
    ...(rttMs !== undefined && { rttMs: roundedRttMs(rttMs) }),
  }
}

function linkView(
  { beliefs, links, limit }: SnapshotParts,
  peer: PeerId,
  nowMs: Millis,
): MembershipSnapshot['links'][number] {
  const { sinceMs = nowMs, rttMs } = links.get(peer) ?? {}
  const name = beliefs.registry.nameOf(peer)
  const rtt = rttMs !== undefined && { rttMs: roundedRttMs(rttMs) }
  return { peer, name, sinceMs: wholeMs(nowMs - sinceMs), needed: limit.isNeeded(peer), ...rtt }
}

function dialViews({ rejoin }: SnapshotParts, nowMs: Millis): MembershipSnapshot['dials'] {
  return rejoin.snapshot().flatMap(({ target, phase, dueMs, startedMs, attempts, lastError }) => {
    if (phase === 'linked' || phase === 'resting') return []
    const view = {
      target: target.type === 'seed' ? target.address : target.peer,
      type: target.type,
      state: phase === 'dialing' ? ('dialing' as const) : ('down' as const),
      sinceMs: wholeMs(nowMs - startedMs),
      dialAttempts: attempts,
      ...(phase !== 'dialing' && { nextDialInMs: wholeMs(Math.max(0, dueMs - nowMs)) }),
      ...(lastError !== undefined && { lastError }),
    }
    return [view]
  })
}

const wholeMs = (ms: Millis): Millis => Math.round(ms)
const roundedRttMs = (ms: Millis): Millis => Math.round(ms * 100) / 100
