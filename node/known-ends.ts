import type { PeerId, TopicId } from '#protocol/ids'
import { readBatchHeader } from '#protocol/log/batch'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { Replication } from '#protocol/replication/replication'
import type { ReadSource } from './read-source.ts'

/** How long a batch may be on its way to the disk of its writer, and the word of it to here. */
const settleMs = 5_000

export interface KnownEndsDeps {
  readonly replication: Replication
  readonly self: PeerId
  readonly source: Pick<ReadSource, 'read'>
  /** What the clock of this peer shows. */
  readonly wallMs: Millis
}

/**
 * Is all of the topic on this peer's disk that any registered member wrote up to that time (DESIGN §8)?
 *
 * 1. This peer keeps the topic: what others have written is told to those who keep it.
 * 2. Of each other member it knows all heads, and has heard it when its clock was `settleMs` beyond the end: what it had said
 *    before that has come, and what it writes from then on is later. A disk that takes longer for a batch, or a clock that was
 *    set back since it was told, may still add one.
 * 3. Each feed that anybody has is here to its head, or beyond that time.
 */
export async function isKnownUpTo(toMs: Millis, topicId: TopicId, deps: KnownEndsDeps): Promise<boolean> {
  const { replication, self, wallMs } = deps
  const { homes, meshTime, local, neighbors } = replication
  if (!homes.merged || !homes.isOurs(topicId) || wallMs <= toMs) return false
  for (const peer of homes.registered) {
    if (peer === self) continue
    if (!replication.isCurrent(peer) || (meshTime.whenHeard(peer) ?? 0) < toMs + settleMs) return false
  }
  const told = [...neighbors.values()].flatMap(({ heads }) => [...heads.values()])
  const elsewhere = told.filter(({ feed }) => feed.topicId === topicId)
  const ours = local.ofTopic(topicId).map(({ feed, appended }) => ({ feed, nextOffset: appended.nextOffset }))
  const behind = new Map<string, FeedId>()
  for (const { feed, nextOffset } of [...elsewhere, ...ours]) {
    const durable = local.get(feedKeyOf(feed))?.durable
    if ((durable?.nextOffset ?? 0) < nextOffset) behind.set(feedKeyOf(feed), feed)
  }
  const beyond = await Promise.all([...behind.values()].map((feed) => endsBeyond(toMs, feed, deps)))
  return beyond.every(Boolean)
}

async function endsBeyond(toMs: Millis, feed: FeedId, { replication, source }: KnownEndsDeps): Promise<boolean> {
  const end = replication.local.get(feedKeyOf(feed))?.durable?.nextOffset ?? 0
  if (end === 0) return false
  const [bytes] = (await source.read(feed, end - 1, 1)).batches
  const header = bytes === undefined ? 'truncated' : readBatchHeader(bytes)
  return typeof header !== 'string' && header.hlc.ms > toMs
}
