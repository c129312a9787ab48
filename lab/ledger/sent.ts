import type { Publish } from './history.ts'

/** What a writer has sent, record by record: how often, and with what answers. */
export interface SentBy {
  /** By seq: sends that were accepted, or may have been. */
  readonly maybeAccepted: readonly number[]
  /** By seq: sends that were refused. */
  readonly refused: readonly number[]
  /** Every send of it carried what makes a retry known as one. */
  readonly isKeyed: boolean
}

/** How many more copies of records with a key there may be in the log than are read. */
export const skippedMax = (sent: ReadonlyMap<string, SentBy>): number =>
  [...sent.values()]
    .filter(({ isKeyed }) => isKeyed)
    .flatMap(({ maybeAccepted }) => maybeAccepted)
    .reduce((sum, sends) => sum + Math.max(0, sends - 1), 0)

export function sentByWriter(publishes: readonly Publish[]): ReadonlyMap<string, SentBy> {
  const byWriter = Map.groupBy(publishes, ({ writer }) => writer)
  return new Map([...byWriter].map(([writer, own]) => [writer, sentIn(own)]))
}

function sentIn(publishes: readonly Publish[]): SentBy {
  const count = publishes.reduce((most, { firstSeq, count: records }) => Math.max(most, firstSeq + records), 0)
  const maybeAccepted = Array.from({ length: count }, () => 0)
  const refused = Array.from({ length: count }, () => 0)
  for (const { firstSeq, count: records, outcome, sends = 1 } of publishes) {
    const counts = outcome.type === 'fail' ? refused : maybeAccepted
    for (let seq = firstSeq; seq < firstSeq + records; seq++) counts[seq] = (counts[seq] ?? 0) + sends
  }
  return { maybeAccepted, refused, isKeyed: publishes.every(({ isKeyed }) => isKeyed) }
}
