// Goal: a retry is found wherever its records were stored, however the index learned of them, and for as long as is stated.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FeedKey } from './feed.ts'
import { type ProducerId, ProducerIndex, type ProducerIndexBounds, type ProducerSpan } from './producer-index.ts'

const shop = 'shop' as ProducerId
const oak = 'orders/oak/1' as FeedKey
const elm = 'orders/elm/1' as FeedKey
const bounds: ProducerIndexBounds = { spansMax: 1_000, spansPerProducerMax: 100, slackMax: 50 }

interface SpanLike {
  readonly producer?: string
  readonly epoch?: number
  readonly feed?: FeedKey
  readonly seq: number
  readonly count?: number
  readonly at: number
  readonly hlcMs?: number
}

/** Records without any of others between them, as a batch has them. */
const span = ({ producer = shop, epoch = 0, feed = oak, seq, count = 1, at, hlcMs = at }: SpanLike): ProducerSpan => ({
  producer: producer as ProducerId,
  epoch,
  firstSeq: seq,
  count,
  feed,
  firstOffset: at,
  lastOffset: at + count - 1,
  hlcMs,
})

function indexOf(spans: readonly ProducerSpan[], more: Partial<ProducerIndexBounds> = {}): ProducerIndex {
  const index = new ProducerIndex({ ...bounds, ...more })
  for (const each of spans) index.insert(each)
  return index
}

const find = (index: ProducerIndex, firstSeq: number, count = 1, epoch = 0) =>
  index.find({ producer: shop, epoch, firstSeq, count }).map(({ feed, firstSeq: seq, count: n, ...at }) => ({
    feed,
    seq,
    count: n,
    window: [at.firstOffset, at.lastOffset],
  }))

describe('finding records', () => {
  test('one that is not known, or of another epoch, is nowhere', () => {
    const index = indexOf([span({ seq: 3, count: 2, at: 10 })])
    expect([find(index, 2), find(index, 5), find(index, 3, 1, 1)]).toEqual([[], [], []])
  })

  test('of a request that is known in part, that part', () => {
    const index = indexOf([span({ seq: 3, count: 4, at: 10 })])
    expect(find(index, 5, 10)).toEqual([{ feed: oak, seq: 5, count: 2, window: [12, 13] }])
  })

  test('batches that follow each other are one span, and each record has its offset', () => {
    const index = indexOf([span({ seq: 0, count: 3, at: 10 }), span({ seq: 3, count: 2, at: 13 })])
    expect(index.spanCount).toBe(1)
    expect(find(index, 4)).toEqual([{ feed: oak, seq: 4, count: 1, window: [14, 14] }])
  })

  test('with records of others in between a window is known', () => {
    const index = indexOf([span({ seq: 0, count: 2, at: 10 }), span({ seq: 2, count: 2, at: 20 })])
    expect(index.spanCount).toBe(1)
    expect(find(index, 2)).toEqual([{ feed: oak, seq: 2, count: 1, window: [12, 20] }])
  })

  test('too many of others, another feed, or a lower offset begin a span of their own', () => {
    const index = indexOf([
      span({ seq: 5, at: 100 }),
      span({ seq: 6, at: 152 }),
      span({ seq: 7, at: 153, feed: elm }),
      span({ seq: 4, at: 101 }),
    ])
    expect(index.spanCount).toBe(4)
  })

  test('accepted on two sides, both places', () => {
    const index = indexOf([span({ seq: 0, count: 5, at: 0 }), span({ seq: 4, count: 3, at: 0, feed: elm })])
    expect(find(index, 4)).toEqual([
      { feed: oak, seq: 4, count: 1, window: [4, 4] },
      { feed: elm, seq: 4, count: 1, window: [0, 0] },
    ])
    expect([...index.doubled]).toEqual([shop])
  })
})

// Found by the simulator: seed 4560. The writer had handed over the first copy, and took it for new.
test('two copies in one feed stay two, however its producer goes on', () => {
  const index = indexOf([
    span({ seq: 0, count: 2, at: 0 }),
    span({ seq: 0, at: 2 }),
    span({ seq: 2, at: 6 }),
    span({ seq: 3, at: 7 }),
  ])
  expect(find(index, 0)).toEqual([
    { feed: oak, seq: 0, count: 1, window: [0, 0] },
    { feed: oak, seq: 0, count: 1, window: [2, 2] },
  ])
  expect(index.spanCount).toBe(3)
  const again = indexOf(index.newest(10).toSorted((a, b) => a.firstOffset - b.firstOffset))
  expect([find(again, 0), [...again.doubled]]).toEqual([find(index, 0), [shop]])
})

describe('the latest of a producer', () => {
  test('is the highest number of the highest epoch, and who took it', () => {
    const index = indexOf([
      span({ seq: 0, count: 3, at: 0 }),
      span({ seq: 2, at: 0, feed: elm }),
      span({ seq: 1, at: 5 }),
    ])
    expect(index.latest(shop)).toMatchObject({ epoch: 0, nextSeq: 3, takenBy: [oak, elm] })
    index.insert(span({ epoch: 2, seq: 0, at: 9, feed: elm }))
    index.insert(span({ epoch: 1, seq: 7, at: 9 }))
    expect(index.latest(shop)).toMatchObject({ epoch: 2, nextSeq: 1, takenBy: [elm] })
  })
})

describe('bounds', () => {
  test('of a producer keep its newest, whatever the order they came in', () => {
    const scattered = [4, 2, 8, 6].map((seq) => span({ seq, at: seq }))
    const index = indexOf(scattered, { spansPerProducerMax: 2 })
    expect([2, 4, 6, 8].map((seq) => find(index, seq).length)).toEqual([0, 0, 1, 1])
    expect(index.droppedMs).toBe(4)
  })

  test('of a producer keep what is new, however much of the old was accepted twice', () => {
    const doubled = Array.from({ length: 10 }, (_, epoch) => [
      span({ epoch, seq: 0, at: 10 * epoch }),
      span({ epoch, seq: 0, at: 10 * epoch, feed: elm }),
    ]).flat()
    const index = indexOf(doubled, { spansPerProducerMax: 8 })
    index.insert(span({ epoch: 10, seq: 0, at: 100 }))
    expect(find(index, 0, 1, 10)).toHaveLength(1)
    index.insert(span({ epoch: 10, seq: 0, at: 100, feed: elm }))
    expect(find(index, 0, 1, 10)).toHaveLength(2)
  })

  test('of a topic keep the newest of all', () => {
    const keys = Array.from({ length: 20 }, (_, i) => span({ producer: `key${i}`, seq: 0, at: i, hlcMs: 100 - i }))
    const index = indexOf(keys, { spansMax: 16 })
    const kept = keys.filter(({ producer }) => index.latest(producer) !== undefined)
    expect(index.spanCount).toBe(kept.length)
    expect(kept.length).toBeGreaterThanOrEqual(14)
    expect(kept.map(({ producer }) => producer)).toEqual(keys.slice(0, kept.length).map(({ producer }) => producer))
    expect(index.droppedMs).toBe(100 - kept.length)
    expect(indexOf(keys).droppedMs).toBeUndefined()
  })

  test('keep what was accepted twice for longer', () => {
    const doubled = [span({ seq: 0, at: 0, hlcMs: 1 }), span({ seq: 0, at: 0, feed: elm, hlcMs: 2 })]
    const newer = Array.from({ length: 20 }, (_, i) => span({ producer: `key${i}`, seq: 0, at: 10 + i, hlcMs: 10 + i }))
    const index = indexOf([...doubled, ...newer], { spansMax: 16 })
    expect(find(index, 0)).toHaveLength(2)
  })
})

/** What a feed holds of a producer: batches of consecutive numbers in rising order, with others' records in between. */
const batchesOf = (feed: FeedKey) =>
  fc
    .array(
      fc.record({
        epoch: fc.nat({ max: 1 }),
        skip: fc.nat({ max: 2 }),
        count: fc.integer({ min: 1, max: 4 }),
        others: fc.nat({ max: 40 }),
      }),
      { maxLength: 12 },
    )
    .map((batches) => {
      const seqs = [0, 0]
      let at = 0
      return batches.map(({ epoch, skip, count, others }) => {
        const seq = (seqs[epoch] as number) + skip
        at += others
        const made = span({ epoch, seq, count, at, feed })
        seqs[epoch] = seq + count
        at += count
        return made
      })
    })

const someBatches = fc.tuple(batchesOf(oak), batchesOf(elm)).map((lists) => lists.flat())

test('the order of insertion does not matter, and neither does repetition', () => {
  const shuffles = someBatches.chain((batches) =>
    fc.tuple(fc.constant(batches), fc.shuffledSubarray(batches, { minLength: batches.length }), fc.subarray(batches)),
  )
  fc.assert(
    fc.property(shuffles, ([batches, shuffled, again]) => {
      const index = indexOf(batches)
      const other = indexOf([...shuffled, ...again])
      for (let epoch = 0; epoch < 2; epoch++) {
        for (let seq = 0; seq < 60; seq++) {
          const feeds = (of: ProducerIndex) => find(of, seq, 1, epoch).map(({ feed }) => feed)
          expect(feeds(other).toSorted()).toEqual(feeds(index).toSorted())
        }
      }
      expect({ ...other.latest(shop), spans: 0 }).toMatchObject({ ...latestOf(index), spans: 0 })
      expect([...other.doubled]).toEqual([...index.doubled])
    }),
  )
})

function latestOf(index: ProducerIndex) {
  const latest = index.latest(shop)
  return latest && { epoch: latest.epoch, nextSeq: latest.nextSeq }
}

test('a record lies within the window that it is found in, and in no other feed', () => {
  fc.assert(
    fc.property(someBatches, (batches) => {
      const index = indexOf(batches)
      for (const { epoch, firstSeq, count, feed, firstOffset } of batches) {
        for (let i = 0; i < count; i++) {
          const found = find(index, firstSeq + i, 1, epoch)
          const here = found.find((place) => place.feed === feed)
          expect(here?.window[0]).toBeLessThanOrEqual(firstOffset + i)
          expect(here?.window[1]).toBeGreaterThanOrEqual(firstOffset + i)
        }
      }
      const total = batches.reduce((sum, { count }) => sum + count, 0)
      expect(index.newest(Number.POSITIVE_INFINITY).reduce((sum, { count }) => sum + count, 0)).toBe(total)
    }),
  )
})
