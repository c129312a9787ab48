import { parseArgs } from 'node:util'
import { BitFlips, bitFlipsText } from './bit-flips.ts'
import { inRoom, seedOf, writeReport } from './room.ts'

/**
 * Three peers as processes; single bits of the files of one or two of them are flipped, round after round. Exits 1 if
 * anything wrong is served, anything acked is lost, or a peer is not whole again a minute after it was read.
 *
 *   npm run bit-flips -- --flips 1000 [--seed N] [--records 20000] [--report FILE] [--keep DIRECTORY]
 */
const { values } = parseArgs({
  options: {
    flips: { type: 'string', default: '1000' },
    records: { type: 'string', default: '20000' },
    seed: { type: 'string' },
    report: { type: 'string', default: '.tmp/bit-flips.json' },
    keep: { type: 'string' },
  },
})

await inRoom('bit-flips', { keep: values.keep }, async (directory) => {
  const seed = seedOf(values.seed)
  console.log(`bit flips: seed ${seed}`)
  const report = await BitFlips.run({
    seed,
    flips: Number(values.flips),
    records: Number(values.records),
    directory,
    say: (line) => console.log(line),
  })
  writeReport(values.report, report)
  console.log(`\n${bitFlipsText(report)}`)
  return Object.values(report.faults).every(({ count }) => count === 0) ? 0 : 1
})
