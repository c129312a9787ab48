import type { PeerId } from '#protocol/ids'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, rangeAt } from '#protocol/log/offset-ranges'
import { textOf } from '#protocol/text'
import { decodeTopics } from '#protocol/topics/topic-records'
import type { TopicState } from '#protocol/topics/topic-state'
import type { FeedStore } from '#storage/feed-store'

/** How much is read at a time. */
const readBytesTarget = 256 * 1024

interface TopicsFeed {
  readonly feed: FeedId
  readonly head: Head
  /** What nobody has any more. */
  readonly lost?: OffsetRanges
}

export interface TopicRecordsDeps {
  /** The feeds of `$topics` that are on this peer's disk, and how far. */
  readonly feeds: () => readonly TopicsFeed[]
  /** As `FeedStore.read`. */
  readonly read: FeedStore['read']
}

/**
 * Reads what this peer's disk has of `$topics`, each record once. In whatever order: states of topics are joined. What
 * cannot be read now, because it is damaged, is tried again with the next call.
 */
export class TopicRecords {
  readonly #positions = new Map<FeedKey, number>()
  readonly #self: PeerId
  /** States that this peer has written. */
  ownStates = 0
  /** Records that said nothing that this version understands. */
  badRecords = 0

  constructor(self: PeerId) {
    this.#self = self
  }

  async readOn({ feeds, read }: TopicRecordsDeps): Promise<readonly TopicState[]> {
    const states: TopicState[] = []
    for (const feed of feeds()) states.push(...(await this.#readFeed(feed, read)))
    return states
  }

  async #readFeed({ feed, head, lost = noRanges }: TopicsFeed, read: FeedStore['read']): Promise<TopicState[]> {
    const key = feedKeyOf(feed)
    const states: TopicState[] = []
    for (;;) {
      const position = this.#positions.get(key) ?? NOTHING
      if (position >= head.nextOffset) return states
      const { batches } = await read(feed, position, readBytesTarget)
      const gone = batches.length === 0 ? rangeAt(lost, position) : undefined
      if (batches.length === 0 && gone === undefined) return states
      if (gone !== undefined) this.#positions.set(key, gone.to)
      for (const bytes of batches) {
        const batch = this.#statesOf(bytes)
        states.push(...batch.states)
        if (feed.writer === this.#self) this.ownStates += batch.states.length
        this.#positions.set(key, batch.nextOffset)
      }
    }
  }

  /** The bytes were verified when they were read. */
  #statesOf(bytes: Uint8Array): { readonly states: readonly TopicState[]; readonly nextOffset: number } {
    const header = readBatchHeader(bytes)
    if (typeof header === 'string') return { states: [], nextOffset: Number.POSITIVE_INFINITY }
    const records = header.opening ? [] : recordsOf(bytes, header)
    const states = (typeof records === 'string' ? [] : records).flatMap(({ value }) => {
      const decoded = decodeTopics(textOf(value) ?? '')
      if (decoded === undefined) this.badRecords += 1
      return decoded ?? []
    })
    return { states, nextOffset: header.nextOffset }
  }
}
