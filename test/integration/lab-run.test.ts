// Goal: a scenario is played on real peers, and its report says what came of it. Method: the command that people use: on a mesh
// that runs, and on one of its own.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LabRuns } from '../lab-run.ts'
import { startMesh } from './process-peer.ts'

let runs: LabRuns
beforeEach(async () => void (runs = await LabRuns.create()))
afterEach(() => runs[Symbol.asyncDispose]())

const split = `
name: one-alone
about: oak without the others
peers: oak,elm,ash
rate: 100
steps:
  - { at: 1s, split: 'oak / elm,ash' }
  - { at: 16s, heal: all }
end: 17s
expect: { noticed: 15s, converged: 30s }
`

test('a split of a mesh that runs: both sides accept, notice, and have all after the heal', async () => {
  await using stack = new AsyncDisposableStack()
  const [oak] = (await startMesh(runs.directory, ['oak', 'elm', 'ash'])).map((peer) => stack.use(peer))
  const picture = join(runs.directory, 'picture.svg')
  const ran = await runs.run(split, '--server', oak?.http ?? '', '--picture', picture)
  expect(ran, ran.stdout + ran.stderr).toMatchObject({ exitCode: 0, report: { failed: [] } })
  expect(ran.stdout).toContain('as expected')
  const { apart = [], heals, merged = [], records } = ran.report ?? {}
  expect(apart.map(({ sides }) => sides.map(({ peers }) => peers))).toEqual([[['oak'], ['elm', 'ash']]])
  for (const { accepted, refused } of apart[0]?.sides ?? []) {
    expect(accepted).toBeGreaterThan(300)
    expect(refused).toBe(0)
  }
  expect(apart[0]?.noticedAfterMs).toBeGreaterThan(0)
  expect(heals).toEqual([{ atMs: expect.any(Number) as number, convergedAfterMs: expect.any(Number) as number }])
  // Oak, whom nobody helps to be sure, may not have believed the others dead, and so has seen no heal.
  const alone = apart[0]?.sides[0]?.accepted ?? 0
  for (const at of ['elm', 'ash']) {
    const one = merged.find((row) => row.at === at)
    expect(one).toMatchObject({ state: 'merged', with: ['oak'] })
    expect(one?.received).toBeGreaterThan(alone / 2)
  }
  expect(records).toMatchObject({
    lost: 0,
    duplicated: 0,
    reordered: 0,
    readings: 6,
    read: 6 * (records?.accepted ?? 0),
  })
  expect(await readFile(picture, 'utf8')).toContain('elm sees oak dead')
  // The mesh is as it was.
  expect(await oak?.client.lab.links()).toEqual([])
})

const joining = `
name: bad-line
about: a peer joins over a line that is slow and loses, and a cut in one direction
peers: oak,elm,ash
steps:
  - { at: 1s, link: 'oak <-> elm,ash', loss: 0.2, delay: 20ms }
  - { at: 2s, cut: 'elm -> oak' }
  - { at: 3s, join: ash }
  - { at: 8s, heal: all }
end: 9s
`

test('a mesh of its own: slow and lossy links, a cut of one direction, and a peer that joins', async () => {
  const ran = await runs.run(joining)
  expect(ran, ran.stdout + ran.stderr).toMatchObject({ exitCode: 0, report: { failed: [] } })
  expect(ran.report?.steps.map(({ type }) => type)).toEqual(['link', 'cut', 'join', 'heal'])
  expect(ran.report?.records).toMatchObject({ refused: 0, lost: 0, readings: 6 })
})

test('what cannot be is said by its name before anything is started', async () => {
  const joins = await runs.run(joining, '--server', 'http://127.0.0.1:1')
  expect(joins).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('GRAPEVINE_LAB_UNSUPPORTED') as string })
  const delays = await runs.run(joining, '--via', 'docker')
  expect(delays).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('GRAPEVINE_LAB_UNSUPPORTED') as string })
  expect(delays.stderr).toContain('delay')
  const wrong = await runs.run(split.replace('heal: all', 'heel: all'))
  expect(wrong).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('GRAPEVINE_SCENARIO_INVALID') as string })
  expect(wrong.stderr).toContain('heel')
})
