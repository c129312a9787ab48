import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import type { Epoch, PeerId } from '#protocol/ids'
import { HybridClock } from '#protocol/log/hybrid-clock'
import type { Machine, Random } from '#protocol/machine'
import type { MembershipConfig } from '#protocol/membership/config'
import { Membership, type MembershipOptions } from '#protocol/membership/membership'
import type { MemberFacts } from '#protocol/membership/messages'
import type { PeerEffect, PeerInput } from '#protocol/peer/inputs'
import { Peer } from '#protocol/peer/peer'
import { Replication } from '#protocol/replication/replication'
import type { FeedStore } from '#storage/feed-store'
import { GroupCommit, groupCommitDefaults } from '#storage/group-commit'
import { type DriverDeps, PeerDriver } from './driver.ts'
import type { Clock, Transport } from './driver-ports.ts'
import { type OnCommit, timedAppends } from './timed-appends.ts'
import { decodeRegistry } from './registry-codec.ts'

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
  readonly store: FeedStore
  readonly transport: Transport
  readonly clock: Clock
  readonly digests: Digests
  readonly random: Random
  /** The disk failed: the peer has stopped without acking, and its process must end. */
  readonly onStorageFailed: (error: MeshError) => void
  readonly onMemberChanged?: NonNullable<DriverDeps['onMemberChanged']>
  readonly onBadFrame?: NonNullable<DriverDeps['onBadFrame']>
  /** Told of every group commit. */
  readonly onCommit?: OnCommit
  /** Rules of membership made wrong: the simulator plants bugs. */
  readonly wrongRules?: Pick<MembershipOptions, 'supersedes' | 'createRejoin'>
  /** Wraps the machine: the simulator plants bugs. */
  readonly decorate?: (peer: Peer) => Machine<PeerInput, PeerEffect>
}

/** Makes a peer of what its disk knows. Nothing moves before `start`. */
export async function bootPeer(options: BootOptions): Promise<PeerDriver> {
  const { self, epoch, cluster, store, clock, digests, onCommit } = options
  const feeds = await store.feeds()
  const registry = decodeRegistry(await store.getMeta('registry'))
  const ceiling = await store.getMeta('clock')
  const replication = new Replication({ self, epoch, feeds })
  const membership = new Membership({
    self,
    facts: { ...options.facts, counter: 0 },
    registry,
    seeds: options.seeds,
    random: options.random,
    config: options.membership,
    ...options.wrongRules,
  })
  const peer = new Peer({ self, epoch, cluster, digests, membership, replication })
  // A wrong clock elsewhere must not become ours: what others wrote says nothing of our time (DESIGN §4).
  const ownFeeds = feeds.filter(({ feed }) => feed.writer === self)
  const floorMs = Math.max(Number(new TextDecoder().decode(ceiling)) || 0, ...ownFeeds.map(({ hlcMs }) => hlcMs))
  const committed = onCommit === undefined ? store : timedAppends({ store, clock, onCommit })
  const driver: PeerDriver = new PeerDriver({
    ...options,
    peer,
    commit: new GroupCommit(groupCommitDefaults, { store: committed, onFailure: (cause) => fail(cause) }),
    hybridClock: new HybridClock(floorMs),
    ...(options.decorate && { machine: options.decorate(peer) }),
  })
  const fail = (cause: unknown): void => {
    const error = new MeshError('STORAGE_FAILED', 'A write to the data directory failed; nothing of it was acked', {
      cause,
    })
    driver.stop(error)
    options.onStorageFailed(error)
  }
  return driver
}
