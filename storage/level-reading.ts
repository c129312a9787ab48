import { type ReadableSpan, baseOffsetOf, readableSpan, soundHeader } from './feed-state.ts'
import { ContiguousReading, DamagedRange, startOfDamage } from './contiguous-reading.ts'
import { NOTHING, type OffsetRange } from '#protocol/log/feed'
import { type FeedNumber, batchKey, batchRange, directoryKey, endOfBatchKey, unsealed } from './level-layout.ts'
import type { Digests } from '#protocol/digests'
import type { FeedRead } from './feed-store.ts'
import type { LevelDatabase, LevelIteratorOptions } from './level-database.ts'
import { type LevelEntry, scan } from './level-scan.ts'
import type { NumberedFeed } from './level-heads.ts'

export interface ReadingDeps {
  readonly db: LevelDatabase
  readonly digests: Digests
  /** New damage, in no hole yet. */
  readonly onDamage: (range: OffsetRange) => void
}

/** A read of one feed, as `FeedStore.read`. */
export async function readFeed(
  deps: ReadingDeps,
  feed: NumberedFeed,
  position: number,
  bytesMax: number,
): Promise<FeedRead> {
  const span = readableSpan(feed.state, position)
  if (span === undefined) return { batches: [] }
  const reading = new ContiguousReading(span, bytesMax, deps.digests)
  await takeAll(deps, feed, span, bytesMax, reading)
  const { damagedAt } = reading
  if (damagedAt === undefined) return reading.finish()
  const from = reading.isEmpty ? await startBefore(deps, feed, damagedAt) : damagedAt
  const range = new DamagedRange(from, damagedAt, deps.digests)
  const beyond = batchRange(feed.number, damagedAt + 1, span.to)
  await look(deps.db, feed.number, beyond, (end, bytes) => range.extend(end, bytes))
  const damaged = range.finish(span.to)
  deps.onDamage(damaged)
  return reading.finish(damaged)
}

async function takeAll(
  deps: ReadingDeps,
  { number, state }: NumberedFeed,
  { from, to }: ReadableSpan,
  bytesMax: number,
  reading: ContiguousReading,
): Promise<void> {
  const base = baseOffsetOf(state.opening)
  // At once: it sees what the database holds now, whatever is deleted from now on.
  const options = { ...batchRange(number, Math.max(from, base) + 1, to), highWaterMarkBytes: bytesMax }
  const iterator = deps.db.iterator(options)
  const opening = from === NOTHING ? await openingBatch(deps, number, base) : undefined
  if (opening !== undefined && !reading.take(base, opening)) return iterator.close()
  await forEachBatch(scan(deps.db, options, iterator), number, (end, bytes) => reading.take(end, bytes))
}

/** It is there twice. */
async function openingBatch({ db, digests }: ReadingDeps, number: number, base: number): Promise<Uint8Array> {
  const keys: [Uint8Array, Uint8Array] = [batchKey(number, base), directoryKey(number)]
  const [asBatch, inDirectory = new Uint8Array()] = await db.getMany(keys)
  const isSound = asBatch !== undefined && soundHeader(base, asBatch, digests) !== undefined
  return isSound ? asBatch : (unsealed(keys[1], inDirectory) ?? new Uint8Array())
}

async function startBefore({ db }: ReadingDeps, { number, state }: NumberedFeed, position: number): Promise<number> {
  const below = batchRange(number, state.keptFrom, Math.max(state.keptFrom, position))
  let endBefore: number | undefined
  await look(db, number, { ...below, reverse: true }, (end) => {
    endBefore = end
    return false
  })
  return startOfDamage(state, position, endBefore)
}

type Take = (end: number, bytes: Uint8Array) => boolean

const look = (db: LevelDatabase, feed: FeedNumber, options: LevelIteratorOptions, take: Take): Promise<void> =>
  forEachBatch(scan(db, options), feed, take)

/** Until `take` says that it is enough. */
async function forEachBatch(
  scanned: AsyncGenerator<readonly LevelEntry[]>,
  feed: FeedNumber,
  take: Take,
): Promise<void> {
  for await (const entries of scanned) {
    for (const [key, bytes] of entries) {
      const end = endOfBatchKey(feed, key)
      if (end !== undefined && !take(end, bytes)) return
    }
  }
}
