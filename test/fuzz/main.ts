import { parseArgs } from 'node:util'
import type { FuzzReport } from './finding.ts'
import { fuzzFrames } from './frames.ts'
import { fuzzHttp } from './http.ts'
import { fuzzSockets } from './sockets.ts'

const usage = `Throws wrong, damaged and hostile bytes at a peer: it must stay up, answer by name, and go on serving.

  npm run fuzz -- --http 200000 --sockets 200000 --frames 1000000 [--seed 1] [--seconds 600]

  --http     requests to a gateway: damaged, hostile, random bytes
  --sockets  frames over WebSockets
  --frames   frames from peers that have been let in
  --seconds  ends requests, and then sockets, after so long, however many there were
`

const { values } = parseArgs({
  options: {
    http: { type: 'string' },
    sockets: { type: 'string' },
    frames: { type: 'string' },
    seed: { type: 'string' },
    seconds: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

function tell({ target, inputs, findings, seen, stallMs, memoryMiB, seconds }: FuzzReport): void {
  const rate = Math.round(inputs / seconds)
  console.log(`${target}: ${inputs} inputs in ${seconds.toFixed(1)} s (${rate}/s), ${findings.length} findings`)
  console.log(`  longest stall ${Math.round(stallMs)} ms, memory ${memoryMiB.before} → ${memoryMiB.after} MiB`)
  for (const kind of Object.keys(seen).toSorted()) console.log(`  ${String(seen[kind]).padStart(9)} ${kind}`)
  for (const { index, what, input } of findings) console.log(`\nFOUND at input ${index}: ${what}\n  input: ${input}`)
}

const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const seconds = values.seconds === undefined ? undefined : Number(values.seconds)
const runs: (() => Promise<FuzzReport>)[] = []
if (values.http !== undefined) runs.push(() => fuzzHttp({ seed, seconds, count: Number(values.http) }))
if (values.sockets !== undefined) runs.push(() => fuzzSockets({ seed, seconds, count: Number(values.sockets) }))
if (values.frames !== undefined) runs.push(() => fuzzFrames({ seed, count: Number(values.frames) }))

if (values.help || runs.length === 0) {
  process.stderr.write(usage)
  process.exitCode = values.help ? 0 : 2
} else {
  console.log(`seed ${seed}`)
  for (const run of runs) {
    const report = await run()
    tell(report)
    if (report.findings.length > 0) process.exitCode = 1
  }
}
