import type { Hlc } from './hybrid-clock.ts'
import { compareHlc } from './hybrid-clock.ts'
import { type Link, type VectorKey, type VersionVector, writerOfKey, type WriterHash } from './version-vector.ts'

/** A feed that is known here, as one reader sees it. */
export interface FeedToRead {
  readonly key: VectorKey
  /** To the feed that the same writer wrote before. */
  readonly link: Link | undefined
  /** That one was forgotten, once retention had emptied it. */
  readonly rooted: boolean
  /** The nextOffset up to which its records were delivered or passed over. */
  readonly position: number
  /** How far it goes here, on disk. */
  readonly nextOffset: number
  /** Time of the batch at `position`, once that was looked at. */
  readonly nextHlc: Hlc | undefined
  /** Time of its opening, once that was looked at: see rule 3. */
  readonly opened: Hlc | undefined
}

/**
 * The order of reading (DESIGN §8), which a live read and a catch-up share: the batch with the lowest time among those
 * that are here, but no feed before its predecessor was read up to the link.
 *
 * 1. A feed that the reader's vector covers goes on there: its predecessors were read when it was begun.
 * 2. Any other waits until its predecessor was read, or passed over, up to the link; and that one for its own. One that was
 *    forgotten is not waited for.
 * 3. It also waits while the vector covers a feed of the same writer that is not known here: that one may go on from it,
 *    and so imply it, which only its opening can tell (P5: a peer that does not have everything yet waits; its reader
 *    says so). So does a feed that the vector only implies: after damage two feeds may go on from one, and the unknown
 *    one imply more. (Simulator, seed 635.) Offsets go on from feed to feed, so one that is not covered beyond the beginning
 *    of another does not imply it: a cursor may list what was forgotten long ago. Neither does what this one goes on from,
 *    nor what was gone on from before this one was opened: of a writer that has lost its disk, all that it had read may be
 *    forgotten but for the last feed. (Simulator, seed 136.) Nor is implied what goes on from an entry. (Simulator, seed 4334.)
 * 4. Records of a predecessor beyond the link are ordinary records: they wait for nothing, and nothing for them.
 */
export interface ReadView<Feed extends FeedToRead> {
  readonly feeds: ReadonlyMap<VectorKey, Feed>
  /** What the reader's vector covers, implied entries included: see `positionsOf`. */
  readonly positions: VersionVector
  /** Does the reader's vector have an entry of this feed, rather than others that imply it? */
  readonly lists: (feed: VectorKey) => boolean
}

/** The feeds with records beyond the reader's position that may be read now. */
export function readableFeeds<Feed extends FeedToRead>(view: ReadView<Feed>): Feed[] {
  const readable: Feed[] = []
  let unknown: UnknownFeeds<Feed> | undefined
  for (const feed of view.feeds.values()) {
    if (feed.position >= feed.nextOffset) continue
    if (view.lists(feed.key) || mayGoOn(feed, view, (unknown ??= unknownFeeds(view)))) readable.push(feed)
  }
  return readable
}

/** Which of the readable feeds comes next. Equal times, which different writers may give, go by key. */
export function nextFeed<Feed extends FeedToRead>(readable: readonly Feed[]): Feed | undefined {
  let next: Feed | undefined
  for (const feed of readable) if (next === undefined || comesBefore(feed, next)) next = feed
  return next
}

/**
 * True when a feed that is not covered starts at its first batch above the reader's `sinceHlc`. With an ancestor that is
 * covered it starts at its beginning: offsets that go on from there have no holes.
 */
export function startsBySince(feed: FeedToRead, { feeds, positions }: ReadView<FeedToRead>): boolean {
  let at: FeedToRead | undefined = feed
  // Openings that form a ring are a lie; the bound ends the walk.
  for (let steps = 0; at !== undefined && steps <= feeds.size; steps++) {
    if (positions.has(at.key)) return false
    if (at.link === undefined) return true
    if (positions.has(at.link.predecessor)) return false
    if (at.rooted) return forgottenBefore(at, { feeds, positions }) === undefined
    at = feeds.get(at.link.predecessor)
  }
  return true
}

/**
 * Where the vector ends before a feed whose predecessor was forgotten: the furthest feed of the same writer that cannot go on
 * from this one. What is between, retention has let go of. What is known here of that one is still read. Undefined when
 * it has none.
 */
export function forgottenBefore(
  { key, link, rooted }: FeedToRead,
  { feeds, positions }: Pick<ReadView<FeedToRead>, 'feeds' | 'positions'>,
): { readonly feed: VectorKey; readonly nextOffset: number } | undefined {
  if (!rooted || link === undefined) return undefined
  let last: { feed: VectorKey; nextOffset: number } | undefined
  for (const [feed, position] of positions) {
    if (feed === key || writerOfKey(feed) !== writerOfKey(key)) continue
    const nextOffset = Math.max(position, Math.min(feeds.get(feed)?.nextOffset ?? 0, link.nextOffset))
    const isBefore = feed === link.predecessor || nextOffset <= link.nextOffset
    if (isBefore && nextOffset > (last?.nextOffset ?? -1)) last = { feed, nextOffset }
  }
  return last
}

/** Feeds that are held up by rule 3, and those whose openings may tell that they need not be, of which the time is not known. */
export function unclearFeeds<Feed extends FeedToRead>(view: ReadView<Feed>): Feed[] {
  const unknown = unknownFeeds(view)
  const unclear = new Set<Feed>()
  for (const feed of view.feeds.values()) {
    if (unknown.size === 0) break
    if (feed.position >= feed.nextOffset || view.lists(feed.key)) continue
    const after = impliers(feed, view.feeds, unknown).map((one) => one.after)
    // One without any holds it up whatever the others say.
    if (after.length > 0 && after.every((feeds) => feeds.length > 0))
      for (const one of [feed, ...after.flat()]) if (one.opened === undefined) unclear.add(one)
  }
  return [...unclear]
}

interface UnknownFeed<Feed> {
  readonly key: VectorKey
  readonly nextOffset: number
  /** Those known here that go on from it. */
  readonly after: readonly Feed[]
}

type UnknownFeeds<Feed> = ReadonlyMap<WriterHash, readonly UnknownFeed<Feed>[]>

/** By writer, the entries of the vector for feeds that are not known here. */
function unknownFeeds<Feed extends FeedToRead>({ feeds, positions }: ReadView<Feed>): UnknownFeeds<Feed> {
  const unknown = [...positions].filter(([key]) => !feeds.has(key))
  if (unknown.length === 0) return new Map()
  const after = Map.groupBy(feeds.values(), ({ link }) => link?.predecessor)
  const all = unknown.map(([key, nextOffset]) => ({ key, nextOffset, after: after.get(key) ?? [] }))
  return Map.groupBy(all, ({ key }) => writerOfKey(key))
}

/** True when the vector covers a feed that is not known here, and that may go on from this one (rule 3). */
export const mayBeImplied = (feed: FeedToRead, view: ReadView<FeedToRead>): boolean =>
  isImplied(feed, view.feeds, unknownFeeds(view))

const isImplied = <Feed extends FeedToRead>(
  feed: Feed,
  feeds: ReadonlyMap<VectorKey, Feed>,
  unknown: UnknownFeeds<Feed>,
): boolean =>
  impliers(feed, feeds, unknown).some(({ after }) => !after.some(({ opened }) => isLater(feed.opened, opened)))

/** Feeds go on from feeds of the same writer, never from further back than these begin, and never in a ring. */
function impliers<Feed extends FeedToRead>(
  feed: Feed,
  feeds: ReadonlyMap<VectorKey, Feed>,
  unknown: UnknownFeeds<Feed>,
): readonly UnknownFeed<Feed>[] {
  const base = feed.link?.nextOffset ?? 0
  const further = unknown.get(writerOfKey(feed.key))?.filter(({ nextOffset }) => nextOffset > base) ?? []
  return further.length === 0 ? further : further.filter(({ key }) => key !== unknownBefore(feed, feeds))
}

const isLater = (a: Hlc | undefined, b: Hlc | undefined): boolean =>
  a !== undefined && b !== undefined && compareHlc(a, b) > 0

/** The first feed before this one that is not known here. */
function unknownBefore(feed: FeedToRead, feeds: ReadonlyMap<VectorKey, FeedToRead>): VectorKey | undefined {
  let at: FeedToRead | undefined = feed
  for (let steps = 0; steps <= feeds.size; steps++) {
    const before: VectorKey | undefined = at.link?.predecessor
    at = before && feeds.get(before)
    if (at === undefined) return before
  }
  return undefined
}

function mayGoOn<Feed extends FeedToRead>(
  feed: Feed,
  { feeds, positions, lists }: ReadView<Feed>,
  unknown: UnknownFeeds<Feed>,
): boolean {
  if (isImplied(feed, feeds, unknown) && !isAfterListed(feed, { feeds, positions, lists })) return false
  let at = feed
  for (let steps = 0; steps <= feeds.size; steps++) {
    if (positions.has(at.key)) return true
    // Below offset 0 there is nothing to wait for.
    if (at.link === undefined || at.link.nextOffset === 0 || at.rooted) return true
    const predecessor = feeds.get(at.link.predecessor)
    if (predecessor === undefined || predecessor.position < at.link.nextOffset) return false
    at = predecessor
  }
  return false
}

/** Whatever implies this feed implies what it goes on from, up to the link: then the vector would have no entry of that. */
function isAfterListed(feed: FeedToRead, { feeds, positions, lists }: ReadView<FeedToRead>): boolean {
  let at: FeedToRead | undefined = feed
  for (let steps = 0; at?.link !== undefined && steps <= feeds.size; steps++) {
    const { predecessor, nextOffset } = at.link
    if (lists(predecessor)) return (positions.get(predecessor) ?? 0) <= nextOffset
    at = feeds.get(predecessor)
  }
  return false
}

function comesBefore(a: FeedToRead, b: FeedToRead): boolean {
  const order = a.nextHlc && b.nextHlc ? compareHlc(a.nextHlc, b.nextHlc) : 0
  return order < 0 || (order === 0 && a.key < b.key)
}
