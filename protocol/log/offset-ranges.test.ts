// Lists of ranges stand for sets of offsets: each operation is held against plain sets, and keeps the lists in order.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { coarsened, lengthOf, type OffsetRanges, rangeAt, united, within, without } from './offset-ranges.ts'

const limit = 40

const setOf = (ranges: OffsetRanges): ReadonlySet<number> =>
  new Set(ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, index) => from + index)))

const rangesOf = (set: Iterable<number>): OffsetRanges =>
  [...set]
    .toSorted((a, b) => a - b)
    .reduce<OffsetRanges>((ranges, at) => united(ranges, [{ from: at, to: at + 1 }]), [])

const anyRanges = fc.uniqueArray(fc.nat(limit - 1)).map(rangesOf)

const isInOrder = (ranges: OffsetRanges): boolean =>
  ranges.every(({ from, to }, index) => from < to && (index === 0 || (ranges[index - 1]?.to ?? 0) < from))

describe('a list of ranges is a set of offsets', () => {
  test('united: what is in either', () => {
    fc.assert(
      fc.property(anyRanges, anyRanges, (a, b) => {
        const result = united(a, b)
        expect(isInOrder(result)).toBe(true)
        expect(setOf(result)).toEqual(new Set([...setOf(a), ...setOf(b)]))
      }),
    )
  })

  test('without: what is in the first only', () => {
    fc.assert(
      fc.property(anyRanges, anyRanges, (a, b) => {
        const result = without(a, b)
        expect(isInOrder(result)).toBe(true)
        expect([...setOf(result)]).toEqual([...setOf(a)].filter((offset) => !setOf(b).has(offset)))
      }),
    )
  })

  test('within: what lies between two offsets', () => {
    fc.assert(
      fc.property(anyRanges, fc.nat(limit), fc.nat(limit), (ranges, from, to) => {
        const result = within(ranges, { from, to })
        expect(isInOrder(result)).toBe(true)
        expect([...setOf(result)]).toEqual([...setOf(ranges)].filter((offset) => from <= offset && offset < to))
      }),
    )
  })

  test('rangeAt finds the range of an offset, lengthOf counts them', () => {
    fc.assert(
      fc.property(anyRanges, fc.nat(limit), (ranges, offset) => {
        expect(rangeAt(ranges, offset) !== undefined).toBe(setOf(ranges).has(offset))
        expect(lengthOf(ranges)).toBe(setOf(ranges).size)
      }),
    )
  })

  test('coarsened: never more ranges than allowed, nothing left out, the ends unchanged', () => {
    fc.assert(
      fc.property(anyRanges, fc.integer({ min: 1, max: 8 }), (ranges, countMax) => {
        const result = coarsened(ranges, countMax)
        expect(isInOrder(result)).toBe(true)
        expect(result.length).toBe(Math.min(ranges.length, countMax))
        expect(without(ranges, result)).toEqual([])
        expect([result[0]?.from, result.at(-1)?.to]).toEqual([ranges[0]?.from, ranges.at(-1)?.to])
      }),
    )
  })
})

test('the nearest ranges are joined first', () => {
  const ranges = [
    { from: 0, to: 1 },
    { from: 10, to: 11 },
    { from: 13, to: 14 },
  ]
  expect(coarsened(ranges, 2)).toEqual([
    { from: 0, to: 1 },
    { from: 10, to: 14 },
  ])
})
