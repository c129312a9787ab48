import { Findings } from './findings.ts'
import { isOk, type Publish } from './history.ts'
import type { FaultName, Verdict } from './verdict.ts'

export interface PublishFigures {
  readonly ackedRecords: number
  readonly reached: number
  /** 202: durable where it was accepted, too few copies in time. */
  readonly unreached: number
  readonly refused: number
  /** Neither accepted nor refused, as far as the client knows. */
  readonly unanswered: number
}

export interface ReadingFigures {
  readonly readings: number
  readonly recordsRead: number
  readonly lostParts: Verdict['lostParts']
  readonly notOwedAndGone: number
  readonly recovered: number
  readonly explainedDuplicates: number
  readonly skippedCopies: number
  readonly toldLost: number
}

/** One reading is one verdict; a record that all peers lost counts once for each of them. */
export function sumOf(verdicts: readonly Verdict[]): {
  readonly faults: Readonly<Record<FaultName, Findings>>
  readonly figures: ReadingFigures
} {
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

/** What became of the publishes of a run. */
export function publishFigures(publishes: readonly Publish[]): PublishFigures {
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
