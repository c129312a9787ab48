import { expect, test } from 'vitest'
import { membershipProfiles } from './config.ts'
import { retransmitLimit } from './dissemination.ts'
import { pushPullIntervalMs } from './push-pull.ts'
import { confirmationsMax, confirmedTimeoutMs, suspicionTimeoutMs } from './suspicion.ts'

// Goal: the formulas of memberlist with its LAN values. Method: tables, computed by hand.

const { lan } = membershipProfiles

test.each([
  [1, 4_000],
  [5, 4_000],
  [10, 4_000],
  [50, 6_796],
  [100, 8_000],
  [1_000, 12_000],
])('among %i members a suspect has %i ms to refute', (members, expected) => {
  expect(Math.round(suspicionTimeoutMs(lan, members))).toBe(expected)
})

test.each([
  [2, [4_000]],
  [3, [4_000]],
  [4, [24_000, 11_381, 4_000, 4_000]],
  [1_000, [72_000, 34_144, 12_000]],
] as const)('among %i members a suspicion lasts so long with 0, 1, 2 … confirmations: %j', (members, expected) => {
  const timeouts = expected.map((_, confirmations) => Math.round(confirmedTimeoutMs(lan, members, confirmations)))
  expect(timeouts).toEqual(expected)
  expect(confirmationsMax(lan, members)).toBe(members < 4 ? 0 : 2)
})

test('as in SWIM, a suspicion lasts as long whoever shares it', () => {
  const swim = { ...lan, suspicionMaxMult: 1 }
  expect([0, 1, 2].map((confirmations) => confirmedTimeoutMs(swim, 100, confirmations))).toEqual([8_000, 8_000, 8_000])
})

test.each([
  [1, 4],
  [9, 4],
  [10, 8],
  [50, 8],
  [99, 8],
  [100, 12],
  [1_000, 16],
])('among %i members each sends a rumor %i times', (members, expected) => {
  expect(retransmitLimit({ retransmitMult: lan.retransmitMult, members })).toBe(expected)
})

test.each([
  [2, 30_000],
  [32, 30_000],
  [33, 60_000],
  [64, 60_000],
  [65, 90_000],
  [1_024, 180_000],
])('among %i members full state is exchanged every %i ms', (members, expected) => {
  expect(pushPullIntervalMs(lan, members)).toBe(expected)
})
