import { addCovered } from './checkers/sessions.ts'
import { placesOnDisk, type Triple, tripleOnDisk, wasThere } from './checkers/disk-producers.ts'
import { placeText } from './history.ts'
import type { TopicId } from '#protocol/ids'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, rangeAt } from '#protocol/log/offset-ranges'
import type { Written } from './checkers/written.ts'
import type { Place, Reading } from './history.ts'
import type { SimDisk } from './sim-disk.ts'
import type { SimPeer } from './sim-peer.ts'

/** What a reader may be held against while it reads at one peer. */
export interface Stay {
  readonly at: SimPeer
  /** Of all peers: it may have read through others. */
  readonly disks: readonly SimDisk[]
  readonly written: Written
  readonly topicId: TopicId
  /** Feeds of which the peer knew which ones they go on from, when it was asked for more. */
  readonly known: () => ReadonlySet<FeedKey>
  /** What of each feed was on the disk of the peer, as that knew it, then. */
  readonly held: () => ReadonlyMap<FeedKey, OffsetRanges>
  /** How far it goes there now, or at others that the peer reads through. */
  readonly inReach: () => ReadonlyMap<FeedKey, number>
}

/**
 * P6 for readers, while they read: a record is passed over only if its reader's cursor covers another copy which the peer
 * holds or reads through others, and is not given if it holds one. What is passed over is noted as if it had been read.
 */
export class RepeatWatch {
  readonly #reading: Reading
  /** As far as the cursor of the reader covers each feed. */
  readonly #covered = new Map<FeedKey, number>()
  /** Numbers of records that the reader was given: who gave them may have lost them since. */
  readonly #given = new Set<string>()

  constructor(reading: Reading) {
    this.#reading = reading
  }

  /** The reader comes with this cursor, or is given it as its first. */
  began(cursor: string, { disks, topicId }: Pick<Stay, 'disks' | 'topicId'>): void {
    for (const [feed, nextOffset] of coveredOn(disks, cursor, topicId)) {
      if (!this.#covered.has(feed)) this.#covered.set(feed, nextOffset)
    }
  }

  /** The reader is given this record. */
  taking({ feed, offset }: Place, stay: Stay): void {
    this.#passPredecessors(feed, stay)
    this.#passUpTo(feed, offset, stay)
    this.#blameRepeat({ feed, offset }, stay)
    this.#covered.set(feed, offset + 1)
    // Who gave it may have lost it since.
    const triple = stay.written.tripleAt(feed, offset)
    if (triple !== undefined) this.#given.add(textOf(triple))
  }

  /** The reader goes on from this cursor. */
  goingOn(cursor: string, stay: Stay): void {
    for (const [feed, nextOffset] of coveredOn(stay.disks, cursor, stay.topicId)) {
      this.#passPredecessors(feed, stay)
      this.#passUpTo(feed, nextOffset, stay)
    }
  }

  #passUpTo(feed: FeedKey, end: number, stay: Stay): void {
    const known = this.#covered.get(feed)
    if (known !== undefined && end <= known) return
    const passed: Place[] = []
    // From the end: where a feed begins for a reader of the latest is not known.
    for (let offset = end - 1; offset >= (known ?? this.#beginningOf(feed, stay)); offset--) {
      const place = { feed, offset }
      const isCovered = this.#coveredCopies(place, stay).some((copy) => isBelow(copy, stay.inReach()))
      if (isCovered || this.#isGiven(place, stay)) passed.push(place)
      // What is neither covered elsewhere nor told as lost is missing: `cursors` says so.
      else if (known === undefined && !this.#isToldLost(place)) break
    }
    for (const place of passed.reverse()) this.#reading.records.push({ place, value: undefined, at: stay.at.id })
    this.#covered.set(feed, Math.max(end, known ?? 0))
  }

  /** Where a feed begins, those that it goes on from are read up to their links, or passed over. */
  #passPredecessors(feed: FeedKey, stay: Stay): void {
    // Of a machine that is cloned only one disk is among those.
    const stored = stay.written.feeds.get(feed)
    const link = stored?.opening.predecessor
    if (stored === undefined || link === undefined || (this.#covered.get(feed) ?? link.nextOffset) !== link.nextOffset)
      return
    const before = feedKeyOf({ ...stored.feed, epoch: link.epoch })
    this.#passPredecessors(before, stay)
    this.#passUpTo(before, link.nextOffset, stay)
  }

  #beginningOf(feed: FeedKey, { written }: Stay): number {
    return written.feeds.get(feed)?.opening.predecessor?.nextOffset ?? 0
  }

  #blameRepeat(place: Place, stay: Stay): void {
    const other = this.#coveredCopies(place, stay).find((copy) => isIn(copy, stay.held()))
    // A cursor may cover it by a feed whose opening only others know.
    if (other === undefined || this.#isUnclear(other.feed, stay)) return
    // Where it can only say that the other copy lies around damage, it cannot read whether it does.
    if (stay.at.disk.lostAtMs(other.feed) !== undefined) return
    // Retention may just be letting go of it.
    if (stay.written.isTrimmed(other.feed, other.offset)) return
    const text = `is given ${placeText(place)} at ${stay.at.id}, which holds ${placeText(other)} that it has read`
    this.#reading.faults.push(text)
  }

  #isGiven({ feed, offset }: Place, { written }: Stay): boolean {
    const triple = written.tripleAt(feed, offset)
    return triple !== undefined && this.#given.has(textOf(triple))
  }

  #isToldLost({ feed, offset }: Place): boolean {
    return this.#reading.gaps.some((gap) => {
      return (
        gap.type === 'lost' && feed.endsWith(`/${gap.feed.replace('.', '/')}`) && gap.from <= offset && offset < gap.to
      )
    })
  }

  #isUnclear(feed: FeedKey, { known }: Stay): boolean {
    return [...this.#covered.keys()].some((other) => writerOf(other) === writerOf(feed) && !known().has(other))
  }

  /** Other places on the disk of the peer that hold the same record, and that the reader is past. */
  #coveredCopies({ feed, offset }: Place, { disks, written }: Stay): readonly Place[] {
    // It may have been passed over before retention let go of it.
    const triple = tripleOn(disks, { feed, offset }) ?? written.trimmedTriple(feed, offset)
    if (triple === undefined) return []
    const held = disks.flatMap((disk) => placesOnDisk(disk, this.#reading.topic, triple, wasThere))
    const places = [...held, ...written.trimmedPlaces(this.#reading.topic, triple)]
    return places.filter((other) => {
      const end = other.feed === feed ? offset : (this.#covered.get(other.feed) ?? 0)
      return other.offset < end
    })
  }
}

const tripleOn = (disks: readonly SimDisk[], { feed, offset }: Place): Triple | undefined =>
  disks.map((disk) => tripleOnDisk(disk, feed, offset, wasThere)).find((found) => found !== undefined)

const textOf = ({ producer, epoch, seq }: Triple): string => `${producer} ${epoch} ${seq}`

const isIn = ({ feed, offset }: Place, held: ReadonlyMap<FeedKey, OffsetRanges>): boolean =>
  rangeAt(held.get(feed) ?? noRanges, offset) !== undefined

const isBelow = ({ feed, offset }: Place, heads: ReadonlyMap<FeedKey, number>): boolean =>
  offset < (heads.get(feed) ?? 0)

const writerOf = (feed: FeedKey): string | undefined => feed.split('/')[1]

/** What the cursor covers, with what it implies, as far as any of the disks knows. */
function coveredOn(disks: readonly SimDisk[], cursor: string, topicId: TopicId): ReadonlyMap<FeedKey, number> {
  const covered = new Map<FeedKey, number>()
  for (const disk of disks) addCovered(covered, cursor, { topicId, disk })
  return covered
}
