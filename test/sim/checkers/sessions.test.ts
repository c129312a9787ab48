// The cursor of an answer, on a disk made by hand: an entry of a feed covers its predecessor up to the link.
import { expect, test } from 'vitest'
import { nodeDigests } from '#node/node-digests'
import { encodeCursor } from '#protocol/log/cursor'
import { hlcZero } from '#protocol/log/hybrid-clock'
import { writerHashOf } from '#protocol/log/version-vector'
import { acked, all, before, details, diskWith, key, oak, run } from './hand-made.ts'
import { checkSession, coveredBy } from './sessions.ts'
import { Written } from './written.ts'

const { topicId } = run(1)
const writer = writerHashOf(oak, nodeDigests)
const cursorAt = (digit: number, nextOffset: number): string => {
  const entry = { writer, epoch: run(digit).epoch, nextOffset, hashPrefix: '00000000' }
  return encodeCursor({ topicId, sinceHlc: hlcZero, entries: [entry] }, nodeDigests)
}

const complaint = (cursor: string, disk = diskWith(all)): string => {
  const [publish] = acked(['r3', 2, 2]).answered()
  if (publish === undefined) throw new Error('one publish is answered')
  return details(
    checkSession(publish, publish.outcome, coveredBy(cursor, topicId, disk), { disk, written: new Written() }),
  )
}

test('an entry covers its feed, and the predecessor up to the link', () => {
  const { positions } = coveredBy(cursorAt(2, 3), topicId, diskWith(all))
  expect([...positions]).toEqual([
    [key(2), 3],
    [key(1), 2],
  ])
})

test('a cursor covers what was published, and no more than the disk has', () => {
  expect(complaint(cursorAt(2, 3))).toBe('')
  expect(complaint(cursorAt(1, 2))).toBe('the cursor of an answer of oak does not cover its own oak.2222.2')
  expect(complaint(cursorAt(2, 4))).toBe('the cursor of an answer of oak covers oak up to 4, which is not there')
  expect(complaint(cursorAt(2, 3), diskWith(before))).toMatch('does not cover its own')
})
