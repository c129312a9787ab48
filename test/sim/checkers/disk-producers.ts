import { producerRangesOf, readBatchHeader } from '#protocol/log/batch'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { indexedRangeOf, type ProducerId, type ProducerSpan } from '#protocol/log/producer-index'
import type { Place } from '../history.ts'
import type { MemoryBatch } from '#storage/memory-reading'
import { asStored, isSound } from '../sim-disk.ts'
import type { SimDisk, StoredOnce } from '../sim-disk.ts'

/** Each batch is looked at once, on whatever disks it is. */
const known = new WeakMap<Uint8Array, readonly ProducerSpan[]>()

/** What ever came to a disk, by producer and place, and how many of its batches were looked at. */
interface Index {
  end: number
  readonly spans: Map<ProducerId, Map<string, ProducerSpan>>
}
const indexes = new WeakMap<SimDisk, Index>()

/** What a disk holds of a producer in one topic: every record has its offset. */
export function spansOnDisk(
  disk: SimDisk,
  topic: string,
  producer: ProducerId,
  isThere = isSound,
  isWanted: (span: ProducerSpan) => boolean = () => true,
): readonly ProducerSpan[] {
  const found: ProducerSpan[] = []
  for (const span of spansEver(disk, producer)) {
    if (!isWanted(span) || disk.feeds.get(span.feed)?.opening.topic !== topic) continue
    if (spanAt(disk, span.feed, span.firstOffset, isThere)?.firstSeq === span.firstSeq) found.push(span)
  }
  return found
}

function spansEver(disk: SimDisk, producer: ProducerId): Iterable<ProducerSpan> {
  const index = indexes.get(disk) ?? { end: 0, spans: new Map<ProducerId, Map<string, ProducerSpan>>() }
  indexes.set(disk, index)
  for (; index.end < disk.everStored.length; index.end++) {
    const { feed, bytes } = disk.everStored[index.end] as StoredOnce
    // The disk of a clone begins with what bits have flipped in.
    for (const span of spansOfBatch(feedKeyOf(feed), asStored(bytes))) {
      const spans = index.spans.get(span.producer) ?? new Map<string, ProducerSpan>()
      index.spans.set(span.producer, spans.set(`${span.feed} ${span.firstOffset}`, span))
    }
  }
  return index.spans.get(producer)?.values() ?? []
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
  const isIn = (span: ProducerSpan): boolean =>
    span.epoch === epoch && span.firstSeq <= seq && seq < span.firstSeq + span.count
  return spansOnDisk(disk, topic, producer, isThere, isIn).map(({ feed, firstOffset, firstSeq }) => {
    return { feed, offset: firstOffset + seq - firstSeq }
  })
}

function spanAt(disk: SimDisk, key: FeedKey, offset: number, isThere: typeof isSound): ProducerSpan | undefined {
  const feed = disk.feeds.get(key)
  const batch = batchAt(feed?.batches ?? [], offset)
  const isFound = feed !== undefined && batch !== undefined && isThere(feed, batch)
  const spans = isFound ? spansOfBatch(key, asStored(batch.bytes)) : []
  return spans.find(({ firstOffset, lastOffset }) => firstOffset <= offset && offset <= lastOffset)
}

/** The first batch that ends beyond the offset. */
function batchAt(batches: readonly MemoryBatch[], offset: number): MemoryBatch | undefined {
  let [low, high] = [0, batches.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((batches[middle] as MemoryBatch).head.nextOffset > offset) high = middle
    else low = middle + 1
  }
  return batches[low]
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
