import { Findings } from '../findings.ts'
import { type History, isOk, placeText, type Reading } from '../history.ts'
import type { IndexedReading } from '../indexed-reading.ts'
import type { SentBy } from '../sent.ts'

/** Read, and never sent, or refused each time that it was sent ("aborted read"). */
export function checkUnexpected(sent: ReadonlyMap<string, SentBy>, reading: IndexedReading): Findings {
  const unexpected = new Findings()
  for (const { feed, offset, writer, seq } of reading.records) {
    const { maybeAccepted = [], refused = [] } = sent.get(writer) ?? {}
    if ((maybeAccepted[seq] ?? 0) > 0) continue
    const what = (refused[seq] ?? 0) > 0 ? 'was refused' : 'was never sent'
    unexpected.add(`${reading.by}, ${reading.topic}: ${writer} ${seq} at ${placeText({ feed, offset })} ${what}`)
  }
  return unexpected
}

/** Wrong bytes: what no writer makes. */
export function checkDamaged({ by, topic, events }: Reading): Findings {
  const damaged = new Findings()
  for (const event of events) {
    if (event.type === 'damaged') damaged.add(`${by}, ${topic}: not what a writer makes, at ${placeText(event)}`)
  }
  return damaged
}

/** At the place that an ack named is another record. */
export function checkPlaces({ publishes }: History, reading: IndexedReading): Findings {
  const wrong = new Findings()
  for (const publish of publishes) {
    if (publish.topic !== reading.topic || !isOk(publish)) continue
    const { writer, at, outcome } = publish
    let seq = publish.firstSeq
    for (const { feed, from, count } of outcome.runs) {
      for (let offset = from; offset < from + count; offset++, seq++) {
        const found = reading.records[reading.positionAt(feed, offset) ?? -1]
        if (found === undefined || (found.writer === writer && found.seq === seq)) continue
        const place = placeText({ feed, offset })
        wrong.add(
          `${reading.by}, ${reading.topic}: ${at} acked ${writer} ${seq} at ${place}, where ${found.writer} ${found.seq} is`,
        )
      }
    }
  }
  return wrong
}

/** Two readers found different records at one place. */
export function checkSame(one: IndexedReading, other: IndexedReading): Findings {
  const differences = new Findings()
  for (const { feed, offset, writer, seq } of one.records) {
    const found = other.records[other.positionAt(feed, offset) ?? -1]
    if (found === undefined || (found.writer === writer && found.seq === seq)) continue
    const place = placeText({ feed, offset })
    differences.add(
      `${one.topic} at ${place}: ${writer} ${seq} by ${one.by}, ${found.writer} ${found.seq} by ${other.by}`,
    )
  }
  return differences
}
