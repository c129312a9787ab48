// What checkers make of bits that flip, of holes, and of full disks.
import { expect, test } from 'vitest'
import type { FeedChange } from '#storage/feed-store'
import { heldOn, missingOn, type SimDisk } from '../sim-disk.ts'
import { Tellings } from './ack-honesty.ts'
import { checkConvergence, isConverged } from './convergence.ts'
import { checkDurability } from './durability.ts'
import { Written } from './written.ts'
import { FullDiskChecker } from './full-disk.ts'
import { acked, after, all, before, details, diskWith, disks, elm, key, oak, run } from './hand-made.ts'
import { checkChains } from './order.ts'
import { checkSkips } from './skips.ts'

const everybody = () => [oak, elm]
const noted = (from: number, to: number): FeedChange => ({ type: 'holes', feed: run(1), holes: [{ from, to }] })

/** Oak and elm with all; the record at offset 1 has rotted at these. */
function rotten(...peers: readonly (typeof oak)[]) {
  const world = disks(all, all)
  for (const peer of peers) expect(world.get(peer)?.flipBit(key(1), 2, 0.5, 10)).toBe(true)
  return world
}

test('a flipped bit takes one batch of one disk, and its peer does not know', () => {
  const world = rotten(elm)
  const [sound, rot] = [oak, elm].map((peer) => world.get(peer)?.feeds.get(key(1)))
  expect([sound && missingOn(sound), rot && missingOn(rot), rot && heldOn(rot)]).toEqual([
    [],
    [{ from: 1, to: 2 }],
    [{ from: 0, to: 1 }],
  ])
  expect([world.get(elm)?.lostAtMs(key(1), 1), world.get(elm)?.wholeUpTo(key(1))]).toEqual([10, 2])
  expect(world.get(elm)?.flipBit(key(1), 2, 0.1, 20)).toBe(false)
})

test('what is whole on one disk is to be mended on all, and owed; what is whole on none is neither, once it is noted', () => {
  const history = acked(['r2', 1, 1])
  const half = rotten(elm)
  expect(isConverged(half, everybody)).toBe(false)
  half.get(elm)?.apply([], [noted(1, 2)])
  expect(isConverged(half, everybody)).toBe(false)
  expect(details(checkConvergence(half, everybody))).toMatch('damage is left')
  expect(details(checkDurability(history, half, { homeOf: everybody, written: new Written() }))).toMatch(
    'r2, acked by oak',
  )
  const none = rotten(oak, elm)
  none.get(oak)?.apply([], [noted(1, 2)])
  expect(isConverged(none, everybody)).toBe(false)
  none.get(elm)?.apply([], [noted(1, 2)])
  expect([isConverged(none, everybody), checkConvergence(none, everybody)]).toEqual([true, []])
  expect([
    checkChains(none, everybody),
    checkDurability(history, none, { homeOf: everybody, written: new Written() }),
  ]).toEqual([[], []])
})

test('a copy is told as far as it has no hole that its peer knows of', () => {
  const world = rotten(elm)
  const tellings = new Tellings(world)
  expect(tellings.isTrue(oak, elm, key(1), 2)).toBe(true)
  const summary = { type: 'summary', epoch: run(1).epoch, root: '' } as const
  world.get(elm)?.apply([], [noted(1, 2)], 20)
  tellings.controlHeard({ host: { machine: oak } } as never, elm, summary, 30)
  expect([tellings.isTrue(oak, elm, key(1), 2), tellings.isTrue(oak, elm, key(1), 1)]).toEqual([false, true])
  expect(tellings.isTrue(oak, elm, key(1), 2, 2)).toBe(true)
})

test('nobody goes on behind what a registered peer has held for a while', () => {
  const to = before.at(-1)?.head
  if (to === undefined) throw new Error('no batch')
  const blamed = (ofElm: SimDisk, registered = [oak, elm]) => {
    const behind = { id: oak, disk: diskWith(before.slice(0, 2)) }
    const world = { disks: new Map([[elm, ofElm]]), registered, keptFrom: () => 0, nowMs: 60_000 }
    return details(checkSkips(behind, [{ type: 'skip', feed: run(1), to }], world))
  }
  expect(blamed(diskWith(all))).toBe('oak goes on behind oak from 1 to 2, of which elm holds some')
  expect(blamed(diskWith(all), [oak])).toBe('')
  expect(blamed(rotten(elm).get(elm) as SimDisk)).toBe('')
  const young = diskWith(before.slice(0, 2))
  young.apply(before.slice(2), [], 59_000)
  expect(blamed(young)).toBe('')
})

test('whose disk is full takes no publishes, and of others only what was on its way', () => {
  const checker = new FullDiskChecker()
  const [publish] = acked(['r1', 1, 0]).publishes
  if (publish === undefined) throw new Error('no publish')
  checker.published(publish)
  expect([checker.answered(publish), details(checker.refused(publish, 'DISK_FULL'))]).toEqual([
    [],
    'oak refuses r1 as if its disk were full',
  ])
  checker.changed(oak, true, 1)
  checker.changed(elm, true, 1)
  checker.published(publish)
  expect(details(checker.answered(publish))).toBe('oak takes r1 although its disk is full')
  checker.published(publish)
  expect(checker.refused(publish, 'DISK_FULL')).toEqual([])
  expect(checker.appended(oak, before, [])).toEqual([])
  expect(checker.appended(elm, after.slice(0, 1), [])).toEqual([])
  expect(details(checker.appended(elm, after.slice(1), []))).toMatch('elm stores 1 batches of others')
  checker.changed(elm, false, 0)
  expect(checker.appended(elm, after.slice(1), [])).toEqual([])
})
