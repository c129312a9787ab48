import { limits } from '#protocol/limits'
import { configJson } from '#protocol/topic-config'
import {
  matchesTopic,
  parseDeletedName,
  parseTopicName,
  type TopicName,
  type TopicPattern,
  topicsTopic,
} from '#protocol/topic-name'
import { configOf, exists } from '#protocol/topics/topic-state'
import type { RemainsView, TopicSummary, TopicView } from '#protocol/views'
import type { PeerDriver } from './driver.ts'
import type { FeedView } from './read-source.ts'

/** Topics of clients that this peer knows: those that are registered, and those that it holds feeds of before it has heard of that. */
export function topicNames({ peer }: PeerDriver): ReadonlySet<TopicName> {
  const names = new Set<TopicName>()
  for (const state of peer.topics.all()) if (exists(state)) names.add(state.topic)
  for (const topicId of peer.replication.local.topics()) {
    const topic = parseTopicName(peer.replication.local.ofTopic(topicId)[0]?.opening.topic)
    if (topic !== undefined && peer.topicIdOf(topic) === topicId) names.add(topic)
  }
  return names
}

/** Undefined when this peer does not know the topic. */
export function topicSummary(driver: PeerDriver, topic: TopicName): TopicSummary | undefined {
  const { peer } = driver
  const topicId = peer.topicIdOf(topic)
  const feeds = driver.source.known(topicId)
  const state = peer.topics.get(topic)
  if (feeds.length === 0 && !exists(state) && topic !== topicsTopic) return undefined
  const records = feeds.reduce((sum, { head, floor }) => sum + head.nextOffset - floor.nextOffset, 0)
  const deleted = parseDeletedName(topic)
  if (deleted !== undefined && records === 0) return undefined
  const { generation } = deleted ?? state
  return { topic, topicId, generation, kept: peer.replication.homes.isOurs(topicId), records, feeds: feeds.length }
}

export function topicView(driver: PeerDriver, topic: TopicName): TopicView | undefined {
  const { topics } = driver.peer
  const summary = topicSummary(driver, topic)
  if (summary === undefined) return undefined
  const state = topics.get(topic)
  const editedAtMs = Math.max(0, ...[...state.edited.values()].map(({ atMs = 0 }) => atMs))
  const view = {
    ...summary,
    ...offsetsOf(driver.source.known(summary.topicId)),
    config: configJson(configOf(state)),
    version: topics.versionOf(state),
  }
  return editedAtMs === 0 ? view : { ...view, edited: new Date(editedAtMs).toISOString() }
}

function offsetsOf(feeds: readonly FeedView[]): Pick<TopicView, 'offsets' | 'offsetsLeftOut'> {
  const shown = feeds.slice(-limits.replicationRowsMax)
  const leftOut = feeds.length - shown.length
  const offsets = shown.map(({ feed: { writer, epoch }, floor, head }) => {
    return { feed: `${writer}.${epoch}`, earliest: floor.nextOffset, next: head.nextOffset }
  })
  return { offsets, ...(leftOut > 0 && { offsetsLeftOut: leftOut }) }
}

/** What is left of deleted topics here; of topics that match. */
export function remainsViews({ peer }: PeerDriver, match: TopicPattern | undefined): readonly RemainsView[] {
  const isWanted = (name: TopicName): boolean =>
    match === undefined || matchesTopic(match, parseDeletedName(name)?.topic ?? name)
  return peer
    .remainingTopics()
    .filter(({ name }) => isWanted(name))
    .map(({ name, leftMs, ...remains }) => ({ topic: name, ...remains, goesInMs: Math.round(leftMs) }))
    .toSorted((a, b) => (a.topic < b.topic ? -1 : 1))
}
