import { producerRangesOf, readBatchHeader } from '#protocol/log/batch'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { indexedRangeOf, type ProducerId, type ProducerSpan } from '#protocol/log/producer-index'
import type { Place } from '../history.ts'
import { firstAbove } from '#storage/memory-reading'
import { asStored, isSound } from '../sim-disk.ts'
import type { SimDisk, StoredOnce } from '../sim-disk.ts'

/** Each batch is looked at once, on whatever disks it is. */
const known = new WeakMap<Uint8Array, readonly ProducerSpan[]>()

/** What ever came to a disk, by producer and place, and how many of its batches were looked at. */
interface Index {
  end: number
  readonly spans: Map<ProducerId, Map<string, ProducerSpan>>
  /** Of those the ones with this number in them, whatever their epoch. */
  readonly bySeq: Map<ProducerId, Map<number, ProducerSpan[]>>
}
const indexes = new WeakMap<SimDisk, Index>()

/** What a disk holds of a producer in one topic: every record has its offset. */
export function spansOnDisk(
  disk: SimDisk,
  topic: string,
  producer: ProducerId,
  isThere = isSound,
): readonly ProducerSpan[] {
  const spans = [...(indexOf(disk).spans.get(producer)?.values() ?? [])]
  return spans.filter((span) => isOnDisk(disk, topic, span, isThere))
}

function isOnDisk(disk: SimDisk, topic: string, span: ProducerSpan, isThere: typeof isSound): boolean {
  if (disk.feeds.get(span.feed)?.opening.topic !== topic) return false
  return spanAt(disk, span.feed, span.firstOffset, isThere)?.firstSeq === span.firstSeq
}

function indexOf(disk: SimDisk): Index {
  const index = indexes.get(disk) ?? { end: 0, spans: new Map(), bySeq: new Map() }
  indexes.set(disk, index)
  for (; index.end < disk.everStored.length; index.end++) {
    const { feed, bytes } = disk.everStored[index.end] as StoredOnce
    // The disk of a clone begins with what bits have flipped in.
    for (const span of spansOfBatch(feedKeyOf(feed), asStored(bytes))) addTo(index, span)
  }
  return index
}

function addTo(index: Index, span: ProducerSpan): void {
  const key = `${span.feed} ${span.firstOffset}`
  const spans = index.spans.get(span.producer) ?? new Map<string, ProducerSpan>()
  index.spans.set(span.producer, spans)
  const isKnown = spans.get(key) === span
  spans.set(key, span)
  if (isKnown) return
  const bySeq = index.bySeq.get(span.producer) ?? new Map<number, ProducerSpan[]>()
  index.bySeq.set(span.producer, bySeq)
  for (let seq = span.firstSeq; seq < span.firstSeq + span.count; seq++) {
    const others = (bySeq.get(seq) ?? []).filter(({ feed, firstOffset }) => `${feed} ${firstOffset}` !== key)
    bySeq.set(seq, [...others, span])
  }
}

/** The numbers of the record at this place; undefined for one without, or none. */
export function tripleOnDisk(disk: SimDisk, key: FeedKey, offset: number, isThere = isSound): Triple | undefined {
  const span = spanAt(disk, key, offset, isThere)
  return span && { producer: span.producer, epoch: span.epoch, seq: span.firstSeq + offset - span.firstOffset }
}

/** What damage has taken since, too. */
export const wasThere: typeof isSound = () => true

/** Where a disk holds the record of these numbers. */
export function placesOnDisk(
  disk: SimDisk,
  topic: string,
  { producer, epoch, seq }: Triple,
  isThere = isSound,
): Place[] {
  const spans = indexOf(disk).bySeq.get(producer)?.get(seq) ?? []
  return spans
    .filter((span) => span.epoch === epoch && isOnDisk(disk, topic, span, isThere))
    .map(({ feed, firstOffset, firstSeq }) => ({ feed, offset: firstOffset + seq - firstSeq }))
}

function spanAt(disk: SimDisk, key: FeedKey, offset: number, isThere: typeof isSound): ProducerSpan | undefined {
  const feed = disk.feeds.get(key)
  const batch = feed?.batches[firstAbove(feed.batches, offset)]
  const isFound = feed !== undefined && batch !== undefined && isThere(feed, batch)
  const spans = isFound ? spansOfBatch(key, asStored(batch.bytes)) : []
  return spans.find(({ firstOffset, lastOffset }) => firstOffset <= offset && offset <= lastOffset)
}

export interface Triple {
  readonly producer: ProducerId
  readonly epoch: number
  readonly seq: number
}

export function spansOfBatch(feed: FeedKey, bytes: Uint8Array): readonly ProducerSpan[] {
  const spans = known.get(bytes) ?? read(feed, bytes)
  known.set(bytes, spans)
  return spans
}

function read(feed: ProducerSpan['feed'], bytes: Uint8Array): readonly ProducerSpan[] {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') throw new Error(`unreadable batch: ${header}`)
  const ranges = producerRangesOf(bytes, header)
  if (typeof ranges === 'string') throw new Error(`unreadable producer ranges: ${ranges}`)
  return ranges.map(indexedRangeOf).map(({ firstIndex, ...range }) => {
    const firstOffset = header.baseOffset + firstIndex
    return { ...range, feed, firstOffset, lastOffset: firstOffset + range.count - 1, hlcMs: header.hlc.ms }
  })
}
