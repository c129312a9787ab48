import { expect, test } from 'vitest'
import { Awareness } from './awareness.ts'

// Goal: the local health score of Lifeguard 3.1. Method: a score on its own.

test('stays within its bounds, and stretches what is scaled', () => {
  const awareness = new Awareness(8)
  awareness.better()
  expect([awareness.score, awareness.scaled(500)]).toEqual([0, 500])
  awareness.worse(3)
  awareness.better()
  expect([awareness.score, awareness.scaled(500)]).toEqual([2, 1_500])
  awareness.worse(100)
  expect([awareness.score, awareness.scaled(500)]).toEqual([7, 4_000])
})

test('with a multiplier of one, nothing changes', () => {
  const awareness = new Awareness(1)
  awareness.worse(5)
  expect([awareness.score, awareness.scaled(500)]).toEqual([0, 500])
})
