import type { BatchToStore, StoredFeed } from './feed-store.ts'
import { NOTHING, type OffsetRange, type Opening } from '#protocol/log/feed'
import { type BatchHeader, readBatchHeader, verifiedHeader } from '#protocol/log/batch'
import type { Digests } from '#protocol/digests'
import { assert } from '#protocol/assert'

/** Where a feed stands in a store. Immutable: an append that fails leaves the old one in place. */
export type FeedState = StoredFeed

export const baseOffsetOf = (opening: Opening): number => opening.predecessor?.nextOffset ?? 0

/** The header of a batch to store, which says of itself what its caller says of it. */
export function headerOf({ bytes, head }: BatchToStore): BatchHeader {
  const header = readBatchHeader(bytes)
  assert(typeof header !== 'string', 'a batch to store has a header')
  assert(header.lengthBytes === bytes.length, 'a batch is stored whole')
  assert(header.nextOffset === head.nextOffset, 'the new head is the end of the batch')
  return header
}

/** The header of a batch that is sound and ends at `end`, as its place in the store says; else undefined. */
export function soundHeader(end: number, bytes: Uint8Array, digests: Digests): BatchHeader | undefined {
  const header = verifiedHeader(bytes, digests)
  return typeof header !== 'string' && header.nextOffset === end ? header : undefined
}

/** Does a batch that ends above `position` reach down to it, or open the feed if that is NOTHING? */
export const continues = (position: number, header: BatchHeader | undefined): boolean =>
  header !== undefined && (position === NOTHING ? header.opening : !header.opening && header.baseOffset <= position)

/** What a read at some position may return: batches with `from < end <= to`, and the hole, if that is what ends it. */
export interface ReadableSpan {
  readonly from: number
  readonly to: number
  readonly hole?: OffsetRange
}

/** Undefined when there is nothing beyond the position. */
export function readableSpan(state: FeedState, position: number): ReadableSpan | undefined {
  const { opening, head, keptFrom, holes } = state
  const base = baseOffsetOf(opening)
  if (position < base && keptFrom > base) return { from: NOTHING, to: base }
  const from = position < base ? NOTHING : Math.max(keptFrom, position)
  if (from >= head.nextOffset) return undefined
  const hole = holes.find(({ to }) => to > from)
  return hole === undefined ? { from, to: head.nextOffset } : { from, to: hole.from, hole }
}
