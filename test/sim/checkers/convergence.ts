import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { SimDisk } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/** After the heal every replica holds the same bytes of every feed (P3). Names up to one difference per feed and peer. */
export function checkConvergence(disks: Disks): readonly Anomaly[] {
  const [[first, reference] = [], ...others] = disks
  if (first === undefined || reference === undefined) return []
  return others.flatMap(([peer, disk]) => differences({ first, reference }, { peer, disk }))
}

export const isConverged = (disks: Disks): boolean => {
  const [reference, ...others] = disks.values()
  return reference !== undefined && others.every((disk) => sameHeads(reference, disk))
}

const keysOf = (...disks: readonly SimDisk[]): ReadonlySet<FeedKey> =>
  new Set(disks.flatMap((disk) => [...disk.feeds.keys()]))

function sameHeads(a: SimDisk, b: SimDisk): boolean {
  if (a.feeds.size !== b.feeds.size) return false
  return [...a.feeds].every(
    ([key, feed]) => feed.batches.at(-1)?.head.hash === b.feeds.get(key)?.batches.at(-1)?.head.hash,
  )
}

function differences(
  { first, reference }: { readonly first: PeerId; readonly reference: SimDisk },
  { peer, disk }: { readonly peer: PeerId; readonly disk: SimDisk },
): readonly Anomaly[] {
  const anomalies: Anomaly[] = []
  for (const key of keysOf(reference, disk)) {
    const ours = reference.feeds.get(key)?.batches ?? []
    const theirs = disk.feeds.get(key)?.batches ?? []
    const length = Math.max(ours.length, theirs.length)
    for (let index = 0; index < length; index++) {
      const [a, b] = [ours[index]?.bytes, theirs[index]?.bytes]
      if (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0) continue
      const detail = `${shortFeed(key)}: ${first} has ${ours.length} batches, ${peer} has ${theirs.length}; number ${index} differs`
      anomalies.push({ checker: 'convergence', detail })
      break
    }
  }
  return anomalies
}

const shortFeed = (key: FeedKey): string => {
  const [topicId, writer, epoch] = key.split('/')
  return `${topicId?.slice(0, 4)}/${writer}.${epoch?.slice(0, 4)}`
}
