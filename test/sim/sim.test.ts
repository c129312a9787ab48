// Whole meshes from seeds: no anomaly in the first 25, the same trace twice.
// `npm run sim -- --seed N --trace` replays one; README.md explains the trace. Worlds that once went wrong are in `worlds.ts`, and run with `npm run sim -- --seeds`.
import { expect, test } from 'vitest'
import { simulate } from './simulation.ts'
import { optionsOfSeed } from './swarm.ts'

const seeds = Array.from({ length: 25 }, (_, index) => index + 1)

test.each(seeds)('a mesh keeps its promises in the world of seed %i', async (seed) => {
  const { anomalies, healedAfterMs } = await simulate(optionsOfSeed(seed))
  expect(anomalies).toEqual([])
  expect(healedAfterMs).toBeLessThan(60_000)
})

test('one seed, one trace, byte for byte; another seed, another', async () => {
  const [first, second, other] = [await hashOf(7), await hashOf(7), await hashOf(8)]
  expect(second).toBe(first)
  expect(other).not.toBe(first)
})

const hashOf = async (seed: number): Promise<string> => (await simulate(optionsOfSeed(seed))).traceHash
