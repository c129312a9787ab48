import type { FeedId, Opening } from '#protocol/log/feed'
import { type BatchHeader, batchHash, openingOf } from '#protocol/log/batch'
import {
  type FeedBounds,
  type FeedNumber,
  type HeadEntry,
  batchRange,
  boundsRange,
  decodeBounds,
  directoryRange,
  endOfBatchKey,
  feedNumberOf,
  unsealed,
} from './level-layout.ts'
import { type StoredHeads, highWaterMarkBytes } from './level-heads.ts'
import type { Deletion } from './level-deletions.ts'
import type { Digests } from '#protocol/digests'
import type { LevelDatabase } from './level-database.ts'
import type { StoreWarning } from './store-warning.ts'
import { baseOffsetOf, soundHeader } from './feed-state.ts'
import { topicIdOf } from '#protocol/ids'

export interface RecoveryDeps {
  readonly db: LevelDatabase
  readonly cluster: string
  readonly digests: Digests
  readonly onWarning: (warning: StoreWarning) => void
}

/** Who a feed is, and where it stands when nothing but its opening batch is there. */
export interface DirectoryEntry {
  readonly feed: FeedId
  readonly opening: Opening
  readonly start: HeadEntry
}

export interface Directory {
  readonly entries: ReadonlyMap<FeedNumber, DirectoryEntry>
  /** Opening batches of feeds whose directory entry is damaged or gone. */
  readonly restored: ReadonlyMap<FeedNumber, Uint8Array>
}

export async function readDirectory(
  deps: RecoveryDeps,
  heads: StoredHeads,
  deletions: readonly Deletion[],
): Promise<Directory> {
  const entries = new Map<FeedNumber, DirectoryEntry>()
  const missing = new Set(heads.latest.keys())
  for await (const [key, value] of deps.db.iterator({ ...directoryRange, highWaterMarkBytes })) {
    const number = feedNumberOf(key)
    const bytes = unsealed(key, value)
    const entry = bytes && entryOfOpening(deps, number, bytes)
    if (entry !== undefined) entries.set(number, entry)
    else missing.add(number)
  }
  for (const { feed } of deletions) missing.delete(feed)
  const restored = new Map<FeedNumber, Uint8Array>()
  for (const number of missing) {
    if (entries.has(number)) continue
    const found = await firstBatch(deps, number, 0)
    if (found === undefined) continue
    const entry = entryOfOpening(deps, number, found.bytes)
    deps.onWarning({ type: 'directoryEntryDamaged', feedNumber: number, ...(entry && { feed: entry.feed }) })
    if (entry === undefined) continue
    entries.set(number, entry)
    restored.set(number, found.bytes)
  }
  return { entries, restored }
}

function entryOfOpening(
  { cluster, digests }: RecoveryDeps,
  number: FeedNumber,
  bytes: Uint8Array,
): DirectoryEntry | undefined {
  const opening = openingOf(bytes)
  if (typeof opening === 'string') return undefined
  const header = soundHeader(baseOffsetOf(opening), bytes, digests)
  if (header === undefined) return undefined
  const { topic: name, generation, writer, epoch } = opening
  const feed = { topicId: topicIdOf(digests, { cluster, name, generation }), writer, epoch }
  return { feed, opening, start: headAfter(number, header, bytes, digests) }
}

/** The bounds of a feed of which everything is kept. */
export const allOf = ({ start: { head } }: DirectoryEntry): FeedBounds => ({
  floor: head,
  keptFrom: head.nextOffset,
  holes: [],
  rooted: false,
})

export async function readBounds(deps: RecoveryDeps, { entries }: Directory): Promise<Map<FeedNumber, FeedBounds>> {
  const bounds = new Map<FeedNumber, FeedBounds>()
  for await (const [key, value] of deps.db.iterator({ ...boundsRange, highWaterMarkBytes })) {
    const number = feedNumberOf(key)
    const entry = entries.get(number)
    const bytes = unsealed(key, value)
    if (bytes !== undefined) bounds.set(number, decodeBounds(bytes))
    else if (entry !== undefined && !bounds.has(number)) {
      deps.onWarning({ type: 'boundsDamaged', feed: entry.feed })
      // What was let go of is gone all the same. Whether for retention the others know, and holes are found again.
      const base = entry.start.head.nextOffset
      const first = await firstBatch(deps, number, base + 1)
      bounds.set(number, { ...allOf(entry), keptFrom: first?.header.baseOffset ?? base })
    }
  }
  return bounds
}

/** The first sound batch that ends at `from` or above. */
async function firstBatch(
  { db, digests }: RecoveryDeps,
  feed: FeedNumber,
  from: number,
): Promise<{ readonly header: BatchHeader; readonly bytes: Uint8Array } | undefined> {
  for await (const [key, bytes] of db.iterator(batchRange(feed, from, Number.MAX_SAFE_INTEGER))) {
    const header = headerAt(feed, key, bytes, digests)
    if (header !== undefined) return { header, bytes }
  }
  return undefined
}

/** The header of a batch whose key and bytes are sound and fit each other. */
export function headerAt(
  feed: FeedNumber,
  key: Uint8Array,
  bytes: Uint8Array,
  digests: Digests,
): BatchHeader | undefined {
  const end = endOfBatchKey(feed, key)
  return end === undefined ? undefined : soundHeader(end, bytes, digests)
}

/** The head of a feed once it ends with that batch. */
export const headAfter = (feed: FeedNumber, header: BatchHeader, bytes: Uint8Array, digests: Digests): HeadEntry => ({
  feed,
  head: { nextOffset: header.nextOffset, hash: batchHash(bytes, digests) },
  hlcMs: header.hlc.ms,
})
