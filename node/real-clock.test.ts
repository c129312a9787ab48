import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { realClock } from './real-clock.ts'

// Goal: timers of any length fire once, when due. Method: vitest's clock instead of the real one.

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a timer fires once, when it is due', () => {
  const run = vi.fn()
  realClock.after(100, run)
  vi.advanceTimersByTime(99)
  expect(run).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1_000)
  expect(run).toHaveBeenCalledOnce()
})

test('a delay of weeks does not fire at once', () => {
  const run = vi.fn()
  const weeksMs = 60 * 24 * 3_600_000
  realClock.after(weeksMs, run)
  vi.advanceTimersByTime(weeksMs - 1)
  expect(run).not.toHaveBeenCalled()
  vi.advanceTimersByTime(1)
  expect(run).toHaveBeenCalledOnce()
})

test('monotonic time does not follow the wall clock', () => {
  const monotonic = realClock.nowMs()
  vi.setSystemTime(0)
  expect(realClock.wallMs()).toBe(0)
  expect(realClock.nowMs()).toBeGreaterThanOrEqual(monotonic)
})
