import { expect, test } from 'vitest'
import { type ImportRun, ImportRuns } from './import-runs.ts'

const exported = (offset: number, { feed = 'oak.e1', value = `${offset}` } = {}) => ({
  topic: 'orders',
  origin: { topicId: 'ab', feed, offset },
  record: { value, contentType: 'text/plain' },
})

function cut(records: readonly ReturnType<typeof exported>[]): ImportRun[] {
  const runs = new ImportRuns()
  return [...records.flatMap((record) => [...runs.add(record)]), ...runs.end()]
}

const span = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => exported(from + i))
/** `producer seq count` */
const shown = ({ producer, records }: ImportRun): string => `${producer.id} ${producer.seq} ${records.length}`

test('runs are cut at blocks of offsets, wherever an export begins and ends', () => {
  expect(cut(span(0, 600)).map(shown)).toEqual([
    'import ab/oak.e1 0 0 256',
    'import ab/oak.e1 256 0 256',
    'import ab/oak.e1 512 0 88',
  ])
  expect(cut(span(500, 700)).map(shown)).toEqual(['import ab/oak.e1 256 244 12', 'import ab/oak.e1 512 0 188'])
})

test('what comes behind a hole in its block has numbers of its own, and goes on with them', () => {
  const runs = cut([...span(0, 3), ...span(5, 7), ...span(256, 258)]).map(shown)
  expect(runs).toEqual(['import ab/oak.e1 0 0 3', 'import ab/oak.e1 5+ 5 2', 'import ab/oak.e1 256 0 2'])
})

test('feeds that take turns are cut one by one', () => {
  const turns = span(0, 4).flatMap((record, i) => [record, exported(i, { feed: 'elm.e1' })])
  expect(cut(turns).map(shown).toSorted()).toEqual(['import ab/elm.e1 0 0 4', 'import ab/oak.e1 0 0 4'])
})

test('two exports one after the other: what comes again has the numbers that it had', () => {
  expect(cut([...span(0, 3), ...span(0, 5)]).map(shown)).toEqual(['import ab/oak.e1 0 0 3', 'import ab/oak.e1 0 0 5'])
})

test('large values make short runs, whose numbers go on', () => {
  const value = 'a'.repeat(300_000)
  const runs = cut([0, 1, 2].map((offset) => exported(offset, { value }))).map(shown)
  expect(runs).toEqual(['import ab/oak.e1 0 0 1', 'import ab/oak.e1 0 1 1', 'import ab/oak.e1 0 2 1'])
})

test('many feeds at once do not fill the memory', () => {
  const runs = new ImportRuns()
  const value = 'a'.repeat(100_000)
  const over = Array.from({ length: 50 }, (_, i) => [...runs.add(exported(0, { feed: `oak.e${i}`, value }))]).flat()
  expect(over.length).toBeGreaterThan(40)
})
