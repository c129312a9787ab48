import type { IntervalChunk, IntervalRequest, ReadGap, StoredRecord, TimePosition } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import type { TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Hlc } from '#protocol/log/hybrid-clock'
import { compareHlc } from '#protocol/log/hybrid-clock'
import { writerHashOf } from '#protocol/log/version-vector'
import type { TopicName } from '#protocol/topic-name'
import type { ReadSource } from './read-source.ts'
import { justBefore } from './read-start.ts'
import { ReadingFeed } from './reading-feed.ts'
import { bytesOf, storedRecordsOf } from './shared-records.ts'

export interface TimeOrderOptions {
  readonly source: Pick<ReadSource, 'feeds' | 'read'>
  readonly topic: TopicName
  readonly topicId: TopicId
  readonly digests: Digests
}

/**
 * One part of an interval of time, sorted by (hybrid-clock time, feed, offset): a merge of the feeds, each of which is in
 * that order by itself. It begins anew with each part, near to where that starts (`ReadingFeed`), and holds no more than
 * `readerAheadBytesMax` of what was fetched, and the batch that is being told.
 */
export async function readInterval(
  { source, topic, topicId, digests }: TimeOrderOptions,
  { fromMs, toMs, after, limit, bytesTarget }: IntervalRequest,
): Promise<Omit<IntervalChunk, 'complete'>> {
  const since = after === undefined ? justBefore(fromMs) : before(after)
  const feeds = source.feeds(topicId).map((view) => new ReadingFeed(view, writerHashOf(view.feed.writer, digests)))
  const gaps: ReadGap[] = []
  const records: StoredRecord[] = []
  let bytes = 0
  let next: TimePosition | undefined
  for (;;) {
    await lookAhead(feeds, { source, since, gaps })
    const feed = earliestOf(feeds, toMs)
    if (feed === undefined) return { records, gaps }
    const batch = await feed.take(source)
    if (batch === undefined) {
      tellMissing(feed, gaps)
      continue
    }
    const { hlc, baseOffset, nextOffset } = batch.header
    const lost = baseOffset > feed.position ? [lostGap(feed, baseOffset)] : []
    feed.position = nextOffset
    const found = storedRecordsOf({ ...batch, topic, feed: nameOf(feed) })
    for (const record of typeof found === 'string' ? [] : found) {
      const position = { ...hlc, feed: record.feed, offset: record.offset }
      if (after !== undefined && comparePositions(position, after) <= 0) continue
      if (records.length >= limit || bytes >= bytesTarget) return { records, gaps, ...(next && { next }) }
      gaps.push(...lost.splice(0))
      records.push(record)
      bytes += bytesOf(record)
      next = position
    }
  }
}

/** Until the time of the next batch of each feed is known, or it has no more. */
async function lookAhead(
  feeds: readonly ReadingFeed[],
  { source, since, gaps }: { source: Pick<ReadSource, 'read'>; since: Hlc; gaps: ReadGap[] },
): Promise<void> {
  for (;;) {
    const group = feeds.filter((feed) => isUnknown(feed)).slice(0, limits.readerFetchesAtOnceMax)
    if (group.length === 0) return
    const bytesMax = Math.min(limits.readerFetchBytesTarget, limits.readerAheadBytesMax / feeds.length)
    await Promise.all(group.map((feed) => feed.fetch(source, bytesMax, since)))
    for (const feed of group) tellMissing(feed, gaps)
    release(feeds)
  }
}

const isUnknown = (feed: ReadingFeed): boolean =>
  !feed.late && feed.nextHlc === undefined && feed.position < feed.nextOffset

/** What cannot be read: nobody has it any more, or it is not here now. Then what follows in this feed is left out. */
function tellMissing(feed: ReadingFeed, gaps: ReadGap[]): void {
  if (!feed.late) return
  const { position: from, afterLost, nextOffset: to } = feed
  gaps.push(afterLost < to ? { type: 'late', feed: nameOf(feed), from, to } : lostGap(feed, to))
}

const lostGap = (feed: ReadingFeed, to: number): ReadGap => {
  return { type: 'lost', feed: nameOf(feed), from: feed.position, to }
}

function earliestOf(feeds: readonly ReadingFeed[], toMs: number): ReadingFeed | undefined {
  let earliest: ReadingFeed | undefined
  for (const feed of feeds) {
    if (feed.nextHlc === undefined || feed.nextHlc.ms > toMs) continue
    if (earliest?.nextHlc === undefined || comesBefore(feed, earliest, earliest.nextHlc)) earliest = feed
  }
  return earliest
}

function comesBefore(feed: ReadingFeed, other: ReadingFeed, otherHlc: Hlc): boolean {
  const order = compareHlc(feed.nextHlc as Hlc, otherHlc)
  return order === 0 ? nameOf(feed) < nameOf(other) : order < 0
}

/** Lets go of what is told last. */
function release(feeds: readonly ReadingFeed[]): void {
  const ahead = feeds.filter(({ aheadBytes }) => aheadBytes > 0)
  ahead.sort((a, b) => compareHlc(a.nextHlc as Hlc, b.nextHlc as Hlc))
  let bytes = 0
  for (const [index, feed] of ahead.entries()) {
    bytes += feed.aheadBytes
    if (index > 0 && bytes > limits.readerAheadBytesMax) feed.releaseAhead()
  }
}

function comparePositions(a: TimePosition, b: TimePosition): number {
  const order = compareHlc(a, b)
  if (order !== 0) return order
  return a.feed === b.feed ? a.offset - b.offset : a.feed < b.feed ? -1 : 1
}

const before = ({ ms, counter }: TimePosition): Hlc => (counter > 0 ? { ms, counter: counter - 1 } : justBefore(ms))

const nameOf = ({ feed }: ReadingFeed): string => `${feed.writer}.${feed.epoch}`
