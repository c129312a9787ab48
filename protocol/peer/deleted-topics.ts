import type { TopicId } from '#protocol/ids'
import { type Head, NOTHING } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { LocalFeed } from '#protocol/replication/local-feeds'
import type { Replication } from '#protocol/replication/replication'
import { deletedName, parseTopicName, type TopicName } from '#protocol/topic-name'
import { type Run, runOf } from '#protocol/topics/register'
import type { DeletedFeed, Remains, RemainsOrder } from '#protocol/topics/remains'
import type { Topics } from '#protocol/topics/topics'
import type { TopicNames } from './topic-names.ts'

export interface DeletedTopicsDeps {
  readonly topics: Topics
  readonly names: TopicNames
  readonly replication: Pick<Replication, 'local' | 'neighbors'>
  readonly remains: Remains
}

/** A feed of a generation that the registry says is deleted. */
export interface FeedOfDeleted extends DeletedFeed {
  readonly local: LocalFeed
  readonly topic: TopicName
  readonly generation: number
}

/** What is left of a deleted generation on this peer's disk. */
export interface RemainingTopic {
  readonly name: TopicName
  readonly topicId: TopicId
  readonly records: number
  readonly feeds: number
  /** Until the first of them goes, while this peer runs. */
  readonly leftMs: Millis
}

/** Joins what the registry says of deletions with the feeds that are here. */
export class DeletedTopics {
  readonly #deps: DeletedTopicsDeps
  #found: ReadonlyMap<TopicName, number> = new Map()

  constructor(deps: DeletedTopicsDeps) {
    this.#deps = deps
  }

  look(nowMs: Millis): readonly RemainsOrder<FeedOfDeleted>[] {
    return this.#deps.remains.look(this.#feeds(), nowMs)
  }

  /** What a deletion now would have seen: what is on this peer's disk, and on those of others as they have told. */
  seenOf(topic: TopicName): ReadonlyMap<Run, Head> {
    const { names, replication } = this.#deps
    const topicId = names.idOf(topic)
    const own = replication.local
      .ofTopic(topicId)
      .flatMap(({ feed, durable }) => (durable ? [{ feed, ...durable }] : []))
    const told = [...replication.neighbors.values()].flatMap(({ heads }) => [...heads.values()])
    const seen = new Map<Run, Head>()
    for (const { feed, nextOffset, hash } of [...own, ...told.filter(({ feed: { topicId: id } }) => id === topicId)]) {
      const run = runOf(feed.writer, feed.epoch)
      if (nextOffset > (seen.get(run)?.nextOffset ?? NOTHING)) seen.set(run, { nextOffset, hash })
    }
    return seen
  }

  /** With records that somebody published who did not know of the deletion. */
  remaining(): readonly RemainingTopic[] {
    const byName = Map.groupBy(this.#feeds(), ({ topic, generation }) => deletedName(topic, generation))
    return [...byName].flatMap(([name, feeds]) => this.#remainingOf(name, feeds))
  }

  /** Those of which there is more than when this was asked last. */
  found(): readonly RemainingTopic[] {
    const remaining = this.remaining()
    const found = remaining.filter(({ name, records }) => records > (this.#found.get(name) ?? 0))
    this.#found = new Map(remaining.map(({ name, records }) => [name, records]))
    return found
  }

  #remainingOf(name: TopicName, all: readonly FeedOfDeleted[]): readonly RemainingTopic[] {
    const feeds = all.filter((feed) => feed.head.nextOffset > beginningOf(feed))
    const records = feeds.reduce((sum, feed) => sum + feed.head.nextOffset - beginningOf(feed), 0)
    const leftMs = Math.min(...feeds.map(({ key }) => this.#deps.remains.leftMs(key)))
    const topicId = this.#deps.names.idOf(name)
    return records === 0 ? [] : [{ name, topicId, records, feeds: feeds.length, leftMs }]
  }

  *#feeds(): Generator<FeedOfDeleted> {
    const { topics, names, replication } = this.#deps
    for (const feed of replication.local.all()) {
      const { opening, durable, floor, key } = feed
      // Parsed last: hardly any feed is of a deleted generation, and all are looked at.
      const isCurrent = opening.generation >= names.generationOf(opening.topic as TopicName)
      const topic = isCurrent || durable === undefined ? undefined : parseTopicName(opening.topic)
      if (topic === undefined || durable === undefined) continue
      const { generation } = opening
      const seen = topics.get(topic).deleted.get(generation)?.upTo.get(runOf(opening.writer, opening.epoch))
      yield { local: feed, topic, generation, key, floor, head: durable, seen }
    }
  }
}

const beginningOf = ({ floor, seen }: FeedOfDeleted): number => Math.max(floor.nextOffset, seen?.nextOffset ?? 0)
