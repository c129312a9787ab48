import { NOTHING, type OffsetRange } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, rangeAt, within, without } from '#protocol/log/offset-ranges'
import type { FeedDigest } from './messages.ts'

/** Can the peer that told this send what follows `position`? The opening batch is kept as long as the feed is. */
export function canServe({ floor, keptFrom, nextOffset, holes = noRanges }: FeedDigest, position: number): boolean {
  if (position === NOTHING) return true
  return Math.max(floor, keptFrom) <= position && position < nextOffset && rangeAt(holes, position) === undefined
}

/** What of a range the peer that told this can send. */
export function heldWithin(
  { floor, keptFrom, nextOffset, holes = noRanges }: FeedDigest,
  range: OffsetRange,
): OffsetRanges {
  return without(within([range], { from: Math.max(floor, keptFrom), to: nextOffset }), holes)
}

/** Retention has passed over all that there was of it, as far as whoever tells this knows. */
export const isEmptied = ({ floor, nextOffset }: Pick<FeedDigest, 'floor' | 'nextOffset'>): boolean =>
  floor >= nextOffset

/** Up to where this is a copy: a contiguous prefix, without a hole (DESIGN §7). */
export const copyEnd = ({ nextOffset, holes }: Pick<FeedDigest, 'nextOffset' | 'holes'>): number =>
  holes?.[0]?.from ?? nextOffset
