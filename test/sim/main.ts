import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { planted } from './planted/index.ts'
import { simulate } from './simulation.ts'
import { harsh, optionsOfSeed } from './swarm.ts'
import type { SimResult } from './simulation.ts'
import type { SimOptions } from './swarm.ts'

const usage = `Runs simulated meshes and checks what they promised.

  npm run sim -- --seed 123 [--trace]     one seed; --trace prints what happens, line by line
  npm run sim -- --seeds 200 [--from 1]   many seeds; with --harsh everything goes wrong all the time
  npm run sim -- --planted NAME|all       which seed and which checker catch the peers that are wrong on purpose
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    planted: { type: 'string' },
    harsh: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const worldOf = (seed: number): SimOptions => (values.harsh ? harsh(optionsOfSeed(seed)) : optionsOfSeed(seed))

const talk = (text: string): void => void process.stderr.write(text)

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

function report(result: SimResult): void {
  for (const line of result.traceTail) console.log(line)
  console.log(`seed ${result.seed}, commit ${commit()}: ${result.anomalies.length} anomalies`)
  for (const { checker, detail } of result.anomalies) console.log(`  ${checker}: ${detail}`)
  console.log(`replay: npm run sim -- --seed ${result.seed}${values.harsh ? ' --harsh' : ''} --trace`)
}

async function runSeeds(first: number, count: number): Promise<number> {
  let failed = 0
  let events = 0
  const startedMs = performance.now()
  for (let seed = first; seed < first + count; seed++) {
    const print = values.trace ? (line: string) => console.log(line) : undefined
    const result = await simulate(worldOf(seed), print === undefined ? {} : { print })
    events += result.events
    talk(
      `seed ${seed}: ${result.records} records, ${result.events} events, healed after ${result.healedAfterMs} ms, trace ${result.traceHash.slice(0, 12)}\n`,
    )
    if (result.anomalies.length === 0) continue
    failed++
    report(result)
  }
  const seconds = (performance.now() - startedMs) / 1_000
  talk(`${count} seeds, ${failed} with anomalies; ${events} events in ${seconds.toFixed(1)} s\n`)
  return failed
}

/** Until a checker says something, with a seed after the other. */
async function hunt(name: string, seedsMax: number): Promise<boolean> {
  const sabotage = planted[name]
  if (sabotage === undefined)
    throw new Error(`no planted bug is called ${name}; there are ${Object.keys(planted).join(', ')}`)
  for (let seed = 1; seed <= seedsMax; seed++) {
    const { anomalies } = await simulate(worldOf(seed), { sabotage })
    const [first] = anomalies
    if (first === undefined) continue
    const [what] = first.detail.split('\n', 1)
    console.log(`${name.padEnd(26)} seed ${String(seed).padStart(3)}  ${first.checker.padEnd(12)} ${what}`)
    return true
  }
  console.log(`${name.padEnd(26)} NOT CAUGHT within ${seedsMax} seeds`)
  return false
}

async function huntAll(which: string): Promise<boolean> {
  let caught = true
  for (const name of which === 'all' ? Object.keys(planted) : [which]) caught = (await hunt(name, 500)) && caught
  return caught
}

if (values.planted !== undefined) {
  process.exitCode = (await huntAll(values.planted)) ? 0 : 1
} else if (values.help || (values.seed === undefined && values.seeds === undefined)) {
  talk(usage)
  process.exitCode = values.help ? 0 : 2
} else {
  const first = Number(values.seed ?? values.from)
  const count = values.seed === undefined ? Number(values.seeds) : 1
  process.exitCode = (await runSeeds(first, count)) > 0 ? 1 : 0
}
