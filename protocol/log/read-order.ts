import type { Hlc } from './hybrid-clock.ts'
import { compareHlc } from './hybrid-clock.ts'
import { type Link, type VectorKey, type VersionVector, writerOfKey, type WriterHash } from './version-vector.ts'

/** A feed that is known here, as one reader sees it. */
export interface FeedToRead {
  readonly key: VectorKey
  /** To the feed that the same writer wrote before. */
  readonly link: Link | undefined
  /** The nextOffset up to which its records were delivered or passed over. */
  readonly position: number
  /** How far it goes here, on disk. */
  readonly nextOffset: number
  /** Time of the batch at `position`, once that was looked at. */
  readonly nextHlc: Hlc | undefined
}

/**
 * The order of reading (DESIGN §8), which a live read and a catch-up share: the batch with the lowest time among those
 * that are here, but no feed before its predecessor was read up to the link.
 *
 * 1. A feed that the reader's vector covers goes on there: its predecessors were read when it was begun.
 * 2. Any other waits until its predecessor was read, or passed over, up to the link; and that one for its own.
 * 3. It also waits while the vector covers a feed of the same writer that is not known here: that one may go on from it,
 *    and so imply it, which only its opening can tell (P5: a peer that does not have everything yet waits; its reader
 *    says so). So does a feed that the vector only implies: after damage two feeds may go on from one, and the unknown
 *    one imply more. (Simulator, seed 635.)
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
  let unclear: ReadonlySet<WriterHash> | undefined
  for (const feed of view.feeds.values()) {
    if (feed.position >= feed.nextOffset) continue
    if (view.lists(feed.key) || mayGoOn(feed, view, (unclear ??= writersOfUnknownFeeds(view)))) readable.push(feed)
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
    at = feeds.get(at.link.predecessor)
  }
  return true
}

function writersOfUnknownFeeds({ feeds, positions }: ReadView<FeedToRead>): ReadonlySet<WriterHash> {
  const writers = new Set<WriterHash>()
  for (const key of positions.keys()) if (!feeds.has(key)) writers.add(writerOfKey(key))
  return writers
}

function mayGoOn(
  feed: FeedToRead,
  { feeds, positions }: ReadView<FeedToRead>,
  unclear: ReadonlySet<WriterHash>,
): boolean {
  // Feeds go on from feeds of the same writer.
  if (unclear.has(writerOfKey(feed.key))) return false
  let at = feed
  for (let steps = 0; steps <= feeds.size; steps++) {
    if (positions.has(at.key)) return true
    // Below offset 0 there is nothing to wait for.
    if (at.link === undefined || at.link.nextOffset === 0) return true
    const predecessor = feeds.get(at.link.predecessor)
    if (predecessor === undefined || predecessor.position < at.link.nextOffset) return false
    at = predecessor
  }
  return false
}

function comesBefore(a: FeedToRead, b: FeedToRead): boolean {
  const order = a.nextHlc && b.nextHlc ? compareHlc(a.nextHlc, b.nextHlc) : 0
  return order < 0 || (order === 0 && a.key < b.key)
}
