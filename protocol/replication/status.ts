import type { PeerId, TopicId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'
import { digestOf } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Replication } from './replication.ts'

/** What one peer holds of a topic, as this peer knows it. */
export interface ReplicaHeads {
  readonly peer: PeerId
  /** False: the link is down (or has not told everything yet), and this is the last we heard. */
  readonly current: boolean
  readonly heads: readonly FeedDigest[]
  /** Records that it misses against the furthest head known of each feed. */
  readonly lag: number
}

export interface TopicHeads {
  /** Every registered member is known to hold exactly what this peer holds, hash by hash. */
  readonly converged: boolean
  /** One for each registered member, this peer first. */
  readonly replicas: readonly ReplicaHeads[]
}

export function topicHeads(replication: Replication, self: PeerId, topicId: TopicId): TopicHeads {
  const own = replication.local.ofTopic(topicId).flatMap((feed) => digestOf(feed) ?? [])
  const others = replication.home.peers
    .filter((peer) => peer !== self)
    .map((peer) => {
      const neighbor = replication.neighbors.get(peer)
      const heads = [...(neighbor?.heads.values() ?? [])].filter(({ feed }) => feed.topicId === topicId)
      return { peer, current: neighbor?.link?.digestComplete === true, heads }
    })
  const furthest = furthestHeads([own, ...others.map(({ heads }) => heads)].flat())
  const replicas = [{ peer: self, current: true, heads: own }, ...others].map((replica) => ({
    ...replica,
    lag: lagOf(replica.heads, furthest),
  }))
  const { merged } = replication.home
  return { converged: merged && others.every(({ current, heads }) => current && sameHeads(own, heads)), replicas }
}

function furthestHeads(heads: readonly FeedDigest[]): ReadonlyMap<FeedKey, FeedDigest> {
  const furthest = new Map<FeedKey, FeedDigest>()
  for (const head of heads) {
    const key = feedKeyOf(head.feed)
    if (head.nextOffset > (furthest.get(key)?.nextOffset ?? NOTHING)) furthest.set(key, head)
  }
  return furthest
}

function lagOf(heads: readonly FeedDigest[], furthest: ReadonlyMap<FeedKey, FeedDigest>): number {
  const held = new Map(heads.map((head) => [feedKeyOf(head.feed), head.nextOffset]))
  let lag = 0
  for (const [key, { nextOffset, floor }] of furthest) lag += nextOffset - (held.get(key) ?? floor)
  return lag
}

function sameHeads(ours: readonly FeedDigest[], theirs: readonly FeedDigest[]): boolean {
  const held = new Map(theirs.map((head) => [feedKeyOf(head.feed), head]))
  return (
    ours.length === theirs.length &&
    ours.every(({ feed, nextOffset, hash }) => {
      const other = held.get(feedKeyOf(feed))
      return other?.nextOffset === nextOffset && other.hash === hash
    })
  )
}
