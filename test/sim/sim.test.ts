// Whole meshes from seeds: no anomaly in the first 25, the same trace twice, and every planted bug caught where it
// is known to show. `npm run sim -- --seed N --trace` replays one; README.md explains the trace.
import { describe, expect, test } from 'vitest'
import { planted } from './planted/index.ts'
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

describe('a planted bug is caught', () => {
  /** Where to begin: the first seed that catches it (`npm run sim -- --planted all`), and by which checker. */
  const catches: readonly (readonly [string, number, string])[] = [
    ['ack-before-fsync', 1, 'ack-honesty'],
    ['count-unsynced-copy', 1, 'ack-honesty'],
    ['keep-old-head', 12, 'views'],
    ['majority-of-the-linked', 1, 'ack-honesty'],
    ['forget-to-rejoin', 127, 'convergence'],
    ['trust-stale-incarnation', 1, 'membership'],
    ['forget-registry', 1, 'membership'],
    ['skip-range-in-repair', 1, 'convergence'],
    ['credit-lost-on-reconnect', 65, 'convergence'],
    ['read-successor-first', 1, 'cursors'],
    ['reuse-epoch', 1, 'crash'],
  ]

  test('all of them are listed here', () => {
    expect(catches.map(([name]) => name)).toEqual(Object.keys(planted))
  })

  // A change of the protocol shifts what happens in a world, so a few seeds beyond the first may be needed.
  test.each(catches)('%s, from seed %i on, by the checker of %s', async (name, from, checker) => {
    const caughtBy: string[] = []
    for (let seed = from; seed < from + 20 && caughtBy.length === 0; seed++) {
      const { anomalies } = await simulate(optionsOfSeed(seed), { sabotage: planted[name] ?? {} })
      caughtBy.push(...anomalies.slice(0, 1).map((anomaly) => anomaly.checker))
    }
    expect(caughtBy).toEqual([checker])
  })
})

describe('worlds that once went wrong', () => {
  // A wiped disk made two feeds go on from one; at a peer that knew only one of them, records were read twice.
  test('a reader waits for the opening of a feed in its cursor, also when another implies something', () => keeps(635))

  // A neighbor gave back an opening that a power cut had kept from the writer's disk; until it was stored, the writer
  // saw no feed of its own to go on from, and began at offset 0.
  test('a writer goes on from what its disk knows, whatever is on its way there', () => keeps(87))
})

const keeps = async (seed: number): Promise<void> => {
  expect((await simulate(optionsOfSeed(seed))).anomalies).toEqual([])
}

const hashOf = async (seed: number): Promise<string> => (await simulate(optionsOfSeed(seed))).traceHash
