import { Findings } from '#lab/ledger/findings'
import { isOk, type Publish } from '#lab/ledger/history'
import type { FaultName, Verdict } from '#lab/ledger/verdict'

/** What a run was, and everything that can be held against it. */
export interface Report {
  readonly commit: string
  readonly seed: number
  readonly peers: number
  readonly topics: number
  readonly tookMs: number
  /** How often each kind of fault was done. */
  readonly suffered: Readonly<Record<string, number>>
  readonly publishes: {
    readonly ackedRecords: number
    readonly reached: number
    /** 202: durable where it was accepted, too few copies in time. */
    readonly unreached: number
    readonly refused: number
    /** Neither accepted nor refused, as far as the client knows. */
    readonly unanswered: number
  }
  /** From the end of the faults of each round until all home members held the same bytes. */
  readonly convergedAfterMs: readonly number[]
  /** By name, over all readings: how often, and some of them in words. All are zero in a run without fault. */
  readonly faults: Readonly<Record<string, Findings>>
  readonly figures: {
    readonly readings: number
    readonly recordsRead: number
    readonly lostParts: Verdict['lostParts']
    readonly notOwedAndGone: number
    readonly recovered: number
    readonly explainedDuplicates: number
    readonly skippedCopies: number
    readonly toldLost: number
  }
}

export const isWithoutFault = ({ faults }: Report): boolean => Object.values(faults).every(({ count }) => count === 0)

/** One reading is one verdict; a record that all peers lost counts once for each of them. */
export function sumOf(verdicts: readonly Verdict[]): Pick<Report, 'faults' | 'figures'> {
  const faults: Record<FaultName, Findings> = {
    lost: new Findings(),
    unexplainedDuplicates: new Findings(),
    orderViolations: new Findings(),
    wrongBytes: new Findings(),
    wrongPlaces: new Findings(),
    unexpected: new Findings(),
    untoldGaps: new Findings(),
    repeats: new Findings(),
    stillLate: new Findings(),
  }
  for (const verdict of verdicts) {
    for (const name of Object.keys(faults) as FaultName[]) faults[name].take(verdict.faults[name])
  }
  const total = (of: (verdict: Verdict) => number): number => verdicts.reduce((sum, verdict) => sum + of(verdict), 0)
  return {
    faults,
    figures: {
      readings: verdicts.length,
      recordsRead: total(({ records }) => records),
      lostParts: {
        prefix: total(({ lostParts }) => lostParts.prefix),
        middle: total(({ lostParts }) => lostParts.middle),
        postfix: total(({ lostParts }) => lostParts.postfix),
      },
      notOwedAndGone: total(({ notOwed }) => notOwed),
      recovered: total(({ recovered }) => recovered),
      explainedDuplicates: total(({ explainedDuplicates }) => explainedDuplicates),
      skippedCopies: total(({ skipped }) => skipped),
      toldLost: total(({ toldLost }) => toldLost.count),
    },
  }
}

export function publishFigures(publishes: readonly Publish[]): Report['publishes'] {
  const acked = publishes.filter(isOk)
  const count = (type: string): number => publishes.filter(({ outcome }) => outcome.type === type).length
  return {
    ackedRecords: acked.reduce((sum, { count: records }) => sum + records, 0),
    reached: acked.filter(({ outcome }) => outcome.reached).length,
    unreached: acked.filter(({ outcome }) => !outcome.reached).length,
    refused: count('fail'),
    unanswered: count('info'),
  }
}

export function textOf(report: Report): string {
  const { commit, seed, peers, topics, tookMs, publishes, convergedAfterMs, figures, suffered } = report
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`
  const number = (value: number): string => value.toLocaleString('en')
  const minutes = (tookMs / 60_000).toFixed(1)
  const { prefix, middle, postfix } = figures.lostParts
  const faults = Object.entries(report.faults).flatMap(([name, found]) => [
    `  ${labelOf(name).padEnd(24)} ${number(found.count)}`,
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

/** `unexplainedDuplicates` → `unexplained duplicates` */
const labelOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
