// Virtual time: order of events, promise reactions between them, and no way to look at the real clock.
import { expect, test } from 'vitest'
import { forbidRealTime } from './real-time.ts'
import { Scheduler } from './scheduler.ts'

test('events run by time, then in the order in which they were asked for', async () => {
  const scheduler = new Scheduler()
  const seen: string[] = []
  for (const [atMs, name] of [
    [5, 'c'],
    [1, 'a'],
    [5, 'd'],
    [3, 'b'],
    [9, 'late'],
  ] as const) {
    scheduler.at(atMs, () => void seen.push(`${name}@${scheduler.nowMs}`))
  }
  await scheduler.runUntil(8)
  expect(seen).toEqual(['a@1', 'b@3', 'c@5', 'd@5'])
  expect(scheduler.nowMs).toBe(8)
})

test('all promise reactions of an event run before the next event', async () => {
  const scheduler = new Scheduler()
  const seen: string[] = []
  const chain = async (): Promise<void> => {
    for (let step = 0; step < 100; step++) await Promise.resolve()
    seen.push('reaction')
  }
  scheduler.after(1, () => void chain())
  scheduler.after(1, () => void seen.push('next event'))
  await scheduler.runUntil(2)
  expect(seen).toEqual(['reaction', 'next event'])
})

test('real time and real dice throw during a run, and are back after it', () => {
  const allow = forbidRealTime()
  try {
    expect(() => Date.now()).toThrow('use the clock')
    expect(() => Math.random()).toThrow('use the clock')
    expect(() => setTimeout(() => undefined, 1)).toThrow('use the clock')
  } finally {
    allow()
  }
  expect(Date.now()).toBeGreaterThan(1e12)
})
