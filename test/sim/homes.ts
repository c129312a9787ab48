import { nodeDigests } from '#node/node-digests'
import { type TopicId, topicIdOf } from '#protocol/ids'
import { keepersOf, placementOrder } from '#protocol/replication/placement'
import { topicsTopic } from '#protocol/topic-name'
import type { PeerId } from '#protocol/ids'
import type { RegisteredMember } from '#protocol/replication/placement'
import type { PeerDriver } from '#node/driver'
import { statusAt } from './operators.ts'
import { cluster } from './sim-peer.ts'
import type { SimPeer } from './sim-peer.ts'
import type { SimOptions } from './swarm.ts'

export const idOfTopic = (name: string): TopicId => topicIdOf(nodeDigests, { cluster, name, generation: 0 })

/** What the mesh knows of its topics belongs to everybody. */
const registryId = idOfTopic(topicsTopic)

/** Whom the topics of a world belong to, once everybody belongs to the mesh: what checkers compare peers with. */
export class SimHomes {
  /** To be set before anything happens. */
  peers: readonly SimPeer[] = []
  readonly topics: ReadonlyMap<TopicId, string>
  readonly #members: readonly RegisteredMember[]
  readonly #replicas: number

  constructor({ peers, workload, placement }: Pick<SimOptions, 'peers' | 'workload' | 'placement'>) {
    this.topics = new Map(workload.topics.map((name) => [idOfTopic(name), name]))
    this.#members = peers.map((peer, index) => ({ peer, zone: zoneOf(placement, index) }))
    this.#replicas = placement.replicas
  }

  of(topicId: TopicId): readonly PeerId[] {
    return this.among(
      topicId,
      this.staying().map(({ id }) => id),
    )
  }

  /** Who belongs and is to, as the first of them knows; all while nobody runs. */
  staying(): readonly SimPeer[] {
    const witness = this.peers.find((peer) => statusAt(peer, peer.id) === 'member')
    if (witness === undefined) return this.peers
    return this.peers.filter(({ id }) => (statusAt(witness, id) ?? 'member') === 'member')
  }

  ofTopic(name: string): readonly PeerId[] {
    return this.of(idOfTopic(name))
  }

  /** By the registry that this peer has now; nobody while it does not run. */
  seenBy(id: PeerId, topicId: TopicId): readonly PeerId[] {
    const { driver } = this.peers.find((peer) => peer.id === id) ?? {}
    return driver === undefined ? [] : this.among(topicId, keepersAt(driver))
  }

  /** As whoever sees it that knows only of these members. */
  among(topicId: TopicId, peers: readonly PeerId[]): readonly PeerId[] {
    const members = this.#members.filter(({ peer }) => peers.includes(peer))
    const replicas = topicId === registryId ? Number.POSITIVE_INFINITY : this.#replicas
    return keepersOf(placementOrder(topicId, members), { replicas, isAbsent: () => false }).home
  }
}

/** Who may be given topics, by the registry of that peer. */
export function keepersAt({ peer }: PeerDriver): readonly PeerId[] {
  const { peers, leaving } = peer.membership.registryView()
  return peers.filter((id) => !leaving.includes(id))
}

export const zoneOf = ({ zones }: SimOptions['placement'], index: number): string => zones[index % zones.length] ?? ''
