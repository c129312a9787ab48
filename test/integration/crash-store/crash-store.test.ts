import { expect, onTestFinished, test } from 'vitest'
import { mkdtemp, rm } from 'node:fs/promises'
import { SeededRandom } from '#protocol/random'
import { crashRounds } from './round.ts'
import { join } from 'node:path'
import { tmpdir } from 'node:os'

// A process that stores under load is killed with SIGKILL; what it was told is on disk must be there. `npm run crash`
// does this a hundred times. A kill leaves what the kernel has: that fsync is called at all, this cannot show.
test('no confirmed batch is missing after a kill -9, and every chain is whole', async () => {
  const path = await mkdtemp(join(tmpdir(), 'grapevine-crash-'))
  onTestFinished(() => rm(path, { recursive: true }))
  let confirmed = 0
  const changes = new Set<string>()
  for await (const report of crashRounds(path, 4, new SeededRandom(7))) {
    expect(report.faults, `round ${report.round}`).toEqual([])
    confirmed += report.confirmed
    for (const type of Object.keys(report.changes)) changes.add(type)
  }
  expect(confirmed).toBeGreaterThan(0)
  expect(changes.size).toBeGreaterThan(2)
})
