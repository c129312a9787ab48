import type { TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { type FeedId, feedKeyOf, type OffsetRange } from '#protocol/log/feed'
import { type IndexedRange, ProducerIndex, type ProducerSpan } from '#protocol/log/producer-index'
import type { LocalFeeds } from '#protocol/replication/local-feeds'
import type { PeerEffect } from './inputs.ts'

/** What of a batch is indexed. */
export interface BatchRanges {
  readonly baseOffset: number
  readonly hlcMs: number
  readonly producerRanges?: readonly IndexedRange[]
}

/** Higher: less is written, more is read again after a crash. */
export const checkpointEveryDefault = 16_384

export interface ProducerIndexesDeps {
  /** Ranges of batches between two checkpoints of a topic. */
  readonly checkpointEvery: number
  readonly local: LocalFeeds
  /** Where the feed ends, with what waits to be made into a batch. */
  readonly endOf: (feed: FeedId) => number
  readonly order: (effect: PeerEffect) => void
}

interface IndexedTopic {
  readonly index: ProducerIndex
  /** Under way; what is stored here is in it once there is none. */
  loads: number
  /** Ranges since the last checkpoint. */
  unkept: number
}

/**
 * What producers have published to the topics that are used here, in memory (P6).
 *
 * 1. A topic without producers' publishes and readers since the start costs nothing. At its first use what is on disk is
 *    read, and what is appended from then on is inserted as it comes.
 * 2. Everything in here is in the log, or on its way: it may be forgotten at any time, and read again.
 * 3. A checkpoint shortens that reading. It may be as old as it likes.
 */
export class ProducerIndexes {
  readonly #deps: ProducerIndexesDeps
  /** The one that was not used for longest first. */
  readonly #topics = new Map<TopicId, IndexedTopic>()
  #spanCount = 0
  #forgottenMs: number | undefined
  /** One checkpoint is on its way to disk at a time. */
  #isKeeping = false

  constructor(deps: ProducerIndexesDeps) {
    this.#deps = deps
  }

  get spanCount(): number {
    return this.#spanCount
  }

  get topicCount(): number {
    return this.#topics.size
  }

  /** Hybrid-clock time of the newest span that was dropped at a bound of its topic since the start, if one was. */
  get forgottenMs(): number | undefined {
    return this.#forgottenMs
  }

  /** The index of a topic, once all that is stored here is in it. */
  get(topicId: TopicId): ProducerIndex | undefined {
    const topic = this.#topics.get(topicId)
    if (topic === undefined) return undefined
    this.#topics.delete(topicId)
    this.#topics.set(topicId, topic)
    return topic.loads === 0 ? topic.index : undefined
  }

  /** The same, and begins to load one that is not here: `producersKnown` tells when it is. */
  want(topicId: TopicId): ProducerIndex | undefined {
    if (!this.#topics.has(topicId)) this.#topics.set(topicId, this.#begin(topicId))
    return this.get(topicId)
  }

  read(topicId: TopicId, spans: readonly ProducerSpan[]): void {
    const topic = this.#topics.get(topicId)
    if (topic !== undefined) this.#insert(topicId, topic, spans)
  }

  loaded(topicId: TopicId): void {
    const topic = this.#topics.get(topicId)
    if (topic === undefined) return
    topic.loads--
    if (topic.loads > 0) return
    this.#deps.order({ type: 'producersKnown', topicId })
    this.#keepNext()
  }

  /** Batches are appended to a feed here. */
  appended(feed: FeedId, batches: readonly BatchRanges[]): void {
    const topic = this.#topics.get(feed.topicId)
    if (topic === undefined) return
    const spans = batches.flatMap((batch) => spansOf(feed, batch))
    if (spans.length > 0) this.#insert(feed.topicId, topic, spans)
  }

  /** A damaged range is here again: what it holds was passed over when the topic was loaded. */
  repaired(feed: FeedId, { from, to: endOffset }: OffsetRange): void {
    const { topicId } = feed
    const topic = this.#topics.get(topicId)
    if (topic === undefined) return
    topic.loads++
    this.#deps.order({ type: 'loadProducers', topicId, feeds: [{ feed, from, endOffset }] })
  }

  /** A checkpoint is on disk: the next may follow. */
  kept(): void {
    this.#isKeeping = false
    this.#keepNext()
  }

  #begin(topicId: TopicId): IndexedTopic {
    const { local, endOf, order } = this.#deps
    const withRecords = local.ofTopic(topicId).filter(({ feed, keptFrom }) => endOf(feed) > keptFrom)
    const feeds = withRecords.map(({ feed }) => ({ feed, endOffset: endOf(feed) }))
    if (feeds.length > 0) order({ type: 'loadProducers', topicId, feeds })
    return { index: new ProducerIndex(), loads: feeds.length === 0 ? 0 : 1, unkept: 0 }
  }

  #insert(topicId: TopicId, topic: IndexedTopic, spans: readonly ProducerSpan[]): void {
    const { index } = topic
    this.#spanCount -= index.spanCount
    for (const span of spans) index.insert(span)
    this.#spanCount += index.spanCount
    const { droppedMs } = index
    if (droppedMs !== undefined) this.#forgottenMs = Math.max(droppedMs, this.#forgottenMs ?? droppedMs)
    topic.unkept += spans.length
    if (topic.unkept >= this.#deps.checkpointEvery) this.#keepNext()
    if (this.#spanCount > limits.producerSpansMax) this.#forgetUnused(topicId)
  }

  #forgetUnused(inUse: TopicId): void {
    for (const [topicId, { index, loads }] of this.#topics) {
      if (this.#spanCount <= limits.producerSpansMax) return
      if (topicId === inUse || loads > 0) continue
      this.#topics.delete(topicId)
      this.#spanCount -= index.spanCount
    }
  }

  #keepNext(): void {
    if (this.#isKeeping) return
    for (const [topicId, topic] of this.#topics) {
      if (topic.loads > 0 || topic.unkept < this.#deps.checkpointEvery) continue
      topic.unkept = 0
      this.#isKeeping = true
      const positions = this.#deps.local
        .ofTopic(topicId)
        // What is damaged is to be read once it is repaired.
        .map(({ key, appended, holes }) => [key, holes[0]?.from ?? appended.nextOffset] as const)
      const spans = topic.index.newest(limits.producerCheckpointSpansMax)
      return this.#deps.order({
        type: 'keepProducers',
        topicId,
        checkpoint: { positions: new Map(positions), spans },
      })
    }
  }
}

/** What a batch adds to the index of its topic. */
export function spansOf(feed: FeedId, { baseOffset, hlcMs, producerRanges }: BatchRanges): readonly ProducerSpan[] {
  if (producerRanges === undefined) return []
  const key = feedKeyOf(feed)
  return producerRanges.map(({ producer, epoch, firstSeq, count, firstIndex }) => {
    const firstOffset = baseOffset + firstIndex
    const lastOffset = firstOffset + count - 1
    return { producer, epoch, firstSeq, count, feed: key, firstOffset, lastOffset, hlcMs }
  })
}
