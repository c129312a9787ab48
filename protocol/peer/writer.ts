import type { AckLevel } from '#protocol/ack-level'
import { assert } from '#protocol/assert'
import { type Epoch, type PeerId, type TopicId, topicIdOf } from '#protocol/ids'
import type { Digests } from '#protocol/digests'
import type { FeedId, Head, Opening, Predecessor } from '#protocol/log/feed'
import { recordSetBytesMax } from '#protocol/log/record'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { TopicName } from '#protocol/topic-name'
import type { PeerEffect, PlacedPublish } from './inputs.ts'

export interface PublishIntent {
  readonly ref: number
  readonly count: number
  readonly sizeBytes: number
  readonly level: AckLevel
  readonly deadlineMs: Millis
}

export interface Placed {
  readonly intent: PublishIntent
  readonly place: PlacedPublish
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

  constructor(feed: FeedId, opening: Opening) {
    this.feed = feed
    this.#opening = opening
  }

  add(intent: PublishIntent): void {
    this.#waiting.push(intent)
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
  made(head: Head): { readonly opening: Opening | undefined; readonly placed: readonly Placed[] } {
    assert(this.#making !== undefined, 'only a batch in the making is made')
    const opening = this.#head === undefined ? this.#opening : undefined
    let firstOffset = this.#head?.nextOffset ?? head.nextOffset
    const placed = this.#making.map((intent) => {
      const place = { ref: intent.ref, feed: this.feed, firstOffset, count: intent.count }
      firstOffset += intent.count
      return { intent, place }
    })
    assert(firstOffset === head.nextOffset, 'the batch holds the records it was made of')
    this.#head = head
    this.#storing = this.#making
    this.#making = undefined
    return { opening, placed }
  }

  /** The feed is on disk up to here. Returns the publishes that are so by this. */
  stored(head: Head): readonly PublishIntent[] {
    this.#storedOffset = head.nextOffset
    if (this.#head?.nextOffset !== head.nextOffset) return []
    return this.#storing.splice(0)
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
      refs: intents.map(({ ref }) => ref),
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
  readonly cluster: string
  readonly digests: Digests
  /** The predecessor that a feed opened now links to: the durable head of this peer's newest feed of the topic. */
  readonly predecessorOf: (topicId: TopicId) => Predecessor | undefined
}

/** The feeds that this peer writes, one for each topic that was published to here since it started. */
export class Writers {
  readonly #options: WriterOptions
  readonly #byTopic = new Map<TopicId, TopicWriter>()

  constructor(options: WriterOptions) {
    this.#options = options
  }

  topicIdOf(topic: TopicName): TopicId {
    return topicIdOf(this.#options.digests, { cluster: this.#options.cluster, name: topic, generation: 0 })
  }

  get size(): number {
    return this.#byTopic.size
  }

  get(topicId: TopicId): TopicWriter | undefined {
    return this.#byTopic.get(topicId)
  }

  /** The writer of the topic, opened when this is its first use in this boot. */
  open(topic: TopicName): TopicWriter {
    const topicId = this.topicIdOf(topic)
    const known = this.#byTopic.get(topicId)
    if (known !== undefined) return known
    const { self, epoch } = this.#options
    const predecessor = this.#options.predecessorOf(topicId)
    const opening = { topic, generation: 0, writer: self, epoch, ...(predecessor && { predecessor }) }
    const writer = new TopicWriter({ topicId, writer: self, epoch }, opening)
    this.#byTopic.set(topicId, writer)
    return writer
  }
}
