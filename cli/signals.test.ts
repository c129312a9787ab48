// Who wants a process to end, and how urgently: one Ctrl-C under npm arrives twice and is one wish.
import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { Interruption, watchSignals } from './signals.ts'

function watched(connected = false) {
  const from = Object.assign(new EventEmitter(), { ppid: 1, connected })
  const clock = { nowMs: 50 }
  return { from, clock, ...watchSignals(from, { underNpm: false, now: () => clock.nowMs }) }
}

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'])('%s is a wish to stop', (signal) => {
  const { from, stop, force } = watched()
  from.emit(signal)
  expect(stop.reason).toBeInstanceOf(Interruption)
  expect(force.aborted).toBe(false)
})

test('the same signal twice within a second is one wish, later it is a second one', () => {
  const { from, clock, force } = watched()
  from.emit('SIGINT')
  clock.nowMs += 900
  from.emit('SIGINT')
  expect(force.aborted).toBe(false)
  clock.nowMs += 200
  from.emit('SIGINT')
  expect(force.aborted).toBe(true)
})

test('a parent that is gone is a wish to stop', () => {
  const { from, stop } = watched(true)
  from.emit('disconnect')
  expect(stop.aborted).toBe(true)
})
