// Goal: vectors merge like sets of records, and an entry stands for all that its writer wrote before it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { encodeCursor } from './cursor.ts'
import type { Opening } from './feed.ts'
import { hlcZero } from './hybrid-clock.ts'
import { pureDigests } from './pure-digests.ts'
import { advanceVector, compareVectors, coversVector, type Lineage, lineageOf, mergeVectors } from './version-vector.ts'
import { normalizeVector, positionOf, positionsOf, type VectorKey, type VersionVector } from './version-vector.ts'
import { epochOfKey, vectorKeyOf, type WriterHash, writerOfKey } from './version-vector.ts'

const key = (name: string) => name as VectorKey
const vector = (entries: Record<string, number>): VersionVector =>
  new Map(Object.entries(entries).map(([feed, nextOffset]) => [key(feed), nextOffset]))
const plain = (entries: VersionVector) => Object.fromEntries(entries)

/** Oak ran three times: run 2 went on from run 1 at 10, run 3 from run 2 at 15. */
const oakRuns: Lineage = new Map([
  [key('oak2'), { predecessor: key('oak1'), nextOffset: 10 }],
  [key('oak3'), { predecessor: key('oak2'), nextOffset: 15 }],
])

test('an entry implies all predecessors up to their links', () => {
  expect(plain(positionsOf(vector({ oak3: 20 }), oakRuns))).toEqual({ oak1: 10, oak2: 15, oak3: 20 })
  expect(positionOf(vector({ oak2: 12 }), oakRuns, key('oak1'))).toBe(10)
  expect(positionOf(vector({ oak2: 12 }), oakRuns, key('oak3'))).toBeUndefined()
})

test('what lies beyond a link is not implied: its entry stays', () => {
  const beyond = vector({ oak1: 13, oak3: 20 })
  expect(positionOf(beyond, oakRuns, key('oak1'))).toBe(13)
  expect(plain(normalizeVector(beyond, oakRuns))).toEqual({ oak1: 13, oak3: 20 })
})

test('implied entries are dropped, unknown ones stay', () => {
  const all = vector({ oak1: 10, oak2: 15, oak3: 20, unknown: 4 })
  expect(plain(normalizeVector(all, oakRuns))).toEqual({ oak3: 20, unknown: 4 })
})

test('of 10,000 finished runs of three writers a cursor lists three, in at most 4 KiB', () => {
  const writers = ['a', 'b', 'c'].map((name) => name.repeat(16) as WriterHash)
  const runs = Array.from({ length: 10_000 }, (_, run) => {
    const writer = writers[run % 3] as WriterHash
    const epochAt = (index: number) => index.toString(16).padStart(16, '0') as Epoch
    return { feed: vectorKeyOf(writer, epochAt(run)), before: vectorKeyOf(writer, epochAt(run - 3)), end: run + 1, run }
  })
  const links = runs.filter(({ run }) => run >= 3)
  const lineage: Lineage = new Map(
    links.map(({ feed, before, end }) => [feed, { predecessor: before, nextOffset: end - 3 }]),
  )
  const kept = normalizeVector(new Map(runs.map(({ feed, end }) => [feed, end])), lineage)
  expect([...kept.values()]).toEqual([9_998, 9_999, 10_000])
  const entries = [...kept].map(([feed, nextOffset]) => {
    return { writer: writerOfKey(feed), epoch: epochOfKey(feed) as Epoch, nextOffset, hashPrefix: '00000000' }
  })
  const topicId = '0'.repeat(32) as TopicId
  expect(encodeCursor({ topicId, sinceHlc: hlcZero, entries }, pureDigests).length).toBeLessThanOrEqual(4_096)
})

test('two runs may go on from the same one, as after a restored backup: the further link counts', () => {
  const fork: Lineage = new Map([
    [key('oak2'), { predecessor: key('oak1'), nextOffset: 10 }],
    [key('oak2b'), { predecessor: key('oak1'), nextOffset: 7 }],
  ])
  expect(positionOf(vector({ oak2b: 9 }), fork, key('oak1'))).toBe(7)
  expect(positionOf(vector({ oak2b: 9, oak2: 11 }), fork, key('oak1'))).toBe(10)
})

test('openings that form a ring end nothing and drop nothing', () => {
  const ring: Lineage = new Map([
    [key('a'), { predecessor: key('b'), nextOffset: 5 }],
    [key('b'), { predecessor: key('a'), nextOffset: 5 }],
  ])
  expect(plain(normalizeVector(vector({ a: 5 }), ring))).toEqual({ a: 5 })
  expect(normalizeVector(vector({ a: 5, b: 5 }), ring).size).toBe(1)
})

test('entries are never lowered', () => {
  expect(plain(advanceVector(vector({ elm1: 5 }), key('elm1'), 3))).toEqual({ elm1: 5 })
  expect(plain(advanceVector(vector({ elm1: 5 }), key('elm1'), 6))).toEqual({ elm1: 6 })
})

test.each([
  [{ oak3: 20 }, { oak1: 10, oak2: 15, oak3: 20 }, 'equal'],
  [{ oak2: 12 }, { oak3: 15 }, 'before'],
  [{ oak3: 15 }, { oak1: 10 }, 'after'],
  [{ oak3: 15 }, { oak1: 11 }, 'concurrent'],
  [{ oak1: 1 }, { elm1: 1 }, 'concurrent'],
  [{}, {}, 'equal'],
  [{}, { elm1: 0 }, 'before'],
] as const)('%o is to %o: %s', (a, b, order) => {
  expect(compareVectors(vector(a), vector(b), oakRuns)).toBe(order)
})

test('the lineage is read from openings', () => {
  const [oak, elm] = ['oak', 'elm'] as PeerId[] as [PeerId, PeerId]
  const epoch = (n: number) => `000000000000000${n}` as Epoch
  const opening = (writer: PeerId, n: number): Opening => ({ topic: 'orders', generation: 0, writer, epoch: epoch(n) })
  const predecessor = { epoch: epoch(1), nextOffset: 10, hash: '' as Hash }
  const lineage = lineageOf([opening(oak, 1), { ...opening(oak, 2), predecessor }, opening(elm, 2)], pureDigests)
  // `printf oak | sha256sum`
  const run = (n: number) => `df877645404747cb/000000000000000${n}`
  expect([...lineage]).toEqual([[run(2), { predecessor: run(1), nextOffset: 10 }]])
})

// Laws, over forests in which each feed may go on from one with a lower number.
const names = ['f0', 'f1', 'f2', 'f3', 'f4', 'f5']
const anyVector = fc.dictionary(fc.constantFrom(...names, 'unknown'), fc.nat(9)).map((entries) => vector(entries))
const anyLineage = fc
  .tuple(...names.map((_, i) => fc.option(fc.tuple(fc.nat(Math.max(0, i - 1)), fc.nat(9)))))
  .map(
    (links): Lineage =>
      new Map(
        links.flatMap((link, i) =>
          link === null || i === 0 ? [] : [[key(`f${i}`), { predecessor: key(`f${link[0]}`), nextOffset: link[1] }]],
        ),
      ),
  )

test('merging is commutative, associative and idempotent, and covers both', () => {
  fc.assert(
    fc.property(anyVector, anyVector, anyVector, anyLineage, (a, b, c, lineage) => {
      expect(plain(mergeVectors(a, b))).toEqual(plain(mergeVectors(b, a)))
      expect(plain(mergeVectors(mergeVectors(a, b), c))).toEqual(plain(mergeVectors(a, mergeVectors(b, c))))
      expect(plain(mergeVectors(a, a))).toEqual(plain(a))
      const both = mergeVectors(a, b)
      expect(coversVector(both, a, lineage)).toBe(true)
      expect(coversVector(both, b, lineage)).toBe(true)
    }),
  )
})

test('normalizing changes no position, and neither does doing it before a merge', () => {
  fc.assert(
    fc.property(anyVector, anyVector, anyLineage, (a, b, lineage) => {
      const normal = normalizeVector(a, lineage)
      expect(plain(positionsOf(normal, lineage))).toEqual(plain(positionsOf(a, lineage)))
      expect(plain(normalizeVector(normal, lineage))).toEqual(plain(normal))
      const late = positionsOf(mergeVectors(normal, normalizeVector(b, lineage)), lineage)
      expect(plain(late)).toEqual(plain(positionsOf(mergeVectors(a, b), lineage)))
      expect(normal.get(key('unknown'))).toBe(a.get(key('unknown')))
    }),
  )
})

test('covering is a partial order of positions', () => {
  fc.assert(
    fc.property(anyVector, anyVector, anyLineage, (a, b, lineage) => {
      const order = compareVectors(a, b, lineage)
      const opposite = { before: 'after', after: 'before', equal: 'equal', concurrent: 'concurrent' } as const
      expect(compareVectors(b, a, lineage)).toBe(opposite[order])
      const same = plain(positionsOf(a, lineage))
      if (order === 'equal') expect(same).toEqual(plain(positionsOf(b, lineage)))
    }),
  )
})
