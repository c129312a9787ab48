import type { ReadFrom } from '#gateway/broker'
import type { Digests } from '#protocol/digests'
import type { TopicId } from '#protocol/ids'
import type { FeedId, Head, Opening } from '#protocol/log/feed'
import type { TopicName } from '#protocol/topic-name'
import type { SharedRecords } from './shared-records.ts'

/** Where a reader reads from: the store below it, and the news of what is durable. */
export interface ReadSource {
  /** The feeds of a topic with their durable heads. */
  feeds(topicId: TopicId): readonly FeedView[]
  /** As `FeedStore.read`. */
  read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]>
  /** Calls `listener` whenever the topic has advanced, and when the broker drains; returns how to unsubscribe. */
  onAdvance(topicId: TopicId, listener: () => void): () => void
}

export interface FeedView {
  readonly feed: FeedId
  readonly opening: Opening
  /** Durable. */
  readonly head: Head
  /** First offset that is still kept here. */
  readonly keptFrom: number
}

export interface ReaderOptions {
  readonly source: ReadSource
  readonly topic: TopicName
  readonly topicId: TopicId
  readonly from: ReadFrom
  readonly digests: Digests
  /** Now, in wall milliseconds: where `latest` starts. */
  readonly wallMs: number
  /** With the other readers of this peer; otherwise it decodes for itself. */
  readonly shared?: SharedRecords
}
