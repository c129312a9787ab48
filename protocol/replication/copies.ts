import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import { digestOf } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Replication } from './replication.ts'

/** How far the records of one topic have come, as this peer knows it: a neighbor without a link counts with its last word. */
export interface TopicCopies {
  /** That anybody holds, as far as this peer knows. */
  readonly records: number
  /** Records that each registered member misses, against the furthest head known of each feed. */
  readonly lag: ReadonlyMap<PeerId, number>
  /** Records that at least one registered member misses. */
  readonly underReplicated: number
  /** Records that only one registered member holds: they are lost with its disk. */
  readonly single: number
}

/** All topics in one pass over all heads: `topicHeads` for each would look at every head once per topic. */
export function copiesOfTopics(replication: Replication, self: PeerId): ReadonlyMap<TopicId, TopicCopies> {
  const replicas = [self, ...replication.home.peers.filter((peer) => peer !== self)]
  const feeds = new Map<FeedKey, FeedEnds>()
  replicas.forEach((peer, index) => {
    const heads = peer === self ? ownHeads(replication) : replication.neighbors.get(peer)?.heads
    for (const [key, head] of heads ?? []) endsOf(feeds, key, head, replicas.length)[index] = head.nextOffset
  })
  const topics = new Map<TopicId, FeedEnds[]>()
  for (const feed of feeds.values()) {
    const siblings = topics.get(feed.topicId)
    if (siblings === undefined) topics.set(feed.topicId, [feed])
    else siblings.push(feed)
  }
  return new Map([...topics].map(([topicId, siblings]) => [topicId, copiesOf(siblings, replicas)]))
}

/** Where one feed ends at each replica, in the order of the replicas; at its floor where it is not held at all. */
interface FeedEnds {
  readonly topicId: TopicId
  readonly floor: number
  readonly ends: number[]
}

function* ownHeads({ local }: Replication): Generator<readonly [FeedKey, FeedDigest]> {
  for (const feed of local.all()) {
    const head = digestOf(feed)
    if (head !== undefined) yield [feed.key, head]
  }
}

function endsOf(feeds: Map<FeedKey, FeedEnds>, key: FeedKey, { feed, floor }: FeedDigest, replicas: number): number[] {
  const known = feeds.get(key)
  if (known !== undefined) return known.ends
  const ends = Array.from<number>({ length: replicas }).fill(floor)
  feeds.set(key, { topicId: feed.topicId, floor, ends })
  return ends
}

function copiesOf(feeds: readonly FeedEnds[], replicas: readonly PeerId[]): TopicCopies {
  const lag = replicas.map(() => 0)
  let [records, underReplicated, single] = [0, 0, 0]
  for (const { floor, ends } of feeds) {
    const { furthest, second, nearest } = extremesOf(ends, floor)
    records += furthest - floor
    underReplicated += furthest - nearest
    single += furthest - second
    for (let i = 0; i < ends.length; i++) lag[i] = (lag[i] as number) + furthest - (ends[i] as number)
  }
  return { records, lag: new Map(replicas.map((peer, i) => [peer, lag[i] as number])), underReplicated, single }
}

/** The two furthest ends, the second at the floor when there is one replica only, and the nearest. */
function extremesOf(ends: readonly number[], floor: number) {
  let [furthest, second, nearest] = [floor, floor, Number.POSITIVE_INFINITY]
  for (const end of ends) {
    if (end > furthest) [furthest, second] = [end, furthest]
    else if (end > second) second = end
    if (end < nearest) nearest = end
  }
  return { furthest, second, nearest }
}
