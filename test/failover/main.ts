import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { failover } from './failover.ts'
import { isWithoutFault, textOf } from './report.ts'

/**
 * Clients of three peers that are killed and cut off from each other: what was acked, and what subscribers were given.
 *
 *   npm run failover [-- --kills 50 --splits 10 --seed 7]
 */
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    splits: { type: 'string', default: '10' },
    seed: { type: 'string' },
  },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e9))
const directory = await mkdtemp(join(tmpdir(), 'grapevine-failover-'))
const startMs = performance.now()
const say = (line: string): void =>
  console.log(`${((performance.now() - startMs) / 1_000).toFixed(1).padStart(7)} s  ${line}`)
try {
  console.log(`failover: seed ${seed}`)
  const report = await failover({ seed, kills: Number(values.kills), splits: Number(values.splits), directory, say })
  console.log(`\n${textOf(report)}`)
  process.exitCode = isWithoutFault(report) ? 0 : 1
} finally {
  await rm(directory, { recursive: true, force: true })
}
