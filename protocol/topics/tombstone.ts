import type { PeerId } from '#protocol/ids'
import type { Head } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import { joinMaps, type Run, sameMaps } from './register.ts'

/** A generation of a topic that was deleted: on two sides of a split maybe twice. */
export interface Tombstone {
  /** Who deleted it, and when by its wall clock. */
  readonly by: ReadonlyMap<PeerId, number>
  /**
   * What they saw: heads of the feeds of that generation. Up to there records go; what lies beyond was published by
   * somebody who did not know of the deletion. At most `tombstoneFeedsMax` feeds; of any other nothing was seen.
   */
  readonly upTo: ReadonlyMap<Run, Head>
}

/** Both deletions hold, and what either saw may go. */
export const joinTombstones = (a: Tombstone, b: Tombstone): Tombstone => ({
  by: largestKeys(joinMaps(a.by, b.by, Math.max), limits.tombstoneDeletersMax),
  upTo: largestKeys(joinMaps(a.upTo, b.upTo, furthest), limits.tombstoneFeedsMax),
})

export const sameTombstones = (a: Tombstone, b: Tombstone): boolean =>
  a === b ||
  (sameMaps(a.by, b.by) &&
    sameMaps(a.upTo, b.upTo, (one, other) => one.nextOffset === other.nextOffset && one.hash === other.hash))

/** The bound of a join has to be one too, so it goes by keys alone: those of the largest keys stay, in whatever order maps are joined. */
export function largestKeys<K extends string | number, T>(map: ReadonlyMap<K, T>, countMax: number): ReadonlyMap<K, T> {
  if (map.size <= countMax) return map
  return new Map([...map].toSorted(([a], [b]) => (a < b ? 1 : -1)).slice(0, countMax))
}

const furthest = (a: Head, b: Head): Head =>
  a.nextOffset > b.nextOffset || (a.nextOffset === b.nextOffset && a.hash > b.hash) ? a : b
