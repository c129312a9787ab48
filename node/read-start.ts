import { MeshError } from '#protocol/errors'
import type { Hash } from '#protocol/ids'
import { type CursorEntry, type CursorState, decodeCursor } from '#protocol/log/cursor'
import { hlcMsMax, hlcZero } from '#protocol/log/hybrid-clock'
import { writerHashOf } from '#protocol/log/version-vector'
import type { ReaderOptions } from './read-source.ts'

/** What a cursor keeps of the hash of the batch before its position. */
export const prefixOf = (hash: Hash): string => hash.slice(0, 8)

/** The position that a read starts from. Throws MeshError CURSOR_INVALID. */
export function startOf(options: ReaderOptions): CursorState {
  const { from, topicId, digests, wallMs } = options
  switch (from.type) {
    case 'earliest':
      return { topicId, sinceHlc: hlcZero, entries: [] }
    case 'latest': {
      // Feeds that are known here start at their ends; the others, which may be on their way, at the time of now.
      const sinceHlc = { ms: Math.min(Math.floor(wallMs), hlcMsMax), counter: 0 }
      return { topicId, sinceHlc, entries: entriesOfHeads(options) }
    }
    case 'cursor': {
      const state = decodeCursor(from.cursor, topicId, digests)
      if (typeof state === 'string') throw new MeshError('CURSOR_INVALID', cursorFaults[state])
      return state
    }
  }
}

const cursorFaults = {
  damaged: 'The cursor is damaged.',
  otherTopic: 'The cursor belongs to another topic.',
  tooLarge: 'The cursor is longer than any that a peer gives.',
} as const

/** An entry for each feed that is known here, at its durable head. */
function entriesOfHeads({ source, topicId, digests }: ReaderOptions): CursorEntry[] {
  return source.feeds(topicId).map(({ feed, head }) => ({
    writer: writerHashOf(feed.writer, digests),
    epoch: feed.epoch,
    nextOffset: head.nextOffset,
    hashPrefix: prefixOf(head.hash),
  }))
}
