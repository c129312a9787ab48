// The newest batches of feeds in memory. Batches here are one byte per record, so sizes can be followed by hand.
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { NOTHING } from '#protocol/log/feed'
import { RecentBatches } from './recent-batches.ts'

const feedOf = (writer: string) => ({
  topicId: '11'.repeat(16) as TopicId,
  writer: writer as PeerId,
  epoch: '0000000000000001' as Epoch,
})
const oak = feedOf('oak')
const everything = 1_000

/** Adds batches that follow each other: `[0, 2, 5]` is one of records 0–1 and one of 2–4. */
function add(recent: RecentBatches, ends: readonly number[], feed = oak): void {
  for (let i = 1; i < ends.length; i++) {
    const [after, end] = [ends[i - 1] as number, ends[i] as number]
    recent.add(feed, after, end, new Uint8Array(Math.max(1, end - after)))
  }
}

const sizes = (batches: readonly Uint8Array[] | undefined) => batches?.map((bytes) => bytes.length)

test('batches beyond a position are read in order, one at least, then as many as fit', () => {
  const recent = new RecentBatches(everything)
  add(recent, [NOTHING, 0, 2, 5, 9])
  expect(sizes(recent.read(oak, NOTHING, 9, everything))).toEqual([1, 2, 3, 4])
  expect(sizes(recent.read(oak, 2, 9, 1))).toEqual([3])
  expect(sizes(recent.read(oak, 3, 9, 7))).toEqual([3, 4])
  expect(sizes(recent.read(oak, 2, 5, everything))).toEqual([3])
})

test('what was let go of is not read, and what comes after a jump is not taken to go on from it', () => {
  const recent = new RecentBatches(everything)
  add(recent, [NOTHING, 0, 2, 5])
  recent.letGo(oak, 2)
  expect(recent.sizeBytes).toBe(3)
  expect(recent.read(oak, 1, 5, everything)).toBeUndefined()
  expect(sizes(recent.read(oak, 2, 5, everything))).toEqual([3])
  recent.letGo(oak, 9)
  add(recent, [9, 11])
  expect(recent.read(oak, 4, 11, everything)).toBeUndefined()
  expect([sizes(recent.read(oak, 9, 11, everything)), recent.sizeBytes]).toEqual([[2], 2])
})

test('what is not in memory is told apart from what does not exist yet', () => {
  const recent = new RecentBatches(everything)
  add(recent, [4, 6, 8])
  expect(recent.read(oak, 3, 8, everything)).toBeUndefined()
  expect(recent.read(feedOf('elm'), 4, 8, everything)).toBeUndefined()
  expect(recent.read(oak, 8, 8, everything)).toBeUndefined()
  expect(sizes(recent.read(oak, 4, 5, everything))).toEqual([])
})

test('the oldest stored batches leave when there are too many bytes; those on their way to disk never do', () => {
  const recent = new RecentBatches(4)
  add(recent, [0, 2, 4, 6])
  expect(sizes(recent.read(oak, 0, 6, everything))).toEqual([2, 2, 2])
  recent.stored(oak, 2)
  expect(recent.read(oak, 0, 6, everything)).toBeUndefined()
  expect(sizes(recent.read(oak, 2, 6, everything))).toEqual([2, 2])
  add(recent, [0, 3], feedOf('elm'))
  recent.stored(feedOf('elm'), 3)
  expect(sizes(recent.read(oak, 2, 6, everything))).toEqual([2, 2])
})
