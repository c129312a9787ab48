// What "converged" means: the same heads, hash by hash, at every peer.
import { expect, test } from 'vitest'
import { compareHoldings, type Head } from './convergence.ts'

const head = (feed: string, nextOffset: number, hash = `${feed}#${nextOffset}`, floor = 0): Head => ({
  feed,
  floor,
  nextOffset,
  hash,
})
const successor = (feed: string, floor: number, nextOffset: number): Head => head(feed, nextOffset, feed, floor)

const compare = (holdings: Record<string, Head[] | undefined>, others: Record<string, Head[]> = {}) =>
  compareHoldings([
    ...Object.entries(others).map(([peer, heads]) => ({ peer, heads, atHome: false })),
    ...Object.entries(holdings).map(([peer, heads]) => ({ peer, heads, atHome: true })),
  ]).map(({ peer, agreement, records, lag }) => `${peer} ${agreement} ${records} -${lag}`)

test('peers with the same heads are equal, in whatever order they list them', () => {
  const heads = [head('oak', 3), head('elm', 2)]
  expect(compare({ oak: heads, elm: heads.toReversed() })).toEqual(['oak equal 5 -0', 'elm equal 5 -0'])
})

test('lag counts what any other peer has, over all feeds, so both sides of a split are behind', () => {
  const sides = { oak: [head('oak', 9), head('elm', 2)], elm: [head('oak', 4), head('elm', 6)], ash: [head('elm', 6)] }
  expect(compare(sides)).toEqual(['oak behind 11 -4', 'elm behind 10 -5', 'ash behind 6 -9'])
})

test('as many records with another hash are not the same bytes', () => {
  const damaged = { oak: [head('oak', 3)], elm: [head('oak', 3)], ash: [head('oak', 3, 'damaged')] }
  expect(compare(damaged)).toEqual(['oak equal 3 -0', 'elm equal 3 -0', 'ash differs 3 -0'])
})

test('a feed that has only been opened counts, though it has no records to lack', () => {
  expect(compare({ oak: [head('oak', 0)], elm: [] })).toEqual(['oak equal 0 -0', 'elm differs 0 -0'])
})

test('the records of a writer that has restarted count once: its next feed goes on where the one before ends', () => {
  const first = head('oak.1', 2)
  const next = successor('oak.2', 2, 3)
  expect(compare({ elm: [first, next], ash: [first], fir: [next] })).toEqual([
    'elm equal 3 -0',
    'ash behind 2 -1',
    'fir behind 1 -2',
  ])
})

test('a successor that has only been opened counts, though it has no records to lack', () => {
  const first = head('oak.1', 2)
  expect(compare({ elm: [first, successor('oak.2', 2, 2)], ash: [first] })).toEqual([
    'elm equal 2 -0',
    'ash differs 2 -0',
  ])
})

test('a peer that does not answer is not taken for one that holds nothing', () => {
  expect(compare({ oak: [head('oak', 3)], elm: undefined, ash: [] })).toEqual([
    'oak equal 3 -0',
    'elm unreachable 0 -0',
    'ash behind 0 -3',
  ])
})

test('who is not at home is not compared; only what it has more of counts', () => {
  const home = { oak: [head('oak', 5)], elm: [head('oak', 5)] }
  const equal = ['oak equal 5 -0', 'elm equal 5 -0']
  // Less, other bytes, a writer that has let go of what home has, and one that home has forgotten, for it is empty.
  for (const held of [
    head('oak', 3),
    head('oak', 5, 'damaged'),
    { ...head('oak', 5), keptFrom: 5 },
    head('ash', 7, 'old', 7),
  ]) {
    expect(compare(home, { ash: [held] })).toEqual(equal)
  }
  expect(compare(home, { ash: [head('oak', 6), head('ash', 2)] })).toEqual(['oak behind 5 -3', 'elm behind 5 -3'])
  expect(compare(home, { ash: [{ ...head('ash', 9), keptFrom: 7 }] })).toEqual(['oak behind 5 -2', 'elm behind 5 -2'])
})

test('damaged records are lacking as far as they are whole elsewhere; what is lost everywhere is no difference', () => {
  const damaged = (from: number, to: number): Head => ({ ...head('oak', 9), holes: [{ from, to }] })
  expect(compare({ oak: [damaged(2, 6)], elm: [head('oak', 9)] })).toEqual(['oak behind 9 -4', 'elm equal 9 -0'])
  expect(compare({ oak: [damaged(2, 6)], elm: [damaged(4, 7)] })).toEqual(['oak behind 9 -2', 'elm behind 9 -1'])
  expect(compare({ oak: [damaged(2, 6)], elm: [damaged(2, 6)] })).toEqual(['oak equal 9 -0', 'elm equal 9 -0'])
  const writer = { ...head('oak', 9), keptFrom: 5 }
  expect(compare({ oak: [damaged(2, 6)], elm: [damaged(2, 6)] }, { ash: [writer] })).toEqual([
    'oak behind 9 -1',
    'elm behind 9 -1',
  ])
})
