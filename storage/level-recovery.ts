import { type FeedId, type FeedKey, type Head, NOTHING, type Opening, feedKeyOf } from '#protocol/log/feed'
import { type BatchHeader, batchHash, readBatchHeader } from '#protocol/log/batch'
import {
  type FeedNumber,
  type HeadEntry,
  batchKey,
  batchRange,
  decodeDirectoryEntry,
  decodeFloor,
  directoryRange,
  endOfBatchKey,
  feedNumberOf,
  floorRange,
  unsealed,
} from './level-layout.ts'
import type { Digests } from '#protocol/digests'
import { continues, soundHeader } from './feed-state.ts'
import { type NumberedFeed, highWaterMarkBytes, readHeads } from './level-heads.ts'
import type { LevelDatabase } from './level-database.ts'
import type { StoreWarning } from './store-warning.ts'

/** Last batches are looked at so many at a time (≤ 1 MiB each). */
const headsPerRead = 64

/**
 * What a level store knows after a start.
 *
 * LevelDB can come back shorter than it was: a flipped bit in its log silently drops a write, and the later ones may
 * stay; a lost table takes batches away. So nothing is believed that cannot be seen:
 *
 * 1. Heads come from the snapshot and the appends after it. Appends are numbered, so a missing one is noticed.
 * 2. A head counts if the batch that ends there is stored and has its SHA-256.
 * 3. Else the feed is walked from the last head of the snapshot that counts, batch by batch along the chain; the head
 *    is where the walk ends. Batches beyond it stay where they are: overwritten with the same bytes once a neighbor
 *    has sent what is missing, and never served before.
 */
export interface Recovered {
  readonly feeds: ReadonlyMap<FeedKey, NumberedFeed>
  /** Feeds of which nothing is left that can be read. */
  readonly lost: readonly FeedNumber[]
  readonly nextFeedNumber: FeedNumber
  /** Number of the last append. */
  readonly lastAppend: number
}

export interface RecoveryDeps {
  readonly db: LevelDatabase
  readonly digests: Digests
  readonly onWarning: (warning: StoreWarning) => void
}

interface DirectoryEntry {
  readonly feed: FeedId
  readonly opening: Opening
}

export async function recover(deps: RecoveryDeps): Promise<Recovered> {
  const directory = await readDirectory(deps)
  const heads = await readHeads(deps.db, deps.digests)
  const floors = await readFloors(deps, directory)
  const complete = heads.complete && [...directory.keys()].every((number) => heads.latest.has(number))
  if (!complete) deps.onWarning({ type: 'headsDamaged' })
  const seen = complete ? await headsOnDisk(deps, heads.latest, floors) : new Set<FeedNumber>()
  const feeds = new Map<FeedKey, NumberedFeed>()
  const lost: FeedNumber[] = []
  for (const [number, entry] of directory) {
    const floor = floors.get(number) ?? NOTHING
    const recorded = heads.latest.get(number)
    const found = seen.has(number) ? recorded : await walkToHead(deps, number, floor, heads.snapshot.get(number))
    warnOfHead(deps, entry.feed, recorded?.head, found?.head)
    if (found === undefined) lost.push(number)
    else feeds.set(feedKeyOf(entry.feed), { number, state: { ...entry, floor, head: found.head, hlcMs: found.hlcMs } })
  }
  return { feeds, lost, nextFeedNumber: await firstFreeNumber(deps.db, directory), lastAppend: heads.lastAppend }
}

async function readDirectory({ db, digests, onWarning }: RecoveryDeps): Promise<Map<FeedNumber, DirectoryEntry>> {
  const entries = new Map<FeedNumber, DirectoryEntry>()
  for await (const [key, value] of db.iterator({ ...directoryRange, highWaterMarkBytes })) {
    const entry = unsealed(value, digests)
    if (entry === undefined) onWarning({ type: 'directoryEntryDamaged', feedNumber: feedNumberOf(key) })
    else entries.set(feedNumberOf(key), decodeDirectoryEntry(entry))
  }
  return entries
}

async function readFloors(
  { db, digests, onWarning }: RecoveryDeps,
  directory: ReadonlyMap<FeedNumber, DirectoryEntry>,
): Promise<Map<FeedNumber, number>> {
  const floors = new Map<FeedNumber, number>()
  for await (const [key, value] of db.iterator({ ...floorRange, highWaterMarkBytes })) {
    const number = feedNumberOf(key)
    const floor = unsealed(value, digests)
    if (floor !== undefined) floors.set(number, decodeFloor(floor))
    else {
      // What was trimmed is gone all the same: the feed starts at the first batch that is left.
      floors.set(number, await firstOffset(db, number))
      const feed = directory.get(number)?.feed
      if (feed !== undefined) onWarning({ type: 'floorDamaged', feed })
    }
  }
  return floors
}

/** The feeds whose head is what it is said to be. A feed that was trimmed up to its head has no batch left to look at. */
async function headsOnDisk(
  { db, digests }: RecoveryDeps,
  heads: ReadonlyMap<FeedNumber, HeadEntry>,
  floors: ReadonlyMap<FeedNumber, number>,
): Promise<Set<FeedNumber>> {
  const seen = new Set<FeedNumber>()
  const entries = [...heads.values()]
  for (let at = 0; at < entries.length; at += headsPerRead) {
    const chunk = entries.slice(at, at + headsPerRead)
    const batches = await db.getMany(chunk.map(({ feed, head }) => batchKey(feed, head.nextOffset)))
    for (const [index, { feed, head }] of chunk.entries()) {
      const bytes = batches[index]
      const there = bytes === undefined ? floors.get(feed) === head.nextOffset : batchHash(bytes, digests) === head.hash
      if (there) seen.add(feed)
    }
  }
  return seen
}

/** The last batch that can be reached along the chain: from the snapshot's head, or from the first batch that is kept. */
async function walkToHead(
  { db, digests }: RecoveryDeps,
  feed: FeedNumber,
  floor: number,
  trusted: HeadEntry | undefined,
): Promise<HeadEntry | undefined> {
  let found = trusted === undefined ? undefined : await soundAtOrBelow(db, digests, trusted, floor)
  const from = found?.head.nextOffset ?? floor
  for await (const [key, bytes] of db.iterator(batchRange(feed, from + 1, Number.MAX_SAFE_INTEGER))) {
    const header = soundHeader(endOfBatchKey(key), bytes, digests)
    const chained = found === undefined ? continues(floor, header) : header?.previousHash === found.head.hash
    if (header === undefined || !chained) break
    found = entryOf(feed, header, bytes, digests)
  }
  return found
}

/** `trusted`, or the last sound batch below it. A feed that was trimmed up to its head has no batch left to look at. */
async function soundAtOrBelow(
  db: LevelDatabase,
  digests: Digests,
  trusted: HeadEntry,
  floor: number,
): Promise<HeadEntry | undefined> {
  const { feed, head } = trusted
  if (head.nextOffset === floor) return trusted
  for await (const [key, bytes] of db.iterator({ ...batchRange(feed, floor + 1, head.nextOffset), reverse: true })) {
    const header = soundHeader(endOfBatchKey(key), bytes, digests)
    const found = header === undefined ? undefined : entryOf(feed, header, bytes, digests)
    if (found === undefined) continue
    if (found.head.nextOffset < head.nextOffset || found.head.hash === head.hash) return found
  }
  return undefined
}

const entryOf = (feed: FeedNumber, header: BatchHeader, bytes: Uint8Array, digests: Digests): HeadEntry => ({
  feed,
  head: { nextOffset: header.nextOffset, hash: batchHash(bytes, digests) },
  hlcMs: header.hlc.ms,
})

async function firstOffset(db: LevelDatabase, feed: FeedNumber): Promise<number> {
  for await (const [, bytes] of db.iterator(batchRange(feed, 0, Number.MAX_SAFE_INTEGER))) {
    const header = readBatchHeader(bytes)
    if (typeof header !== 'string') return header.opening ? NOTHING : header.baseOffset
  }
  return NOTHING
}

/** Above every number in use, also of batches whose directory entry is gone. */
async function firstFreeNumber(db: LevelDatabase, directory: ReadonlyMap<FeedNumber, unknown>): Promise<FeedNumber> {
  let last = -1
  for (const number of directory.keys()) last = Math.max(last, number)
  const batches = { gte: batchKey(0, 0), lte: batchKey(0xffff_ffff, Number.MAX_SAFE_INTEGER) }
  for await (const [key] of db.iterator({ ...batches, reverse: true })) return Math.max(last, feedNumberOf(key)) + 1
  return last + 1
}

function warnOfHead(deps: RecoveryDeps, feed: FeedId, recorded: Head | undefined, head: Head | undefined): void {
  if (head === undefined) deps.onWarning({ type: 'feedLost', feed })
  else if (recorded !== undefined && head.hash !== recorded.hash && head.nextOffset <= recorded.nextOffset) {
    deps.onWarning({ type: 'headShortened', feed, recorded, head })
  }
}
