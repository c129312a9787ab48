// Goal: a hundred members stay within what docs/membership.md says of a thousand. Method: the measures of `npm run scale`, on one
// seed each, on virtual time: a machine that is slow or busy changes nothing.
import { expect, test } from 'vitest'
import { membershipProfiles } from '#protocol/membership/config'
import { suspicionTimeoutMs } from '#protocol/membership/suspicion'
import { crashTimes, newsTimes, quietTime, storm } from './measures.ts'
import type { ScaleOptions } from './mesh.ts'
import { plainSwim } from './rows.ts'

const { lan } = membershipProfiles
const members = 100
const options: ScaleOptions = { members, seed: 1, config: lan, loss: 0, lostPackets: 'resent', links: 'limited' }
const leastMs = suspicionTimeoutMs(lan, members)

test('a killed member is suspected at once, and dead everywhere when it had time to refute', () => {
  const { suspectedMs, deadEverywhereMs } = crashTimes(options, 'kill', 5)
  expect(Math.max(...suspectedMs)).toBeLessThan(200)
  expect(Math.max(...deadEverywhereMs)).toBeLessThan(leastMs + lan.lastWordMs + 600)
})

test('a silent one is suspected by the next probe of anybody', () => {
  const { suspectedMs, deadEverywhereMs } = crashTimes(options, 'cut', 5)
  expect(Math.max(...suspectedMs)).toBeLessThan(7 * lan.probeIntervalMs)
  expect(Math.max(...deadEverywhereMs)).toBeLessThan(leastMs + 7 * lan.probeIntervalMs + 600)
})

test.each([
  ['resent', 0.1, 1_000],
  ['gone', 0.1, 1_600],
] as const)('news reaches everybody when packets are lost and %s', (lostPackets, loss, withinMs) => {
  const { allMs } = newsTimes({ ...options, lostPackets, loss }, 8)
  expect(Math.max(...allMs)).toBeLessThan(withinMs)
})

test('where nothing happens little is said and nobody is suspected', () => {
  const { suspicions, kilobitsPerSecond, messagesPerSecond } = quietTime(options, 60_000)
  expect(suspicions).toBe(0)
  expect(kilobitsPerSecond).toBeLessThan(2)
  expect(messagesPerSecond).toBeLessThan(3)
})

test('where a tenth is gone at once nobody says more than its bound', () => {
  const { peaks, deadEverywhereMs } = storm(options, 0.1)
  expect(Math.max(...peaks)).toBeLessThan(168)
  expect(deadEverywhereMs).toBeLessThan(2 * leastMs)
})

test.each([1, 2])(
  'where a quarter stalls again and again nobody is called dead that plain SWIM calls dead (seed %i)',
  (seed) => {
    const runs = [lan, plainSwim].map((config) =>
      quietTime({ ...options, members: 20, seed, config }, 60_000, { stalling: true }),
    )
    expect(runs.map(({ falseDeaths }) => falseDeaths > 0)).toEqual([false, true])
    expect(runs[0]?.suspicions).toBeGreaterThan(20)
  },
)

test('one seed, one course of events', () => {
  const run = (seed: number) => newsTimes({ ...options, seed, loss: 0.1 }, 3)
  expect(run(3)).toEqual(run(3))
  expect(run(4)).not.toEqual(run(3))
})
