import { feedKeyOf } from '#protocol/log/feed'
import { valuesOf } from './anomaly.ts'
import { placeText } from '../history.ts'
import type { FeedKey } from '#protocol/log/feed'
import type { History, Reading } from '../history.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/**
 * P4 and P5 for readers that keep their cursor and take it from peer to peer: the records of each feed come in order,
 * each once, without holes; no feed begins before its predecessor was read up to the link; the values are those of the
 * log; and in the end a reader has read everything there is, or everything published since it came. A cursor may list
 * what damage has wiped out everywhere: then its reader waits for that writer for ever, and has to be told so.
 */
export function checkCursors(history: History, disks: Disks): readonly Anomaly[] {
  const [disk] = disks.values()
  if (disk === undefined) return []
  const wipedOut = writersWipedOut(disks, disk)
  return history.readings.flatMap((reading) => {
    const wanted = wantedBy(reading, history, disk)
    const faults = [...orderFaults(reading, disk), ...gapFaults(reading), ...contentFaults(reading, wanted, wipedOut)]
    return faults.map((fault) => ({
      checker: 'cursors',
      detail: `reader ${reading.name} of ${reading.topic} from ${reading.from}: ${fault}`,
    }))
  })
}

/** Writers of records that were once on some disk, and are on none in the end. `disk` is any, after convergence. */
const writersWipedOut = (disks: Disks, disk: SimDisk): ReadonlySet<string | undefined> =>
  new Set(
    [...disks.values()]
      .flatMap(({ lost }) => lost)
      .filter(({ feed, to }) => disk.nextOffset(feed) < to)
      .map(({ feed }) => feed.split('/')[1]),
  )

function* orderFaults({ records, from }: Reading, disk: SimDisk): Generator<string> {
  const next = new Map<FeedKey, number>()
  for (const { place, at } of records) {
    const { feed, offset } = place
    const expected = next.get(feed) ?? firstOffset(disk, feed, from)
    next.set(feed, offset + 1)
    if (expected !== undefined && offset > expected) yield `skips from ${expected} to ${placeText(place)} at ${at}`
    if (expected !== undefined && offset < expected) yield `reads ${placeText(place)} again at ${at}`
    const stored = disk.feeds.get(feed)
    const link = stored?.opening.predecessor
    if (stored === undefined || link === undefined || expected !== offset || offset !== link.nextOffset) continue
    const read = readUpTo(feedKeyOf({ ...stored.feed, epoch: link.epoch }), next, disk)
    const isLate = from === 'earliest' ? (read ?? 0) < link.nextOffset : read !== undefined && read < link.nextOffset
    if (isLate) {
      yield `reads ${placeText(place)} at ${at} with its predecessor read up to ${read ?? 0} of ${link.nextOffset}`
    }
  }
}

/** A feed without records is read once its own predecessor is. */
function readUpTo(feed: FeedKey, next: ReadonlyMap<FeedKey, number>, disk: SimDisk): number | undefined {
  const stored = disk.feeds.get(feed)
  const link = stored?.opening.predecessor
  if (next.has(feed) || stored === undefined || link === undefined) return next.get(feed)
  const before = readUpTo(feedKeyOf({ ...stored.feed, epoch: link.epoch }), next, disk)
  return before !== undefined && before >= link.nextOffset ? link.nextOffset : undefined
}

const firstOffset = (disk: SimDisk, feed: FeedKey, from: Reading['from']): number | undefined =>
  from === 'earliest' && disk.feeds.has(feed) ? (disk.feeds.get(feed)?.opening.predecessor?.nextOffset ?? 0) : undefined

/** Without retention nothing is lost to a reader. It may have to wait; `contentFaults` sees for how long. */
function* gapFaults({ gaps }: Reading): Generator<string> {
  for (const { type, feed, from, to, at } of gaps)
    if (type === 'lost') yield `is told at ${at} that ${feed} from ${from} to ${to} is lost`
}

/** P5: who does not get it is told that it waits. */
const wasToldToWait = ({ gaps }: Reading, { feed, offset }: Wanted): boolean =>
  gaps.some((gap) => gap.type === 'late' && gap.feed === feed && gap.from <= offset && offset < gap.to)

interface Wanted {
  readonly value: string
  readonly writer: string
  /** As a gap names it. */
  readonly feed: string
  readonly offset: number
  /** A reader may also get what it need not. */
  readonly isOwed: boolean
}

function wantedBy({ topic, from, sinceMs }: Reading, history: History, disk: SimDisk): Map<string, Wanted> {
  const before = new Set(
    history.publishes.filter(({ invokedAtMs }) => invokedAtMs <= sinceMs).flatMap(({ values }) => values),
  )
  const wanted = new Map<string, Wanted>()
  for (const [feed, stored] of disk.feeds) {
    if (stored.opening.topic !== topic) continue
    const { writer, epoch } = stored.feed
    for (const [offset, value] of valuesOf(stored)) {
      const isOwed = from === 'earliest' || !before.has(value)
      wanted.set(`${feed} ${offset}`, { value, writer, feed: `${writer}.${epoch}`, offset, isOwed })
    }
  }
  return wanted
}

function* contentFaults(
  reading: Reading,
  wanted: Map<string, Wanted>,
  wipedOut: ReadonlySet<string | undefined>,
): Generator<string> {
  for (const { place, value } of reading.records) {
    const key = `${place.feed} ${place.offset}`
    const stored = wanted.get(key)?.value
    const isWipedOut = stored === undefined && wipedOut.has(place.feed.split('/')[1])
    if (stored !== value && !isWipedOut) yield `got ${value} at ${placeText(place)}, where ${stored} is`
    wanted.delete(key)
  }
  const missed = [...wanted.values()].filter(
    (one) => one.isOwed && !(wipedOut.has(one.writer) && wasToldToWait(reading, one)),
  )
  if (missed.length === 0) return
  const names = missed.slice(0, 5).map(({ value }) => value)
  yield `never got ${names.join(', ')}${missed.length > 5 ? ` and ${missed.length - 5} more` : ''}`
}
