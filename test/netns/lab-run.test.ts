// Goal: the scenario of the lab that people run, over namespaces whose packets are dropped. Method: the command itself, in the room
// that `npm run test:netns` makes.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isApart } from '#lab/netns/namespaces'
import type { LabReport } from '#lab/report'
import { LabRuns } from '../lab-run.ts'

let runs: LabRuns
beforeEach(async () => void (runs = await LabRuns.create()))
afterEach(() => runs[Symbol.asyncDispose]())

const scenario = `
name: two-halves
about: oak without the others, over a line that loses packets
peers: oak,elm,ash
rate: 100
steps:
  - { at: 1s, link: 'elm <-> ash', loss: 0.05 }
  - { at: 2s, split: 'oak / elm,ash' }
  - { at: 20s, heal: all }
end: 21s
expect: { noticed: 18s, converged: 30s }
`

test.skipIf(!isApart)(
  'packets of two sides are dropped: both accept, notice, and have all after the heal',
  async () => {
    const ran = await runs.run(scenario, '--via', 'netns')
    expect(ran, ran.stdout + ran.stderr).toMatchObject({ exitCode: 0, report: { via: 'netns', failed: [] } })
    const { apart, records } = ran.report as LabReport
    expect(apart.map(({ sides }) => sides.map(({ peers }) => peers.join()))).toEqual([['oak', 'elm,ash']])
    for (const { accepted } of apart[0]?.sides ?? []) expect(accepted).toBeGreaterThan(300)
    expect(records).toMatchObject({ refused: 0, lost: 0, duplicated: 0, reordered: 0, read: 6 * records.accepted })
    console.info(ran.stdout)
  },
)
