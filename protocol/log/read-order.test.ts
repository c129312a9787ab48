// Goal: the next batch is the earliest that is here and may be read. Method: small views by hand; feeds of writers a and b.
import { expect, test } from 'vitest'
import { type FeedToRead, nextFeed, readableFeeds, type ReadView, startsBySince } from './read-order.ts'
import type { VectorKey } from './version-vector.ts'

/** `a1` is the first run of the writer that is sixteen times `a`. */
const key = (name: string): VectorKey => `${name.charAt(0).repeat(16)}/${name.slice(1)}` as VectorKey

interface FeedExample {
  readonly after?: readonly [predecessor: string, nextOffset: number]
  readonly read: number
  readonly held: number
  readonly ms?: number
}

/** `listed`: which of `covered` are entries; the others are implied by them. */
function view(
  feeds: Record<string, FeedExample>,
  covered: Record<string, number> = {},
  listed: readonly string[] = Object.keys(covered),
): ReadView<FeedToRead> {
  const positions = new Map(Object.entries(covered).map(([name, nextOffset]) => [key(name), nextOffset]))
  const all = Object.entries(feeds).map(([name, { after, read, held, ms }]): [VectorKey, FeedToRead] => [
    key(name),
    {
      key: key(name),
      link: after && { predecessor: key(after[0]), nextOffset: after[1] },
      position: read,
      nextOffset: held,
      nextHlc: ms === undefined ? undefined : { ms, counter: 0 },
    },
  ])
  const entries = new Set(listed.map(key))
  return { feeds: new Map(all), positions, lists: (feed) => entries.has(feed) }
}

const readable = (example: ReadView<FeedToRead>): string[] =>
  readableFeeds(example).map((feed) => feed.key.charAt(0) + feed.key.slice(17))

test.each<[string, ReadView<FeedToRead>, string[]]>([
  ['a feed with records beyond the position', view({ a1: { read: 2, held: 3 } }), ['a1']],
  ['none without', view({ a1: { read: 3, held: 3 } }), []],
  ['none that is behind the reader', view({ a1: { read: 5, held: 3 } }, { a1: 5 }), []],
  [
    'no successor before its predecessor was read up to the link',
    view({ a1: { read: 2, held: 3 }, a2: { after: ['a1', 3], read: 3, held: 9 } }),
    ['a1'],
  ],
  [
    'a successor after that',
    view({ a1: { read: 3, held: 3 }, a2: { after: ['a1', 3], read: 3, held: 9 } }, { a1: 3 }),
    ['a2'],
  ],
  ['no successor of a feed that is not here', view({ a2: { after: ['a1', 3], read: 3, held: 9 } }), []],
  [
    'a successor at offset 0, before which there is nothing',
    view({ a2: { after: ['a1', 0], read: 0, held: 9 } }),
    ['a2'],
  ],
  [
    'no successor of an empty run whose own predecessor is not here',
    view({ a2: { after: ['a1', 3], read: 3, held: 3 }, a3: { after: ['a2', 3], read: 3, held: 4 } }),
    [],
  ],
  [
    'a feed that the vector covers, whatever of its predecessor is here',
    view({ a2: { after: ['a1', 3], read: 4, held: 9 } }, { a2: 4, a1: 3 }),
    ['a2'],
  ],
  [
    'what a predecessor has beyond the link, and its successor alike',
    view({ a1: { read: 3, held: 5 }, a2: { after: ['a1', 3], read: 4, held: 9 } }, { a1: 3, a2: 4 }),
    ['a1', 'a2'],
  ],
  [
    'no feed that an unknown one of its writer may imply, but those of others',
    view({ a1: { read: 0, held: 5 }, b1: { read: 0, held: 1 } }, { a2: 7 }),
    ['b1'],
  ],
  [
    'no feed that is implied, and by an unknown one of its writer maybe further',
    view({ a1: { read: 0, held: 5 }, a3: { after: ['a1', 0], read: 2, held: 4 } }, { a1: 0, a2: 9, a3: 2 }, [
      'a2',
      'a3',
    ]),
    ['a3'],
  ],
  [
    'no feeds whose openings form a ring',
    view({ a1: { after: ['a2', 3], read: 3, held: 5 }, a2: { after: ['a1', 3], read: 3, held: 5 } }),
    [],
  ],
])('readable: %s', (_, example, expected) => {
  expect(readable(example)).toEqual(expected)
})

const choose = (example: ReadView<FeedToRead>) => nextFeed(readableFeeds(example))?.key

test('the lowest time is next', () => {
  expect(choose(view({ a1: { read: 0, held: 1, ms: 20 }, b1: { read: 0, held: 1, ms: 10 } }))).toBe(key('b1'))
})

test('a predecessor is next, even if its clock says that it came later', () => {
  const example = view({ a2: { after: ['a1', 1], read: 1, held: 2, ms: 10 }, a1: { read: 0, held: 1, ms: 99 } })
  expect(choose(example)).toBe(key('a1'))
})

test('equal times go by key, in whatever order the feeds are known', () => {
  const [a, b] = [{ a1: { read: 0, held: 1, ms: 10 } }, { b1: { read: 0, held: 1, ms: 10 } }]
  expect(choose(view({ ...a, ...b }))).toBe(key('a1'))
  expect(choose(view({ ...b, ...a }))).toBe(key('a1'))
})

test.each<[string, ReadView<FeedToRead>, boolean]>([
  ['a feed of a writer that the vector does not cover', view({ a1: { read: 0, held: 1 } }, { b1: 4 }), true],
  ['no feed that it covers', view({ a1: { read: 0, held: 1 } }, { a1: 0 }), false],
  ['no successor of a feed that it covers', view({ a2: { after: ['a1', 3], read: 3, held: 4 } }, { a1: 3 }), false],
  [
    'no successor of a successor of one',
    view({ a2: { after: ['a1', 3], read: 3, held: 3 }, a3: { after: ['a2', 3], read: 3, held: 4 } }, { a1: 3 }),
    false,
  ],
])('starts at sinceHlc: %s', (_, example, expected) => {
  const last = [...example.feeds.values()].at(-1) as FeedToRead
  expect(startsBySince(last, example)).toBe(expected)
})
