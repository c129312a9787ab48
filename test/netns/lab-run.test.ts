// Goal: the scenario of the lab that people run, over namespaces whose packets are dropped. Method: the command itself, in the room
// that `npm run test:netns` makes.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isApart } from '#lab/netns/namespaces'
import { run } from '#lab/programs'
import type { LabReport } from '#lab/report'
import { cli } from '../integration/process-peer.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-lab-run-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

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
    const [file, report] = [join(directory, 'scenario.yaml'), join(directory, 'report.json')]
    await writeFile(file, scenario)
    const ran = await run([
      process.execPath,
      cli,
      'lab',
      'run',
      file,
      '--via',
      'netns',
      '--report',
      report,
      '-o',
      'table',
    ])
    expect(ran, ran.stdout + ran.stderr).toMatchObject({ exitCode: 0 })
    const { via, failed, apart, records } = JSON.parse(await readFile(report, 'utf8')) as LabReport
    expect({ via, failed }).toEqual({ via: 'netns', failed: [] })
    expect(apart.map(({ sides }) => sides.map(({ peers }) => peers.join()))).toEqual([['oak', 'elm,ash']])
    for (const { accepted } of apart[0]?.sides ?? []) expect(accepted).toBeGreaterThan(300)
    expect(records).toMatchObject({ refused: 0, lost: 0, duplicated: 0, reordered: 0, read: 6 * records.accepted })
    console.info(ran.stdout)
  },
)
