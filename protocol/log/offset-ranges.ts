import type { OffsetRange } from './feed.ts'

/**
 * Sets of offsets as lists of ranges. Invariant of every list here, taken and given: not empty ranges, ascending, apart from
 * each other. No list is changed.
 */
export type OffsetRanges = readonly OffsetRange[]

export const noRanges: OffsetRanges = []

/** Both, with what overlaps or touches as one range. */
export function united(a: OffsetRanges, b: OffsetRanges): OffsetRanges {
  const all = [...a, ...b].toSorted((one, other) => one.from - other.from)
  const result: OffsetRange[] = []
  for (const range of all) {
    const before = result.at(-1)
    if (before !== undefined && range.from <= before.to) {
      result[result.length - 1] = { from: before.from, to: Math.max(before.to, range.to) }
    } else {
      result.push(range)
    }
  }
  return result
}

/** What of `ranges` is not in `others`. */
export function without(ranges: OffsetRanges, others: OffsetRanges): OffsetRanges {
  return ranges.flatMap(({ from, to }) => {
    const left: OffsetRange[] = []
    let at = from
    for (const other of others) {
      if (other.to <= at) continue
      if (other.from >= to) break
      if (other.from > at) left.push({ from: at, to: other.from })
      at = other.to
    }
    if (at < to) left.push({ from: at, to })
    return left
  })
}

/** What of `ranges` lies within `bounds`. */
export const within = (ranges: OffsetRanges, { from, to }: OffsetRange): OffsetRanges =>
  ranges
    .map((range) => ({ from: Math.max(range.from, from), to: Math.min(range.to, to) }))
    .filter((range) => range.from < range.to)

/** The range that holds `offset`. */
export const rangeAt = (ranges: OffsetRanges, offset: number): OffsetRange | undefined =>
  ranges.find(({ from, to }) => from <= offset && offset < to)

export const lengthOf = (ranges: OffsetRanges): number => ranges.reduce((sum, { from, to }) => sum + to - from, 0)

/** At most `countMax` ranges that hold all of these: the nearest are joined, with what lies between them. */
export function coarsened(ranges: OffsetRanges, countMax: number): OffsetRanges {
  if (ranges.length <= countMax) return ranges
  const distance = (index: number): number =>
    (ranges[index] as OffsetRange).from - (ranges[index - 1] as OffsetRange).to
  const joints = ranges.slice(1).map((_, index) => index + 1)
  const kept = new Set(joints.toSorted((a, b) => distance(b) - distance(a) || a - b).slice(0, countMax - 1))
  const result: OffsetRange[] = []
  ranges.forEach((range, index) => {
    const before = result.at(-1)
    if (before === undefined || kept.has(index)) result.push(range)
    else result[result.length - 1] = { from: before.from, to: range.to }
  })
  return result
}
