// Goal: the ledger finds what it is there to find, and nothing else. Method: histories of a few records, made by hand.
import { expect, test } from 'vitest'
import { checkAcks } from './checkers/acks.ts'
import { checkSame } from './checkers/contents.ts'
import { checkEqual, type Holding } from './checkers/equality.ts'
import type { DiskFault, Publish } from './history.ts'
import { IndexedReading } from './indexed-reading.ts'
import { publish, reading, refused, unanswered } from './sample-history.ts'
import { judge, type Verdict } from './verdict.ts'

const judged = (publishes: readonly Publish[], text: string, diskFaults: readonly DiskFault[] = []): Verdict =>
  judge({ publishes, diskFaults }, reading(text))

/** The faults that were found at all. */
function faultsOf({ faults }: Verdict): Readonly<Record<string, number>> {
  const found = Object.entries(faults).filter(([, { count }]) => count > 0)
  return Object.fromEntries(found.map(([name, { count }]) => [name, count]))
}

test('a reading of what was published, in order, is without fault', () => {
  const verdict = judged([publish('a', [0, 2]), publish('a', [2, 1])], 'a0@0 a1@1 a2@2')
  expect(faultsOf(verdict)).toEqual({})
  expect(verdict).toMatchObject({ records: 3, notOwed: 0, recovered: 0, explainedDuplicates: 0 })
})

test('a ledger that is still being written is judged like a history', () => {
  const ledger = { publishes: [publish('a', [0, 2])] }
  const live = Object.create({ ...ledger, diskFaults: [] }) as Parameters<typeof judge>[0]
  expect(faultsOf(judge(live, reading('a0@0')))).toEqual({ lost: 1 })
})

test('lost records are counted by where they stand among those of their writer', () => {
  const verdict = judged([publish('a', [0, 6])], 'lost@0-2 a2@2 lost@3-4 a4@4 lost@5-6')
  expect(faultsOf(verdict)).toEqual({ lost: 4 })
  expect(verdict.lostParts).toEqual({ prefix: 2, middle: 1, postfix: 1 })
  expect(verdict.toldLost.count).toBe(4)
  expect(faultsOf(judged([publish('a', [0, 2])], ''))).toEqual({ lost: 2 })
})

test('a record is owed while one disk that its ack named has lost nothing since', () => {
  const publishes = [publish('a', [0, 1], { copies: ['oak', 'elm'], invokedAtMs: 100 })]
  const oak = { disk: 'oak', atMs: 150 }
  expect(faultsOf(judged(publishes, '', [oak]))).toEqual({ lost: 1 })
  expect(faultsOf(judged(publishes, '', [oak, { disk: 'elm', atMs: 99 }]))).toEqual({ lost: 1 })
  const both = judged(publishes, '', [oak, { disk: 'elm', atMs: 100 }])
  expect(faultsOf(both)).toEqual({})
  expect(both.notOwed).toBe(1)
})

test('a publish without an answer owes nothing, may be there, and is not refused', () => {
  const silent = unanswered(publish('a', [0, 1]))
  expect(faultsOf(judged([silent], ''))).toEqual({})
  const there = judged([silent], 'a0@0')
  expect(faultsOf(there)).toEqual({})
  expect(there.recovered).toBe(1)
  expect(faultsOf(judged([refused(silent)], 'a0@0'))).toEqual({ unexpected: 1 })
  expect(faultsOf(judged([], 'a0@0'))).toEqual({ unexpected: 1 })
})

test('a duplicate is explained by as many sends that may have been accepted, and by none if they carried a key', () => {
  const first = unanswered(publish('a', [0, 1]))
  const again = publish('a', [0, 1], { from: 1, isRetry: true, invokedAtMs: 50 })
  const explained = judged([first, again], 'a0@0 a0@1')
  expect(faultsOf(explained)).toEqual({})
  expect(explained.explainedDuplicates).toBe(1)
  expect(faultsOf(judged([again], 'a0@0 a0@1'))).toEqual({ unexplainedDuplicates: 1 })
  expect(faultsOf(judged([refused(first), again], 'a0@0 a0@1'))).toEqual({ unexplainedDuplicates: 1 })
  const keyed = [first, again].map((one) => ({ ...one, isKeyed: true }))
  expect(faultsOf(judged(keyed, 'a0@0 a0@1'))).toEqual({ unexplainedDuplicates: 1 })
  const moved = judge({ publishes: keyed, diskFaults: [] }, reading('a0@0 a0@1', true))
  expect(faultsOf(moved)).toEqual({})
  expect(moved.explainedDuplicates).toBe(1)
})

test('a copy of a retried record may be passed over, and nothing else', () => {
  const first = unanswered(publish('a', [0, 1]))
  const sends = [first, publish('a', [0, 1], { isRetry: true }), publish('b', [0, 1], { from: 2 })]
  const keyed = sends.map((one) => ({ ...one, isKeyed: true }))
  const skipping = judged(keyed, 'a0@0 b0@2')
  expect(faultsOf(skipping)).toEqual({})
  expect(skipping.skipped).toBe(1)
  expect(faultsOf(judged(sends, 'a0@0 b0@2'))).toEqual({ untoldGaps: 1 })
  expect(faultsOf(judged(keyed, 'a0@0 b0@3'))).toMatchObject({ untoldGaps: 2 })
})

test('a retry with a key that is answered with the place of the first send is as old as that one', () => {
  const first = unanswered(publish('a', [0, 1], { from: 0, invokedAtMs: 0 }))
  const other = publish('b', [0, 1], { from: 1, invokedAtMs: 10 })
  const retry = publish('a', [0, 1], { from: 0, invokedAtMs: 20, isRetry: true })
  expect(faultsOf(judged([first, other, retry], 'a0@0 b0@1'))).toEqual({ orderViolations: 1 })
  const keyed = [first, other, retry].map((one) => ({ ...one, isKeyed: true }))
  expect(faultsOf(judged(keyed, 'a0@0 b0@1'))).toEqual({})
})

test('a retry with a key may be read at the place of the first try, one without may not', () => {
  const again = publish('a', [0, 1], { from: 1, isRetry: true })
  const elsewhere = 'a0@0 lost@1-2'
  expect(faultsOf(judged([unanswered(publish('a', [0, 1])), again], elsewhere))).toEqual({ lost: 1 })
  const keyed = [unanswered(publish('a', [0, 1])), again].map((one) => ({ ...one, isKeyed: true }))
  expect(faultsOf(judged(keyed, elsewhere))).toEqual({})
})

test('what one peer acked before it was sent the next is read first', () => {
  const early = publish('a', [0, 1], { from: 1, invokedAtMs: 0 })
  const late = publish('b', [0, 1], { from: 0, invokedAtMs: 10 })
  expect(faultsOf(judged([early, late], 'b0@0 a0@1'))).toEqual({ orderViolations: 1 })
  // Both were under way at a time: either order is right.
  expect(faultsOf(judged([early, { ...late, invokedAtMs: 4 }], 'b0@0 a0@1'))).toEqual({})
  // Other peers, other feeds: no order is owed.
  const atElm = { ...late, outcome: { ...late.outcome, runs: [{ feed: 'elm.e1', from: 0, count: 1 }] } }
  expect(faultsOf(judged([publish('a', [0, 1]), atElm], 'b0@elm.e1.0 a0@0'))).toEqual({})
})

test('order goes on across the boots of a peer', () => {
  const [before, after] = [publish('a', [0, 1]), publish('a', [1, 1], { feed: 'oak.e2', from: 1 })]
  expect(faultsOf(judged([before, after], 'a0@0 a1@e2.1'))).toEqual({})
  expect(faultsOf(judged([before, after], 'a1@e2.1 a0@0'))).toEqual({ orderViolations: 1, untoldGaps: 1 })
})

test('the records of one publish have the order of the request', () => {
  const runs = [
    { feed: 'oak.e1', from: 1, count: 1 },
    { feed: 'oak.e1', from: 0, count: 1 },
  ]
  const one = publish('a', [0, 2])
  const swapped = { ...one, outcome: { ...one.outcome, runs } }
  expect(faultsOf(judged([swapped], 'a1@0 a0@1'))).toEqual({ orderViolations: 1 })
})

test('offsets that are passed over without a word are found, also at the beginning and between feeds', () => {
  const three = [publish('a', [0, 3])]
  expect(faultsOf(judged(three, 'a0@0 a2@2'))).toEqual({ lost: 1, untoldGaps: 1 })
  expect(faultsOf(judged(three, 'a1@1 a2@2'))).toEqual({ lost: 1, untoldGaps: 1 })
  const two = [publish('a', [0, 1]), publish('a', [1, 1], { feed: 'oak.e2', from: 3 })]
  expect(faultsOf(judged(two, 'a0@0 a1@e2.3'))).toEqual({ untoldGaps: 2 })
  expect(faultsOf(judged(two, 'a0@0 lost@1-3 a1@e2.3'))).toEqual({})
})

test('a place that is read twice is found, and so is what a reader still waits for', () => {
  expect(faultsOf(judged([publish('a', [0, 1])], 'a0@0 a0@0'))).toMatchObject({ repeats: 1 })
  const two = [publish('a', [0, 2])]
  expect(faultsOf(judged(two, 'a0@0 late@1-2'))).toEqual({ lost: 1, stillLate: 1 })
  expect(faultsOf(judged(two, 'a0@0 late@1-2 a1@1'))).toEqual({})
})

test('what was late and is nowhere in the end, or has come as a copy, is waited for by nobody', () => {
  const history = { publishes: [publish('a', [0, 1])], diskFaults: [] }
  const judgedWith = (text: string, final: string) =>
    faultsOf(judge(history, reading(text), { final: new IndexedReading(reading(final)) }))
  expect(judgedWith('a0@0 late@1-3', 'a0@0')).toEqual({})
  expect(judgedWith('a0@0 late@1-3', 'a0@0 a1@1')).toEqual({ stillLate: 1 })
  expect(judgedWith('a0@0 late@1-3 a1@e2.3', 'a0@0 a1@1')).not.toHaveProperty('stillLate')
})

test('wrong bytes, and another record than the ack said', () => {
  const two = [publish('a', [0, 1]), publish('b', [0, 1], { from: 1 })]
  expect(faultsOf(judged(two, 'a0@0 damaged@1'))).toEqual({ lost: 1, wrongBytes: 1 })
  expect(faultsOf(judged(two, 'b0@0 a0@1'))).toMatchObject({ wrongPlaces: 2 })
})

test('two readings that have different records at one place differ', () => {
  const [one, other] = [new IndexedReading(reading('a0@0 a1@1')), new IndexedReading(reading('a0@0 b1@1 a1@2'))]
  expect(checkSame(one, other).count).toBe(1)
  expect(checkSame(one, one).count).toBe(0)
})

test.each([
  ['local', ['elm'], 1],
  ['local', ['oak'], 0],
  ['n:2', ['oak'], 1],
  ['n:2', ['oak', 'yew'], 0],
  ['majority', ['oak', 'yew'], 1],
  ['majority', ['oak', 'elm'], 0],
  ['all', ['oak', 'elm', 'yew'], 1],
  ['all', ['oak', 'elm', 'ash', 'yew'], 0],
  ['all', ['oak', 'elm', 'ash', 'ash'], 1],
])('an ack of %s on the disks of %j: %i faults', (level, copies, count) => {
  const one = publish('a', [0, 1], { level, copies })
  expect(checkAcks({ publishes: [one], diskFaults: [] }).count).toBe(count)
  const unreached = { ...one, outcome: { ...one.outcome, reached: false } }
  expect(checkAcks({ publishes: [unreached], diskFaults: [] }).count).toBe(0)
})

test('home members that differ in a head, a hash, a floor or a hole are not equal', () => {
  const feed = { feed: 'oak.e1', floor: 0, nextOffset: 3, hash: 'aa' }
  const holding = (peer: string, ...feeds: Holding['feeds']): Holding => ({ peer, topic: 'orders', feeds })
  expect(checkEqual([holding('oak', feed), holding('elm', feed)]).count).toBe(0)
  for (const other of [{ nextOffset: 2 }, { hash: 'ab' }, { floor: 1 }, { holes: [{ from: 0, to: 1 }] }]) {
    expect(checkEqual([holding('oak', feed), holding('elm', { ...feed, ...other })]).count).toBe(1)
  }
  expect(checkEqual([holding('oak', feed), holding('elm')]).count).toBe(1)
})
