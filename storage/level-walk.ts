import { type DirectoryEntry, type RecoveryDeps, headAfter, headerAt } from './level-directory.ts'
import { type FeedBounds, type HeadEntry, batchRange } from './level-layout.ts'
import type { OffsetRange } from '#protocol/log/feed'

/** Where a feed ends, and what is missing below. */
export interface Walked {
  readonly end: HeadEntry
  readonly holes: readonly OffsetRange[]
}

export interface WalkOptions {
  readonly entry: DirectoryEntry
  readonly bounds: FeedBounds
  /** A head that was seen at an earlier start: the walk begins there, or with the last sound batch below. */
  readonly from: HeadEntry | undefined
  /** What the journal says: the feed went so far at least. */
  readonly recorded: HeadEntry | undefined
}

/**
 * Goes through the batches of a feed that are sound: its end is the last of them, or the recorded head if that lies beyond.
 * Where one does not follow the other, something is missing in between.
 */
export async function walk(deps: RecoveryDeps, options: WalkOptions): Promise<Walked> {
  const { entry, bounds, recorded } = options
  const holes: OffsetRange[] = []
  let last = await lastSeen(deps, options)
  let position = last?.head.nextOffset ?? bounds.keptFrom
  const beyond = batchRange(entry.start.feed, position + 1, Number.MAX_SAFE_INTEGER)
  for await (const [key, bytes] of deps.db.iterator(beyond)) {
    const header = headerAt(entry.start.feed, key, bytes, deps.digests)
    if (header === undefined || header.opening || header.baseOffset < position) continue
    if (header.baseOffset > position) holes.push({ from: position, to: header.baseOffset })
    // Nobody else writes this feed, so another history cannot be. It is not gone on from, all the same.
    else if (last !== undefined && header.previousHash !== last.head.hash) break
    last = headAfter(entry.start.feed, header, bytes, deps.digests)
    position = header.nextOffset
  }
  const end = last ?? lowest(entry, bounds)
  if (recorded === undefined || recorded.head.nextOffset <= end.head.nextOffset) return { end, holes }
  if (position < recorded.head.nextOffset) holes.push({ from: position, to: recorded.head.nextOffset })
  return { end: recorded, holes }
}

/** The last sound batch at or below `from`; else what is known of the place where what is kept begins. */
async function lastSeen(
  { db, digests }: RecoveryDeps,
  { entry, bounds: { floor, keptFrom }, from }: WalkOptions,
): Promise<HeadEntry | undefined> {
  const { start } = entry
  const range = batchRange(start.feed, keptFrom + 1, from?.head.nextOffset ?? keptFrom)
  for await (const [key, bytes] of db.iterator({ ...range, reverse: true })) {
    const header = headerAt(start.feed, key, bytes, digests)
    if (header !== undefined) return headAfter(start.feed, header, bytes, digests)
  }
  if (from?.head.nextOffset === keptFrom) return from
  return keptFrom === Math.max(floor.nextOffset, start.head.nextOffset) ? lowest(entry, { floor }) : undefined
}

/** The end of a feed of which nothing is known but its opening and its floor. */
const lowest = ({ start }: DirectoryEntry, { floor }: Pick<FeedBounds, 'floor'>): HeadEntry =>
  floor.nextOffset > start.head.nextOffset ? { ...start, head: floor } : start
