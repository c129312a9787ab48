// Batches of one record each, 100 bytes, a second apart, measured one by one.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Head } from '#protocol/log/feed'
import { FeedSizes } from './feed-sizes.ts'
import { hashAt, headAt } from './test-oak.ts'

const batchAt = (baseOffset: number, more = {}) => {
  const nextOffset = baseOffset + 1
  return { baseOffset, nextOffset, hash: hashAt(nextOffset), sizeBytes: 100, hlcMs: 1_000 * nextOffset, ...more }
}

function sizesOf(count: number, from = 0): FeedSizes {
  const sizes = new FeedSizes(from)
  for (let offset = from; offset < from + count; offset++) sizes.add(batchAt(offset), 0)
  return sizes
}

const end = Number.POSITIVE_INFINITY

describe('where a feed of ten batches may be cut', () => {
  test.each<[string, (sizes: FeedSizes) => Head | undefined, Head | undefined]>([
    ['older than its fourth', (sizes) => sizes.olderThan({ hlcMs: 4_000, atMs: -1 }, end), headAt(4)],
    ['older than all', (sizes) => sizes.olderThan({ hlcMs: 99_000, atMs: -1 }, end), headAt(10)],
    ['older than none', (sizes) => sizes.olderThan({ hlcMs: 999, atMs: -1 }, end), undefined],
    ['no further than what is on disk', (sizes) => sizes.olderThan({ hlcMs: 99_000, atMs: -1 }, 7), headAt(7)],
    ['leaving three', (sizes) => sizes.leaving(300, 0, end), headAt(7)],
    ['leaving a part of one more', (sizes) => sizes.leaving(301, 0, end), headAt(6)],
    ['leaving more than there is', (sizes) => sizes.leaving(1_001, 0, end), undefined],
    ['with 200 B in what follows', (sizes) => sizes.leaving(300, 200, end), headAt(9)],
    ['with enough in what follows', (sizes) => sizes.leaving(300, 300, end), headAt(10)],
    ['below an offset', (sizes) => sizes.below(6), headAt(6)],
  ])('%s', (_, cut, expected) => {
    const found = cut(sizesOf(10))
    expect(found === undefined ? undefined : { nextOffset: found.nextOffset, hash: found.hash }).toEqual(expected)
  })
})

test('what does not go on from what was measured is left for later, and opening batches count for nothing', () => {
  const sizes = sizesOf(3)
  sizes.add(batchAt(4), 0)
  sizes.add({ ...batchAt(3), nextOffset: 3 }, 0)
  expect(sizes).toMatchObject({ position: 3, bytes: 300 })
})

describe('what is written while what lies before it is not measured', () => {
  const withGap = () => {
    const sizes = sizesOf(3)
    for (const offset of [6, 7, 8, 9]) sizes.append(batchAt(offset), 0)
    return sizes
  }

  test('may be cut, and counts', () => {
    expect(withGap()).toMatchObject({ position: 3, bytes: 700 })
    expect(withGap().below(8)).toMatchObject(headAt(8))
    expect(withGap().below(6)).toMatchObject(headAt(3))
    expect(withGap().leaving(200, 0, end)).toMatchObject(headAt(8))
    expect(withGap().leaving(500, 0, end)).toMatchObject(headAt(2))
    expect(withGap().olderThan({ hlcMs: 9_000, atMs: -1 }, end)).toMatchObject(headAt(9))
  })

  test('is not measured again once the gap is', () => {
    const sizes = withGap()
    for (const offset of [3, 4, 5, 6]) sizes.add(batchAt(offset), 0)
    expect(sizes).toMatchObject({ position: 10, bytes: 1_000 })
  })

  test('stays when the gap is let go of, and when damage fills it', () => {
    const trimmed = withGap()
    trimmed.letGo(8)
    expect(trimmed).toMatchObject({ from: 8, position: 10, bytes: 200 })
    const damaged = withGap()
    damaged.skip({ from: 3, to: 6 }, headAt(10), 0)
    expect(damaged).toMatchObject({ position: 10, bytes: 700 })
  })

  test('is measured anew where it follows another gap, or damage reaches into it', () => {
    const again = withGap()
    again.append(batchAt(12), 0)
    expect(again).toMatchObject({ position: 3, bytes: 400 })
    const damaged = withGap()
    damaged.skip({ from: 3, to: 8 }, headAt(10), 0)
    expect(damaged).toMatchObject({ position: 8, bytes: 300 })
  })
})

test('what was let go of counts no more; a mark that reaches across counts as nothing', () => {
  const sizes = sizesOf(10)
  sizes.letGo(4)
  expect(sizes).toMatchObject({ from: 4, position: 10, bytes: 600 })
  const large = new FeedSizes(0)
  large.add({ ...batchAt(0), nextOffset: 10, sizeBytes: 1_000 }, 0)
  large.letGo(4)
  expect(large.bytes).toBe(0)
  large.letGo(20)
  expect(large).toMatchObject({ from: 20, position: 20 })
})

test('what has been here for long is old, whatever it is dated', () => {
  const sizes = new FeedSizes(0)
  for (const [offset, hlcMs] of [5, 900_000, 900_001].entries()) sizes.add(batchAt(offset, { hlcMs }), 10 * offset)
  expect(sizes.olderThan({ hlcMs: 50, atMs: 9 }, end)).toMatchObject(headAt(1))
  expect(sizes.olderThan({ hlcMs: 50, atMs: 15 }, end)).toMatchObject(headAt(2))
})

test('however many batches there are, few marks are kept: at least what was asked for stays, and hardly more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 100, max: 300_000 }), (count, bytes) => {
      const sizes = sizesOf(count)
      expect(sizes.bytes).toBe(100 * count)
      const left = 100 * (count - (sizes.leaving(bytes, 0, end)?.nextOffset ?? 0))
      expect(left).toBeGreaterThanOrEqual(Math.min(bytes, 100 * count))
      expect(left).toBeLessThan(bytes + 100 + (100 * count) / 16)
    }),
  )
})
