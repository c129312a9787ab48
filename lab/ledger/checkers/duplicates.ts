import { Findings } from '../findings.ts'
import { placeText } from '../history.ts'
import type { IndexedReading } from '../indexed-reading.ts'
import type { SentBy } from '../sent.ts'

export interface Duplicates {
  /** Read more than once because it was sent more than once, and each send may have been accepted; without a key, or by a reader that moved. */
  readonly explained: number
  readonly unexplained: Findings
}

/** P6: a record is read once for each time that it may have been accepted, and at one peer once in all if its sends carried a key. */
export function checkDuplicates(sent: ReadonlyMap<string, SentBy>, reading: IndexedReading): Duplicates {
  const unexplained = new Findings()
  let explained = 0
  for (const { writer, seq } of reading.repeated()) {
    const positions = reading.positionsOf(writer, seq)
    const { maybeAccepted = [], isKeyed = false } = sent.get(writer) ?? {}
    if ((!isKeyed || reading.moved) && positions.length <= (maybeAccepted[seq] ?? 0)) {
      explained += positions.length - 1
      continue
    }
    const places = positions.flatMap((position) => reading.records[position] ?? []).map(placeText)
    unexplained.add(`${reading.by}, ${reading.topic}: ${writer} ${seq} at ${places.join(' and ')}`)
  }
  return { explained, unexplained }
}
