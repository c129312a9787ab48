import type { Findings } from '#lab/ledger/findings'
import type { PublishFigures, ReadingFigures } from '#lab/ledger/sums'
import { wordsOf } from '#lab/words'

/** What a run was, and everything that can be held against it. */
export interface Report {
  readonly commit: string
  readonly seed: number
  readonly peers: number
  readonly topics: number
  readonly tookMs: number
  /** How often each kind of fault was done. */
  readonly suffered: Readonly<Record<string, number>>
  readonly publishes: PublishFigures
  /** From the end of the faults of each round until all home members held the same bytes. */
  readonly convergedAfterMs: readonly number[]
  /** By name, over all readings: how often, and some of them in words. All are zero in a run without fault. */
  readonly faults: Readonly<Record<string, Findings>>
  readonly figures: ReadingFigures
}

export const isWithoutFault = ({ faults }: Report): boolean => Object.values(faults).every(({ count }) => count === 0)

export function textOf(report: Report): string {
  const { commit, seed, peers, topics, tookMs, publishes, convergedAfterMs, figures, suffered } = report
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
  const number = (value: number): string => value.toLocaleString('en')
  const minutes = (tookMs / 60_000).toFixed(1)
  const { prefix, middle, postfix } = figures.lostParts
  const faults = Object.entries(report.faults).flatMap(([name, found]) => [
    `  ${wordsOf(name).padEnd(24)} ${number(found.count)}`,
    ...found.examples.map((example) => `    ${example.replaceAll('\n', '\n      ')}`),
  ])
  return [
    `${peers} peers, ${topics} topics, ${minutes} minutes, seed ${seed}, commit ${commit}`,
    `suffered: ${Object.entries(suffered)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')}`,
    `acked ${number(publishes.ackedRecords)} records: level reached by ${number(publishes.reached)} publishes, not in time ` +
      `by ${number(publishes.unreached)}; refused ${number(publishes.refused)}, no answer ${number(publishes.unanswered)}`,
    `converged after each round in ${convergedAfterMs.map(seconds).join(', ')}`,
    `read ${number(figures.recordsRead)} records in ${figures.readings} readings; lost by prefix ${prefix}, middle ` +
      `${middle}, postfix ${postfix}; recovered ${number(figures.recovered)}, duplicates explained by a retry ` +
      `${number(figures.explainedDuplicates)}, copies passed over for their key ${number(figures.skippedCopies)}; acked by damaged disks only and gone ${number(figures.notOwedAndGone)}`,
    'faults:',
    ...faults,
    isWithoutFault(report) ? 'without fault' : `FAULTS. To see them again: npm run chaos -- --seed ${seed}`,
  ].join('\n')
}
