import type { PeerId, TopicId } from '#protocol/ids'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { lengthOf, noRanges, united } from '#protocol/log/offset-ranges'
import { heldWithin, isEmptied } from './holding.ts'
import { digestOf } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Replication } from './replication.ts'

/** What one peer holds of a topic, as this peer knows it. */
export interface ReplicaHeads {
  readonly peer: PeerId
  /** At home, standing in for a home member, or only holding something of the topic: what it wrote, or once kept. */
  readonly role: 'home' | 'standIn' | 'other'
  /** False: the link is missed (or has not told everything yet), and this is the last we heard. */
  readonly current: boolean
  readonly heads: readonly FeedDigest[]
  /** Records that it misses against the furthest head known of each feed; nobody else than keepers is to have them. */
  readonly lag: number
}

export interface TopicHeads {
  /** Every home member is known to hold all that this peer knows to be held anywhere, hash by hash. */
  readonly converged: boolean
  /** This peer first, then home, stand-ins, and who else holds something. */
  readonly replicas: readonly ReplicaHeads[]
}

export function topicHeads(replication: Replication, self: PeerId, topicId: TopicId): TopicHeads {
  const home = replication.homes.of(topicId)
  const holdings = [...peersOf(replication, self, topicId)].map((peer) => holdingOf(replication, self, peer, topicId))
  const all = holdings.flatMap(({ heads }) => heads)
  const furthest = furthestHeads(all)
  const isHome = new Set(home.peers)
  const replicas = holdings.map((holding): ReplicaHeads => {
    const role = isHome.has(holding.peer) ? 'home' : home.keepers.has(holding.peer) ? 'standIn' : 'other'
    return { ...holding, role, lag: role === 'other' ? 0 : lagOf(lessLost(holding.heads, all), furthest) }
  })
  const atHome = replicas.filter(({ role }) => role === 'home')
  const converged =
    home.merged && atHome.every(({ current, heads }) => current && holdsAll(lessLost(heads, all), furthest))
  return { converged, replicas }
}

type Holding = Pick<ReplicaHeads, 'peer' | 'current' | 'heads'>

function peersOf({ homes, neighbors }: Replication, self: PeerId, topicId: TopicId): ReadonlySet<PeerId> {
  const holders = [...neighbors.values()].filter(({ peer, heads }) => {
    return homes.registered.has(peer) && [...heads.values()].some(({ feed }) => feed.topicId === topicId)
  })
  return new Set([self, ...homes.of(topicId).keepers, ...holders.map(({ peer }) => peer)])
}

function holdingOf(replication: Replication, self: PeerId, peer: PeerId, topicId: TopicId): Holding {
  const { local, neighbors } = replication
  if (peer === self) {
    return { peer, current: true, heads: local.ofTopic(topicId).flatMap((feed) => digestOf(feed) ?? []) }
  }
  const neighbor = neighbors.get(peer)
  const heads = [...(neighbor?.heads.values() ?? [])].filter(({ feed }) => feed.topicId === topicId)
  return { peer, current: replication.isCurrent(peer), heads }
}

/** The furthest head known of each feed, with the highest floor. */
function furthestHeads(heads: readonly FeedDigest[]): ReadonlyMap<FeedKey, FeedDigest> {
  const furthest = new Map<FeedKey, FeedDigest>()
  for (const head of heads) {
    const key = feedKeyOf(head.feed)
    const known = furthest.get(key)
    const floor = Math.max(head.floor, known?.floor ?? 0)
    const best = known === undefined || head.nextOffset > known.nextOffset ? head : known
    furthest.set(key, { ...best, floor })
  }
  return furthest
}

/** A hole counts as far as anybody is known to hold what is missing there. */
const lessLost = (heads: readonly FeedDigest[], all: readonly FeedDigest[]): readonly FeedDigest[] =>
  heads.map((head) => {
    const { holes: missing, ...whole } = head
    if (missing === undefined) return head
    const key = feedKeyOf(head.feed)
    const others = all.filter(({ feed }) => feedKeyOf(feed) === key)
    const held = others.flatMap((other) => missing.flatMap((hole) => heldWithin(other, hole)))
    return held.length === 0 ? whole : { ...whole, holes: united(held, noRanges) }
  })

/** Records that are missing: behind the heads, above the floors, and in holes. */
function lagOf(heads: readonly FeedDigest[], furthest: ReadonlyMap<FeedKey, FeedDigest>): number {
  const held = new Map(heads.map((head) => [feedKeyOf(head.feed), head]))
  let lag = 0
  for (const [key, { nextOffset, floor }] of furthest) {
    const head = held.get(key)
    lag += nextOffset - Math.max(floor, head?.nextOffset ?? floor) + lengthOf(head?.holes ?? noRanges)
  }
  return lag
}

function holdsAll(heads: readonly FeedDigest[], furthest: ReadonlyMap<FeedKey, FeedDigest>): boolean {
  const held = new Set(heads.map(({ feed }) => feedKeyOf(feed)))
  // What retention has emptied is forgotten by one after the other.
  const isMissing = [...furthest].some(([key, head]) => !held.has(key) && !isEmptied(head))
  return (
    !isMissing &&
    heads.every((head) => {
      const best = furthest.get(feedKeyOf(head.feed))
      const isLevel = best?.nextOffset === head.nextOffset && best.hash === head.hash && best.floor === head.floor
      return isLevel && head.holes === undefined
    })
  )
}
