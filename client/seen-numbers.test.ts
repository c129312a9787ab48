// Goal: what was given once is known, whatever the order; what was not is never held back.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { SeenNumbers } from './seen-numbers.ts'

const record = (seq: number, { id = 'shop', epoch = 0, topic = 'orders' } = {}) => ({
  topic,
  producer: { id, epoch, seq },
})

test('a number is new once, in each epoch, producer and topic', () => {
  const seen = new SeenNumbers()
  const given = [
    record(1),
    record(2),
    record(1),
    record(1, { epoch: 1 }),
    record(1, { id: 'till' }),
    record(1, { topic: 'bills' }),
    record(2),
  ].map((each) => seen.add(each))
  expect(given).toEqual([true, true, false, true, true, true, false])
})

test('a run is new if no number of it is known, and then all are known; else none is added', () => {
  const seen = new SeenNumbers()
  const run = (seq: number, count: number) => seen.addRun({ ...record(seq), count })
  expect([run(5, 3), run(8, 2), run(2, 3), run(2, 1), run(9, 5), run(0, 3)]).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ])
  expect([seen.add(record(10)), seen.add(record(9)), seen.add(record(1)), seen.add(record(2))]).toEqual([
    true,
    false,
    true,
    false,
  ])
})

test('a record without a producer is always new', () => {
  const seen = new SeenNumbers()
  expect([seen.add({ topic: 'orders' }), seen.add({ topic: 'orders' })]).toEqual([true, true])
})

test('of numbers in any order each is new once', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 30 })), (seqs) => {
      const seen = new SeenNumbers()
      const met = new Set<number>()
      for (const seq of seqs) {
        expect(seen.add(record(seq))).toBe(!met.has(seq))
        met.add(seq)
      }
    }),
  )
})

test('of scattered numbers the highest are known, of epochs the latest; none is taken for known that is not', () => {
  const seen = new SeenNumbers()
  for (let seq = 0; seq < 400; seq += 2) expect(seen.add(record(seq))).toBe(true)
  expect([seen.add(record(398)), seen.add(record(0))]).toEqual([false, true])
  for (let epoch = 1; epoch <= 4_096; epoch++) seen.add(record(0, { epoch }))
  expect([seen.add(record(0, { epoch: 4_096 })), seen.add(record(398))]).toEqual([false, true])
})

test('of a topic that is forgotten every number is new, of others none', () => {
  const seen = new SeenNumbers()
  const records = ['orders', 'orders.eu'].flatMap((topic) => [record(1, { topic }), record(1, { topic, epoch: 1 })])
  for (const each of records) seen.add(each)
  seen.forget('orders')
  expect(records.map((each) => seen.add(each))).toEqual([true, true, false, false])
})
