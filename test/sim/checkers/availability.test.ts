// A refusal is allowed where the peer itself is about to stop, or the mesh is too small for what was asked.
import { expect, test } from 'vitest'
import { checkRefusal } from './availability.ts'
import { details, oak } from './hand-made.ts'
import type { AckLevel } from '#protocol/ack-level'
import type { ErrorCode } from '#protocol/errors'

const publish = (level: AckLevel) => {
  return {
    at: oak,
    machine: oak,
    topic: 'orders',
    values: ['r1'],
    level,
    invokedAtMs: 0,
    outcome: { type: 'unknown' as const },
  }
}

test.each<[ErrorCode, AckLevel, string]>([
  ['DRAINING', { type: 'local' }, ''],
  ['DISK_FULL', { type: 'local' }, ''],
  ['ACK_LEVEL_IMPOSSIBLE', { type: 'count', count: 3 }, ''],
  ['ACK_LEVEL_IMPOSSIBLE', { type: 'majority' }, 'oak refuses a publish to orders: ACK_LEVEL_IMPOSSIBLE'],
  ['UNAVAILABLE', { type: 'local' }, 'oak refuses a publish to orders: UNAVAILABLE'],
])('%s of %o', (code, level, complaint) => {
  expect(details(checkRefusal(publish(level), code))).toBe(complaint)
})
