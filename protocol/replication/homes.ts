import type { PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { ReplicationConfig } from './config.ts'
import type { TopicReplicas } from './inputs.ts'
import { keepersOf, placementOrder, type RegisteredMember } from './placement.ts'

/** Who belongs to the mesh. */
export interface Registry {
  readonly version: string
  /** False until a joining peer has merged one registry: it does not know yet whom to count. */
  readonly merged: boolean
  readonly members: readonly RegisteredMember[]
  /** Members that are given no topic to keep any more: they hand over what they hold. */
  readonly leaving?: ReadonlySet<PeerId>
  /** Who does not belong any more: what they hold is taken from them, and nothing served. */
  readonly forgotten?: ReadonlySet<PeerId>
}

/** Whom a topic belongs to, as this peer sees it. */
export interface Home {
  /** In order of placement: the denominator of `majority` and `all`. */
  readonly peers: readonly PeerId[]
  /** They keep the topic meanwhile for home members that are long away, and count for neither level. */
  readonly standIns: readonly PeerId[]
  /** All of them: who wants the feeds of the topic, and is pushed to. */
  readonly keepers: ReadonlySet<PeerId>
  readonly registryVersion: string
  readonly merged: boolean
}

/**
 * The homes of all topics, each found when it is first asked for. Absence is this peer's own observation: whoever it has
 * not heard to be there since it started counts from then.
 */
export class Homes {
  readonly self: PeerId
  readonly #config: ReplicationConfig
  #registry: Registry
  #registered: ReadonlySet<PeerId>
  readonly #present: Set<PeerId>
  /** Of registered members that are not present, and since when. */
  readonly #absentSinceMs = new Map<PeerId, Millis>()
  /** Those of them that are replaced. */
  #replaced: ReadonlySet<PeerId> = new Set()
  readonly #replicas = new Map<TopicId, number>()
  readonly #byTopic = new Map<TopicId, Home>()

  constructor(self: PeerId, config: ReplicationConfig) {
    this.self = self
    this.#config = config
    this.#registry = { version: '', merged: false, members: [{ peer: self, zone: '' }] }
    this.#registered = new Set([self])
    this.#present = new Set([self])
  }

  of(topicId: TopicId): Home {
    return this.#byTopic.get(topicId) ?? this.#place(topicId)
  }

  isKeeper(topicId: TopicId, peer: PeerId): boolean {
    return this.of(topicId).keepers.has(peer)
  }

  /** Does this peer keep the topic, and so want its feeds? */
  isOurs(topicId: TopicId): boolean {
    return this.isKeeper(topicId, this.self)
  }

  /** Does the topic belong to this peer? Not before it knows who else there is. */
  isAtHome(topicId: TopicId): boolean {
    const { peers, merged } = this.of(topicId)
    return merged && peers.includes(this.self)
  }

  /** Is this peer to hand over all that it holds? */
  get isOnItsWayOut(): boolean {
    const { leaving, forgotten } = this.#registry
    return leaving?.has(this.self) === true || forgotten?.has(this.self) === true
  }

  /** Does membership believe it to be there? */
  isPresent(peer: PeerId): boolean {
    return this.#present.has(peer)
  }

  isForgotten(peer: PeerId): boolean {
    return this.#registry.forgotten?.has(peer) === true
  }

  /** False until this peer knows who else there is. */
  get merged(): boolean {
    return this.#registry.merged
  }

  get registered(): ReadonlySet<PeerId> {
    return this.#registered
  }

  registryChanged(registry: Registry, nowMs: Millis): void {
    this.#registry = registry
    this.#registered = new Set(registry.members.map(({ peer }) => peer))
    for (const peer of this.#registered) {
      if (!this.#present.has(peer) && !this.#absentSinceMs.has(peer)) this.#absentSinceMs.set(peer, nowMs)
    }
    for (const peer of this.#absentSinceMs.keys()) if (!this.#registered.has(peer)) this.#absentSinceMs.delete(peer)
    this.#byTopic.clear()
  }

  /** True: some home may be another now. */
  presenceChanged(peer: PeerId, present: boolean, nowMs: Millis): boolean {
    if (present) {
      this.#present.add(peer)
      this.#absentSinceMs.delete(peer)
    } else if (this.#present.delete(peer) && this.#registered.has(peer)) {
      this.#absentSinceMs.set(peer, nowMs)
    }
    return this.timePassed(nowMs)
  }

  /** True: some home is another now. */
  replicasChanged(topics: readonly TopicReplicas[]): boolean {
    const changed = topics.filter(({ topicId, replicas }) => this.#replicasOf(topicId) !== replicas)
    for (const { topicId, replicas } of changed) {
      this.#replicas.set(topicId, replicas)
      this.#byTopic.delete(topicId)
    }
    return changed.length > 0
  }

  /** True: some home may be another now. */
  timePassed(nowMs: Millis): boolean {
    const isDue = (sinceMs: Millis): boolean => nowMs - sinceMs >= this.#config.replaceAfterMs
    const replaced = [...this.#absentSinceMs].flatMap(([peer, sinceMs]) => (isDue(sinceMs) ? [peer] : []))
    if (replaced.length === this.#replaced.size && replaced.every((peer) => this.#replaced.has(peer))) return false
    this.#replaced = new Set(replaced)
    this.#byTopic.clear()
    return true
  }

  #replicasOf(topicId: TopicId): number {
    return this.#replicas.get(topicId) ?? this.#config.replicas
  }

  #place(topicId: TopicId): Home {
    const { members, leaving, version: registryVersion, merged } = this.#registry
    const staying = members.filter(({ peer }) => leaving?.has(peer) !== true)
    const { home, standIns } = keepersOf(placementOrder(topicId, staying), {
      replicas: this.#replicasOf(topicId),
      isAbsent: (peer) => this.#replaced.has(peer),
    })
    const placed = { peers: home, standIns, keepers: new Set([...home, ...standIns]), registryVersion, merged }
    // Clients can ask for the homes of topics that nobody has.
    if (this.#byTopic.size >= limits.feedsMax) this.#byTopic.clear()
    this.#byTopic.set(topicId, placed)
    return placed
  }
}
