import { expect, test } from 'vitest'
import { networkLimits } from './network-limits.ts'
import { Tarpit } from './tarpit.ts'

const { strangerRestMs, strangerMemoryMs, strangerWaitMsMax, strangerAddressesMax } = networkLimits

test('who comes from an address without strangers does not wait', () => {
  const tarpit = new Tarpit()
  tarpit.refused('10.0.0.1', 0)
  expect([1, 2, 3].map(() => tarpit.waitMs('10.0.0.2', 5))).toEqual([0, 0, 0])
})

test('where strangers came from all wait in a row, for a minute after the last of them', () => {
  const tarpit = new Tarpit()
  tarpit.refused('10.0.0.1', 0)
  expect([1, 2, 3].map(() => tarpit.waitMs('10.0.0.1', 0))).toEqual([0, strangerRestMs, 2 * strangerRestMs])
  tarpit.refused('10.0.0.1', 100)
  expect(tarpit.waitMs('10.0.0.1', 100)).toBe(3 * strangerRestMs - 100)
  expect(tarpit.waitMs('10.0.0.1', strangerMemoryMs)).toBe(0)
  expect(tarpit.waitMs('10.0.0.1', strangerMemoryMs)).toBe(strangerRestMs)
  const forgottenMs = strangerMemoryMs + 100
  expect([1, 2].map(() => tarpit.waitMs('10.0.0.1', forgottenMs))).toEqual([0, 0])
})

test('beyond so long a row they are turned away at once', () => {
  const tarpit = new Tarpit()
  tarpit.refused('10.0.0.1', 0)
  const waits = Array.from({ length: 1_000 }, () => tarpit.waitMs('10.0.0.1', 0))
  expect(waits.findLast((wait) => wait !== undefined)).toBeLessThanOrEqual(strangerWaitMsMax)
  expect(waits.filter((wait) => wait === undefined).length).toBeGreaterThan(900)
  expect(tarpit.waitMs('10.0.0.1', strangerRestMs)).toBeDefined()
})

test('of very many addresses those are forgotten from which nobody has come for longest', () => {
  const tarpit = new Tarpit()
  for (let n = 0; n <= strangerAddressesMax; n++) tarpit.refused(`10.0.${n >> 8}.${n & 255}`, n)
  const isSlow = (ip: string): boolean => [1, 2].some(() => tarpit.waitMs(ip, 2_000) !== 0)
  expect(['10.0.0.0', '10.0.0.1'].map(isSlow)).toEqual([false, true])
})
