import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { MemoryBatch } from '#storage/memory-reading'
import { lengthOf, without } from '#protocol/log/offset-ranges'
import { heldOn, missingOn, soundBatches } from '../sim-disk.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import { isEmpty } from './floors.ts'

/** Whom a topic belongs to. */
export type HomeOf = (topicId: TopicId) => readonly PeerId[]

/**
 * After the heal every home member holds the same bytes of every feed of its topics (P3), and whoever else holds something
 * holds a part of that. What damage has taken at home is on no other disk. Names up to one difference per feed and peer.
 */
export function checkConvergence(disks: Disks, homeOf: HomeOf): readonly Anomaly[] {
  return [...keysOf(disks)].flatMap((key) => {
    const home = homeOf(topicOf(key))
    const first = home[0] as PeerId
    const reference = batchesOf(disks.get(first), key)
    const torn = isMended(disks, home, key)
      ? []
      : [{ checker: 'convergence', detail: `${shortFeed(key)}: damage is left` }]
    return [
      ...torn,
      ...[...disks].flatMap(([peer, disk]) => {
        const batches = batchesOf(disk, key)
        const differs = home.includes(peer) ? difference(reference, batches) : strayBatch(reference, batches)
        if (differs === undefined) return []
        const detail = `${shortFeed(key)}: ${first} has ${reference.length} batches, ${peer} has ${batches.length}; number ${differs} differs`
        return [{ checker: 'convergence', detail }]
      }),
    ]
  })
}

/** The same by heads and floors alone, to be asked often: they cover all between them, less what is damaged. */
export const isConverged = (disks: Disks, homeOf: HomeOf, staying: Disks = disks): boolean =>
  [...keysOf(disks)].every((key) => {
    const home = homeOf(topicOf(key))
    const heads = home.map((peer) => disks.get(peer)?.feeds.get(key)?.state.head)
    const furthest = Math.max(...[...disks.values()].map((disk) => disk.nextOffset(key)))
    const floors = [...staying.values()].flatMap((disk) => disk.feeds.get(key)?.state.floor.nextOffset ?? [])
    const isTrimmed = floors.every((floor) => floor === floors[0])
    const isLevel = heads.every((head) => head?.nextOffset === furthest && head.hash === heads[0]?.hash)
    return isTrimmed && isLevel && isMended(disks, home, key)
  })

/** All damage at home was found, and nobody holds what it has taken. */
function isMended(disks: Disks, home: readonly PeerId[], key: FeedKey): boolean {
  const all = [...disks.values()].flatMap((disk) => disk.feeds.get(key) ?? [])
  return home.every((peer) => {
    const feed = disks.get(peer)?.feeds.get(key)
    if (feed === undefined) return true
    const missing = missingOn(feed)
    if (missing.length === 0) return true
    const isFound = without(missing, feed.state.holes).length === 0
    return isFound && all.every((other) => lengthOf(without(missing, heldOn(other))) === lengthOf(missing))
  })
}

/** A feed that is empty everywhere is forgotten by one after the other. */
const keysOf = (disks: Disks): ReadonlySet<FeedKey> =>
  new Set([...disks.values()].flatMap(({ feeds }) => [...feeds].flatMap(([key, feed]) => (isEmpty(feed) ? [] : [key]))))

const topicOf = (key: FeedKey): TopicId => key.split('/')[0] as TopicId

const batchesOf = (disk: SimDisk | undefined, key: FeedKey): readonly MemoryBatch[] =>
  [disk?.feeds.get(key)].flatMap((feed) => (feed === undefined ? [] : soundBatches(feed)))

/** The number of the first batch that is not the same in both. */
function difference(ours: readonly MemoryBatch[], theirs: readonly MemoryBatch[]): number | undefined {
  for (let index = 0; index < Math.max(ours.length, theirs.length); index++) {
    if (!isSame(ours[index], theirs[index])) return index
  }
  return undefined
}

/** The number of the first batch of theirs that is not among ours. */
function strayBatch(ours: readonly MemoryBatch[], theirs: readonly MemoryBatch[]): number | undefined {
  const index = theirs.findIndex((batch) => !ours.some((one) => isSame(one, batch)))
  return index < 0 ? undefined : index
}

const isSame = (a: MemoryBatch | undefined, b: MemoryBatch | undefined): boolean =>
  a !== undefined && b !== undefined && Buffer.compare(a.bytes, b.bytes) === 0

const shortFeed = (key: FeedKey): string => {
  const [topicId, writer, epoch] = key.split('/')
  return `${topicId?.slice(0, 4)}/${writer}.${epoch?.slice(0, 4)}`
}
