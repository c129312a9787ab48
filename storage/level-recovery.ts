import { type FeedKey, type Head, feedKeyOf } from '#protocol/log/feed'
import { type OffsetRanges, coarsened, noRanges, united, within, without } from '#protocol/log/offset-ranges'
import {
  type FeedBounds,
  type FeedNumber,
  type HeadEntry,
  batchKey,
  batchesRange,
  endOfBatchKey,
  feedNumberOf,
} from './level-layout.ts'
import { type Directory, type RecoveryDeps, allOf, readBounds, readDirectory } from './level-directory.ts'
import { type Deletion, readDeletions } from './level-deletions.ts'
import { type NumberedFeed, readHeads } from './level-heads.ts'
import type { LevelDatabase } from './level-database.ts'
import { batchHash } from '#protocol/log/batch'
import { limits } from '#protocol/limits'
import { walk } from './level-walk.ts'

/** Last batches are looked at so many at a time (≤ 1 MiB each). */
const headsPerRead = 64

/**
 * What a level store knows after a start.
 *
 * LevelDB can come back shorter than it was: a flipped bit in its log silently drops a write, and the later ones may
 * stay; a lost table takes batches away. So nothing is believed that cannot be seen:
 *
 * 1. A feed is what its opening batch says, which is there twice: among its batches and in the directory.
 * 2. Heads come from the snapshot and the appends after it. Appends are numbered, so a missing one is noticed.
 * 3. A head that was recorded was held. If the batch that ends there is not, or has not its SHA-256, or if the record of
 *    another append is missing, the feed is walked from the last batch that was seen on: it ends with the last sound
 *    batch or the recorded head, and what is missing below is a hole. A valid tail is never cut off.
 */
export interface Recovered {
  readonly feeds: ReadonlyMap<FeedKey, NumberedFeed>
  /** Those of them in which holes were found. */
  readonly changed: readonly NumberedFeed[]
  readonly restored: Directory['restored']
  readonly deletions: readonly Deletion[]
  readonly nextFeedNumber: FeedNumber
  /** Number of the last append, and whether none before it is missing. */
  readonly lastAppend: number
  readonly isComplete: boolean
}

export async function recover(deps: RecoveryDeps): Promise<Recovered> {
  const { db, onWarning } = deps
  const heads = await readHeads(db)
  const deletions = await readDeletions(db)
  const directory = await readDirectory(deps, heads, deletions)
  const { entries, restored } = directory
  const bounds = await readBounds(deps, directory)
  const isComplete = heads.complete && [...entries.keys()].every((number) => heads.latest.has(number))
  if (!isComplete) onWarning({ type: 'headsDamaged' })
  const seen = isComplete ? await headsOnDisk(deps, heads.latest, directory, bounds) : new Set<FeedNumber>()
  const feeds = new Map<FeedKey, NumberedFeed>()
  const changed: NumberedFeed[] = []
  for (const [number, entry] of entries) {
    const recorded = heads.latest.get(number)
    const kept = bounds.get(number) ?? allOf(entry)
    const from = isComplete ? recorded : heads.snapshot.get(number)
    const { end, holes } =
      recorded !== undefined && seen.has(number)
        ? { end: recorded, holes: noRanges }
        : await walk(deps, { entry, bounds: kept, from, recorded })
    const { feed, opening } = entry
    for (const hole of without(holes, kept.holes)) onWarning({ type: 'batchesDamaged', feed, ...hole })
    const { head, hlcMs } = end
    const state = { feed, opening, head, hlcMs, ...boundedBy(kept, head, holes) }
    feeds.set(feedKeyOf(feed), { number, state })
    if (holes.length > 0) changed.push({ number, state })
  }
  const numbers = [...entries.keys(), ...deletions.map(({ feed }) => feed)]
  const nextFeedNumber = await firstFreeNumber(db, numbers)
  return { feeds, changed, restored, deletions, nextFeedNumber, lastAppend: heads.lastAppend, isComplete }
}

/** The feeds whose head is what it is said to be. One with nothing kept below its head has no batch to look at. */
async function headsOnDisk(
  { db, digests }: RecoveryDeps,
  heads: ReadonlyMap<FeedNumber, HeadEntry>,
  { entries }: Directory,
  bounds: ReadonlyMap<FeedNumber, FeedBounds>,
): Promise<Set<FeedNumber>> {
  const seen = new Set<FeedNumber>()
  const looked: HeadEntry[] = []
  for (const [number, entry] of entries) {
    const recorded = heads.get(number)
    if (recorded === undefined) continue
    const { keptFrom } = bounds.get(number) ?? allOf(entry)
    if (recorded.head.hash === entry.start.head.hash || recorded.head.nextOffset === keptFrom) seen.add(number)
    else looked.push(recorded)
  }
  for (let at = 0; at < looked.length; at += headsPerRead) {
    const chunk = looked.slice(at, at + headsPerRead)
    const batches = await db.getMany(chunk.map(({ feed, head }) => batchKey(feed, head.nextOffset)))
    for (const [index, { feed, head }] of chunk.entries()) {
      const bytes = batches[index]
      if (bytes !== undefined && batchHash(bytes, digests) === head.hash) seen.add(feed)
    }
  }
  return seen
}

/** With holes that were found. A head that went back takes the bounds with it. */
function boundedBy({ floor, keptFrom, holes, rooted }: FeedBounds, head: Head, found: OffsetRanges): FeedBounds {
  const kept = keptFrom <= head.nextOffset ? keptFrom : floor.nextOffset
  const missing = within(united(holes, found), { from: kept, to: head.nextOffset })
  return { floor, keptFrom: kept, holes: coarsened(missing, limits.feedHolesMax), rooted }
}

/** Above every number in use, also of batches whose directory entry is gone. */
async function firstFreeNumber(db: LevelDatabase, numbers: readonly FeedNumber[]): Promise<FeedNumber> {
  const last = numbers.reduce((highest, number) => Math.max(highest, number), -1)
  for await (const [key] of db.iterator({ ...batchesRange, reverse: true })) {
    const number = feedNumberOf(key)
    if (endOfBatchKey(number, key) !== undefined) return Math.max(last, number) + 1
  }
  return last + 1
}
