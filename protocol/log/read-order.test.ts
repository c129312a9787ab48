// Goal: the next batch is the earliest that is here and may be read. Method: small views by hand; feeds of writers a and b.
import { expect, test } from 'vitest'
import {
  type FeedToRead,
  forgottenBefore,
  mayBeImplied,
  nextFeed,
  readableFeeds,
  type ReadView,
  startsBySince,
  unclearFeeds,
} from './read-order.ts'
import type { VectorKey } from './version-vector.ts'

/** `a1` is the first run of the writer that is sixteen times `a`. */
const key = (name: string): VectorKey => `${name.charAt(0).repeat(16)}/${name.slice(1)}` as VectorKey

interface FeedExample {
  readonly after?: readonly [predecessor: string, nextOffset: number]
  readonly read: number
  readonly held: number
  readonly rooted?: boolean
  readonly ms?: number
  readonly openedMs?: number
}

/** `listed`: which of `covered` are entries; the others are implied by them. */
function view(
  feeds: Record<string, FeedExample>,
  covered: Record<string, number> = {},
  listed: readonly string[] = Object.keys(covered),
): ReadView<FeedToRead> {
  const positions = new Map(Object.entries(covered).map(([name, nextOffset]) => [key(name), nextOffset]))
  const all = Object.entries(feeds).map(
    ([name, { after, read, held, rooted = false, ms, openedMs }]): [VectorKey, FeedToRead] => [
      key(name),
      {
        key: key(name),
        link: after && { predecessor: key(after[0]), nextOffset: after[1] },
        rooted,
        position: read,
        nextOffset: held,
        nextHlc: ms === undefined ? undefined : { ms, counter: 0 },
        opened: openedMs === undefined ? undefined : { ms: openedMs, counter: 0 },
      },
    ],
  )
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
    'what goes on from an entry, whatever an unknown feed of its writer may imply',
    view({ a1: { read: 3, held: 3 }, a2: { after: ['a1', 3], read: 3, held: 4 } }, { a1: 3, a9: 7 }),
    ['a2'],
  ],
  [
    'no such feed where the entry goes beyond the link: that says nothing of it',
    view({ a1: { read: 5, held: 5 }, a2: { after: ['a1', 3], read: 3, held: 4 } }, { a1: 5, a9: 7 }),
    [],
  ],
  [
    'a successor of a feed that was forgotten, and what comes after it',
    view({
      a3: { after: ['a2', 5], read: 5, held: 5, rooted: true },
      a4: { after: ['a3', 5], read: 5, held: 9 },
    }),
    ['a4'],
  ],
  [
    'a feed that begins where the vector ends in one that is not known, or further on',
    view({ a3: { after: ['a2', 5], read: 5, held: 9, rooted: true }, b1: { read: 0, held: 1 } }, { a1: 5, b0: 1 }),
    ['a3'],
  ],
  [
    'a successor of a forgotten feed that was read beyond the link',
    view({ a2: { after: ['a1', 5], read: 5, held: 6, rooted: true } }, { a1: 8 }),
    ['a2'],
  ],
  [
    'what comes after such a successor',
    view(
      { a2: { after: ['a1', 5], read: 6, held: 6, rooted: true }, a3: { after: ['a2', 6], read: 6, held: 9 } },
      { a1: 8, a2: 6 },
    ),
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

test('a feed may be implied by an unknown one of its writer that goes further, unless it goes on from that', () => {
  const feeds = { a2: { after: ['a1', 5] as const, read: 5, held: 6 } }
  const isImplied = (covered: Record<string, number>): boolean => {
    const example = view(feeds, covered)
    return mayBeImplied(example.feeds.get(key('a2')) as FeedToRead, example)
  }
  expect([{ a9: 6 }, { a9: 5 }, { a1: 9 }, { b1: 9 }].map(isImplied)).toEqual([true, false, false, false])
})

// Found by the simulator: seed 136.
test('nor is it implied by one that something went on from before this one was opened', () => {
  const after = ['a1', 5] as const
  const names = (feeds: readonly FeedToRead[]) => feeds.map(({ key: name }) => name)
  const examples = [undefined, 7, 8].map((openedMs) => {
    const a2 = { after, read: 9, held: 9, rooted: true, openedMs: 7 }
    return view({ a2, a3: { read: 0, held: 1, ...(openedMs && { openedMs }) } }, { a1: 5, a2: 9 }, ['a2'])
  })
  expect(examples.map(readable)).toEqual([[], [], ['a3']])
  expect(examples.map((example) => names(unclearFeeds(example)))).toEqual([[key('a3')], [], []])
  // Of a4, nothing is known that tells what it goes on from.
  const unsure = view({ a2: { after, read: 9, held: 9 }, a3: { read: 0, held: 1 } }, { a1: 5, a2: 9, a4: 9 }, [
    'a2',
    'a4',
  ])
  expect([readable(unsure), names(unclearFeeds(unsure))]).toEqual([[], []])
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
    'no successor of a forgotten feed that went on from one it covers',
    view({ a3: { after: ['a2', 3], read: 3, held: 4, rooted: true } }, { a1: 2 }),
    false,
  ],
  [
    'a successor of a forgotten feed, when the vector has nothing of its writer',
    view({ a3: { after: ['a2', 3], read: 3, held: 4, rooted: true } }, { b1: 2 }),
    true,
  ],
  [
    'no successor of a successor of one',
    view({ a2: { after: ['a1', 3], read: 3, held: 3 }, a3: { after: ['a2', 3], read: 3, held: 4 } }, { a1: 3 }),
    false,
  ],
])('starts at sinceHlc: %s', (_, example, expected) => {
  const last = [...example.feeds.values()].at(-1) as FeedToRead
  expect(startsBySince(last, example)).toBe(expected)
})

test.each<[string, Record<string, number>, readonly [string, number] | undefined]>([
  ['its predecessor', { a2: 4 }, ['a2', 4]],
  ['its predecessor, however far that was read', { a2: 7 }, ['a2', 7]],
  ['of several that were before it the furthest', { a0: 1, a1: 3 }, ['a1', 3]],
  ['none that goes further: it may come after it', { a9: 6 }, undefined],
  ['none of another writer', { b1: 2 }, undefined],
])('what was forgotten before a feed that begins at 5: %s', (_, covered, expected) => {
  const example = view({ a3: { after: ['a2', 5], read: 5, held: 9, rooted: true } }, covered)
  const found = forgottenBefore(example.feeds.get(key('a3')) as FeedToRead, example)
  expect(found && [found.feed, found.nextOffset]).toEqual(expected && [key(expected[0]), expected[1]])
})

test.each<[string, FeedExample, readonly [string, number]]>([
  ['from its end', { read: 3, held: 3 }, ['a1', 3]],
  ['from where it will have been read to', { read: 2, held: 4 }, ['a1', 4]],
  ['not at all, if it goes beyond', { read: 3, held: 8 }, ['a1', 5]],
])('what was forgotten after a feed that is known here and covered is missing %s (seed 2868)', (_, a1, expected) => {
  const feeds = { a1, a3: { after: ['a2', 5], read: 5, held: 9, rooted: true } } as const
  const example = view(feeds, { a0: 1, a1: a1.read })
  const found = forgottenBefore(example.feeds.get(key('a3')) as FeedToRead, example)
  expect(found && [found.feed, found.nextOffset]).toEqual([key(expected[0]), expected[1]])
})
