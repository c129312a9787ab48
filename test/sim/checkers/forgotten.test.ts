// What is owed of a feed of which retention has left nothing: home forgets it, and who goes for good need not hand it over.
import { expect, test } from 'vitest'
import type { FeedChange } from '#storage/feed-store'
import { DecommissionChecker } from './decommission.ts'
import { checkForgotten } from './forgotten.ts'
import { after, all, before, details, diskWith, disks, elm, key, oak, run } from './hand-made.ts'
import { Written } from './written.ts'

const elmAlone = () => [elm]
const floorOf1 = (upTo: number): FeedChange => {
  const head = before[upTo]?.head
  if (head === undefined) throw new Error('run 1 has no such batch')
  return { type: 'floor', feed: run(1), floor: head }
}

test('home has forgotten an emptied feed that something goes on from, unless its writer still runs that boot', () => {
  const world = disks(all, all)
  const left = (isRunning: boolean) => details(checkForgotten(world, { homeOf: elmAlone, isRunning: () => isRunning }))
  for (const disk of world.values()) disk.apply([], [floorOf1(1)])
  expect(left(false)).toBe('')
  for (const disk of world.values()) disk.apply([], [floorOf1(2)])
  expect(left(false)).toBe('elm still knows aaaa/oak.1111, of which nothing is left')
  // A clone of oak's has gone on from it, while oak itself did not stop (seeds 51, 138, 174, 252).
  expect(left(true)).toBe('')
})

test('a peer that goes has handed over what it holds; what is empty may be forgotten at home (seeds 117, 204, 215, 286)', () => {
  const goer = { id: oak, disk: diskWith(all) }
  const world = disks(all, after)
  const written = new Written()
  const handedOver = () =>
    details(new DecommissionChecker().handedOver(goer, { disks: world, homeOf: elmAlone, written }))
  expect(handedOver()).toBe('oak has handed over aaaa/oak.1111 [0, 2), which is not at elm')
  written.trimmed(key(1), 2)
  expect(handedOver()).toBe('')
})
