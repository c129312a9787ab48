// The checkers on worlds made by hand: each says nothing of a sound one, and names what is wrong with a broken one.
import { describe, expect, test } from 'vitest'
import { nodeDigests } from '#node/node-digests'
import { encodeBatch, encodeOpeningBatch } from '#protocol/log/batch'
import { feedKeyOf } from '#protocol/log/feed'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Opening } from '#protocol/log/feed'
import type { BatchToStore } from '#storage/feed-store'
import { History } from '../history.ts'
import type { Reading } from '../history.ts'
import { SimDisk } from '../sim-disk.ts'
import { checkConvergence } from './convergence.ts'
import { checkCursors } from './cursors.ts'
import { checkDurability } from './durability.ts'
import { checkAcceptedOrder, checkChains } from './order.ts'
import type { Anomaly } from './anomaly.ts'

const oak = 'oak' as PeerId
const elm = 'elm' as PeerId
const topicId = 'aa'.repeat(16) as TopicId
const run = (digit: number): FeedId => ({ topicId, writer: oak, epoch: `${digit}`.repeat(16) as Epoch })

/** One record a batch; the first batch is the opening. */
function batchesOf(feed: FeedId, values: readonly string[], after?: BatchToStore): readonly BatchToStore[] {
  const link = after && { epoch: after.feed.epoch, ...after.head }
  const opening: Opening = {
    topic: 'orders',
    generation: 0,
    writer: oak,
    epoch: feed.epoch,
    ...(link && { predecessor: link }),
  }
  const first = encodeOpeningBatch(opening, { ms: 1, counter: 0 }, nodeDigests)
  const batches: BatchToStore[] = [{ feed, ...first, opening }]
  for (const value of values) {
    const { head } = batches.at(-1) as BatchToStore
    const recordSets = [encodeRecords([{ value: utf8(value), headers: {} }])]
    const place = { baseOffset: head.nextOffset, previousHash: head.hash, hlc: { ms: 1, counter: batches.length } }
    batches.push({ feed, ...encodeBatch({ ...place, recordSets }, nodeDigests) })
  }
  return batches
}

const before = batchesOf(run(1), ['r1', 'r2'])
const after = batchesOf(run(2), ['r3'], before.at(-1))
const all = [...before, ...after]

function diskWith(batches: readonly BatchToStore[]): SimDisk {
  const disk = new SimDisk()
  for (const batch of batches) disk.apply([batch], [])
  return disk
}

const disks = (ofOak: readonly BatchToStore[], ofElm: readonly BatchToStore[]) =>
  new Map([
    [oak, diskWith(ofOak)],
    [elm, diskWith(ofElm)],
  ])

const key = (digit: number) => feedKeyOf(run(digit))
const details = (anomalies: readonly Anomaly[]): string => anomalies.map(({ detail }) => detail).join('; ')

/** oak acked these, one after the other, with both peers as copies. */
function acked(...records: readonly (readonly [value: string, digit: number, offset: number])[]): History {
  const history = new History()
  records.forEach(([value, digit, offset], index) => {
    const times = { invokedAtMs: 10 * index, atMs: 10 * index + 5 }
    const answer = { reached: true, places: [{ feed: key(digit), offset }], copies: [oak, elm], home: [oak, elm] }
    const outcome = { type: 'answered' as const, atMs: times.atMs, ...answer }
    const request = { at: oak, topic: 'orders', values: [value], level: { type: 'all' as const } }
    history.publishes.push({ ...request, invokedAtMs: times.invokedAtMs, outcome })
  })
  return history
}

describe('durability', () => {
  const history = acked(['r1', 1, 0], ['r2', 1, 1], ['r3', 2, 2])

  test('is kept by disks that have what was acked', () => {
    expect(checkDurability(history, disks(all, all))).toEqual([])
  })

  test('is broken by a replica without an acked record, or with another in its place', () => {
    expect(details(checkDurability(history, disks(all, before)))).toMatch('r3, acked by oak')
    expect(details(checkDurability(acked(['r9', 1, 0]), disks(all, all)))).toMatch('is r1 at oak')
  })

  test('owes nothing that every counted disk has lost by damage', () => {
    const world = disks(all, all)
    for (const disk of world.values()) disk.loseTail(1, 0)
    expect(checkDurability(history, world)).toEqual([])
    const half = disks(all, all)
    half.get(elm)?.loseTail(1, 0)
    expect(details(checkDurability(history, half))).toMatch('is missing at elm')
  })
})

describe('order', () => {
  test('of chains: a batch left out, a successor without its predecessor', () => {
    expect(checkChains(disks(all, all))).toEqual([])
    const gap = [before[0], before[2]] as BatchToStore[]
    expect(details(checkChains(disks(all, gap)))).toBe('oak.1111 at elm: offsets 0 to 1 are missing')
    expect(details(checkChains(disks(all, after)))).toMatch('its predecessor 1111 is not here up to 2')
  })

  test('of acceptance: across a restart, and never backward', () => {
    const world = disks(all, all)
    expect(checkAcceptedOrder(acked(['r2', 1, 1], ['r3', 2, 2]), world)).toEqual([])
    expect(details(checkAcceptedOrder(acked(['r3', 2, 2], ['r2', 1, 1]), world))).toMatch(
      'oak.1111.1 was accepted after',
    )
  })
})

test('convergence: the batch from which on two disks differ is named', () => {
  expect(checkConvergence(disks(all, all))).toEqual([])
  expect(details(checkConvergence(disks(all, all.slice(0, -1))))).toMatch(
    'oak has 2 batches, elm has 1; number 1 differs',
  )
})

describe('cursors', () => {
  const read = (...records: readonly (readonly [value: string, digit: number, offset: number])[]): string => {
    const history = acked()
    const seen = records.map(([value, digit, offset]) => ({ place: { feed: key(digit), offset }, value, at: elm }))
    history.readings.push({ name: '#1', topic: 'orders', from: 'earliest', sinceMs: 0, records: seen, gaps: [] })
    return details(checkCursors(history, disks(all, all)))
  }

  test.each([
    [
      'everything once and in order',
      [
        ['r1', 1, 0],
        ['r2', 1, 1],
        ['r3', 2, 2],
      ],
      '',
    ],
    [
      'a record skipped',
      [
        ['r2', 1, 1],
        ['r3', 2, 2],
      ],
      'skips from 0 to oak.1111.1',
    ],
    [
      'a record twice',
      [
        ['r1', 1, 0],
        ['r1', 1, 0],
        ['r2', 1, 1],
        ['r3', 2, 2],
      ],
      'reads oak.1111.0 again',
    ],
    [
      'a successor first',
      [
        ['r3', 2, 2],
        ['r1', 1, 0],
        ['r2', 1, 1],
      ],
      'with its predecessor read up to 0 of 2',
    ],
    [
      'another value',
      [
        ['r1', 1, 0],
        ['r5', 1, 1],
        ['r3', 2, 2],
      ],
      'got r5 at oak.1111.1, where r2 is',
    ],
    [
      'the last never',
      [
        ['r1', 1, 0],
        ['r2', 1, 1],
      ],
      'never got r3',
    ],
  ] as const)('%s', (_, records, complaint) => {
    if (complaint === '') expect(read(...records)).toBe('')
    else expect(read(...records)).toMatch(complaint)
  })

  test('a writer of whom something was wiped out everywhere may be waited for, by a reader who is told', () => {
    const world = disks(all, all)
    const wipedOut = batchesOf(run(3), ['r4'])
    const ofElm = world.get(elm) as SimDisk
    for (const batch of wipedOut) ofElm.apply([batch], [])
    ofElm.loseTail(wipedOut.length, 0)
    const history = acked()
    const gaps: Reading['gaps'] = []
    const records = [0, 1].map((offset) => ({ place: { feed: key(1), offset }, value: `r${offset + 1}`, at: elm }))
    history.readings.push({ name: '#1', topic: 'orders', from: 'earliest', sinceMs: 0, records, gaps })
    expect(details(checkCursors(history, world))).toMatch('never got r3')
    gaps.push({ type: 'late', feed: `oak.${run(2).epoch}`, from: 2, to: 3, at: 'elm' })
    expect(checkCursors(history, world)).toEqual([])
  })
})
