import type { PeerId } from '#protocol/ids'
import { readBatchHeader, recordsOf } from '#protocol/log/batch'
import { type FeedId, type FeedKey, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, rangeAt } from '#protocol/log/offset-ranges'
import { textOf } from '#protocol/text'
import type { FeedStore } from '#storage/feed-store'

/** How much is read at a time. */
const readBytesTarget = 256 * 1024

interface InternalFeed {
  readonly feed: FeedId
  readonly head: Head
  /** What nobody has any more. */
  readonly lost?: OffsetRanges
}

export interface InternalRecordsDeps {
  /** The feeds of the topic that are on this peer's disk, and how far. */
  readonly feeds: () => readonly InternalFeed[]
  /** As `FeedStore.read`. */
  readonly read: FeedStore['read']
}

/**
 * Reads what this peer's disk has of a topic of the mesh, each record once. In whatever order: what they say is joined. What
 * cannot be read now, because it is damaged, is tried again with the next call.
 */
export class InternalRecords<State> {
  readonly #positions = new Map<FeedKey, number>()
  /** What was read by a call that failed after it: the next one has it. */
  #states: State[] = []
  readonly #self: PeerId
  readonly #decode: (text: string) => readonly State[] | undefined
  /** States that this peer has written. */
  ownStates = 0
  /** Was all that the disk has read, with the last call? */
  isComplete = false
  /** Records that said nothing that this version understands. */
  badRecords = 0

  /** `decode` says what a record says, or undefined for what this version does not understand. */
  constructor(self: PeerId, decode: (text: string) => readonly State[] | undefined) {
    this.#self = self
    this.#decode = decode
  }

  async readOn({ feeds, read }: InternalRecordsDeps): Promise<readonly State[]> {
    const states = this.#states
    let isComplete = true
    this.isComplete = false
    for (const feed of feeds()) isComplete = (await this.#readFeed(feed, read, states)) && isComplete
    this.isComplete = isComplete
    this.#states = []
    return states
  }

  /** False: not all of it could be read. */
  async #readFeed(
    { feed, head, lost = noRanges }: InternalFeed,
    read: FeedStore['read'],
    states: State[],
  ): Promise<boolean> {
    const key = feedKeyOf(feed)
    for (;;) {
      const position = this.#positions.get(key) ?? NOTHING
      if (position >= head.nextOffset) return true
      const { batches } = await read(feed, position, readBytesTarget)
      const gone = batches.length === 0 ? rangeAt(lost, position) : undefined
      if (batches.length === 0 && gone === undefined) return false
      if (gone !== undefined) this.#positions.set(key, gone.to)
      for (const bytes of batches) {
        const batch = this.#statesOf(bytes)
        // One by one: there may be more than fit on the stack as arguments.
        for (const state of batch.states) states.push(state)
        if (feed.writer === this.#self) this.ownStates += batch.states.length
        this.#positions.set(key, batch.nextOffset)
      }
    }
  }

  /** The bytes were verified when they were read. */
  #statesOf(bytes: Uint8Array): { readonly states: readonly State[]; readonly nextOffset: number } {
    const header = readBatchHeader(bytes)
    if (typeof header === 'string') return { states: [], nextOffset: Number.POSITIVE_INFINITY }
    const records = header.opening ? [] : recordsOf(bytes, header)
    const states = (typeof records === 'string' ? [] : records).flatMap(({ value }) => {
      const decoded = this.#decode(textOf(value) ?? '')
      if (decoded === undefined) this.badRecords += 1
      return decoded ?? []
    })
    return { states, nextOffset: header.nextOffset }
  }
}
