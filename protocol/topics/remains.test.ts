// Goal: of a deleted topic goes what its deleters saw, and nothing else before its time. Method: one feed, looked at by hand.
import { describe, expect, test } from 'vitest'
import type { Hash } from '#protocol/ids'
import type { FeedKey, Head } from '#protocol/log/feed'
import { type KeptFeed, Remains } from './remains.ts'

const graceMs = 20_000
const everyMs = 1_000
const headAt = (nextOffset: number): Head => ({ nextOffset, hash: String(nextOffset).padStart(64, '0') as Hash })
const key = 'topic/elm/boot' as FeedKey
const feedOf = (floor: number, head: number, seen?: number) => ({
  key,
  floor: headAt(floor),
  head: headAt(head),
  ...(seen !== undefined && { seen: headAt(seen) }),
})

/** Looks at the feed every second, `times` times; what it is told to do, in words. */
function looks(remains: Remains, feed: ReturnType<typeof feedOf>, times: number, fromMs = 0): readonly string[] {
  return Array.from({ length: times }, (_, i) => remains.look([feed], fromMs + i * everyMs)).flatMap((orders) =>
    orders.map((order) => (order.type === 'forget' ? 'forget' : `floor ${order.floor.nextOffset}`)),
  )
}

test('what was seen goes at once, also where less of it is here', () => {
  expect(looks(new Remains(graceMs, []), feedOf(0, 10, 10), 1)).toEqual(['floor 10'])
  expect(looks(new Remains(graceMs, []), feedOf(0, 4, 10), 1)).toEqual(['floor 10'])
  expect(looks(new Remains(graceMs, []), feedOf(0, 12, 10), 1)).toEqual(['floor 10'])
})

describe('what lies beyond', () => {
  test('stays for the grace time, then goes', () => {
    const remains = new Remains(graceMs, [])
    expect(looks(remains, feedOf(10, 12, 10), 20)).toEqual([])
    expect(remains.leftMs(key)).toBe(1_000)
    expect(looks(remains, feedOf(10, 12, 10), 1, 20_000)).toEqual(['floor 12'])
  })

  test('of which more arrives stays for another grace time', () => {
    const remains = new Remains(graceMs, [])
    looks(remains, feedOf(10, 12, 10), 20)
    expect(looks(remains, feedOf(10, 13, 10), 20, 20_000)).toEqual([])
    expect(looks(remains, feedOf(10, 13, 10), 1, 40_000)).toEqual(['floor 13'])
  })

  test('stays as a whole where nothing was seen', () => {
    const remains = new Remains(graceMs, [])
    expect(looks(remains, feedOf(0, 5), 20)).toEqual([])
    expect(looks(remains, feedOf(0, 5), 1, 20_000)).toEqual(['floor 5'])
  })
})

test('a feed without records is forgotten one grace time later', () => {
  const remains = new Remains(graceMs, [])
  expect(looks(remains, feedOf(12, 12, 10), 20)).toEqual([])
  expect(looks(remains, feedOf(12, 12, 10), 1, 20_000)).toEqual(['forget'])
})

describe('time', () => {
  test('counts on after a restart from where it was written down', () => {
    const before = new Remains(graceMs, [])
    looks(before, feedOf(10, 12, 10), 16)
    const kept: readonly KeptFeed[] = JSON.parse(JSON.stringify(before.kept)) as KeptFeed[]
    const after = new Remains(graceMs, kept)
    expect(looks(after, feedOf(10, 12, 10), 5)).toEqual([])
    expect(looks(after, feedOf(10, 12, 10), 1, 5_000)).toEqual(['floor 12'])
  })

  test('does not count while nobody looks: a stalled process is no reason to let go', () => {
    const remains = new Remains(graceMs, [])
    looks(remains, feedOf(10, 12, 10), 2)
    expect(looks(remains, feedOf(10, 12, 10), 1, 86_400_000)).toEqual([])
    expect(remains.leftMs(key)).toBe(graceMs - 3_000)
  })

  test('of a feed that is not here any more is not kept', () => {
    const remains = new Remains(graceMs, [])
    looks(remains, feedOf(10, 12, 10), 5)
    remains.look([], 6_000)
    expect(remains.kept).toEqual([])
    expect(remains.leftMs(key)).toBe(graceMs)
  })
})
