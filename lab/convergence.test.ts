// Goal: a heal has converged when the last reader was given the last record that had been accepted before it.
import { expect, test } from 'vitest'
import { Convergence } from './convergence.ts'

test('every reader is to have what every writer was told that it was accepted, and nothing later', () => {
  const convergence = new Convergence()
  for (const reader of ['oak', 'elm']) convergence.addReader(reader)
  convergence.acked('oak', 2)
  convergence.acked('elm', 1)
  convergence.read('oak', 'oak', 1, 10)
  convergence.aim(100)
  convergence.acked('oak', 5)
  convergence.read('oak', 'elm', 0, 120)
  convergence.read('elm', 'elm', 0, 130)
  convergence.read('elm', 'oak', 0, 140)
  expect(convergence.tookMs).toEqual([undefined])
  convergence.read('elm', 'oak', 1, 150)
  convergence.read('elm', 'oak', 4, 999)
  expect(convergence.tookMs).toEqual([50])
})

test('who comes later owes nothing to a heal before it', () => {
  const convergence = new Convergence()
  convergence.addReader('oak')
  convergence.acked('oak', 1)
  convergence.aim(5)
  convergence.addReader('elm')
  convergence.read('oak', 'oak', 0, 8)
  convergence.aim(9)
  expect(convergence.tookMs).toEqual([3, undefined])
})
