// The checkers on worlds made by hand: each says nothing of a sound one, and names what is wrong with a broken one.
import { describe, expect, test } from 'vitest'
import type { BatchToStore } from '#storage/feed-store'
import type { Reading } from '../history.ts'
import type { SimDisk } from '../sim-disk.ts'
import { checkConvergence, isConverged } from './convergence.ts'
import { checkCursors } from './cursors.ts'
import { checkDurability } from './durability.ts'
import { Written } from './written.ts'
import { acked, after, all, batchesOf, before, details, disks, elm, key, oak, run } from './hand-made.ts'
import { checkAcceptedOrder, checkChains } from './order.ts'

const everybody = () => [oak, elm]
const oakAlone = () => [oak]

describe('durability', () => {
  const history = acked(['r1', 1, 0], ['r2', 1, 1], ['r3', 2, 2])

  test('is kept by disks that have what was acked', () => {
    expect(checkDurability(history, disks(all, all), { homeOf: everybody, written: new Written() })).toEqual([])
  })

  test('is broken by a replica without an acked record, or with another in its place', () => {
    expect(
      details(checkDurability(history, disks(all, before), { homeOf: everybody, written: new Written() })),
    ).toMatch('r3, acked by oak')
    expect(checkDurability(history, disks(all, before), { homeOf: oakAlone, written: new Written() })).toEqual([])
    expect(
      details(checkDurability(acked(['r9', 1, 0]), disks(all, all), { homeOf: everybody, written: new Written() })),
    ).toMatch('is r1 at oak')
  })

  test('owes nothing that every counted disk has lost by damage', () => {
    const world = disks(all, all)
    for (const disk of world.values()) disk.loseTail(1, 0)
    expect(checkDurability(history, world, { homeOf: everybody, written: new Written() })).toEqual([])
    const half = disks(all, all)
    half.get(elm)?.loseTail(1, 0)
    expect(details(checkDurability(history, half, { homeOf: everybody, written: new Written() }))).toMatch(
      'is missing at elm',
    )
  })
})

describe('order', () => {
  test('of chains: a batch left out, a successor without its predecessor', () => {
    expect(checkChains(disks(all, all), everybody)).toEqual([])
    const gap = [before[0], before[2]] as BatchToStore[]
    expect(details(checkChains(disks(all, gap), everybody))).toBe('oak.1111 at elm: offsets 0 to 1 are missing')
    expect(details(checkChains(disks(all, after), everybody))).toMatch('its predecessor 1111 is not here up to 2')
  })

  test('of acceptance: across a restart, and never backward', () => {
    const world = disks(all, all)
    expect(checkAcceptedOrder(acked(['r2', 1, 1], ['r3', 2, 2]), world, everybody)).toEqual([])
    expect(details(checkAcceptedOrder(acked(['r3', 2, 2], ['r2', 1, 1]), world, everybody))).toMatch(
      'oak.1111.1 was accepted after',
    )
  })
})

test('convergence: the batch from which on two disks differ is named', () => {
  expect(checkConvergence(disks(all, all), everybody)).toEqual([])
  expect(details(checkConvergence(disks(all, all.slice(0, -1)), everybody))).toMatch(
    'oak has 2 batches, elm has 1; number 1 differs',
  )
})

test('convergence: who is not at home holds a part of it, or nothing', () => {
  expect(checkConvergence(disks(all, before), oakAlone)).toEqual([])
  expect(isConverged(disks(all, before), oakAlone)).toBe(true)
  expect(isConverged(disks(before, all), oakAlone)).toBe(false)
  const other = batchesOf(run(2), ['r5'], before.at(-1))
  expect(details(checkConvergence(disks(all, [...before, ...other]), oakAlone))).toMatch('number 1 differs')
})

describe('cursors', () => {
  const read = (...records: readonly (readonly [value: string, digit: number, offset: number])[]): string => {
    const history = acked()
    const seen = records.map(([value, digit, offset]) => ({ place: { feed: key(digit), offset }, value, at: elm }))
    history.readings.push({
      name: '#1',
      topic: 'orders',
      from: 'earliest',
      sinceMs: 0,
      sinceWallMs: 0,
      goneBefore: new Map(),
      records: seen,
      gaps: [],
      faults: [],
    })
    return details(checkCursors(history, disks(all, all), new Written()))
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
    history.readings.push({
      name: '#1',
      topic: 'orders',
      from: 'earliest',
      sinceMs: 0,
      sinceWallMs: 0,
      goneBefore: new Map(),
      records,
      gaps,
      faults: [],
    })
    expect(details(checkCursors(history, world, new Written()))).toMatch('never got r3')
    gaps.push({ type: 'late', feed: `oak.${run(2).epoch}`, from: 2, to: 3, at: 'elm', wasHeld: true })
    expect(checkCursors(history, world, new Written())).toEqual([])
  })

  const readingOf = (offsets: readonly (readonly [digit: number, offset: number])[]): Reading => ({
    name: '#1',
    topic: 'orders',
    from: 'earliest',
    sinceMs: 0,
    sinceWallMs: 0,
    goneBefore: new Map(),
    records: offsets.map(([digit, offset], index) => {
      return { place: { feed: key(digit), offset }, value: `r${index + 1}`, at: elm }
    }),
    gaps: [],
    faults: [],
  })

  // Found by the simulator: seed 226.
  test('what is lost of a feed is not lost of what branches off before that, and is of what goes on from its end', () => {
    const written = new Written()
    const branch = batchesOf(run(2), ['r2', 'r3'], before[1])
    written.appended([...before, ...branch], [], 0)
    const history = acked()
    const reading = readingOf([
      [1, 0],
      [2, 1],
      [2, 2],
    ])
    history.readings.push(reading)
    const world = disks([...before.slice(0, 2), ...branch], [...before.slice(0, 2), ...branch])
    const gap = { type: 'lost', feed: `oak.${run(1).epoch}`, from: 1, at: 'elm', wasHeld: false } as const
    reading.gaps.push({ ...gap, to: 2 })
    expect(details(checkCursors(history, world, written))).toBe('')
    reading.gaps.push({ ...gap, to: 3 })
    expect(details(checkCursors(history, world, written))).toMatch('is told that oak.2222.2 is lost, which it has read')
    expect(details(checkCursors(history, world, written))).not.toMatch('oak.2222.1')
  })

  // Found by the simulator: seed 136.
  test('a range that ends where a feed begins is of what that goes on from, also when its writer had lost what is named', () => {
    const written = new Written()
    const lostRun = batchesOf(run(3), ['r0'])
    written.appended([...lostRun, ...all], [], 0)
    const history = acked()
    const reading = readingOf([])
    reading.records.splice(
      0,
      0,
      { place: { feed: key(3), offset: 0 }, value: 'r0', at: elm },
      { place: { feed: key(2), offset: 2 }, value: 'r3', at: elm },
    )
    history.readings.push(reading)
    const world = disks([...lostRun, ...all], [...lostRun, ...all])
    const gap = { type: 'lost', feed: `oak.${run(3).epoch}`, from: 1, at: 'elm', wasHeld: false } as const
    reading.gaps.push({ ...gap, to: 3 })
    expect(details(checkCursors(history, world, written))).toMatch('never got r1, r2')
    reading.gaps.splice(0, 1, { ...gap, to: 2 })
    expect(details(checkCursors(history, world, written))).toBe('')
  })

  // Found by the simulator: seed 298.
  test('what was damaged everywhere above the floor is missing in the whole, too', () => {
    const batches = batchesOf(run(1), ['r1', 'r2', 'r3'])
    const [, , damaged, last] = batches as readonly [BatchToStore, BatchToStore, BatchToStore, BatchToStore]
    const written = new Written()
    written.appended(batches, [], 0)
    written.trimmed(key(1), 1)
    const history = acked()
    history.readings.push(
      readingOf([
        [1, 0],
        [1, 1],
        [1, 2],
      ]),
    )
    const world = disks(batches.slice(0, 2), batches)
    world.get(elm)?.flipBit(key(1), damaged.head.nextOffset, 0.5, 0)
    world.get(oak)?.apply([], [{ type: 'skip', feed: run(1), to: damaged.head }])
    world.get(oak)?.apply([last], [])
    const whole = new Map([...world].map(([peer, disk]) => [peer, written.whole(disk)]))
    expect(details(checkCursors(history, whole, written))).toBe('')
  })
})
