// Goal: whoever is cut off says so in time, and says what the heal has brought: one report with the right sides, and counts that
// sum up. Method: worlds in which nothing goes wrong but the network, which is cut in two for minutes; and peers that are
// wrong on purpose, which the checker has to catch.
import { expect, test } from 'vitest'
import { planted } from './planted/index.ts'
import { tailoredTo } from './planted/planted-bug.ts'
import { sideBugs } from './planted/sides.ts'
import { simulate } from './simulation.ts'

const [honest] = Object.values(sideBugs)

test.each([1, 2])('a long cut is told, and healed with one report that adds up (seed %i)', async (seed) => {
  if (honest === undefined) throw new Error('there are no such bugs')
  expect((await simulate(tailoredTo(honest, seed))).anomalies).toEqual([])
})

test.each(Object.keys(sideBugs))('who is wrong in this way is caught: %s', async (name) => {
  const bug = planted[name]
  if (bug === undefined) throw new Error('it is not planted')
  let caughtBy: string | undefined
  for (let seed = 1; seed <= 4 && caughtBy === undefined; seed++) {
    const { anomalies } = await simulate(tailoredTo(bug, seed), { sabotage: bug.sabotage })
    caughtBy = anomalies[0]?.checker
  }
  expect(caughtBy).toBe('sides')
})
