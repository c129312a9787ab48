import { Findings } from '../findings.ts'
import { placeText, type Reading } from '../history.ts'

export interface Gaps {
  /** Offsets that were passed over without a word, if they are more than copies of what was read elsewhere. */
  readonly untold: Findings
  readonly skipped: number
  /** A place that was read before. */
  readonly repeats: Findings
  /** Records that the reader was told are not kept anywhere. */
  readonly toldLost: Findings
  /** Ranges that the reader was last told to wait for, and that never came. */
  readonly late: Findings
}

/** Offsets of one writer: its feeds go on from each other, so the next feed begins at or before where it was read up to. */
class WriterPosition {
  nextMax = 0
  readonly next = new Map<string, number>()
}

/** Is something there in the end, in that range, that the reader has not had, elsewhere either? */
export type IsMissing = (feed: string, from: number, to: number) => boolean

/**
 * P4, P5: offsets have no holes that are not told, `skippedMax` copies of retried records aside, and nothing comes twice. What was late and
 * did not come is a fault if `isMissing`: it may be nowhere any more, or have come as a copy.
 */
export function checkGaps({ by, topic, events }: Reading, skippedMax: number, isMissing: IsMissing = () => true): Gaps {
  const [untold, repeats, toldLost] = [new Findings(), new Findings(), new Findings()]
  const writers = new Map<string, WriterPosition>()
  const late = new Map<string, { readonly from: number; readonly to: number }>()
  const writerOf = (feed: string): WriterPosition => {
    const writer = feed.slice(0, feed.lastIndexOf('.'))
    const position = writers.get(writer) ?? new WriterPosition()
    writers.set(writer, position)
    return position
  }
  const goTo = (position: WriterPosition, feed: string, next: number): void => {
    position.next.set(feed, next)
    position.nextMax = Math.max(position.nextMax, next)
  }
  for (const event of events) {
    if (event.type === 'gap') {
      const { type, feed, from, to } = event.gap
      if (type === 'late') {
        late.set(feed, { from, to })
        continue
      }
      toldLost.add(`${by}, ${topic}: ${placeText({ feed, offset: from })} to ${to}`, to - from)
      const position = writerOf(feed)
      goTo(position, feed, Math.max(to, position.next.get(feed) ?? 0))
      continue
    }
    const { feed, offset } = event
    const position = writerOf(feed)
    const expected = position.next.get(feed)
    const limit = expected ?? position.nextMax
    if (offset > limit) untold.add(`${by}, ${topic}: from ${limit} to ${placeText(event)}`, offset - limit)
    if (expected !== undefined && offset < expected) repeats.add(`${by}, ${topic}: ${placeText(event)}`)
    else goTo(position, feed, offset + 1)
  }
  const skipped = untold.count <= skippedMax ? untold.count : 0
  const waiting = stillLate(late, writers, `${by}, ${topic}`, isMissing)
  return { untold: skipped > 0 ? new Findings() : untold, skipped, repeats, toldLost, late: waiting }
}

function stillLate(
  late: ReadonlyMap<string, { readonly from: number; readonly to: number }>,
  writers: ReadonlyMap<string, WriterPosition>,
  place: string,
  isMissing: IsMissing,
): Findings {
  const waiting = new Findings()
  for (const [feed, { from, to }] of late) {
    const next = writers.get(feed.slice(0, feed.lastIndexOf('.')))?.next.get(feed) ?? 0
    if (next < to && isMissing(feed, Math.max(from, next), to))
      waiting.add(`${place}: ${placeText({ feed, offset: from })} to ${to}`)
  }
  return waiting
}
