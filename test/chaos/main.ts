import { parseArgs } from 'node:util'
import { Chaos } from './chaos.ts'
import { isWithoutFault, textOf } from './report.ts'
import { commit, inRoom, seedOf, writeReport } from './room.ts'

/**
 * Five peers as processes in network namespaces, under load and faults of every kind; then what was acked is held against
 * what each of them serves. Exits 1 on any fault.
 *
 *   npm run chaos -- --minutes 20 [--seed N] [--rate 2500] [--bits 8] [--report FILE] [--keep DIRECTORY]
 *
 * `--rate`: records per second, over all writers. `--bits`: how many are flipped each time that a disk is damaged; 0: none.
 * `--keep`: where data and logs of the peers go and stay; otherwise a directory that is gone afterwards.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string' },
    rate: { type: 'string', default: '2500' },
    bits: { type: 'string', default: '0' },
    report: { type: 'string', default: '.tmp/chaos.json' },
    keep: { type: 'string' },
  },
})

await inRoom('chaos', { keep: values.keep }, async (directory) => {
  const seed = seedOf(values.seed)
  console.log(`chaos: seed ${seed}, ${values.minutes} minutes`)
  const report = await Chaos.run({
    seed,
    commit: commit(),
    minutes: Number(values.minutes),
    directory,
    recordsPerSecond: Number(values.rate),
    bits: Number(values.bits),
    say: (line) => console.log(line),
  })
  writeReport(values.report, report)
  console.log(`\n${textOf(report)}\n\nreport: ${values.report}`)
  return isWithoutFault(report) ? 0 : 1
})
