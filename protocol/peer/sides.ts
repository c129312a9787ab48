import type { PeerId } from '#protocol/ids'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import type { ProducerIndex, ProducerSpan } from '#protocol/log/producer-index'
import type { Millis } from '#protocol/machine'
import type { Membership } from '#protocol/membership/membership'
import type { PartitionInput, PartitionTimer, PresenceNews } from '#protocol/partitions/inputs'
import type { Partitions } from '#protocol/partitions/partitions'
import type { BatchFacts, StoredRun } from '#protocol/replication/inputs'
import type { ReplicationMessage } from '#protocol/replication/messages'
import type { Replication } from '#protocol/replication/replication'
import type { PeerEffect } from './inputs.ts'
import { spansOf } from './producer-indexes.ts'

export interface SidesDeps {
  readonly partitions: Partitions
  readonly membership: Membership
  readonly replication: Replication
  /** The producers of a topic, if they are in memory. */
  readonly producersOf: (feed: FeedId) => ProducerIndex | undefined
  readonly order: (effect: PeerEffect) => void
}

/** Tells the machine of partitions what the others know: who is away, and while sides merge, what moves between them. */
export class Sides {
  readonly #deps: SidesDeps
  /** Members of which something has changed in this turn: together, since a registry comes in many pieces. */
  readonly #changed = new Set<PeerId>()

  constructor(deps: SidesDeps) {
    this.#deps = deps
  }

  started(nowMs: Millis): void {
    this.#tell({ type: 'started', members: this.#deps.membership.registryView().peers }, nowMs)
  }

  memberChanged(peer: PeerId): void {
    this.#changed.add(peer)
  }

  turnEnds(nowMs: Millis): void {
    if (this.#changed.size === 0) return
    const news = [...this.#changed].flatMap((peer) => {
      const member = this.#deps.membership.memberOf(peer)
      return member === undefined ? [] : [{ peer, presence: this.#presenceOf(peer, member.status.type), ...member }]
    })
    this.#changed.clear()
    this.#tell({ type: 'membersChanged', news }, nowMs)
  }

  /** To be called before replication knows of it. */
  linkUp(peer: PeerId, nowMs: Millis): void {
    if (this.#deps.partitions.concerns(peer)) this.#tell({ type: 'met', peer }, nowMs)
  }

  heard(peer: PeerId, message: ReplicationMessage, nowMs: Millis): void {
    const { partitions, replication } = this.#deps
    if (message.type !== 'digest' && message.type !== 'summary') return
    if (!partitions.isMerging || !partitions.concerns(peer)) return
    const all = replication.neighbors.get(peer)?.link?.account === 'complete'
    const { feeds = [], gone = [] } = message.type === 'digest' ? message : {}
    const told = { feeds: feeds.map(({ feed }) => feedKeyOf(feed)), gone: gone.map(feedKeyOf) }
    this.#tell({ type: 'told', peer, ...told, all }, nowMs)
  }

  /** To be called before replication knows of it. */
  storing(runs: readonly StoredRun[], nowMs: Millis): void {
    if (this.#deps.partitions.isSplit) this.#tell({ type: 'storing', feeds: runs.map(({ feed }) => feed) }, nowMs)
  }

  stored(runs: readonly StoredRun[], nowMs: Millis): void {
    if (!this.#deps.partitions.isMerging) return
    this.#tell({ type: 'stored', feeds: runs.map(({ feed }) => feedKeyOf(feed)) }, nowMs)
  }

  /** To be called before producers learn of these batches. */
  appending(feed: FeedId, batches: readonly BatchFacts[], nowMs: Millis): void {
    if (!this.#deps.partitions.isMerging) return
    const index = this.#deps.producersOf(feed)
    if (index === undefined) return
    for (const batch of batches) {
      const records = spansOf(feed, batch).reduce((sum, span) => sum + knownElsewhere(index, span), 0)
      if (records > 0) this.#tell({ type: 'duplicatesFound', feed, offset: batch.baseOffset, records }, nowMs)
    }
  }

  timerFired(timer: PartitionTimer, nowMs: Millis): void {
    this.#tell({ type: 'timerFired', timer }, nowMs)
  }

  #presenceOf(peer: PeerId, state: 'alive' | 'suspect' | 'dead' | 'left'): PresenceNews {
    if (this.#deps.membership.statusOf(peer)?.type === 'forgotten') return 'forgotten'
    if (state === 'dead') return 'away'
    return state === 'alive' ? 'reachable' : state
  }

  #tell(input: PartitionInput, nowMs: Millis): void {
    for (const effect of this.#deps.partitions.handle(input, nowMs)) {
      if (effect.type !== 'setTimer') this.#deps.order(effect)
      else this.#deps.order({ ...effect, timer: { machine: 'partitions', timer: effect.timer } })
    }
  }
}

/** Numbers of the span that are in another feed, too. */
function knownElsewhere(index: ProducerIndex, span: ProducerSpan): number {
  const others = index.find(span).filter(({ feed }) => feed !== span.feed)
  return Math.min(
    span.count,
    others.reduce((sum, { count }) => sum + count, 0),
  )
}
