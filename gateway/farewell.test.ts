// How long the clients of a peer that drains take to go elsewhere.
import { expect, test } from 'vitest'
import { leaveMs } from './farewell.ts'

test.each([
  [1, 100],
  [50, 100],
  [500, 1_000],
  [1_500, 3_000],
  [4_096, 3_000],
])('%i clients leave within %i ms', (clients, ms) => {
  expect(leaveMs(clients)).toBe(ms)
})
