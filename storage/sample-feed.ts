import type { Epoch, PeerId } from '#protocol/ids'
import type { FeedId, Head, Opening, Predecessor } from '#protocol/log/feed'
import { type EncodedBatch, encodeBatch, encodeOpeningBatch } from '#protocol/log/batch'
import type { BatchToStore, StoredFeed } from './feed-store.ts'
import type { Digests } from '#protocol/digests'
import { assert } from '#protocol/assert'
import { encodeRecords, type RecordSet } from '#protocol/log/record'
import { pureDigests } from '#protocol/log/pure-digests'
import { topicIdOf } from '#protocol/ids'
import { utf8 } from '#protocol/text'

export interface SampleFeedOptions {
  readonly topic?: string
  /** Such as `oak`; a short name is a valid peer id. */
  readonly writer?: string
  /** 16 hex characters. */
  readonly epoch?: string
  readonly predecessor?: Predecessor
  readonly digests?: Digests
}

/** The writer's side of one feed, for tests of stores: its batches are whole, sound and chained. */
export class SampleFeed {
  readonly id: FeedId
  readonly opening: Opening
  readonly #digests: Digests
  #head: Head | undefined
  #hlcMs = 1_000

  constructor(options: SampleFeedOptions = {}) {
    const { topic = 'orders', writer = 'oak', epoch = '00000000000000aa', predecessor } = options
    this.#digests = options.digests ?? pureDigests
    const topicId = topicIdOf(this.#digests, { cluster: 'grove', name: topic, generation: 0 })
    this.id = { topicId, writer: writer as PeerId, epoch: epoch as Epoch }
    const { writer: by, epoch: boot } = this.id
    this.opening = { topic, generation: 0, writer: by, epoch: boot, ...(predecessor && { predecessor }) }
  }

  get head(): Head {
    assert(this.#head !== undefined, 'the feed was opened')
    return this.#head
  }

  get hlcMs(): number {
    return this.#hlcMs
  }

  open(): BatchToStore {
    return { ...this.#advance(encodeOpeningBatch(this.opening, this.#nextHlc(), this.#digests)), opening: this.opening }
  }

  /** Goes on from what a store holds of this feed. */
  resume({ head, hlcMs }: Pick<StoredFeed, 'head' | 'hlcMs'>): void {
    this.#head = head
    this.#hlcMs = hlcMs
  }

  /** One batch with a record for each value. */
  batch(...values: readonly (string | Uint8Array)[]): BatchToStore {
    const records = values.map((value) => ({ value: typeof value === 'string' ? utf8(value) : value, headers: {} }))
    return this.batchOf(encodeRecords(records))
  }

  batchOf(...recordSets: readonly RecordSet[]): BatchToStore {
    const { nextOffset: baseOffset, hash: previousHash } = this.head
    return this.#advance(encodeBatch({ baseOffset, previousHash, hlc: this.#nextHlc(), recordSets }, this.#digests))
  }

  #advance({ bytes, head }: EncodedBatch): BatchToStore {
    this.#head = head
    return { feed: this.id, bytes, head }
  }

  #nextHlc(): { readonly ms: number; readonly counter: number } {
    this.#hlcMs += 1
    return { ms: this.#hlcMs, counter: 0 }
  }
}
