import { checkDamaged, checkPlaces, checkUnexpected } from './checkers/contents.ts'
import { checkDuplicates } from './checkers/duplicates.ts'
import { checkGaps, type IsMissing } from './checkers/gaps.ts'
import { checkLost } from './checkers/lost.ts'
import { checkOrder } from './checkers/order.ts'
import type { Findings } from './findings.ts'
import type { History, Reading } from './history.ts'
import { IndexedReading } from './indexed-reading.ts'
import { sentByWriter, skippedMax } from './sent.ts'

/** What is held against one reading, and figures that are no fault. */
export interface Verdict {
  readonly by: string
  readonly topic: string
  readonly records: number
  readonly faults: Readonly<Record<FaultName, Findings>>
  readonly lostParts: { readonly prefix: number; readonly middle: number; readonly postfix: number }
  /** Acked and gone with every disk that the ack named: not owed. */
  readonly notOwed: number
  readonly recovered: number
  readonly explainedDuplicates: number
  /** Copies of records with a key that were passed over, since another copy was read. */
  readonly skipped: number
  /** Records that the reader was told are nowhere any more; those of them that are owed count as lost all the same. */
  readonly toldLost: Findings
}

export type FaultName =
  | 'lost'
  | 'unexplainedDuplicates'
  | 'orderViolations'
  | 'wrongBytes'
  | 'wrongPlaces'
  | 'unexpected'
  | 'untoldGaps'
  | 'repeats'
  | 'stillLate'

export interface JudgeOptions {
  /** The reading once more, for who has it already. */
  readonly indexed?: IndexedReading
  /** What there is in the end, if the reading was going on while disks were lost. */
  readonly final?: IndexedReading
}

/**
 * Holds what was read against what was published. `reading` is to begin at the earliest record, and to have come to its
 * end.
 */
export function judge(
  history: History,
  reading: Reading,
  { indexed = new IndexedReading(reading), final }: JudgeOptions = {},
): Verdict {
  const { publishes, diskFaults } = history
  const own: History = { publishes: publishes.filter(({ topic }) => topic === reading.topic), diskFaults }
  const sent = sentByWriter(own.publishes)
  const { lost, notOwed, recovered, ...lostParts } = checkLost(own, indexed)
  const { explained, unexplained } = checkDuplicates(sent, indexed)
  const { untold, skipped, repeats, toldLost, late } = checkGaps(
    reading,
    skippedMax(sent),
    final && missingIn(indexed, final),
  )
  return {
    by: reading.by,
    topic: reading.topic,
    records: indexed.records.length,
    faults: {
      lost,
      unexplainedDuplicates: unexplained,
      orderViolations: checkOrder(own, indexed),
      wrongBytes: checkDamaged(reading),
      wrongPlaces: checkPlaces(own, indexed),
      unexpected: checkUnexpected(sent, indexed),
      untoldGaps: untold,
      repeats,
      stillLate: late,
    },
    lostParts,
    notOwed,
    recovered,
    explainedDuplicates: explained,
    skipped,
    toldLost,
  }
}

const missingIn =
  (indexed: IndexedReading, final: IndexedReading): IsMissing =>
  (feed, from, to) => {
    for (let offset = from; offset < to; offset++) {
      const record = final.records[final.positionAt(feed, offset) ?? -1]
      if (record !== undefined && indexed.positionsOf(record.writer, record.seq).length === 0) return true
    }
    return false
  }
