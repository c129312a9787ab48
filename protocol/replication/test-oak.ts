import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import type { FeedId, OffsetRange, Opening } from '#protocol/log/feed'
import { type ReplicationConfig, replicationDefaults } from './config.ts'
import type { BatchFacts, OpenedFeed, PendingPublish, ReplicationEffect, ReplicationInput } from './inputs.ts'
import type { FeedDigest, ReplicationMessage } from './messages.ts'
import { Replication } from './replication.ts'
import { bucketCount } from './set-hash.ts'

/*
 * The replication machine of one peer, oak, for tests, and what its neighbors say. Batches are numbers and hashes that can be
 * followed by hand: the batch that ends at offset 3 has the hash 0…03.
 */

export const [oak, elm, ash] = ['oak', 'elm', 'ash'] as PeerId[] as [PeerId, PeerId, PeerId]
export const epochs = { first: '0000000000000001' as Epoch, second: '0000000000000002' as Epoch }
export const orders = '11'.repeat(16) as TopicId
export const feedOf = (writer: PeerId, epoch: Epoch = epochs.first): FeedId => ({ topicId: orders, writer, epoch })
export const hashAt = (offset: number): Hash => offset.toString(16).padStart(64, '0') as Hash
export const range = (from: number, to: number): OffsetRange => ({ from, to })
export const headAt = (nextOffset: number) => ({ nextOffset, hash: hashAt(nextOffset) })

export const openingOf = (writer: PeerId, epoch: Epoch = epochs.first): Opening => {
  return { topic: 'orders', generation: 0, writer, epoch }
}

export const digest = (feed: FeedId, nextOffset: number): FeedDigest => ({
  feed,
  floor: 0,
  keptFrom: 0,
  ...headAt(nextOffset),
})

/** A feed as found on disk: whole, or with what is said otherwise. */
export function openedFeed(feed: FeedId, nextOffset: number, more: Partial<OpenedFeed> = {}): OpenedFeed {
  const opening = more.opening ?? openingOf(feed.writer, feed.epoch)
  const base = opening.predecessor?.nextOffset ?? 0
  const whole = { floor: headAt(base), keptFrom: base, holes: [], rooted: false }
  return { feed, opening, head: headAt(nextOffset), ...whole, hlcMs: 1, ...more }
}

/** One record per batch, each 100 bytes; the batch that opens a feed ends where it starts. */
export const openingBatch = (opening: Opening): BatchFacts => {
  const offset = opening.predecessor?.nextOffset ?? 0
  return {
    baseOffset: offset,
    nextOffset: offset,
    previousHash: hashAt(999),
    hash: hashAt(offset),
    sizeBytes: 100,
    hlcMs: 1,
    opening,
  }
}
export const batch = (baseOffset: number): BatchFacts => {
  const [previousHash, hash] = [hashAt(baseOffset), hashAt(baseOffset + 1)]
  return { baseOffset, nextOffset: baseOffset + 1, previousHash, hash, sizeBytes: 100, hlcMs: 1 }
}

export const allBuckets = Array.from({ length: bucketCount }, (_, bucket) => bucket)

export class Oak {
  readonly machine: Replication
  nowMs = 0

  constructor(feeds: readonly OpenedFeed[] = [], config: Partial<ReplicationConfig> = {}) {
    this.machine = new Replication({
      self: oak,
      epoch: epochs.first,
      feeds,
      config: { ...replicationDefaults, ...config },
    })
    this.register([oak, elm, ash])
  }

  register(peers: readonly PeerId[], { merged = true } = {}) {
    const members = peers.map((peer) => ({ peer, zone: '' }))
    return this.tell({ type: 'registryChanged', version: `${peers.length}`, merged, members })
  }

  tell(input: ReplicationInput): readonly ReplicationEffect[] {
    return this.machine.handle(input, this.nowMs)
  }

  hear(from: PeerId, message: ReplicationMessage): readonly ReplicationEffect[] {
    return this.tell({ type: 'messageReceived', from, message })
  }

  /** Links the peer, which tells that it holds these feeds. */
  link(peer: PeerId, link: number, feeds: readonly FeedDigest[] = [], epoch = epochs.first) {
    return [
      ...this.tell({ type: 'linkUp', peer, link }),
      ...this.hear(peer, { type: 'summary', epoch, root: 'f'.repeat(16) }),
      ...this.hear(peer, { type: 'digest', feeds, listing: { replaced: allBuckets, more: false } }),
    ]
  }

  /** Makes its own batch that ends at `end`, the opening batch at 0; with `durable` it is on disk too. */
  write(end: number, durable: boolean) {
    const feed = feedOf(oak)
    const opening = end === 0 ? { opening: openingOf(oak) } : {}
    const effects = [
      ...this.tell({ type: 'batchAppended', feed, head: headAt(end), sizeBytes: 100, hlcMs: 1, ...opening }),
    ]
    if (durable) effects.push(...this.tell({ type: 'rangesStored', runs: [{ feed, head: headAt(end) }] }))
    return effects
  }

  receive(from: PeerId, feed: FeedId, batches: readonly BatchFacts[], { link = 1, ref = 0 } = {}) {
    return this.tell({ type: 'rangeReceived', from, link, received: 7, ref, feed, batches })
  }

  publish(more: Partial<PendingPublish>) {
    const publish = {
      ref: 1,
      feed: feedOf(oak),
      endOffset: 1,
      level: { type: 'all' } as const,
      deadlineMs: 5_000,
      ...more,
    }
    return this.tell({ type: 'publishAppended', publish })
  }

  sweep(afterMs: number) {
    this.nowMs += afterMs
    return this.tell({ type: 'timerFired', timer: { type: 'sweep' } })
  }

  /** Whoever is asked says that it has told all, as often as it is. */
  askAround(): readonly ReplicationEffect[] {
    return Array.from({ length: 5 }).flatMap(() => {
      const swept = this.sweep(1)
      const answers = messages(swept, 'flush').map(({ to, message: { ref } }) =>
        this.hear(to, { type: 'flushed', ref }),
      )
      return [...swept, ...answers.flat()]
    })
  }
}

export const ofType = <T extends ReplicationEffect['type']>(effects: readonly ReplicationEffect[], type: T) =>
  effects.filter((effect): effect is Extract<ReplicationEffect, { type: T }> => effect.type === type)
export const messages = <T extends ReplicationMessage['type']>(effects: readonly ReplicationEffect[], type: T) =>
  ofType(effects, 'send')
    .map(({ to, message }) => ({ to, message }))
    .filter(
      (sent): sent is { to: PeerId; message: Extract<ReplicationMessage, { type: T }> } => sent.message.type === type,
    )
export const settledOf = (effects: readonly ReplicationEffect[]) =>
  ofType(effects, 'publishSettled').map(({ settled: { ref, reached, peers } }) => ({ ref, reached, peers }))
export const changesOf = (effects: readonly ReplicationEffect[]) =>
  ofType(effects, 'changeFeed').map(({ change }) => change)
export const digestDue = { type: 'timerFired', timer: { type: 'digestDue' } } as const
