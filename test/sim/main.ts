import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { runTasks } from './jobs.ts'
import { planted } from './planted/index.ts'
import { simulate } from './simulation.ts'
import { corpus, optionsOf } from './worlds.ts'
import type { SimResult } from './simulation.ts'
import type { Task, TaskResult } from './tasks.ts'
import type { World, WorldKind } from './worlds.ts'

const usage = `Runs simulated meshes and checks what they promised.

  npm run sim -- --seed 123 [--trace]     one seed; --trace prints what happens, line by line
  npm run sim -- --seeds 200 [--from 1]   many seeds, and before them the corpus: worlds that once went wrong
  npm run sim -- --planted NAME|all       which seed and which checker catch the peers that are wrong on purpose

  --harsh        everything goes wrong all the time
  --tailored     each planted bug in worlds in which it shows soon
  --jobs 2       processes that run worlds at the same time
`

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    planted: { type: 'string' },
    harsh: { type: 'boolean', default: false },
    tailored: { type: 'boolean', default: false },
    jobs: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const kind: WorldKind = values.harsh ? 'harsh' : 'swarm'
const jobs = Number(values.jobs)
/** A planted bug that gets through so many worlds is not caught. */
const huntSeedsMax = values.tailored ? 40 : 2_000

const talk = (text: string): void => void process.stderr.write(text)

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

function report({ seed, kind }: World, { traceTail, anomalies }: SimResult): void {
  for (const line of traceTail) console.log(line)
  console.log(`seed ${seed}, commit ${commit()}: ${anomalies.length} anomalies`)
  for (const { checker, detail } of anomalies) console.log(`  ${checker}: ${detail}`)
  console.log(`replay: npm run sim -- --seed ${seed}${kind === 'harsh' ? ' --harsh' : ''} --trace`)
}

async function runOne(seed: number): Promise<boolean> {
  const print = values.trace ? { print: (line: string) => console.log(line) } : {}
  const result = await simulate(optionsOf({ seed, kind }), print)
  summarize({ seed, kind }, result)
  if (result.anomalies.length > 0) report({ seed, kind }, result)
  return result.anomalies.length === 0
}

function summarize({ seed }: World, { records, events, healedAfterMs, traceHash }: SimResult): void {
  const healed = `healed after ${healedAfterMs} ms`
  talk(`seed ${seed}: ${records} records, ${events} events, ${healed}, trace ${traceHash.slice(0, 12)}\n`)
}

async function runMany(first: number, count: number): Promise<boolean> {
  const seeds = Array.from({ length: count }, (_, index): World => ({ seed: first + index, kind }))
  const tasks = [...corpus, ...seeds].map(({ seed, kind }): Task => ({ type: 'run', seed, kind }))
  let failed = 0
  let events = 0
  const startedMs = performance.now()
  const done = (ended: TaskResult): void => {
    if (ended.type !== 'run') return
    summarize(ended.world, ended.result)
    events += ended.result.events
    if (ended.result.anomalies.length === 0) return
    failed++
    report(ended.world, ended.result)
  }
  await runTasks(tasks, { jobs, done })
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1)
  talk(
    `${count} seeds from ${first} and ${corpus.length} of the corpus, commit ${commit()}: ${failed} with anomalies; ${events} events in ${seconds} s\n`,
  )
  return failed === 0
}

async function huntAll(which: string): Promise<boolean> {
  const bugs = which === 'all' ? Object.keys(planted) : [which]
  const huntKind = values.tailored ? 'tailored' : kind
  const tasks = bugs.map((bug): Task => ({ type: 'hunt', bug, kind: huntKind, seedsMax: huntSeedsMax }))
  let missed = 0
  const done = (ended: TaskResult): void => {
    if (ended.type !== 'hunt') return
    const { bug, caught, seconds } = ended
    const isCaught = caught !== undefined && (!values.tailored || caught.checker === planted[bug]?.checker)
    if (!isCaught) missed++
    const what = caught?.detail.split('\n', 1)[0]
    const where = caught && `seed ${String(caught.seed).padStart(4)}  ${caught.checker.padEnd(12)} ${what}`
    const verdict = isCaught ? '' : `NOT CAUGHT by ${planted[bug]?.checker} within ${huntSeedsMax} seeds  `
    console.log(`${bug.padEnd(30)} ${seconds.toFixed(1).padStart(6)} s  ${verdict}${where ?? ''}`)
  }
  await runTasks(tasks, { jobs, done })
  talk(`${bugs.length} planted bugs, ${missed} not caught\n`)
  return missed === 0
}

function start(): Promise<boolean> | undefined {
  if (values.help) return undefined
  if (values.planted !== undefined) return huntAll(values.planted)
  if (values.seed !== undefined) return runOne(Number(values.seed))
  return values.seeds === undefined ? undefined : runMany(Number(values.from), Number(values.seeds))
}

const kept = await start()
if (kept === undefined) talk(usage)
process.exitCode = kept === undefined ? (values.help ? 0 : 2) : kept ? 0 : 1
