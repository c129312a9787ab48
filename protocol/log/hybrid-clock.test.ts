// Goal: times of one peer only rise, across remote clocks, wall clocks that jump, overflow and restarts.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ceilingAheadMs, clockAheadMsMax, compareHlc, type Hlc, HybridClock } from './hybrid-clock.ts'

type Step =
  | ['now', wallMs: number, expected: Hlc]
  | ['merge', remote: Hlc, wallMs: number, expected: 'merged' | 'ahead']
const at = (ms: number, counter: number): Hlc => ({ ms, counter })

test.each<[string, Step[]]>([
  [
    'follows the wall clock',
    [
      ['now', 10, at(10, 0)],
      ['now', 12, at(12, 0)],
    ],
  ],
  [
    'counts within a millisecond',
    [
      ['now', 10, at(10, 0)],
      ['now', 10, at(10, 1)],
      ['now', 11, at(11, 0)],
    ],
  ],
  [
    'goes on when the wall clock goes back',
    [
      ['now', 10, at(10, 0)],
      ['now', 3, at(10, 1)],
    ],
  ],
  [
    'is above what it merged',
    [
      ['merge', at(20, 4), 10, 'merged'],
      ['now', 10, at(20, 5)],
      ['now', 30, at(30, 0)],
    ],
  ],
  [
    'keeps its own when the remote is behind',
    [
      ['now', 30, at(30, 0)],
      ['merge', at(20, 9), 30, 'merged'],
      ['now', 30, at(30, 1)],
    ],
  ],
  [
    'merges what is 500 ms ahead',
    [
      ['merge', at(1_500, 0), 1_000, 'merged'],
      ['now', 1_000, at(1_500, 1)],
    ],
  ],
  [
    'merges nothing that is further ahead',
    [
      ['merge', at(1_501, 0), 1_000, 'ahead'],
      ['now', 1_000, at(1_000, 0)],
    ],
  ],
  [
    'carries an overflowing counter into the milliseconds',
    [
      ['merge', at(10, 0xffff), 10, 'merged'],
      ['now', 10, at(11, 0)],
    ],
  ],
  ['starts above zero', [['now', 0, at(0, 1)]]],
])('a clock %s', (_, steps) => {
  const clock = new HybridClock(0)
  for (const step of steps) {
    if (step[0] === 'now') expect(clock.now(step[1])).toEqual(step[2])
    else expect(clock.merge(step[1], step[2])).toBe(step[3])
  }
})

test('after a restart it goes on above the persisted ceiling, whatever the wall clock says', () => {
  const before = new HybridClock(0)
  const last = before.now(5_000)
  const restarted = new HybridClock(before.ceilingDueMs as number)
  expect(compareHlc(restarted.now(0), last)).toBeGreaterThan(0)
})

test('a ceiling is due at first, and again once half of its margin is used up', () => {
  const clock = new HybridClock(0)
  clock.now(5_000)
  const ceiling = clock.ceilingDueMs as number
  expect(ceiling).toBe(5_000 + ceilingAheadMs)
  clock.ceilingPersisted(ceiling)
  clock.now(5_000 + ceilingAheadMs / 2)
  expect(clock.ceilingDueMs).toBeUndefined()
  clock.now(5_001 + ceilingAheadMs / 2)
  expect(clock.ceilingDueMs).toBe(5_001 + 1.5 * ceilingAheadMs)
})

test('a peer that restarts at once does not look like a wrong clock to the others', () => {
  const clock = new HybridClock(0)
  clock.now(5_000)
  const first = new HybridClock(clock.ceilingDueMs as number).now(5_000)
  expect(new HybridClock(0).merge(first, 5_000)).toBe('merged')
  expect(ceilingAheadMs).toBeLessThan(clockAheadMsMax)
})

test('whatever comes, times only rise and stay within 500 ms of the greatest wall clock seen', () => {
  const wallMs = fc.nat(3_000)
  const remote = fc.record({ ms: fc.nat(4_000), counter: fc.oneof(fc.nat(3), fc.constant(0xffff)) })
  fc.assert(
    fc.property(fc.array(fc.tuple(wallMs, fc.option(remote))), (steps) => {
      const clock = new HybridClock(0)
      let last = clock.last
      let wallMsMax = 0
      for (const [wall, message] of steps) {
        wallMsMax = Math.max(wallMsMax, wall)
        if (message !== null) clock.merge(message, wall)
        const now = clock.now(wall)
        expect(compareHlc(now, last)).toBeGreaterThan(0)
        if (message !== null && message.ms <= wall + clockAheadMsMax) {
          expect(compareHlc(now, message)).toBeGreaterThan(0)
        }
        // One more for a counter that overflowed.
        expect(now.ms).toBeLessThanOrEqual(wallMsMax + clockAheadMsMax + 1)
        last = now
      }
    }),
  )
})
