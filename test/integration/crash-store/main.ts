import { mkdtemp, rm } from 'node:fs/promises'
import { SeededRandom } from '#protocol/random'
import { crashRounds } from './round.ts'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { tmpdir } from 'node:os'

/**
 * Kills a writer under load again and again and checks each time what it left; exits 1 at the first fault.
 *
 *   npm run crash -- --rounds 100 [--seed 1]
 */
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '100' }, seed: { type: 'string' } } })
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
const path = await mkdtemp(join(tmpdir(), 'grapevine-crash-'))
console.log(`seed ${seed}, in ${path}`)

let confirmed = 0
const changes = new Map<string, number>()
for await (const report of crashRounds(path, Number(values.rounds), new SeededRandom(seed))) {
  confirmed += report.confirmed
  const { round, moment } = report
  for (const [type, count] of Object.entries(report.changes)) changes.set(type, (changes.get(type) ?? 0) + count)
  console.log(`round ${round}: killed ${moment.ms} ms after ${moment.after}, ${report.confirmed} batches confirmed`)
  for (const fault of report.faults) console.error(`  ${fault}`)
  if (report.faults.length > 0) process.exit(1)
}
const counts = Array.from(changes, ([type, count]) => `${count} × ${type}`).join(', ')
console.log(`${values.rounds} rounds, ${confirmed} confirmed batches, none missing; changes confirmed: ${counts}`)
await rm(path, { recursive: true })
