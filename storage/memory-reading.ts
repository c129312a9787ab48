import { ContiguousReading, DamagedRange, startOfDamage } from './contiguous-reading.ts'
import { type FeedState, readableSpan } from './feed-state.ts'
import type { Head } from '#protocol/log/feed'
import type { Digests } from '#protocol/digests'
import type { FeedRead } from './feed-store.ts'

export interface MemoryBatch {
  readonly head: Head
  readonly bytes: Uint8Array
}

export interface MemoryFeed {
  readonly state: FeedState
  /** In order, the opening batch first; those that were let go of are gone. */
  readonly batches: readonly MemoryBatch[]
}

/** A read of batches in memory, as `FeedStore.read`. */
export function readMemory(feed: MemoryFeed, position: number, bytesMax: number, digests: Digests): FeedRead {
  const span = readableSpan(feed.state, position)
  if (span === undefined) return { batches: [] }
  const reading = new ContiguousReading(span, bytesMax, digests)
  for (const { head, bytes } of batchesIn(feed.batches, span)) if (!reading.take(head.nextOffset, bytes)) break
  const { damagedAt } = reading
  if (damagedAt === undefined) return reading.finish()
  const endBefore = feed.batches[firstAbove(feed.batches, damagedAt) - 1]?.head.nextOffset
  const from = reading.isEmpty ? startOfDamage(feed.state, damagedAt, endBefore) : damagedAt
  const range = new DamagedRange(from, damagedAt, digests)
  const beyond = batchesIn(feed.batches, { from: damagedAt, to: span.to })
  for (const { head, bytes } of beyond) if (!range.extend(head.nextOffset, bytes)) break
  return reading.finish(range.finish(span.to))
}

/** Index of the first batch that ends above `position`, by halving: a caught-up reader of a long feed asks often. */
export function firstAbove(batches: readonly MemoryBatch[], position: number): number {
  let low = 0
  let high = batches.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((batches[middle] as MemoryBatch).head.nextOffset > position) high = middle
    else low = middle + 1
  }
  return low
}

function* batchesIn(
  batches: readonly MemoryBatch[],
  { from, to }: Pick<NonNullable<ReturnType<typeof readableSpan>>, 'from' | 'to'>,
): Generator<MemoryBatch> {
  for (let i = firstAbove(batches, from); i < batches.length; i++) {
    const batch = batches[i] as MemoryBatch
    if (batch.head.nextOffset > to) return
    yield batch
  }
}
