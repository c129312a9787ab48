import type { PeerId, TopicId } from '#protocol/ids'
import { murmur3 } from '#protocol/murmur3'

/** A registered peer as placement sees it: where it stands counts, whether it is alive does not. */
export interface RegisteredMember {
  readonly peer: PeerId
  /** Its place, such as a site; copies are spread over zones first. Empty is a zone like any other. */
  readonly zone: string
}

/**
 * All members in the order in which they are asked to keep a topic: rendezvous hashing (Thaler and Ravishankar, 1998), by
 * zones. Each next one is the highest scored among those whose zone was picked least, so the best of each zone come before
 * the second best of any. Whoever has the same registry finds the same order; a member that joins or goes moves itself
 * only (the laws are tested).
 */
export function placementOrder(topicId: TopicId, members: readonly RegisteredMember[]): readonly PeerId[] {
  const scored = members.map(({ peer, zone }) => ({ peer, zone, score: scoreOf(topicId, peer) }))
  const picked = new Map<string, number>()
  const rounds: PeerId[][] = []
  for (const { peer, zone } of scored.toSorted((a, b) => b.score - a.score || (a.peer < b.peer ? -1 : 1))) {
    const round = picked.get(zone) ?? 0
    picked.set(zone, round + 1)
    const taken = rounds[round]
    if (taken === undefined) rounds.push([peer])
    else taken.push(peer)
  }
  return rounds.flat()
}

/**
 * Who keeps a topic: its home, the first `replicas` of the order, and for each of these that is long absent a stand-in, the
 * next in order that is not. Home is what acks count; it knows nothing of who is alive, so that the halves of a split
 * cannot make a home of their own.
 */
export function keepersOf(
  order: readonly PeerId[],
  { replicas, isAbsent }: { readonly replicas: number; readonly isAbsent: (peer: PeerId) => boolean },
): { readonly home: readonly PeerId[]; readonly standIns: readonly PeerId[] } {
  const home = order.slice(0, replicas)
  const missing = home.filter(isAbsent).length
  const others = order.slice(home.length)
  return { home, standIns: missing === 0 ? [] : others.filter((peer) => !isAbsent(peer)).slice(0, missing) }
}

/** A topic id is a hash already; its first 32 bits seed that of the member. */
export const scoreOf = (topicId: TopicId, peer: PeerId): number =>
  murmur3(peer, Number.parseInt(topicId.slice(0, 8), 16))
