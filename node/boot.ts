import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { type Epoch, type PeerId, topicIdOf } from '#protocol/ids'
import { HybridClock } from '#protocol/log/hybrid-clock'
import type { Machine, Random } from '#protocol/machine'
import type { MembershipConfig } from '#protocol/membership/config'
import { Membership, type MembershipOptions } from '#protocol/membership/membership'
import type { MemberFacts } from '#protocol/membership/messages'
import type { PeerEffect, PeerInput } from '#protocol/peer/inputs'
import type { PartitionsConfig } from '#protocol/partitions/partitions'
import { Peer } from '#protocol/peer/peer'
import { checkpointEveryDefault } from '#protocol/peer/producer-indexes'
import { type ReplicationConfig, replicationDefaults } from '#protocol/replication/config'
import { Replication } from '#protocol/replication/replication'
import { topicsTopic } from '#protocol/topic-name'
import { deletedGraceMsDefault, Remains } from '#protocol/topics/remains'
import { compactAfterDefault, Topics, type TopicsOptions } from '#protocol/topics/topics'
import type { FeedStore } from '#storage/feed-store'
import { GroupCommit, groupCommitDefaults } from '#storage/group-commit'
import { bootNoted, readBoots } from './boots.ts'
import { DiskSpace, type DiskSpaceDeps } from './disk-space.ts'
import { type DriverDeps, PeerDriver } from './driver.ts'
import type { Clock, Transport } from './driver-ports.ts'
import { type OnCommit, timedAppends } from './timed-appends.ts'
import { decodeRegistry } from './registry-codec.ts'
import { decodeRemains } from './remains-codec.ts'
import { TopicRecords } from './topic-records.ts'

export interface BootOptions {
  readonly self: PeerId
  /** 64 random bits of this boot: no two boots share them, so no feed can fork (DESIGN §4). */
  readonly epoch: Epoch
  readonly cluster: string
  /** What this peer says of itself. The counter is set here, above the one that the registry has. */
  readonly facts: Omit<MemberFacts, 'counter'>
  /** `host:port` of peers to join. */
  readonly seeds: readonly string[]
  readonly membership: MembershipConfig
  readonly replication?: Partial<ReplicationConfig>
  /** See `TopicsOptions.compactAfter`. */
  readonly compactTopicsAfter?: number
  /** For how long records stay that were published to a deleted topic. */
  readonly deletedGraceMs?: number
  readonly store: FeedStore
  readonly transport: Transport
  readonly clock: Clock
  readonly digests: Digests
  readonly random: Random
  /** Ranges of producers between two checkpoints of a topic (`ProducerIndexes`). */
  readonly checkpointEvery?: number
  /** The disk failed: the peer has stopped without acking, and its process must end. */
  readonly onStorageFailed: (error: MeshError) => void
  readonly onMemberChanged?: NonNullable<DriverDeps['onMemberChanged']>
  readonly onStatusChanged?: NonNullable<DriverDeps['onStatusChanged']>
  readonly onLink?: NonNullable<DriverDeps['onLink']>
  readonly onPartition?: NonNullable<DriverDeps['onPartition']>
  readonly onDouble?: NonNullable<DriverDeps['onDouble']>
  readonly onBadFrame?: NonNullable<DriverDeps['onBadFrame']>
  readonly onDeletion?: NonNullable<DriverDeps['onDeletion']>
  readonly onDamage?: NonNullable<DriverDeps['onDamage']>
  /** Told of every group commit. */
  readonly onCommit?: OnCommit
  /** How much room there is on the disk of the store; without it, that is nobody's concern. */
  readonly space?: DiskSpaceDeps['space']
  readonly onDiskChanged?: (full: boolean) => void
  /** Rules made wrong: the simulator plants bugs. */
  readonly wrongRules?: WrongRules
  /** Wraps the machine: the simulator plants bugs. */
  readonly decorate?: (peer: Peer) => Machine<PeerInput, PeerEffect>
}

export interface WrongRules extends Pick<MembershipOptions, 'supersedes' | 'createRejoin'> {
  readonly createClock?: (floorMs: number) => HybridClock
  readonly createTopics?: (options: TopicsOptions) => Topics
  readonly createRemains?: (...options: ConstructorParameters<typeof Remains>) => Remains
}

const rightRules = {
  createClock: (floorMs: number) => new HybridClock(floorMs),
  createTopics: (options: TopicsOptions) => new Topics(options),
  createRemains: (...options: ConstructorParameters<typeof Remains>) => new Remains(...options),
}

/** Makes a peer of what its disk knows, and notes there that it has booted. Nothing else moves before `start`. */
export async function bootPeer(options: BootOptions): Promise<PeerDriver> {
  const { self, epoch, cluster, store, clock, digests, onCommit } = options
  const feeds = await store.feeds()
  const registry = decodeRegistry(await store.getMeta('registry'))
  const ceiling = await store.getMeta('clock')
  const boots = await readBoots(store)
  const replication = new Replication({
    self,
    epoch,
    feeds,
    config: { ...replicationDefaults, linksMax: options.membership.linksMax, ...options.replication },
  })
  const membership = new Membership({
    self,
    facts: { ...options.facts, counter: 0 },
    registry,
    seeds: options.seeds,
    random: options.random,
    config: options.membership,
    ...options.wrongRules,
  })
  const topicRecords = new TopicRecords(self)
  const topicsId = topicIdOf(digests, { cluster, name: topicsTopic, generation: 0 })
  const states = await topicRecords.readOn({
    feeds: () => feeds.filter(({ feed }) => feed.topicId === topicsId),
    read: (...range) => store.read(...range),
  })
  const { createTopics, createRemains } = { ...rightRules, ...options.wrongRules }
  const { compactTopicsAfter: compactAfter = compactAfterDefault } = options
  const { ownStates } = topicRecords
  const topics = createTopics({ self, epoch, digests, states, ownStates, compactAfter })
  const kept = decodeRemains(await store.getMeta('remains'))
  const remains = createRemains(options.deletedGraceMs ?? deletedGraceMsDefault, kept)
  const { checkpointEvery = checkpointEveryDefault } = options
  const parts = { membership, replication, topics, remains }
  const partitions = partitionsConfigOf(options.membership)
  const peer = new Peer({ self, epoch, boots, cluster, digests, ...parts, partitions, checkpointEvery })
  // A wrong clock elsewhere must not become ours: what others wrote says nothing of our time (DESIGN §4).
  const ownFeeds = feeds.filter(({ feed }) => feed.writer === self)
  // One more: of the time of a batch the store tells the milliseconds, not the counter.
  const writtenMs = ownFeeds.map(({ hlcMs }) => hlcMs + 1)
  const floorMs = Math.max(Number(new TextDecoder().decode(ceiling)) || 0, ...writtenMs)
  const { createClock } = { ...rightRules, ...options.wrongRules }
  const committed = timedAppends({
    store,
    clock,
    onCommit: (one) => {
      onCommit?.(one)
      disk?.committed(one.bytes)
    },
  })
  const commit = new GroupCommit(groupCommitDefaults, { store: committed, onFailure: (cause) => fail(cause), clock })
  const disk = options.space && diskSpaceOf({ ...options, space: options.space }, commit, () => driver)
  const driver: PeerDriver = new PeerDriver({
    ...options,
    peer,
    topicRecords,
    commit,
    ...(disk && { disk }),
    hybridClock: createClock(floorMs),
    ...(options.decorate && { machine: options.decorate(peer) }),
  })
  const fail = (cause: unknown): void => {
    const error = new MeshError('STORAGE_FAILED', 'A write to the data directory failed; nothing of it was acked', {
      cause,
    })
    driver.stop(error)
    options.onStorageFailed(error)
  }
  commit.storeChange(bootNoted(boots, epoch))
  return driver
}

/** A cut is noticed by one probe after the other, and a heal by one dial after the other (`protocol/membership/config.ts`). */
const partitionsConfigOf = (config: MembershipConfig): PartitionsConfig => ({
  togetherMs: config.suspicionMaxMult * config.suspicionMult * config.probeIntervalMs,
  settleMs: 2 * config.dialBackoffMsMax,
})

function diskSpaceOf(
  { space, clock, store, onDiskChanged }: BootOptions & { readonly space: DiskSpaceDeps['space'] },
  commit: GroupCommit,
  driver: () => PeerDriver,
): DiskSpace {
  const onChange = (full: boolean): void => {
    onDiskChanged?.(full)
    driver().diskChanged(full)
  }
  const reclaim = async (): Promise<void> => store.reclaim?.()
  return new DiskSpace({ space, clock, pendingBytes: () => commit.pendingBytes, onChange, reclaim })
}
