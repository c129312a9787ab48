import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { membershipProfiles } from './config.ts'
import { retransmitLimit } from './dissemination.ts'
import { pushPullIntervalMs, pushPullMessages } from './push-pull.ts'
import { suspicionTimeoutMs } from './suspicion.ts'
import { peerOf, rumor } from './test-mesh.ts'

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

test.each([
  [0, [0]],
  [64, [64]],
  [65, [64, 1]],
  [200, [64, 64, 64, 8]],
])('a full state of %i members goes in messages of %j', (count, expected) => {
  expect(limits.membersPerMessageMax).toBe(64)
  const members = Array.from({ length: count }, (_, i) => rumor(peerOf(`peer${i}`), 'alive', 1, peerOf('oak')))
  const messages = pushPullMessages(members, { standing: 'merged', reply: true }).map(
    (message) => message.type === 'pushPull' && message,
  )
  expect(messages.map((message) => message && message.members.length)).toEqual(expected)
  expect(messages.map((message) => message && message.more)).toEqual(expected.map((_, i) => i < expected.length - 1))
  expect(messages.flatMap((message) => (message ? message.members : []))).toEqual(members)
})
