// Whole meshes from seeds: no anomaly in the first 25, the same trace twice, and every planted bug caught.
// `npm run sim -- --seed N --trace` replays one; README.md explains the trace.
import { describe, expect, test } from 'vitest'
import { planted } from './planted/index.ts'
import { simulate } from './simulation.ts'
import { harsh, optionsOfSeed } from './swarm.ts'
import type { FaultOptions, SimOptions } from './swarm.ts'

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
  const longPartitions = { partitions: { everyMs: 8_000, forMsMax: 25_000, oneWay: 0 } }
  const quickCrashes = { crashes: { everyMs: 1_500, forMsMax: 2_000, powerCuts: 0.5, losses: 0.5 } }
  /** By which checker, and a kind of world in which it shows soon. In any world: `npm run sim -- --planted all`. */
  const youngLinks = { resets: { everyMs: 300, forMsMax: 0 } }
  const catches: readonly (readonly [name: string, checker: string, faults: FaultOptions])[] = [
    ['ack-before-fsync', 'ack-honesty', {}],
    ['count-unsynced-copy', 'ack-honesty', {}],
    ['keep-old-head', 'views', quickCrashes],
    ['majority-of-the-linked', 'ack-honesty', {}],
    ['forget-to-rejoin', 'convergence', longPartitions],
    ['trust-stale-incarnation', 'membership', quickCrashes],
    ['forget-registry', 'membership', quickCrashes],
    ['skip-range-in-repair', 'convergence', longPartitions],
    ['credit-lost-on-reconnect', 'convergence', youngLinks],
    ['ignore-credit', 'bounds', longPartitions],
    ['read-successor-first', 'cursors', quickCrashes],
    ['reuse-epoch', 'crash', quickCrashes],
  ]

  test('all of them are listed here', () => {
    expect(catches.map(([name]) => name)).toEqual(Object.keys(planted))
  })

  test.each(catches)('%s, by the checker of %s', async (name, checker, faults) => {
    const caughtBy: string[] = []
    for (let seed = 1; seed <= 20 && caughtBy.length === 0; seed++) {
      const options = optionsOfSeed(seed)
      const workload = { ...options.workload, recordsMax: 1, valueBytesMax: 400_000 }
      const { anomalies } = await simulate(
        { ...options, faults, workload, healMsMax: 30_000 },
        { sabotage: planted[name] ?? {} },
      )
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

  // A feed that a crash had kept from its writer's disk came back from a neighbor, was longer than the one in which the
  // writer had acked since, and the next boot went on from it.
  test('a writer goes on from its newest feed, not from its longest', () => keeps(2054, harsh))
})

const keeps = async (seed: number, change = (options: SimOptions) => options): Promise<void> => {
  expect((await simulate(change(optionsOfSeed(seed)))).anomalies).toEqual([])
}

const hashOf = async (seed: number): Promise<string> => (await simulate(optionsOfSeed(seed))).traceHash
