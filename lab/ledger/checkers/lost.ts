import { Findings } from '../findings.ts'
import { type DiskFault, type History, isOk, type Ok, type Publish, placeText } from '../history.ts'
import type { IndexedReading } from '../indexed-reading.ts'

export interface Lost {
  readonly lost: Findings
  /** Where among the records of its writer that were read the lost ones stand, as Jepsen splits them. */
  readonly prefix: number
  readonly middle: number
  readonly postfix: number
  /** Acked, not read, and not owed: every disk that the ack named has lost what it held since. */
  readonly notOwed: number
  /** Without an answer, and there all the same. */
  readonly recovered: number
}

/**
 * P3: what was acked is read, at the place that the answer named, while one disk that the answer named has lost nothing
 * since. A record with a key may be read at the place of another copy of it (P6).
 */
export function checkLost({ publishes, diskFaults }: History, reading: IndexedReading): Lost {
  const lost = new Findings()
  const split = { prefix: 0, middle: 0, postfix: 0 }
  let [notOwed, recovered] = [0, 0]
  for (const publish of publishes) {
    if (publish.topic !== reading.topic) continue
    if (publish.outcome.type === 'info') recovered += countThere(publish, reading)
    if (!isOk(publish)) continue
    const missing = missingOf(publish, reading)
    if (missing.length === 0) continue
    if (!isOwed(publish, diskFaults)) {
      notOwed += missing.length
      continue
    }
    lost.add(inWords(publish, missing, reading), missing.length)
    for (const { seq } of missing) split[partOf(publish.writer, seq, reading)]++
  }
  return { lost, ...split, notOwed, recovered }
}

/** The disk may have written it at any time between the request and the answer. */
export function isOwed(publish: Publish & { readonly outcome: Ok }, diskFaults: readonly DiskFault[]): boolean {
  return publish.outcome.copies.some(
    (disk) => !diskFaults.some((fault) => fault.disk === disk && fault.atMs >= publish.invokedAtMs),
  )
}

interface Missing {
  readonly seq: number
  readonly feed: string
  readonly offset: number
}

function missingOf(publish: Publish & { readonly outcome: Ok }, reading: IndexedReading): readonly Missing[] {
  const { writer, firstSeq, isKeyed, outcome } = publish
  const missing: Missing[] = []
  let seq = firstSeq
  for (const { feed, from, count } of outcome.runs) {
    for (let offset = from; offset < from + count; offset++, seq++) {
      const isThere = reading.positionAt(feed, offset) !== undefined
      if (isThere || (isKeyed && reading.positionsOf(writer, seq).length > 0)) continue
      missing.push({ seq, feed, offset })
    }
  }
  return missing
}

function countThere({ writer, firstSeq, count }: Publish, reading: IndexedReading): number {
  let there = 0
  for (let seq = firstSeq; seq < firstSeq + count; seq++) if (reading.positionsOf(writer, seq).length > 0) there++
  return there
}

function partOf(writer: string, seq: number, reading: IndexedReading): 'prefix' | 'middle' | 'postfix' {
  const read = reading.extentOf(writer)
  if (read === undefined || seq < read.first) return 'prefix'
  return seq > read.last ? 'postfix' : 'middle'
}

function inWords(
  { writer, at, level, outcome }: Publish & { readonly outcome: Ok },
  missing: readonly Missing[],
  { by, topic }: IndexedReading,
): string {
  const [first] = missing
  const place = first === undefined ? '' : ` (${placeText(first)})`
  const seqs = `${first?.seq} to ${missing.at(-1)?.seq}`
  return `${by}, ${topic}: ${writer} ${seqs}${place}, acked ${level} by ${at} on ${outcome.copies.join(', ')}`
}
