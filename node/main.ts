import { randomBytes } from 'node:crypto'
import type { Lab } from '#gateway/broker'
import { gatewayDefaults } from '#gateway/config'
import { type GatewayServer, startGateway } from '#gateway/server'
import { MeshError } from '#protocol/errors'
import type { Epoch, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { membershipProfiles } from '#protocol/membership/config'
import type { Random } from '#protocol/machine'
import type { SelfView } from '#protocol/views'
import { type DataDirectory, openDataDirectory } from '#storage/data-directory'
import type { FeedStore } from '#storage/feed-store'
import { openLevelStore } from '#storage/level-store'
import { openMemoryStore } from '#storage/locked-memory-store'
import { bootPeer } from './boot.ts'
import { PeerBroker } from './broker.ts'
import { type NodeConfig, parseAddress } from './config.ts'
import type { PeerDriver } from './driver.ts'
import { loadIdentity } from './identity.ts'
import { LateListener } from './late-listener.ts'
import type { Log } from './log.ts'
import { PeerMetrics } from './metrics.ts'
import { createTransport, type Network } from './network/network.ts'
import { nodeDigests } from './node-digests.ts'
import { realClock } from './real-clock.ts'
import { version } from './version.ts'

/** A running peer, for whoever started it: the CLI, or a test. */
export interface RunningPeer {
  readonly name: string
  readonly peerId: string
  /** `host:port` of its peer port. */
  readonly listen: readonly string[]
  /** URL of its gateway. */
  readonly http: string
  readonly lab: boolean
  /** Stops accepting, finishes what was accepted, tells the others that it leaves, and closes. May be called again. */
  drain(): Promise<void>
  /** Resolves when the peer cannot go on (its disk failed): end the process with an exit code. */
  readonly failed: Promise<MeshError>
}

/** The order of a peer's parts: each started needs those before it; a stop goes back. */
export async function startPeer(config: NodeConfig, log: Log): Promise<RunningPeer> {
  const failed = Promise.withResolvers<MeshError>()
  const metrics = new PeerMetrics()
  const stops: (() => Promise<void> | void)[] = [() => metrics.stop()]
  try {
    const directory = await openDataDirectory({ path: config.data, cluster: config.cluster })
    const store = await openStore(config, directory, log)
    stops.push(() => store.close())
    const { privateKey, peerId, wasExposed } = await loadIdentity(config.data)
    if (wasExposed) log.warn('identity key was readable by others', { data: config.data })
    const epoch = randomBytes(8).toString('hex') as Epoch
    const unknown = selfView(config, { peerId, epoch, http: '', listen: [] })
    const broker = newBroker(unknown, metrics)
    const gateway = await startHttp({ config, broker, metrics, log })
    const listener = new LateListener()
    stops.push(() => gateway.stop())
    const { cluster, listen, lab } = config
    const network = await createTransport({ privateKey, cluster, listen, lab, log: log.info }, listener)
    stops.push(() => network.stop())
    const http = config.advertiseHttp ?? gateway.url
    const nameOf = (peer: PeerId): string => driver.peer.membership.nameOf(peer)
    const driver: PeerDriver = await bootPeer({
      self: peerId,
      epoch,
      cluster,
      facts: { name: config.name, addresses: addressesOf(config, network), http, zone: config.zone },
      seeds: config.join,
      membership: membershipProfiles[config.profile],
      store,
      transport: network.transport,
      clock: realClock,
      digests: nodeDigests,
      random: processRandom,
      onStorageFailed: (error) => failed.resolve(error),
      onCommit: metrics.committed,
      onMemberChanged: ({ peer, from, to, incarnation, by, reason }) => {
        metrics.memberChanged(to)
        log.info('member changed', { member: nameOf(peer), from, to, incarnation, by: nameOf(by), reason })
      },
      onBadFrame: (peer, what) => log.warn('frame not understood', { peer, what }),
    })
    broker.attach(driver, selfView(config, { peerId, epoch, http, listen: network.addresses }), labOf(driver, network))
    metrics.attach({
      broker,
      driver,
      gateway,
      clock: realClock,
      ...(config.storage === 'level' && { data: config.data }),
    })
    listener.attach(driver)
    driver.start()
    const parts = { broker, gateway, driver, network, store, metrics }
    let drained: Promise<void> | undefined
    return {
      name: config.name,
      peerId,
      listen: network.addresses,
      http: gateway.url,
      lab,
      drain: () => (drained ??= drain(parts)),
      failed: failed.promise,
    }
  } catch (error) {
    for (const stop of stops.toReversed()) await Promise.resolve(stop()).catch(() => {})
    throw error
  }
}

async function drain(parts: {
  readonly broker: PeerBroker
  readonly gateway: GatewayServer
  readonly driver: PeerDriver
  readonly network: Network
  readonly store: FeedStore
  readonly metrics: PeerMetrics
}): Promise<void> {
  const { broker, gateway, driver, network, store, metrics } = parts
  broker.drain()
  await gateway.stop()
  driver.leave()
  // Passes on what was sent, the farewell included. With the links gone, what waits for the disk comes to an end.
  await network.stop()
  try {
    await driver.idle()
  } finally {
    driver.stop()
    await store.close()
  }
  metrics.stop()
}

function openStore(config: NodeConfig, directory: DataDirectory, log: Log): Promise<FeedStore> {
  if (config.storage === 'memory') return openMemoryStore(directory, nodeDigests)
  const onWarning = (warning: object): void => log.warn('store found damage', { ...warning })
  return openLevelStore({ directory, digests: nodeDigests, onWarning })
}

function newBroker(self: SelfView, metrics: PeerMetrics): PeerBroker {
  const { published, read } = metrics
  return new PeerBroker(self, { clock: realClock, digests: nodeDigests, onPublish: published, onRead: read })
}

function startHttp(parts: {
  readonly config: NodeConfig
  readonly broker: PeerBroker
  readonly metrics: PeerMetrics
  readonly log: Log
}): Promise<GatewayServer> {
  const { config, broker, metrics, log } = parts
  const address = parseAddress(config.http)
  if (address === undefined) throw new MeshError('CONFIG_INVALID', `--http ${config.http} is not host:port`)
  const reportError = (error: unknown): void => log.error('gateway made a mistake', { error: String(error) })
  return startGateway({ broker, config: { ...gatewayDefaults, ...address }, metrics, reportError })
}

/** What others are told. A peer on all interfaces of a large machine may have more addresses than a member may name. */
function addressesOf(config: NodeConfig, network: Network): readonly string[] {
  return config.advertise === undefined ? network.addresses.slice(0, limits.memberAddressesMax) : [config.advertise]
}

function labOf(driver: PeerDriver, { lab }: Network): Lab | undefined {
  if (lab === undefined) return undefined
  const { membership } = driver.peer
  const named = (peers: Iterable<PeerId>): readonly string[] => [...peers].map((peer) => membership.nameOf(peer))
  return {
    drop(namesOrIds) {
      const peers = namesOrIds.map((text) => memberNamed(driver, text))
      lab.drop(peers)
      return named(peers)
    },
    heal: () => lab.drop([]),
    dropped: () => named(lab.dropped),
  }
}

function memberNamed(driver: PeerDriver, text: string): PeerId {
  const { membership } = driver.peer
  const found = membership.registryView().peers.find((peer) => peer === text || membership.nameOf(peer) === text)
  if (found === undefined) throw new MeshError('MEMBER_NOT_FOUND', `No member is called ${text}`)
  if (found === driver.peer.self)
    throw new MeshError('BAD_REQUEST', `${text} is this peer: it cannot be cut off from itself`)
  return found
}

function selfView(
  config: NodeConfig,
  more: Pick<SelfView, 'epoch' | 'http' | 'listen'> & { readonly peerId: PeerId },
): SelfView {
  return {
    ...more,
    name: config.name,
    cluster: config.cluster,
    version,
    startedAt: new Date().toISOString(),
    storage: config.storage,
  }
}

// Shuffles and jitter need no secrecy.
const processRandom: Random = { next: () => Math.random() }
