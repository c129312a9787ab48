// What a disk loses, and that it says so: checkers hold acks against disks that have not lost what they held.
import { expect, test } from 'vitest'
import { all, batchesOf, before, diskWith, key, run } from './checkers/hand-made.ts'

test('a disk that loses its last writes knows which records are gone', () => {
  const disk = diskWith(all)
  expect(disk.loseTail(1, 10)).toBe(1)
  expect([disk.nextOffset(key(2)), disk.lostAtMs(key(2), 2), disk.lostAtMs(key(1), 1)]).toEqual([2, 10, undefined])
})

test('a disk put back to a backup has what it had then, also a second time', () => {
  const disk = diskWith(before)
  const backup = disk.backup()
  for (let round = 1; round <= 2; round++) {
    for (const batch of batchesOf(run(2), ['r3'], before.at(-1))) disk.apply([batch], [])
    expect(disk.restore(backup, round)).toBe(2)
    expect([disk.nextOffset(key(1)), disk.nextOffset(key(2)), disk.lostAtMs(key(2), 2)]).toEqual([2, -1, round])
  }
  expect(disk.isDamaged).toBe(true)
})

test('another disk has nothing', () => {
  const disk = diskWith(all)
  expect(disk.wipe(5)).toBe(all.length)
  expect([disk.feeds.size, disk.lostAtMs(key(1), 0)]).toEqual([0, 5])
})
