// Times on worlds made by hand: those of a writer rise on disk, and stay within what its own clock allows.
import { expect, test } from 'vitest'
import { WallClock } from '../wall-clock.ts'
import { ClockChecker, checkTimes } from './clocks.ts'
import { after, all, batchesOf, before, details, disks, elm, oak, run } from './hand-made.ts'
import type { SimDisk } from '../sim-disk.ts'

test('times rise within a feed and from a feed to its successor', () => {
  expect(checkTimes(disks(all, all))).toEqual([])
  const stale = batchesOf(run(2), ['r3'], before.at(-1), 1)
  expect(details(checkTimes(disks([...before, ...stale], [])))).toBe('the time of oak goes from 1.2 to 1.0')
})

test('a writer whose disk was damaged may begin anew', () => {
  const world = disks([...before, ...batchesOf(run(2), ['r3'], before.at(-1), 1)], [])
  Object.assign(world.get(oak) as SimDisk, { isDamaged: true })
  expect(checkTimes(world)).toEqual([])
})

test('a batch is dated at most 500 ms ahead of the clock of its writer, and 400 ms more after each restart', () => {
  const clock = new WallClock(() => 0)
  const peer = { id: oak, wallClock: clock, boots: 1 }
  const checker = new ClockChecker()
  const dated = (aheadMs: number) => {
    return details(checker.appended(peer, batchesOf(run(2), [], before.at(-1), clock.nowMs() + aheadMs)))
  }
  expect(dated(500)).toBe('')
  expect(dated(600)).toBe('oak dates a batch 99 ms beyond what its clock allows')
  peer.boots++
  expect(dated(900)).toBe('')
  clock.jump(3_600_000)
  clock.jump(-3_600_000)
  expect(dated(3_600_000)).toBe('')
  expect(checker.appended({ ...peer, id: elm }, after)).toEqual([])
})
