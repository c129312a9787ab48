import { MeshError } from '#protocol/errors'
import type { Digests } from '#protocol/digests'
import type { Hash, TopicId } from '#protocol/ids'
import { type CursorEntry, type CursorState, decodeCursor } from '#protocol/log/cursor'
import { type FeedId, feedKeyOf, type Head } from '#protocol/log/feed'
import { type Hlc, hlcMsMax, hlcZero } from '#protocol/log/hybrid-clock'
import { writerHashOf } from '#protocol/log/version-vector'
import type { ReaderOptions } from './read-source.ts'

/** What a cursor keeps of the hash of the batch before its position. */
export const prefixOf = (hash: Hash): string => hash.slice(0, 8)

/** The position that a read starts from. Throws MeshError CURSOR_INVALID. */
export function startOf(options: ReaderOptions): CursorState {
  const { from, topicId, digests, wallMs } = options
  switch (from.type) {
    case 'earliest':
      // What retention has let go of by now is not part of it; what it lets go of from now on is told.
      return { topicId, sinceHlc: hlcZero, entries: entriesOfFloors(options) }
    case 'latest': {
      // Feeds that are known here start at their ends; the others, which may be on their way, at the time of now.
      const sinceHlc = { ms: Math.min(Math.floor(wallMs), hlcMsMax), counter: 0 }
      return { topicId, sinceHlc, entries: entriesOfHeads(options) }
    }
    case 'time':
      // What no entry tells of begins above that time.
      return { topicId, sinceHlc: justBefore(from.ms), entries: [] }
    case 'cursor':
      return cursorOf(from.cursor, topicId, digests)
  }
}

/** The last time before that millisecond. */
export const justBefore = (ms: number): Hlc =>
  ms <= 0 ? hlcZero : { ms: Math.min(ms, hlcMsMax + 1) - 1, counter: 0xffff }

/** Throws MeshError CURSOR_INVALID for what is no cursor of the topic. */
export function cursorOf(text: string, topicId: TopicId, digests: Digests): CursorState {
  const state = decodeCursor(text, topicId, digests)
  if (typeof state === 'string') throw new MeshError('CURSOR_INVALID', cursorFaults[state])
  return state
}

const cursorFaults = {
  damaged: 'The cursor is damaged.',
  otherTopic: 'The cursor belongs to another topic.',
  tooLarge: 'The cursor is longer than any that a peer gives.',
} as const

/** An entry for each feed that is known here, at its durable head. */
const entriesOfHeads = ({ source, topicId, digests }: ReaderOptions): CursorEntry[] =>
  source.feeds(topicId).map(({ feed, head }) => entryOf(feed, head, digests))

/**
 * An entry for each feed with something before it that retention has let go of, all of which is gone then. Of what was
 * forgotten before that nobody knows what it implied; so what else the same writer began with, having lost its disk
 * since, is listed, too, as not begun. (Simulator, seed 4334.)
 */
function entriesOfFloors({ source, topicId, digests }: ReaderOptions): CursorEntry[] {
  const views = source.feeds(topicId)
  const floors = new Map(views.map(({ feed, floor }) => [feedKeyOf(feed), floor.nextOffset]))
  const trimmed = views.filter(({ feed, floor, opening: { predecessor }, rooted }) => {
    const isTrimmed = floor.nextOffset > (rooted ? 0 : (predecessor?.nextOffset ?? 0))
    const before = predecessor && floors.get(feedKeyOf({ ...feed, epoch: predecessor.epoch }))
    const isFirst = before === undefined || before >= (predecessor?.nextOffset ?? 0)
    return isTrimmed && isFirst
  })
  const writers = new Set(trimmed.map(({ feed }) => feed.writer))
  const begun = views.filter(({ feed, floor, opening: { predecessor } }) => {
    return writers.has(feed.writer) && floor.nextOffset === 0 && (predecessor?.nextOffset ?? 0) === 0
  })
  return [...trimmed, ...begun].map(({ feed, floor }) => entryOf(feed, floor, digests))
}

const entryOf = (feed: FeedId, { nextOffset, hash }: Head, digests: Digests): CursorEntry => ({
  writer: writerHashOf(feed.writer, digests),
  epoch: feed.epoch,
  nextOffset,
  hashPrefix: prefixOf(hash),
})
