import type { FailoverReport } from './failover.ts'

export const isWithoutFault = ({ faults }: FailoverReport): boolean =>
  Object.values(faults).every(({ count }) => count === 0)

export function textOf(report: FailoverReport): string {
  const { seed, kills, splits, tookMs, publishes, figures, resumed, faults } = report
  const number = (value: number): string => Math.round(value).toLocaleString('en')
  return [
    `3 peers, 4 publishers, 4 subscribers, ${kills} kills, ${splits} splits, ${(tookMs / 60_000).toFixed(1)} minutes, seed ${seed}`,
    `acked ${number(publishes.ackedRecords)} records: level reached by ${number(publishes.reached)} publishes, not in time by ` +
      `${number(publishes.unreached)}; refused ${number(publishes.refused)}, no answer ${number(publishes.unanswered)}`,
    `given ${number(figures.recordsRead)} records in ${figures.readings} readings; copies passed over ${number(figures.skippedCopies)}; of lost ones ${JSON.stringify(figures.lostParts)}`,
    `resumed ${number(resumed.count)} times: p50 ${number(resumed.p50Ms)} ms, p99 ${number(resumed.p99Ms)} ms, longest ${number(resumed.maxMs)} ms`,
    ...Object.entries(faults).flatMap(([name, { count, examples }]) =>
      count === 0 ? [] : [`FAULT ${name}: ${number(count)}`, ...examples.map((example) => `    ${example}`)],
    ),
    isWithoutFault(report)
      ? 'without fault'
      : `FAULTS: npm run failover -- --seed ${seed} --kills ${kills} --splits ${splits}`,
  ].join('\n')
}
