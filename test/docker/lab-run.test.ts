// Goal: a scenario of the lab over containers whose packets are dropped by iptables in their networks: sockets stay open on both
// sides, nothing arrives over them, and clients reach all. Method: the command that people use, and a real engine.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { run } from '#lab/programs'
import type { LabReport } from '#lab/report'
import { LabRuns } from '#test/lab-run'

/** The first build fetches packages, and maybe the base image. */
const buildMsMax = 600_000

let runs: LabRuns
beforeEach(async () => void (runs = await LabRuns.create()))
afterEach(() => runs[Symbol.asyncDispose]())

const scenario = `
name: one-way-then-two-halves
about: elm hears nothing of oak, then oak is alone; ash joins meanwhile
peers: oak,elm,ash
rate: 100
steps:
  - { at: 1s, cut: 'oak -> elm' }
  - { at: 3s, heal: all }
  - { at: 4s, split: 'oak / elm,ash' }
  - { at: 5s, join: ash }
  - { at: 25s, heal: all }
end: 26s
`

test(
  'packets of two sides are dropped: both accept, and have all after the heal',
  { timeout: buildMsMax },
  async () => {
    const ran = await runs.run(scenario, '--via', 'docker')
    expect(ran, ran.stdout + ran.stderr).toMatchObject({ exitCode: 0, report: { via: 'docker', failed: [] } })
    console.info(ran.stdout)
    const { apart, records } = ran.report as LabReport
    // While elm alone did not hear oak, ash was not there yet; then oak was alone, and then with ash at the other side.
    expect(apart.map(({ sides }) => sides.map(({ peers }) => peers.join()))).toEqual([
      ['oak', 'elm'],
      ['oak', 'elm'],
      ['oak', 'elm,ash'],
    ])
    const [, , last] = apart
    for (const { accepted, refused } of last?.sides ?? []) {
      expect(accepted).toBeGreaterThan(300)
      expect(refused).toBe(0)
    }
    expect(last?.firstNoticedAfterMs).toBeGreaterThanOrEqual(0)
    expect(records).toMatchObject({ refused: 0, lost: 0, duplicated: 0, reordered: 0, read: 6 * records.accepted })
    const left = await run([
      'docker',
      'ps',
      '--all',
      '--quiet',
      '--filter',
      'label=com.docker.compose.project=grapevine-lab',
    ])
    expect(left.stdout).toBe('')
  },
)
