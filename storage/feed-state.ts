import type { BatchToStore, StoredFeed } from './feed-store.ts'
import { type FeedId, type FeedKey, type Head, NOTHING, type Opening, feedKeyOf } from '#protocol/log/feed'
import { type BatchHeader, readBatchHeader, verifyBatch } from '#protocol/log/batch'
import type { Digests } from '#protocol/digests'
import { assert } from '#protocol/assert'

/** Where a feed stands in a store. Immutable: an append that fails leaves the old one in place. */
export interface FeedState {
  readonly feed: FeedId
  readonly opening: Opening
  readonly head: Head
  /** Batches that end at or below it were trimmed; NOTHING while even the opening batch is here. */
  readonly floor: number
  readonly hlcMs: number
}

const baseOffsetOf = (opening: Opening): number => opening.predecessor?.nextOffset ?? 0

export const storedFeedOf = ({ feed, opening, head, floor, hlcMs }: FeedState): StoredFeed => ({
  feed,
  opening,
  head,
  keptFrom: Math.max(floor, baseOffsetOf(opening)),
  hlcMs,
})

/** The feeds that an append changes, as they are after it. Throws before anything was written. */
export function appendedAll(
  before: (key: FeedKey) => FeedState | undefined,
  batches: readonly BatchToStore[],
): ReadonlyMap<FeedKey, FeedState> {
  const after = new Map<FeedKey, FeedState>()
  for (const batch of batches) {
    const key = feedKeyOf(batch.feed)
    after.set(key, appended(after.get(key) ?? before(key), batch))
  }
  return after
}

/** The state of a feed once `batch` is stored. Its caller has checked the chain; this asserts that it has. */
function appended(before: FeedState | undefined, batch: BatchToStore): FeedState {
  const { feed, head, opening } = batch
  const header = readBatchHeader(batch.bytes)
  assert(typeof header !== 'string', 'a batch to store has a header')
  assert(header.lengthBytes === batch.bytes.length, 'a batch is stored whole')
  assert(header.nextOffset === head.nextOffset, 'the new head is the end of the batch')
  assert(header.opening === (before === undefined), 'the first batch of a feed, and only that, opens it')
  if (before !== undefined) {
    assert(header.baseOffset === before.head.nextOffset, 'batches of a feed are contiguous')
    assert(header.previousHash === before.head.hash, 'batches of a feed are chained')
    return { ...before, head, hlcMs: header.hlc.ms }
  }
  assert(opening !== undefined, 'an opening batch comes with what it says')
  return { feed, opening, head, floor: NOTHING, hlcMs: header.hlc.ms }
}

/** Where a read at `position` starts: not below what is kept. At the head or above, there is nothing to read. */
export function startOfRead({ opening, floor }: FeedState, position: number): number {
  return Math.max(floor, position < baseOffsetOf(opening) ? NOTHING : position)
}

/** The header of a batch that is sound and ends at `end`, as its place in the store says; else undefined. */
export function soundHeader(end: number, bytes: Uint8Array, digests: Digests): BatchHeader | undefined {
  if (verifyBatch(bytes, digests) !== undefined) return undefined
  const header = readBatchHeader(bytes)
  return typeof header !== 'string' && header.nextOffset === end ? header : undefined
}

/** Does a batch that ends above `position` reach down to it, or open the feed if that is NOTHING? */
export const continues = (position: number, header: BatchHeader | undefined): boolean =>
  header !== undefined && (position === NOTHING ? header.opening : header.baseOffset <= position)
