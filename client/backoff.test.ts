import { expect, test } from 'vitest'
import { fullJitterMs, pause } from './backoff.ts'

test.each([
  [0, 100],
  [1, 200],
  [5, 3_200],
  [6, 5_000],
  [5_000, 5_000],
])('attempt %i waits anything below %i ms', (attempt, belowMs) => {
  const backoff = { baseMs: 100, capMs: 5_000 }
  expect(fullJitterMs(backoff, attempt, () => 0)).toBe(0)
  expect(fullJitterMs(backoff, attempt, () => 0.999_999)).toBe(belowMs - 1)
})

test('a pause ends at once with the reason of its signal', async () => {
  const stop = new AbortController()
  const paused = pause(60_000, stop.signal)
  stop.abort(new Error('enough'))
  await expect(paused).rejects.toThrow('enough')
  await expect(pause(60_000, stop.signal)).rejects.toThrow('enough')
})
