import { expect, test } from 'vitest'
import { Dice } from '../sim/dice.ts'
import { type Planned, scheduleOf } from './schedule.ts'

const config = {
  machines: ['oak', 'elm', 'ash', 'fir', 'yew'],
  victims: ['oak', 'elm'],
  roundMs: 90_000,
  everyMs: 2_500,
  wipes: 1,
  flips: 2,
}
const schedules = Array.from({ length: 50 }, (_, seed) => scheduleOf(new Dice(seed, 'faults'), config))

const machineOf = ({ fault }: Planned): string => ('machine' in fault ? fault.machine : '')

test('one seed, one schedule', () => {
  expect(scheduleOf(new Dice(3, 'faults'), config)).toEqual(schedules[3])
  expect(schedules[3]).not.toEqual(schedules[4])
})

test('a round has every kind of fault, and several at once', () => {
  for (const planned of schedules) {
    const kinds = new Set(planned.map(({ fault }) => fault.type))
    expect([...kinds].toSorted()).toEqual(['bridge', 'cut', 'deafen', 'flip', 'kill', 'pause', 'restart', 'wipe'])
    const underWay = planned.map(({ atMs }) => {
      return planned.filter((other) => other.atMs <= atMs && atMs < other.atMs + other.fault.forMs).length
    })
    expect(Math.max(...underWay)).toBeGreaterThan(2)
  }
})

test('only the disks of victims are damaged, and no machine suffers two faults at a time', () => {
  for (const planned of schedules) {
    for (const { fault } of planned) {
      if (fault.type === 'wipe' || fault.type === 'flip') expect(config.victims).toContain(fault.machine)
    }
    for (const [machine, faults] of Map.groupBy(planned, machineOf)) {
      if (machine === '') continue
      faults.forEach(({ atMs }, i) => {
        const before = faults[i - 1]
        if (before !== undefined) expect(atMs).toBeGreaterThan(before.atMs + before.fault.forMs)
      })
    }
  }
})

test('a cut leaves nobody out, a bridge leaves out one', () => {
  for (const { fault } of schedules.flat()) {
    if (!('some' in fault)) continue
    const cut = [...fault.some, ...fault.others]
    expect(new Set(cut).size).toBe(fault.type === 'bridge' ? 4 : 5)
    expect(Math.min(fault.some.length, fault.others.length)).toBeGreaterThan(0)
  }
})
