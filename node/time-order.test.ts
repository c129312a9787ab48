// An interval of time, sorted: against a model that sorts all records of all writers, in pages of any size.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { IntervalRequest, TimePosition } from '#gateway/broker'
import type { ReaderStart } from './read-source.ts'
import { textOf, utf8 } from '#protocol/text'
import { nodeDigests } from './node-digests.ts'
import { openReader } from './reader.ts'
import { Shelf, topic, topicId, Writer } from './test-shelf.ts'
import { readInterval } from './time-order.ts'

const read = (source: Shelf, wanted: Partial<IntervalRequest> = {}) =>
  readInterval(
    { source, topic, topicId, digests: nodeDigests },
    { fromMs: 0, toMs: 1_000_000, limit: 1_000, bytesTarget: 1_000_000, ...wanted },
  )

const valuesOf = ({ records }: Awaited<ReturnType<typeof read>>) => records.map(({ value }) => textOf(value))

/** Records one to a batch, a second apart. */
function written(writer: Writer, count: number, name: string): Writer {
  for (let i = 0; i < count; i++) writer.write(1_000 * (i + 1), `${name}${i}`)
  return writer
}

test('records come by time, equal times by feed, and both ends of the interval are part of it', async () => {
  const shelf = new Shelf()
    .hold(new Writer('oak', 1).write(10, 'a0', 'a1').write(30, 'a2').write(50, 'a3'))
    .hold(new Writer('elm', 7).write(10, 'b0').write(20, 'b1').write(50, 'b2').write(51, 'b3'))
  expect(valuesOf(await read(shelf))).toEqual(['b0', 'a0', 'a1', 'b1', 'a2', 'b2', 'a3', 'b3'])
  expect(valuesOf(await read(shelf, { fromMs: 20, toMs: 50 }))).toEqual(['b1', 'a2', 'b2', 'a3'])
  expect(valuesOf(await read(shelf, { fromMs: 52 }))).toEqual([])
})

test('pages of any size are together the whole interval, once and in order', async () => {
  const batches = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 })), { maxLength: 12 })
  const arbitrary = fc.record({
    writers: fc.array(batches, { minLength: 1, maxLength: 4 }),
    limit: fc.integer({ min: 1, max: 7 }),
    fromMs: fc.integer({ min: 0, max: 20 }),
    length: fc.integer({ min: 0, max: 40 }),
  })
  await fc.assert(
    fc.asyncProperty(arbitrary, async ({ writers, limit, fromMs, length }) => {
      const shelf = new Shelf()
      const model: { ms: number; feed: string; offset: number; value: string }[] = []
      for (const [w, sizes] of writers.entries()) {
        const writer = new Writer(`w${w}`, w + 1)
        let [ms, offset] = [0, 0]
        for (const [later, count] of sizes) {
          ms += later
          const values = Array.from({ length: count }, (_, i) => `${w}:${offset + i}`)
          writer.write(ms, ...values)
          const feed = `w${w}.${writer.feed.epoch}`
          for (const value of values) model.push({ ms, feed, offset: offset++, value })
        }
        shelf.hold(writer)
      }
      const toMs = fromMs + length
      const expected = model
        .filter((record) => record.ms >= fromMs && record.ms <= toMs)
        .toSorted((a, b) => a.ms - b.ms || (a.feed === b.feed ? a.offset - b.offset : a.feed < b.feed ? -1 : 1))
      const told: (string | undefined)[] = []
      let after: TimePosition | undefined
      do {
        const page = await read(shelf, { fromMs, toMs, limit, after })
        expect(page.records.length).toBeLessThanOrEqual(limit)
        told.push(...valuesOf(page))
        after = page.next
      } while (after !== undefined)
      expect(told).toEqual(expected.map(({ value }) => value))
    }),
    { numRuns: 200 },
  )
})

test('a page ends with the record that reaches its bytes', async () => {
  const shelf = new Shelf().hold(new Writer('oak', 1).write(1, 'aaaa', 'bbbb', 'cccc'))
  const page = await read(shelf, { bytesTarget: 5 })
  expect(valuesOf(page)).toEqual(['aaaa', 'bbbb'])
  expect(page.next).toEqual({ ms: 1, counter: 0, feed: `oak.${'1'.padStart(16, '0')}`, offset: 1 })
})

test('keys and headers count among the bytes of a page', async () => {
  const keyed = { key: utf8('a long key'), headers: {}, value: utf8('a') }
  const described = { headers: { name: 'of some length' }, value: utf8('b') }
  const shelf = new Shelf().hold(new Writer('oak', 1).writeRecords(1, [keyed, described, described]))
  expect(valuesOf(await read(shelf, { bytesTarget: 11 }))).toEqual(['a'])
  expect(valuesOf(await read(shelf, { bytesTarget: 12 }))).toEqual(['a', 'b'])
})

test('what cannot be read now leaves the rest of its feed out, what nobody has is passed over; both are told', async () => {
  const oak = new Writer('oak', 1).write(1, 'a0').write(2, 'a1').write(5, 'a2')
  const elm = new Writer('elm', 7).write(3, 'b0').write(4, 'b1')
  const hole = [{ from: 1, to: 2 }]
  const late = await read(new Shelf().hold(elm).hold(oak, undefined, { damaged: hole }))
  expect(valuesOf(late)).toEqual(['a0', 'b0', 'b1'])
  expect(late.gaps).toEqual([{ type: 'late', feed: 'oak.0000000000000001', from: 1, to: 3 }])
  const lost = await read(new Shelf().hold(elm).hold(oak, undefined, { damaged: hole, lost: hole }))
  expect(valuesOf(lost)).toEqual(['a0', 'b0', 'b1', 'a2'])
  expect(lost.gaps).toEqual([{ type: 'lost', feed: 'oak.0000000000000001', from: 1, to: 2 }])
})

test('a start in the middle of a long feed is found without reading what comes before it', async () => {
  const shelf = new Shelf().hold(written(new Writer('oak', 1), 20_000, 'a'))
  const page = await read(shelf, { fromMs: 15_000_000, toMs: 15_003_000 })
  expect(valuesOf(page)).toEqual(['a14999', 'a15000', 'a15001', 'a15002'])
  expect(shelf.reads).toBeLessThan(40)
})

// Reading from a time on ------------------------------------------------------------------------------------------------

const from = (ms: number): ReaderStart => ({ type: 'time', ms })
const open = (source: Shelf, start: ReaderStart) =>
  openReader({ source, topic, topicId, from: start, digests: nodeDigests, wallMs: 1_000 })

test('a reader that starts at a time is given what is dated so or later, of feeds that come later, too', async () => {
  const oak = new Writer('oak', 1).write(10, 'a0').write(20, 'a1')
  const again = oak.restarted(2).write(30, 'a2')
  const elm = new Writer('elm', 7).write(15, 'b0').write(25, 'b1')
  const shelf = new Shelf().hold(oak).hold(again)
  const reader = open(shelf, from(20))
  const first = await reader.next(10)
  expect(first.records.map(({ record }) => textOf(record.value))).toEqual(['a1', 'a2'])
  shelf.hold(elm)
  const { records, gaps } = await open(shelf, { type: 'cursor', cursor: first.cursor }).next(10)
  expect([records.map(({ record }) => textOf(record.value)), gaps]).toEqual([['b1'], undefined])
  expect((await open(shelf, from(0)).next(10)).records).toHaveLength(5)
  expect((await open(shelf, from(31)).next(10)).records).toHaveLength(0)
})

test('what retention has let go of since that time is told as lost', async () => {
  const oak = new Writer('oak', 1).write(10, 'a0').write(20, 'a1').write(30, 'a2')
  const shelf = new Shelf().hold(oak, undefined, { floor: 2 })
  const lost = { type: 'lost', feed: 'oak.0000000000000001', from: 0, to: 2 }
  expect((await open(shelf, from(15)).next(10)).gaps).toEqual([lost])
  expect((await open(shelf, from(31)).next(10)).gaps).toBeUndefined()
})

test('a reader that starts at a time does not read a long feed from its beginning', async () => {
  const shelf = new Shelf().hold(written(new Writer('oak', 1), 20_000, 'a'))
  const { records } = await open(shelf, from(19_999_000)).next(10)
  expect(records.map(({ record }) => textOf(record.value))).toEqual(['a19998', 'a19999'])
  expect(shelf.reads).toBeLessThan(40)
})
