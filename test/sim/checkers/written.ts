import { readBatchHeader } from '#protocol/log/batch'
import { type FeedId, type FeedKey, feedKeyOf, type Opening } from '#protocol/log/feed'
import { noRanges, without } from '#protocol/log/offset-ranges'
import type { BatchToStore, StoreChange } from '#storage/feed-store'
import { firstAbove, type MemoryBatch } from '#storage/memory-reading'
import type { ProducerId, ProducerSpan } from '#protocol/log/producer-index'
import type { Place } from '../history.ts'
import { type DiskFeed, SimDisk } from '../sim-disk.ts'
import { spansOfBatch, type Triple } from './disk-producers.ts'

export interface WrittenBatch extends MemoryBatch {
  readonly hlcMs: number
  /** When it first came to a disk. */
  readonly atMs: number
}

interface WrittenFeed {
  readonly feed: FeedId
  readonly opening: Opening
  /** In order; the opening batch aside. */
  readonly batches: WrittenBatch[]
  readonly first: MemoryBatch
}

export interface Size {
  readonly bytes: number
  readonly records: number
}

/** All that was ever handed to any disk, and how much of it retention has let go of, anywhere. */
export class Written {
  readonly feeds = new Map<FeedKey, WrittenFeed>()
  readonly #after = new Map<FeedKey, FeedKey[]>()
  readonly #spans = new Map<ProducerId, ProducerSpan[]>()
  /** The highest floor that was ever set. */
  readonly floors = new Map<FeedKey, number>()
  /** Feeds that were forgotten somewhere, and how far they went there. */
  readonly #forgotten = new Map<FeedKey, number>()

  appended(batches: readonly BatchToStore[], changes: readonly StoreChange[], atMs: number): void {
    const filled = changes.flatMap((change) => (change.type === 'fill' ? change.batches : []))
    for (const batch of [...batches, ...filled]) this.#add(batch, atMs)
  }

  trimmed(key: FeedKey, floor: number): void {
    this.floors.set(key, Math.max(floor, this.floors.get(key) ?? 0))
  }

  /** The feed was forgotten somewhere: it was empty. */
  forgotten(key: FeedKey, end: number): void {
    this.#forgotten.set(key, Math.max(end, this.#forgotten.get(key) ?? 0))
    this.trimmed(key, end)
  }

  /** What is not part of the earliest any more: with what lies below a floor, all that came before in other feeds. */
  gone(): ReadonlyMap<FeedKey, number> {
    const gone = new Map(this.floors)
    for (const [key, floor] of this.floors) {
      if (floor <= this.#baseOf(key)) continue
      for (const [before, end] of this.ancestors(key)) gone.set(before, Math.max(end, gone.get(before) ?? 0))
    }
    return gone
  }

  isTrimmed(key: FeedKey, offset: number): boolean {
    return offset < (this.floors.get(key) ?? 0)
  }

  /** The numbers of a record that retention has let go of. */
  trimmedTriple(key: FeedKey, offset: number): Triple | undefined {
    return this.isTrimmed(key, offset) ? this.tripleAt(key, offset) : undefined
  }

  /** The numbers of a record, wherever it is, and if it is nowhere any more. */
  tripleAt(key: FeedKey, offset: number): Triple | undefined {
    const batches = this.#batchesOf(key)
    const batch = batches[firstAbove(batches, offset)]
    const spans = batch === undefined ? [] : spansOfBatch(key, batch.bytes)
    const span = spans.find(({ firstOffset, lastOffset }) => {
      return firstOffset <= offset && offset <= lastOffset
    })
    return span && { producer: span.producer, epoch: span.epoch, seq: span.firstSeq + offset - span.firstOffset }
  }

  /** Where the record of these numbers was that retention has let go of. */
  trimmedPlaces(topic: string, { producer, epoch, seq }: Triple): readonly Place[] {
    if (this.floors.size === 0) return []
    return (this.#spans.get(producer) ?? []).flatMap((span) => {
      const isIn = span.epoch === epoch && span.firstSeq <= seq && seq < span.firstSeq + span.count
      const place = { feed: span.feed, offset: span.firstOffset + seq - span.firstSeq }
      const isOfTopic = this.feeds.get(span.feed)?.opening.topic === topic
      return isIn && isOfTopic && this.isTrimmed(place.feed, place.offset) ? [place] : []
    })
  }

  /** The newest batch of the feed below the offset. */
  newestBelow(key: FeedKey, end: number): WrittenBatch | undefined {
    return this.#batchesOf(key).findLast(({ head }) => head.nextOffset <= end)
  }

  /** What was written beyond the offset, in this feed and in those that go on from it. */
  beyond(key: FeedKey, end: number): Size {
    const own = this.#batchesOf(key).filter(({ head }) => head.nextOffset > end)
    const next = (this.#after.get(key) ?? []).map((after) => this.beyond(after, -1))
    const bytes = own.reduce((sum, batch) => sum + batch.bytes.length, Math.max(0, ...next.map((size) => size.bytes)))
    const head = own.at(-1)?.head.nextOffset ?? end
    const records = Math.max(0, ...next.map((size) => size.records))
    return { bytes, records: records + head - Math.max(end, this.#baseOf(key)) }
  }

  /** How far the feed ever went. */
  endOf(key: FeedKey): number {
    return this.#batchesOf(key).at(-1)?.head.nextOffset ?? this.#baseOf(key)
  }

  /** The feeds that come before this one, each with where the next goes on from it. */
  *ancestors(key: FeedKey): Generator<readonly [FeedKey, number]> {
    let at = this.feeds.get(key)
    for (let steps = this.feeds.size; at?.opening.predecessor !== undefined && steps > 0; steps--) {
      const before = feedKeyOf({ ...at.feed, epoch: at.opening.predecessor.epoch })
      yield [before, at.opening.predecessor.nextOffset]
      at = this.feeds.get(before)
    }
  }

  /** Feeds of the same writer and topic that begin there, having gone on from another. */
  beginningAt(key: FeedKey, offset: number): readonly FeedKey[] {
    const prefix = key.slice(0, key.lastIndexOf('/') + 1)
    const goOn = [...this.feeds].filter(([, { opening }]) => opening.predecessor?.nextOffset === offset)
    return goOn.flatMap(([one]) => (one.startsWith(prefix) ? [one] : []))
  }

  /** Those that go on from this one, and from these. */
  *descendants(key: FeedKey): Generator<FeedKey> {
    for (const next of this.#after.get(key) ?? []) {
      yield next
      yield* this.descendants(next)
    }
  }

  /** The disk, had retention let go of nothing, and nothing been forgotten. */
  whole(disk: SimDisk): SimDisk {
    const whole = new SimDisk()
    whole.lost.push(...disk.lost)
    whole.isDamaged = disk.isDamaged
    for (const key of new Set([...disk.feeds.keys(), ...this.#forgotten.keys()])) {
      const feed = this.#whole(key, disk.feeds.get(key))
      if (feed !== undefined) whole.feeds.set(key, feed)
    }
    return whole
  }

  #whole(key: FeedKey, stored: DiskFeed | undefined): DiskFeed | undefined {
    const written = this.feeds.get(key)
    // What one peer alone had let go of before its disk was lost, too, nobody can tell of.
    const floor = stored === undefined ? this.#forgotten.get(key) : stored.state.floor.nextOffset
    if (written === undefined || floor === undefined || !this.floors.has(key)) return stored
    const { feed, opening, first } = written
    const trimmed = this.#batchesOf(key).filter(({ head }) => head.nextOffset <= floor)
    const kept = (stored?.batches ?? []).filter(({ head }) => head.nextOffset > floor)
    const batches = [first, ...trimmed, ...kept]
    const { head } = batches.at(-1) as MemoryBatch
    // Damage above the floor is as it is.
    const holes = stored === undefined ? noRanges : without(stored.state.holes, [{ from: 0, to: floor }])
    const bounds = { floor: first.head, keptFrom: first.head.nextOffset, holes, rooted: false }
    return { feed, opening, state: { feed, opening, head, ...bounds, hlcMs: 0 }, batches }
  }

  #add({ feed, bytes, head, opening }: BatchToStore, atMs: number): void {
    const key = feedKeyOf(feed)
    const known = this.feeds.get(key)
    if (opening !== undefined && known === undefined) {
      this.feeds.set(key, { feed, opening, batches: [], first: { bytes, head } })
      if (opening.predecessor === undefined) return
      const before = feedKeyOf({ ...feed, epoch: opening.predecessor.epoch })
      this.#after.set(before, [...(this.#after.get(before) ?? []), key])
    } else if (opening === undefined && known !== undefined) {
      const after = known.batches.findLastIndex((batch) => batch.head.nextOffset <= head.nextOffset)
      if (known.batches[after]?.head.nextOffset === head.nextOffset) return
      const header = readBatchHeader(bytes)
      if (typeof header === 'string') throw new Error(`unreadable batch: ${header}`)
      for (const span of spansOfBatch(key, bytes)) {
        const spans = this.#spans.get(span.producer)
        if (spans === undefined) this.#spans.set(span.producer, [span])
        else spans.push(span)
      }
      known.batches.splice(after + 1, 0, { bytes, head, hlcMs: header.hlc.ms, atMs })
    }
  }

  #baseOf(key: FeedKey): number {
    return this.feeds.get(key)?.opening.predecessor?.nextOffset ?? 0
  }

  #batchesOf(key: FeedKey): readonly WrittenBatch[] {
    return this.feeds.get(key)?.batches ?? []
  }
}
