import { Findings } from '../findings.ts'
import { type History, isOk, type LedgerMs, type Publish } from '../history.ts'
import type { IndexedReading } from '../indexed-reading.ts'

interface Accepted {
  readonly what: string
  /** The peer that took it, by the feed that it is in: a retry may be answered by another one. */
  readonly by: string
  readonly invokedAtMs: LedgerMs
  readonly ackedAtMs: LedgerMs
  readonly positions: readonly number[]
}

/**
 * P4: what one peer accepted for a topic is read in that order. Of two publishes at one peer, one was accepted first if its
 * answer came before the other was sent; the records of a publish have the order of the request.
 */
export function checkOrder({ publishes }: History, reading: IndexedReading): Findings {
  const disorder = new Findings()
  const firstSentMs = firstSends(publishes)
  const accepted = publishes.flatMap((publish): Accepted[] => {
    if (publish.topic !== reading.topic || !isOk(publish)) return []
    const { writer, firstSeq, count, outcome } = publish
    const invokedAtMs = firstSentMs.get(sendKeyOf(publish)) ?? publish.invokedAtMs
    const positions = outcome.runs.flatMap(({ feed, from, count: records }) =>
      Array.from({ length: records }, (_, i) => reading.positionAt(feed, from + i) ?? []).flat(),
    )
    const what = `${writer} ${firstSeq} to ${firstSeq + count - 1}`
    const by = outcome.runs[0]?.feed.split('.')[0] ?? ''
    return positions.length === 0 ? [] : [{ what, by, invokedAtMs, ackedAtMs: outcome.atMs, positions }]
  })
  const place = `${reading.by}, ${reading.topic}`
  for (const [by, own] of Map.groupBy(accepted, (one) => one.by)) {
    for (const { what, positions } of own) {
      if (!isAscending(positions)) disorder.add(`${place}: ${what}, one publish at ${by}, is not read in its order`)
    }
    for (const { early, late } of swapped(own)) {
      disorder.add(`${place}: ${late.what} after ${early.what}, which ${by} was sent when it had acked the other`)
    }
  }
  return disorder
}

/** A retry with a key may be answered with what the first send has stored, so that one counts. */
function firstSends(publishes: readonly Publish[]): ReadonlyMap<string, LedgerMs> {
  const first = new Map<string, LedgerMs>()
  for (const publish of publishes) {
    const key = sendKeyOf(publish)
    if (publish.isKeyed) first.set(key, Math.min(publish.invokedAtMs, first.get(key) ?? publish.invokedAtMs))
  }
  return first
}

const sendKeyOf = ({ writer, firstSeq }: Publish): string => `${writer} ${firstSeq}`

/** Goes through them as they were read, and looks whether one was sent after a later one had its answer. */
function* swapped(accepted: readonly Accepted[]): Generator<{ readonly early: Accepted; readonly late: Accepted }> {
  let newest: Accepted | undefined
  for (const one of accepted.toSorted((a, b) => (a.positions[0] ?? 0) - (b.positions[0] ?? 0))) {
    if (newest !== undefined && one.ackedAtMs < newest.invokedAtMs) yield { early: newest, late: one }
    if (newest === undefined || one.invokedAtMs > newest.invokedAtMs) newest = one
  }
}

const isAscending = (numbers: readonly number[]): boolean =>
  numbers.every((number, i) => i === 0 || number > (numbers[i - 1] as number))
