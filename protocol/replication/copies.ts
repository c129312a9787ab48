import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import { lengthOf, noRanges } from '#protocol/log/offset-ranges'
import { digestOf } from './local-feeds.ts'
import type { FeedDigest } from './messages.ts'
import type { Replication } from './replication.ts'

/** How far the records of one topic have come, as this peer knows it: a neighbor without a link counts with its last word. */
export interface TopicCopies {
  /** That anybody holds, as far as this peer knows. */
  readonly records: number
  /** Records that each keeper, stand-ins too, misses against the furthest head known of each feed. */
  readonly lag: ReadonlyMap<PeerId, number>
  /** Records that at least one home member misses. */
  readonly underReplicated: number
  /** Records that only one registered member holds: they are lost with its disk. */
  readonly single: number
}

/** All topics in one pass over all heads: `topicHeads` for each would look at every head once per topic. */
export function copiesOfTopics(replication: Replication, self: PeerId): ReadonlyMap<TopicId, TopicCopies> {
  const members = [...replication.homes.registered]
  const feeds = new Map<FeedKey, FeedEnds>()
  members.forEach((peer, index) => {
    const heads = peer === self ? ownHeads(replication) : replication.neighbors.get(peer)?.heads
    for (const [key, head] of heads ?? []) addHead(feedEnds(feeds, key, head, members.length), index, head)
  })
  const topics = new Map<TopicId, FeedEnds[]>()
  for (const feed of feeds.values()) {
    const siblings = topics.get(feed.topicId)
    if (siblings === undefined) topics.set(feed.topicId, [feed])
    else siblings.push(feed)
  }
  const indexOf = new Map(members.map((peer, index) => [peer, index]))
  return new Map(
    [...topics].map(([topicId, siblings]) => {
      const { peers, standIns } = replication.homes.of(topicId)
      const placesOf = (some: readonly PeerId[]) => some.map((peer) => [peer, indexOf.get(peer) as number] as const)
      return [topicId, copiesOf(siblings, placesOf(peers), placesOf(standIns))]
    }),
  )
}

/**
 * Where one feed ends at each registered member, in the order of these; at its floor where it is not held at all. A hole counts
 * as missing at the end: exactly which records those are does not matter to a sum.
 */
interface FeedEnds {
  readonly topicId: TopicId
  /** The highest that is known. */
  floor: number
  readonly ends: number[]
}

function* ownHeads({ local }: Replication): Generator<readonly [FeedKey, FeedDigest]> {
  for (const feed of local.all()) {
    const head = digestOf(feed)
    if (head !== undefined) yield [feed.key, head]
  }
}

function feedEnds(feeds: Map<FeedKey, FeedEnds>, key: FeedKey, { feed, floor }: FeedDigest, members: number): FeedEnds {
  const known = feeds.get(key)
  if (known !== undefined) return known
  const made = { topicId: feed.topicId, floor, ends: Array.from<number>({ length: members }).fill(0) }
  feeds.set(key, made)
  return made
}

function addHead(feed: FeedEnds, index: number, { floor, nextOffset, holes = noRanges }: FeedDigest): void {
  feed.floor = Math.max(feed.floor, floor)
  feed.ends[index] = nextOffset - lengthOf(holes)
}

type Places = readonly (readonly [PeerId, index: number])[]

function copiesOf(feeds: readonly FeedEnds[], home: Places, standIns: Places): TopicCopies {
  const lag = new Map([...home, ...standIns].map(([peer]) => [peer, 0]))
  let [records, underReplicated, single] = [0, 0, 0]
  for (const { floor, ends } of feeds) {
    const [furthest, second] = twoFurthest(ends, floor)
    const lackedAt = ([peer, index]: Places[number]): number => {
      const lacked = furthest - Math.max(floor, ends[index] as number)
      lag.set(peer, (lag.get(peer) as number) + lacked)
      return lacked
    }
    const missing = Math.max(0, ...home.map(lackedAt))
    for (const standIn of standIns) lackedAt(standIn)
    records += furthest - floor
    underReplicated += missing
    single += furthest - second
  }
  return { records, lag, underReplicated, single }
}

/** The second is at the floor when there is one member only. */
function twoFurthest(ends: readonly number[], floor: number): readonly [number, number] {
  let [furthest, second] = [floor, floor]
  for (const end of ends) {
    if (end > furthest) [furthest, second] = [end, furthest]
    else if (end > second) second = end
  }
  return [furthest, second]
}
