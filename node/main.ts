import { randomBytes } from 'node:crypto'
import type { Authority } from '#gateway/auth/authority'
import type { Lab, LabLink } from '#gateway/broker'
import { gatewayDefaults } from '#gateway/config'
import type { GatewayLog } from '#gateway/gateway-log'
import { type GatewayServer, startGateway } from '#gateway/server'
import { MeshError } from '#protocol/errors'
import { type Epoch, parsePeerId, type PeerId } from '#protocol/ids'
import { membershipProfiles } from '#protocol/membership/config'
import type { Random } from '#protocol/machine'
import type { SelfView } from '#protocol/views'
import { type DataDirectory, openDataDirectory } from '#storage/data-directory'
import type { FeedStore } from '#storage/feed-store'
import { openLevelStore } from '#storage/open-level-store'
import type { StoreWarning } from '#storage/store-warning'
import { openMemoryStore } from '#storage/locked-memory-store'
import { advertisedAddresses, advertisedHttp } from './advertised.ts'
import { MeshRevocations } from './auth/mesh-revocations.ts'
import { openAuthority } from './auth/open-authority.ts'
import { bootPeer } from './boot.ts'
import { PeerBroker } from './broker.ts'
import { type NodeConfig, parseAddress } from './config.ts'
import { spaceAt } from './disk-space.ts'
import type { PeerDriver } from './driver.ts'
import { strangerTold } from './event-words.ts'
import { loadIdentity } from './identity.ts'
import { LateListener } from './late-listener.ts'
import type { LeveledLog, Log } from './log.ts'
import { MeshEvents } from './mesh-events.ts'
import { PeerMetrics } from './metrics.ts'
import { createTransport, type Network } from './network/network.ts'
import type { StrangerNews } from './network/strangers.ts'
import { newsOf } from './news.ts'
import { nodeDigests } from './node-digests.ts'
import { realClock } from './real-clock.ts'
import { Scrub, scrubDefaults } from './scrub.ts'
import { loadSecrets } from './secrets.ts'
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
export async function startPeer(config: NodeConfig, log: LeveledLog): Promise<RunningPeer> {
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
    const events = new MeshEvents(epoch, realClock)
    events.add('started', { peer: peerId, name: config.name, text: `${config.name} started` })
    const broker = newBroker(unknown, metrics, events)
    const gateway = await startHttp({ config, broker, metrics, log })
    const listener = new LateListener()
    stops.push(() => gateway.stop())
    const { cluster, listen, lab } = config
    const secrets = await loadSecrets(config.secretFile)
    const told = { log: log.info, onStranger: (news: StrangerNews): void => events.add(...strangerTold(news)) }
    const network = await createTransport({ privateKey, cluster, secrets, listen, lab, ...told }, listener)
    stops.push(() => network.stop())
    const bound = { peers: network.addresses, clients: gateway }
    const http = advertisedHttp(config, bound)
    const expectMembers = (): void => network.expectMembers(driver.peer.membership.registryView().peers.length)
    const news = newsOf({ config, log, metrics, events, driver: () => driver, onMembers: expectMembers })
    const driver: PeerDriver = await bootPeer({
      self: peerId,
      epoch,
      cluster,
      facts: { name: config.name, addresses: advertisedAddresses(config, bound), http, zone: config.zone },
      seeds: config.join,
      membership: { ...membershipProfiles[config.profile], linksMax: config.linksMax },
      replication: { replaceAfterMs: config.replaceAfter, handoffGraceMs: config.handoffGrace },
      deletedGraceMs: config.deletedGrace,
      store,
      transport: network.transport,
      clock: realClock,
      digests: nodeDigests,
      random: processRandom,
      onStorageFailed: (error) => failed.resolve(error),
      onCommit: metrics.committed,
      ...(config.storage === 'level' && { space: () => spaceAt(config.data) }),
      ...news,
    })
    await followRevocations(gateway.authority, driver, log)
    broker.attach(driver, selfView(config, { peerId, epoch, http, listen: network.addresses }), labOf(driver, network))
    const onDisk = config.storage === 'level' ? { data: config.data } : {}
    metrics.attach({ broker, driver, gateway, clock: realClock, strangers: network.strangers, ...onDisk })
    expectMembers()
    listener.attach(driver)
    driver.start()
    const scrub = startScrub(config, store, driver, log)
    const parts = { broker, gateway, driver, network, store, metrics, scrub }
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
  readonly scrub: Scrub
}): Promise<void> {
  const { broker, gateway, driver, network, store, metrics, scrub } = parts
  scrub.stop()
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
  const onWarning = ({ type, ...facts }: StoreWarning): void => {
    // These mean minutes of work for the mesh, and a disk that wants to be looked at.
    if (type === 'databaseDamaged') log.error('database is damaged and is moved aside', facts)
    else if (type === 'databaseSalvaged') log.error('database was made anew of what could be read', facts)
    else log.warn('store found damage', { damage: type, ...facts })
  }
  return openLevelStore({ directory, digests: nodeDigests, onWarning })
}

function startScrub(config: NodeConfig, store: FeedStore, driver: PeerDriver, log: Log): Scrub {
  const scrub = new Scrub(
    { ...scrubDefaults, bytesPerSecond: config.scrubRate * 1024 * 1024 },
    {
      store,
      feeds: () => Array.from(driver.peer.replication.local.all(), ({ feed }) => feed),
      clock: realClock,
      digests: nodeDigests,
      onDamage: (feed, range) => driver.damageFound(feed, range),
    },
  )
  // Only a store that is closed or has failed does not let itself be read, and says so elsewhere.
  if (config.scrubRate > 0) scrub.run().catch((error: unknown) => log.warn('scrub ended', { error: String(error) }))
  return scrub
}

function newBroker(self: SelfView, metrics: PeerMetrics, events: MeshEvents): PeerBroker {
  const { published, read } = metrics
  return new PeerBroker(self, { clock: realClock, digests: nodeDigests, events, onPublish: published, onRead: read })
}

async function startHttp(parts: {
  readonly config: NodeConfig
  readonly broker: PeerBroker
  readonly metrics: PeerMetrics
  readonly log: LeveledLog
}): Promise<GatewayServer & { readonly authority: Authority | undefined }> {
  const { config, broker, metrics, log } = parts
  const address = parseAddress(config.http)
  if (address === undefined) throw new MeshError('CONFIG_INVALID', `--http ${config.http} is not host:port`)
  const reportError = (error: unknown): void => log.error('gateway made a mistake', { error: String(error) })
  const browsers = { allowOrigins: config.allowOrigin, ownHosts: ownHostsOf(config) }
  const { maxConnections: connectionsMax, rate, rateBytes, trustedProxies } = config
  const bounds = { connectionsMax, rates: { requestsPerSecond: rate, bytesPerSecond: rateBytes }, trustedProxies }
  const auth = await openAuthority(config, log)
  const gateway = await startGateway({
    broker,
    config: { ...gatewayDefaults, ...bounds, ...address, ...browsers },
    metrics,
    reportError,
    authority: auth?.authority,
    log: gatewayLogOf(log),
  }).catch((error: unknown) => {
    auth?.stop()
    throw error
  })
  return { ...gateway, authority: auth?.authority, stop: () => gateway.stop().finally(() => auth?.stop()) }
}

/** Before clients are served: what was revoked is on this disk. */
async function followRevocations(authority: Authority | undefined, driver: PeerDriver, log: Log): Promise<void> {
  if (authority !== undefined) await new MeshRevocations({ driver, authority, self: driver.peer.self, log }).read()
}

/** Levels are changed through the gateway. */
const gatewayLogOf = (log: LeveledLog): GatewayLog => ({
  get level() {
    return log.level
  },
  set level(level) {
    log.level = level
    log.info('log level changed', { to: level })
  },
  request: (line) => log.debug('request', { ...line }),
})

/** Names under which browsers may know the gateway. */
const ownHostsOf = ({ http, advertiseHttp }: NodeConfig): readonly string[] => [
  parseAddress(http)?.host ?? '',
  ...(advertiseHttp === undefined ? [] : [new URL(advertiseHttp).hostname]),
]

function labOf(driver: PeerDriver, { lab }: Network): Lab | undefined {
  if (lab === undefined) return undefined
  const { membership } = driver.peer
  const named = (peers: Iterable<PeerId>): readonly string[] => [...peers].map((peer) => membership.nameOf(peer))
  const linksNow = (): readonly LabLink[] =>
    [...lab.ways].map(([peer, way]) => ({ from: membership.nameOf(peer), ...way }))
  return {
    drop(namesOrIds) {
      const peers = namesOrIds.map((text) => memberNamed(driver, text))
      lab.drop(peers)
      return named(peers)
    },
    setLinks(links) {
      lab.setWays(new Map(links.map(({ from, ...way }) => [memberNamed(driver, from), way])))
      return linksNow()
    },
    heal() {
      lab.drop([])
      lab.setWays(new Map())
    },
    dropped: () => named(lab.dropped),
    links: linksNow,
  }
}

function memberNamed(driver: PeerDriver, text: string): PeerId {
  const { membership } = driver.peer
  const found = membership.registryView().peers.find((peer) => peer === text || membership.nameOf(peer) === text)
  // A cut may come before the member that it keeps away.
  const stranger = peerIdOfLibp2p.test(text) ? parsePeerId(text) : undefined
  if (found === undefined && stranger !== undefined) return stranger
  if (found === undefined) throw new MeshError('MEMBER_NOT_FOUND', `No member is called ${text}`)
  if (found === driver.peer.self)
    throw new MeshError('BAD_REQUEST', `${text} is this peer: it cannot be cut off from itself`)
  return found
}

/** Of an Ed25519 key, in base58. */
const peerIdOfLibp2p = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/

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
