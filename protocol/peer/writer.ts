import type { AckLevel } from '#protocol/ack-level'
import { assert } from '#protocol/assert'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Head, Opening, Predecessor } from '#protocol/log/feed'
import { recordSetBytesMax } from '#protocol/log/record'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { TopicName } from '#protocol/topic-name'
import type { PartOfBatch, PeerEffect } from './inputs.ts'
import type { TopicNames } from './topic-names.ts'

export interface PublishIntent extends PartOfBatch {
  readonly count: number
  readonly sizeBytes: number
  readonly level: AckLevel
  readonly deadlineMs: Millis
}

export interface MadeIntent {
  readonly intent: PublishIntent
  /** Of its last record, plus one. */
  readonly endOffset: number
}

type MakeBatch = Extract<PeerEffect, { type: 'makeBatch' }>

/**
 * This peer's feed of one topic in this boot. One batch at a time is on its way to disk; what arrives meanwhile goes into
 * the next. So an idle peer adds no wait, and a busy one makes large batches (DESIGN §17: batch without waiting).
 */
export class TopicWriter {
  readonly feed: FeedId
  readonly #opening: Opening
  readonly #waiting: PublishIntent[] = []
  /** Undefined until the opening batch is made. */
  #head: Head | undefined
  #storedOffset = -1
  /** What the batch that is being made right now contains, and after that the one on its way to disk. */
  #making: PublishIntent[] | undefined
  #storing: PublishIntent[] = []
  #nextOffset: number

  constructor(feed: FeedId, opening: Opening) {
    this.feed = feed
    this.#opening = opening
    this.#nextOffset = this.#baseOffset()
  }

  /** Of the next record that is added: what was added before has its offsets, though maybe no batch yet. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  /** Returns the offset of its first record. */
  add(intent: PublishIntent): number {
    const firstOffset = this.#nextOffset
    this.#waiting.push(intent)
    this.#nextOffset += intent.count
    return firstOffset
  }

  /** The next batch to make, if one may be made now. */
  next(): MakeBatch | undefined {
    if (this.#making !== undefined) return undefined
    if (this.#head === undefined) return this.#make([], this.#opening)
    // The opening batch shares its fsync with the first records; after that, one batch on its way at a time.
    const isIdle = this.#storedOffset === this.#head.nextOffset || this.#head.nextOffset === this.#baseOffset()
    return this.#waiting.length === 0 || !isIdle ? undefined : this.#make(this.#takeWaiting())
  }

  /** The batch exists: its records have their offsets now. `opening` tells that it is the first of the feed. */
  made(head: Head): { readonly opening: Opening | undefined; readonly intents: readonly MadeIntent[] } {
    assert(this.#making !== undefined, 'only a batch in the making is made')
    const opening = this.#head === undefined ? this.#opening : undefined
    let endOffset = this.#head?.nextOffset ?? head.nextOffset
    const intents = this.#making.map((intent) => {
      endOffset += intent.count
      return { intent, endOffset }
    })
    assert(endOffset === head.nextOffset, 'the batch holds the records it was made of')
    this.#head = head
    this.#storing = this.#making
    this.#making = undefined
    return { opening, intents }
  }

  /** The feed is on disk up to here. Returns the publishes that are so by this. */
  stored(head: Head): readonly PublishIntent[] {
    this.#storedOffset = head.nextOffset
    if (this.#head?.nextOffset !== head.nextOffset) return []
    return this.#storing.splice(0)
  }

  /** Nothing waits here, and all that was made is on disk. */
  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#making === undefined && this.#storedOffset === this.#head?.nextOffset
  }

  #baseOffset(): number {
    return this.#opening.predecessor?.nextOffset ?? 0
  }

  #make(intents: PublishIntent[], opening?: Opening): MakeBatch {
    this.#making = intents
    return {
      type: 'makeBatch',
      feed: this.feed,
      baseOffset: this.#head?.nextOffset ?? this.#baseOffset(),
      previous: this.#head,
      parts: intents.map(({ ref, pieces }) => ({ ref, ...(pieces && { pieces }) })),
      ...(opening === undefined ? {} : { opening }),
    }
  }

  #takeWaiting(): PublishIntent[] {
    let sizeBytes = 0
    let count = 0
    const end = this.#waiting.findIndex((intent) => {
      sizeBytes += intent.sizeBytes
      count += intent.count
      return sizeBytes > recordSetBytesMax || count > limits.batchRecordsMax
    })
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end)
  }
}

export interface WriterOptions {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly names: TopicNames
  /** The predecessor that a feed opened now links to: the durable head of this peer's newest feed of the topic. */
  readonly predecessorOf: (topicId: TopicId) => Predecessor | undefined
}

/** The feeds that this peer writes, one for each topic that was published to here since it started. */
export class Writers {
  readonly #options: WriterOptions
  readonly #byTopic = new Map<TopicId, TopicWriter>()
  readonly #retired = new Set<TopicId>()

  constructor(options: WriterOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#byTopic.size
  }

  /** The topic was deleted: nothing more is published to it. What waits here goes its way first. */
  retire(topicId: TopicId): void {
    if (this.#byTopic.has(topicId)) this.#retired.add(topicId)
    this.letGo(topicId)
  }

  letGo(topicId: TopicId): void {
    if (!this.#retired.has(topicId) || this.#byTopic.get(topicId)?.isIdle === false) return
    this.#retired.delete(topicId)
    this.#byTopic.delete(topicId)
  }

  get(topicId: TopicId): TopicWriter | undefined {
    return this.#byTopic.get(topicId)
  }

  /** The writer of the topic, opened when this is its first use in this boot. */
  open(topic: TopicName): TopicWriter {
    const { self, epoch, names } = this.#options
    const topicId = names.idOf(topic)
    const known = this.#byTopic.get(topicId)
    if (known !== undefined) return known
    const predecessor = this.#options.predecessorOf(topicId)
    const generation = names.generationOf(topic)
    const opening = { topic, generation, writer: self, epoch, ...(predecessor && { predecessor }) }
    const writer = new TopicWriter({ topicId, writer: self, epoch }, opening)
    this.#byTopic.set(topicId, writer)
    return writer
  }
}
