import type { ReadFrom } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import type { TopicId } from '#protocol/ids'
import type { FeedId, Head, Opening } from '#protocol/log/feed'
import type { OffsetRanges } from '#protocol/log/offset-ranges'
import type { Standing } from '#protocol/replication/following'
import type { ProducerIndex } from '#protocol/log/producer-index'
import type { TopicName } from '#protocol/topic-name'
import type { FeedRead } from '#storage/feed-store'
import type { FetchedBatch } from './reading-feed.ts'
import type { SharedRecords } from './shared-records.ts'

/** Where a reader reads from, and the news of what can be read. */
export interface ReadSource {
  /** The feeds of a topic with their durable heads: here, or with others. */
  feeds(topicId: TopicId): readonly FeedView[]
  /** As `FeedStore.read`. */
  read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead>
  /** How much of what there is of the topic is known here. */
  standing(topicId: TopicId): Standing
  /** What is known here of what producers have published to the topic, this batch of a feed included. */
  producers(feed: FeedId, batch: FetchedBatch): Promise<KnownProducers>
  /** Calls `listener` whenever there may be more to read or the standing has changed; returns how to unsubscribe. */
  onAdvance(topicId: TopicId, listener: () => void): () => void
  /** Another number after each advance, for those who were busy and did not listen. */
  advances(topicId: TopicId): number
}

export type KnownProducers = Pick<ProducerIndex, 'doubled' | 'find'>

export interface FeedView {
  readonly feed: FeedId
  readonly opening: Opening
  /** Durable. */
  readonly head: Head
  /** What lies below was let go of by retention, with the chain hash there. */
  readonly floor: Head
  /** Damaged ranges that nobody has any more. */
  readonly lost: OffsetRanges
  /** The feed that it goes on from was forgotten, once retention had emptied it. */
  readonly rooted: boolean
}

/** A name was looked up before. */
export type ReaderStart = Exclude<ReadFrom, { type: 'named' }>

export interface ReaderOptions {
  readonly source: ReadSource
  readonly topic: TopicName
  readonly topicId: TopicId
  readonly from: ReaderStart
  readonly digests: Digests
  /** Now, in wall milliseconds: where `latest` starts. */
  readonly wallMs: number
  /** With the other readers of this peer; otherwise it decodes for itself. */
  readonly shared?: SharedRecords
}

/** Resolves at the next advance of the topic, or once the signal says that it is not waited for any more. */
export function nextAdvance(
  source: Pick<ReadSource, 'onAdvance'>,
  topicId: TopicId,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unsubscribe()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const unsubscribe = source.onAdvance(topicId, done)
    signal.addEventListener('abort', done)
  })
}
