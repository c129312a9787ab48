import { feedKeyOf } from '#protocol/log/feed'
import type { OffsetRange } from '#protocol/log/feed'
import { lengthOf, noRanges, type OffsetRanges, rangeAt, united, without } from '#protocol/log/offset-ranges'
import { heldOn } from '../sim-disk.ts'
import { recordsIn } from './anomaly.ts'
import { placeText } from '../history.ts'
import type { FeedKey } from '#protocol/log/feed'
import type { ReadGap } from '#gateway/broker'
import type { History, Reading } from '../history.ts'
import type { SimDisk } from '../sim-disk.ts'
import type { Anomaly, DiskRecord, Disks } from './anomaly.ts'
import type { Written } from './written.ts'

/**
 * P4 and P5 for readers that keep their cursor and take it from peer to peer: the records of each feed come in order,
 * each once, without holes but for what `RepeatWatch` has seen to be passed over; no feed begins before its predecessor was read up to the link; the values are those of the
 * log; and in the end a reader has read everything there is, or everything published since it came. A cursor may list
 * what damage has wiped out everywhere: then its reader waits for that writer for ever, and has to be told so.
 */
export function checkCursors(history: History, disks: Disks, written: Written): readonly Anomaly[] {
  const [disk] = disks.values()
  if (disk === undefined) return []
  const wipedOut = writersWipedOut(disks, disk)
  return history.readings.flatMap((reading) => {
    const wanted = wantedBy(reading, history, disk)
    const isGone = goneFor(reading, written)
    const isEmptied = (feed: FeedKey): boolean => disk.nextOffset(feed) <= (written.floors.get(feed) ?? 0)
    // A reader of less than all cannot know what it would have got of a feed that it first sees when it is empty.
    const isUntold = ({ from }: Reading, feed: FeedKey): boolean => from !== 'earliest' && isEmptied(feed)
    // Of a branch: what goes on from it waits for ever then, and only that is told. (Simulator, seed 169.)
    const isForgottenBeginning = ({ gaps }: Reading, feed: FeedKey): boolean =>
      isEmptied(feed) &&
      [...written.descendants(feed)].some((next) => {
        return gaps.some(({ type, feed: name }) => type === 'late' && next.endsWith(`/${name.replace('.', '/')}`))
      })
    const faults = [
      ...reading.faults,
      ...orderFaults(reading, disk, { wipedOut, isGone }),
      ...gapFaults(reading, disks, written),
      ...lossFaults(reading, { wipedOut, isGone: goneFor(reading, written, true) }),
      ...contentFaults(reading, wanted, { wipedOut, isGone, isUntold, isForgottenBeginning }),
    ]
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
      .filter(({ feed, from, to }) => !isHeld(disk, feed, { from, to }))
      .map(({ feed }) => feed.split('/')[1]),
  )

const isHeld = (disk: SimDisk, feed: FeedKey, range: OffsetRange): boolean => {
  const stored = disk.feeds.get(feed)
  return stored !== undefined && without([range], heldOn(stored)).length === 0
}

type IsGone = (feed: FeedKey, offset: number) => boolean

/**
 * What a reader need not be given: it was told that it is lost, or that was so before it came. Offsets go on from feed to
 * feed, and so does a range of them. Where feeds fork, the same offset may be in the one that is named and in what goes on
 * from it: `surely` leaves out the latter. (Simulator, seed 226.)
 */
function goneFor({ topic, gaps, goneBefore }: Reading, written: Written, surely = false): IsGone {
  const lost = new Map<FeedKey, { readonly from: number; readonly to: number }[]>()
  for (const { type, feed, from, to } of gaps) {
    const [key] = [...written.feeds].find(([one, { opening }]) => {
      return opening.topic === topic && one.endsWith(`/${feed.replace('.', '/')}`)
    }) ?? [undefined]
    if (type !== 'lost' || key === undefined) continue
    const add = (one: FeedKey, range: OffsetRange): unknown => lost.set(one, [...(lost.get(one) ?? []), range])
    for (const [one, end] of [[key, to] as const, ...written.ancestors(key)]) add(one, { from, to: Math.min(to, end) })
    const beyond = surely ? Math.max(from, written.endOf(key)) : from
    for (const one of written.descendants(key)) add(one, { from: beyond, to })
    if (surely) continue
    // What a feed goes on from that begins where the range ends may be of another branch, after damage: then nobody knows any
    // more where that forked off. (Simulator, seed 136.)
    for (const next of written.beginningAt(key, to)) {
      const before = [...written.ancestors(next)]
      if (before.every(([one]) => one !== key)) for (const [one, end] of before) add(one, { from: 0, to: end })
    }
  }
  return (feed, offset) => {
    const isTold = lost.get(feed)?.some(({ from, to }) => from <= offset && offset < to) ?? false
    return isTold || offset < (goneBefore.get(feed) ?? 0)
  }
}

function isAllGone(isGone: IsGone, feed: FeedKey, from: number, to: number): boolean {
  for (let offset = from; offset < to; offset++) if (!isGone(feed, offset)) return false
  return true
}

/** Where the cursor lists what is wiped out, nobody knows whether that implied what was forgotten while its reader waited. */
function* orderFaults(
  reading: Reading,
  disk: SimDisk,
  { wipedOut, isGone }: Pick<Excuses, 'wipedOut' | 'isGone'>,
): Generator<string> {
  const { records, from, covered, gaps } = reading
  const next = new Map<FeedKey, number>(covered?.positions)
  const lost = lostTo(gaps)
  for (const { place, at } of records) {
    const { feed, offset } = place
    const known = next.get(feed) ?? firstOffset(disk, feed, from)
    const isTold =
      known !== undefined && offset > known && without([{ from: known, to: offset }], lost(feed)).length === 0
    const expected = isTold ? offset : known
    next.set(feed, offset + 1)
    if (expected !== undefined && offset > expected && !isAllGone(isGone, feed, expected, offset))
      yield `skips from ${expected} to ${placeText(place)} at ${at}`
    if (expected !== undefined && offset < expected) yield `reads ${placeText(place)} again at ${at}`
    const stored = disk.feeds.get(feed)
    const link = stored?.opening.predecessor
    if (stored === undefined || link === undefined || expected !== offset || offset !== link.nextOffset) continue
    const before = feedKeyOf({ ...stored.feed, epoch: link.epoch })
    const readTo = readUpTo(before, next, disk) ?? firstOffset(disk, before, from)
    const read = readTo === undefined ? undefined : (rangeAt(lost(before), readTo)?.to ?? readTo)
    const isLate = from !== 'latest' ? (read ?? 0) < link.nextOffset : read !== undefined && read < link.nextOffset
    const begin = disk.feeds.get(before)?.opening.predecessor?.nextOffset ?? 0
    const [, writer = '', epoch] = before.split('/')
    const waited = wipedOut.has(writer) && wasToldToWait(reading, { feed: `${writer}.${epoch}`, offset: read ?? begin })
    if (isLate && !waited && !isAllGone(isGone, before, read ?? begin, link.nextOffset)) {
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
  from !== 'latest' && disk.feeds.has(feed) ? (disk.feeds.get(feed)?.opening.predecessor?.nextOffset ?? 0) : undefined

/** What a reader was told that it cannot have any more. */
function lostTo(gaps: Reading['gaps']): (feed: FeedKey) => OffsetRanges {
  const lost = gaps.filter(({ type }) => type === 'lost')
  return (feed) =>
    lost
      .filter((gap) => feed.endsWith(`/${gap.feed.replace('.', '/')}`))
      .reduce((all, gap) => united(all, [gap]), noRanges)
}

/**
 * Nothing is lost to a reader that any disk holds, and retention has not passed over. It may have to wait; `contentFaults`
 * sees for how long. What no disk held when it was told can only have come back with a backup.
 */
function* gapFaults({ gaps, topic }: Reading, disks: Disks, written: Written): Generator<string> {
  for (const { at, wasHeld, ...gap } of gaps) {
    if (gap.type !== 'lost' || !wasHeld) continue
    for (const [peer, disk] of disks) {
      if (!holdsSome(disk, topic, gap, written)) continue
      yield `is told at ${at} that ${gap.feed} from ${gap.from} to ${gap.to} is lost, and ${peer} holds some of it`
    }
  }
}

/** Is any of it on this disk, and above the floor? */
export function holdsSome(disk: SimDisk, topic: string, { feed, from, to }: ReadGap, written: Written): boolean {
  const stored = [...disk.feeds.values()].find(({ feed: { writer, epoch }, opening }) => {
    return opening.topic === topic && `${writer}.${epoch}` === feed
  })
  if (stored === undefined) return false
  const floor = Math.max(from, written.floors.get(feedKeyOf(stored.feed)) ?? 0)
  return floor < to && lengthOf(without([{ from: floor, to }], heldOn(stored))) < to - floor
}

/**
 * And what a reader was given is not lost to it. Where its cursor
 * lists what is wiped out, nobody knows any more what that implied.
 */
function* lossFaults(
  { records, goneBefore }: Reading,
  { wipedOut, isGone }: { readonly wipedOut: ReadonlySet<string | undefined>; readonly isGone: IsGone },
): Generator<string> {
  for (const { place, value, at } of records) {
    if (wipedOut.has(place.feed.split('/')[1])) continue
    const isBefore = place.offset < (goneBefore.get(place.feed) ?? 0)
    if (value !== undefined && !isBefore && isGone(place.feed, place.offset))
      yield `is told that ${placeText(place)} is lost, which it has read at ${at}`
  }
}

/** P5: who does not get it is told that it waits. */
const wasToldToWait = ({ gaps }: Reading, { feed, offset }: Pick<Wanted, 'feed' | 'offset'>): boolean =>
  gaps.some((gap) => gap.type === 'late' && gap.feed === feed && gap.from <= offset && offset < gap.to)

interface Excuses {
  readonly wipedOut: ReadonlySet<string | undefined>
  readonly isGone: IsGone
  readonly isUntold: (reading: Reading, feed: FeedKey) => boolean
  readonly isForgottenBeginning: (reading: Reading, feed: FeedKey) => boolean
}

interface Wanted {
  readonly key: FeedKey
  readonly value: string
  readonly writer: string
  /** As a gap names it. */
  readonly feed: string
  readonly offset: number
  /** A reader may also get what it need not. */
  readonly isOwed: boolean
}

function wantedBy({ topic, ...reading }: Reading, history: History, disk: SimDisk): Map<string, Wanted> {
  const isOwed = owedTo(reading, history)
  const wanted = new Map<string, Wanted>()
  for (const [feed, stored] of disk.feeds) {
    if (stored.opening.topic !== topic) continue
    const { writer, epoch } = stored.feed
    for (const { offset, value, hlcMs } of recordsIn(stored)) {
      const one = { key: feed, value, writer, feed: `${writer}.${epoch}`, offset }
      wanted.set(`${feed} ${offset}`, { ...one, isOwed: isOwed({ feed, offset, value, hlcMs }) })
    }
  }
  return wanted
}

/**
 * `latest` is the time of now by the clock of the peer where the reader came. What another clock has dated before that it
 * need not get.
 */
function owedTo(
  { from, covered, sinceMs, sinceWallMs }: Omit<Reading, 'topic'>,
  { publishes }: History,
): (record: DiskRecord & { readonly feed: FeedKey }) => boolean {
  if (from === 'earliest') return () => true
  if (covered !== undefined) {
    return ({ feed, offset, hlcMs }) => offset >= (covered.positions.get(feed) ?? 0) && hlcMs > covered.sinceMs
  }
  const before = new Set(publishes.filter(({ invokedAtMs }) => invokedAtMs <= sinceMs).flatMap(({ values }) => values))
  return ({ value, hlcMs }) => !before.has(value) && hlcMs > sinceWallMs
}

function* contentFaults(
  reading: Reading,
  wanted: Map<string, Wanted>,
  { wipedOut, isGone, isUntold, isForgottenBeginning }: Excuses,
): Generator<string> {
  for (const { place, value } of reading.records) {
    const key = `${place.feed} ${place.offset}`
    const stored = wanted.get(key)?.value
    const isWipedOut = stored === undefined && wipedOut.has(place.feed.split('/')[1])
    if (value !== undefined && stored !== value && !isWipedOut)
      yield `got ${value} at ${placeText(place)}, where ${stored} is`
    wanted.delete(key)
  }
  const missed = [...wanted.values()].filter((one) => {
    const isExcused =
      isGone(one.key, one.offset) ||
      isUntold(reading, one.key) ||
      (wipedOut.has(one.writer) && (wasToldToWait(reading, one) || isForgottenBeginning(reading, one.key)))
    return one.isOwed && !isExcused
  })
  if (missed.length === 0) return
  const names = missed.slice(0, 5).map(({ value }) => value)
  yield `never got ${names.join(', ')}${missed.length > 5 ? ` and ${missed.length - 5} more` : ''}`
}
