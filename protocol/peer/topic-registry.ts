import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Head } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { ReplicationInput, TopicRetention } from '#protocol/replication/inputs'
import type { Replication } from '#protocol/replication/replication'
import { revocationsTopic, type TopicName, topicsTopic } from '#protocol/topic-name'
import type { Remains } from '#protocol/topics/remains'
import { configOf, exists, type TopicState } from '#protocol/topics/topic-state'
import type { Topics, TopicsEffect, TopicsInput } from '#protocol/topics/topics'
import { DeletedTopics, type RemainingTopic } from './deleted-topics.ts'
import type { PeerEffect, PeerInput } from './inputs.ts'
import type { TopicNames } from './topic-names.ts'

export interface TopicRegistryDeps {
  readonly self: PeerId
  readonly topics: Topics
  readonly names: TopicNames
  readonly remains: Remains
  readonly replication: Replication
  readonly order: (effect: PeerEffect) => void
  readonly tellReplication: (input: ReplicationInput) => void
  /** Nothing more is written to the topic. */
  readonly retire: (topicId: TopicId) => void
}

/** The registry of topics among the other machines: what it says is told to them, and what it needs of them is looked up. */
export class TopicRegistry {
  readonly #deps: TopicRegistryDeps
  readonly #deleted: DeletedTopics
  /** What the snapshot of the registry that is being written makes superfluous. */
  #ownBefore: readonly { readonly feed: FeedId; readonly floor: Head }[] = []
  #lookAtMs: Millis = Number.POSITIVE_INFINITY
  /** Something of deleted topics is kept for the next boot to know. */
  #hasKept = false

  constructor(deps: TopicRegistryDeps) {
    this.#deps = deps
    this.#deleted = new DeletedTopics(deps)
  }

  started(nowMs: Millis): void {
    // What the mesh knows of its topics and of tokens is kept by every member (DESIGN §10).
    const { names, tellReplication } = this.#deps
    const ofAll = [topicsTopic, revocationsTopic].map((topic) => ({
      topicId: names.idOf(topic),
      replicas: Number.POSITIVE_INFINITY,
    }))
    tellReplication({ type: 'replicasChanged', topics: ofAll })
    this.#share([...this.#deps.topics.all()])
    this.#armLook(0, nowMs)
  }

  handle(input: TopicsInput, nowMs: Millis): void {
    for (const effect of this.#deps.topics.handle(input)) {
      this.#perform(effect, nowMs)
    }
  }

  #perform(effect: TopicsEffect, nowMs: Millis): void {
    switch (effect.type) {
      case 'snapshotBegun':
        this.#ownBefore = this.#ownHeads()
        return
      case 'snapshotWritten':
        return this.#deps.tellReplication({ type: 'floorsRaised', floors: this.#ownBefore })
      case 'topicUpdated':
        this.#onUpdated(effect.now, nowMs)
        this.#deps.order(effect)
        return
      case 'writeTopics':
      case 'topicSettled':
      case 'topicRefused':
        this.#deps.order(effect)
    }
  }

  /** How far this peer has written of the registry. Nothing of that is on its way to disk: one write at a time. */
  #ownHeads(): readonly { readonly feed: FeedId; readonly floor: Head }[] {
    const { self, names, replication } = this.#deps
    const feeds = replication.local.ofTopic(names.idOf(topicsTopic))
    return feeds.flatMap(({ feed, durable }) => (feed.writer === self && durable ? [{ feed, floor: durable }] : []))
  }

  edited({ ref, topic, edit }: Extract<PeerInput, { type: 'topicEdited' }>, nowMs: Millis): void {
    if (edit.type !== 'delete') return this.handle({ type: 'topicEdited', ref, topic, edit }, nowMs)
    if (this.#isKnown(topic)) {
      const generation = this.#deps.names.generationOf(topic)
      const seen = { ...edit, generation, upTo: this.#deleted.seenOf(topic) }
      return this.handle({ type: 'topicEdited', ref, topic, edit: seen }, nowMs)
    }
    const detail = `${topic} is not known to this peer.`
    this.#deps.order({ type: 'topicRefused', ref, code: 'TOPIC_NOT_FOUND', detail })
  }

  remaining(): readonly RemainingTopic[] {
    return this.#deleted.remaining()
  }

  /** Looks at what is left of deleted topics. */
  timerFired(dueMs: Millis, nowMs: Millis): void {
    if (dueMs !== this.#lookAtMs) return
    this.#lookAtMs = Number.POSITIVE_INFINITY
    const floors = this.#deleted.look(nowMs).flatMap((order) => {
      return order.type === 'raiseFloor' ? [{ feed: order.feed.local.feed, floor: order.floor }] : []
    })
    if (floors.length > 0) this.#deps.tellReplication({ type: 'floorsRaised', floors })
    for (const remains of this.#deleted.found()) this.#deps.order({ type: 'remainsFound', remains })
    const { kept, lookEveryMs } = this.#deps.remains
    if (kept.length > 0 || this.#hasKept) this.#deps.order({ type: 'persistRemains', kept })
    this.#hasKept = kept.length > 0
    this.#armLook(lookEveryMs, nowMs)
  }

  #onUpdated(state: TopicState, nowMs: Millis): void {
    this.#share([state])
    if (state.deleted.size === 0) return
    for (const topicId of this.#deps.names.deletedIdsOf(state.topic)) this.#deps.retire(topicId)
    this.#armLook(0, nowMs)
  }

  /** Replication learns how many copies topics ask for, and how long records are kept. */
  #share(states: readonly TopicState[]): void {
    const { names, tellReplication } = this.#deps
    const asking = states.filter(({ replicas }) => replicas.size > 0)
    const topics = asking.map((state) => ({ topicId: names.idOf(state.topic), replicas: configOf(state).replicas }))
    if (topics.length > 0) tellReplication({ type: 'replicasChanged', topics })
    tellReplication({ type: 'retentionChanged', topics: states.flatMap((state) => this.#retentionsOf(state)) })
  }

  /** What becomes of a deleted generation is no matter of its retention. */
  #retentionsOf(state: TopicState): readonly TopicRetention[] {
    const { names } = this.#deps
    const deleted = names.deletedIdsOf(state.topic).map((topicId) => ({ topicId, retention: {} }))
    return [...deleted, { topicId: names.idOf(state.topic), retention: configOf(state).retention }]
  }

  #isKnown(topic: TopicName): boolean {
    const { topics, names, replication } = this.#deps
    return exists(topics.get(topic)) || replication.local.ofTopic(names.idOf(topic)).length > 0
  }

  #armLook(afterMs: Millis, nowMs: Millis): void {
    const dueMs = nowMs + afterMs
    if (dueMs >= this.#lookAtMs) return
    this.#lookAtMs = dueMs
    const timer = { machine: 'topics', timer: { type: 'lookAtRemains', dueMs } } as const
    this.#deps.order({ type: 'setTimer', timer, afterMs })
  }
}
