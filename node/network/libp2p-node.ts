import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { MeshError } from '#protocol/errors'
import { multiaddrsOf } from './addresses.ts'
import { lateNoise } from './late-noise.ts'
import { connectionsMaxFor, networkLimits } from './network-limits.ts'
import { PeerTls } from './peer-tls.ts'
import { Strangers } from './strangers.ts'
import { strictYamux } from './strict-yamux.ts'
import type { NetworkTiming } from './network-limits.ts'
import type { Ed25519PrivateKey, Libp2p, MultiaddrConnection, PeerId as Libp2pPeerId } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

export type MeshNode = Libp2p

export interface MeshNodeConfig {
  readonly privateKey: Ed25519PrivateKey
  /** `host:port`; port 0 takes a free one. */
  readonly listen: string
  /** Peers that are neither dialed nor let in. */
  readonly refuses: (peer: PeerId) => boolean
  readonly strangers?: Strangers
  readonly timing?: Partial<NetworkTiming>
}

/** A libp2p node, not yet started: protocols are registered first, so that nobody finds it without them. */
export async function createMeshNode(config: MeshNodeConfig): Promise<MeshNode> {
  const { keepAliveMs, socketIdleMs } = { ...networkLimits, ...config.timing }
  const refuses = (peer: Libp2pPeerId): boolean => config.refuses(peer.toString() as PeerId)
  const { strangers = new Strangers(() => undefined) } = config
  const node = await createLibp2p({
    start: false,
    privateKey: config.privateKey,
    nodeInfo: { name: 'grapevine', userAgent: 'grapevine' },
    addresses: { listen: [await listenAddressOf(config.listen)] },
    transports: [
      tcp({
        inboundSocketInactivityTimeout: socketIdleMs,
        outboundSocketInactivityTimeout: socketIdleMs,
        maxConnections: networkLimits.connectionsMax + networkLimits.pendingConnectionsMax,
        backlog: networkLimits.pendingConnectionsMax,
      }),
    ],
    connectionEncrypters: [(components) => new PeerTls(config.privateKey, components), lateNoise()],
    streamMuxers: [
      strictYamux({
        enableKeepAlive: true,
        keepAliveInterval: keepAliveMs,
        maxOutboundStreams: networkLimits.streamsPerConnectionMax,
        maxEarlyStreams: networkLimits.streamsPerConnectionMax,
        streamOptions: {
          // Left to itself a window grows to 16 MiB, past the read buffer, and a burst would reset the stream.
          maxStreamWindowSize: networkLimits.streamWindowBytes,
          maxReadBufferLength: networkLimits.readBufferBytesMax,
          maxWriteBufferLength: networkLimits.writeBufferBytesMax,
          // A stream may be silent for ever: membership decides who is gone, and the socket has its own limit.
          inactivityTimeout: 2 ** 31 - 1,
        },
      }),
    ],
    connectionManager: {
      maxConnections: connectionsMaxFor(1),
      maxIncomingPendingConnections: networkLimits.pendingConnectionsMax,
      inboundConnectionThreshold: networkLimits.connectionsPerHostPerSecondMax,
      maxParallelDials: networkLimits.dialsMax,
      maxDialQueueLength: networkLimits.dialQueueMax,
      maxPeerAddrsToDial: networkLimits.addressesPerDialMax,
      addressDialTimeout: networkLimits.addressDialMs,
      dialTimeout: networkLimits.dialMs,
      inboundUpgradeTimeout: networkLimits.handshakeMs,
      inboundStreamProtocolNegotiationTimeout: networkLimits.linkSetupMs,
      outboundStreamProtocolNegotiationTimeout: networkLimits.linkSetupMs,
      connectionCloseTimeout: networkLimits.closeMs,
      // Addresses are given best first.
      addressSorter: () => 0,
      // Re-dialing is decided by membership: nothing is tagged keep-alive, and nothing is retried here.
      reconnectRetries: 0,
    },
    // Its pings would close the connection of a peer that is merely slow. Probing is for membership (SWIM).
    connectionMonitor: { enabled: false },
    connectionGater: {
      denyDialPeer: refuses,
      denyInboundConnection: async (connection) => {
        await strangers.arrived(connection)
        return false
      },
      denyInboundEncryptedConnection: (peer, connection) => {
        strangers.identified(connection)
        return refuses(peer)
      },
      denyOutboundEncryptedConnection: refuses,
    },
  })
  tellOfTurnedAway(node, strangers)
  return node
}

async function listenAddressOf(listen: string): Promise<string> {
  const found = await multiaddrsOf(listen).catch((cause: unknown) => {
    throw new MeshError('CONFIG_INVALID', `--listen ${listen}: the name has no address`, { cause })
  })
  return String(found[0])
}

/** The mesh has so many members now. libp2p closes what is beyond its limit only if nothing goes over it. */
export function expectMembers(node: MeshNode, members: number): void {
  const { connectionManager } = (node as LimitedNode).components
  connectionManager.setMaxConnections(connectionsMaxFor(members))
}

/** Its type does not tell of what it is made of. */
type LimitedNode = MeshNode & { readonly components: { readonly connectionManager: ConnectionLimit } }
type ConnectionLimit = {
  setMaxConnections(max: number): void
  acceptIncomingConnection(connection: MultiaddrConnection): boolean
}

/** libp2p closes those that it has no room for without asking its gater. */
function tellOfTurnedAway(node: MeshNode, strangers: Strangers): void {
  const { connectionManager } = (node as LimitedNode).components
  const accept = connectionManager.acceptIncomingConnection.bind(connectionManager)
  connectionManager.acceptIncomingConnection = (connection) => {
    const isAccepted = accept(connection)
    if (!isAccepted) strangers.turnedAway(connection)
    return isAccepted
  }
}

/** Starts listening. Errors: PORT_IN_USE, CONFIG_INVALID. */
export async function startListening(node: MeshNode, listen: string): Promise<void> {
  try {
    await node.start()
  } catch (cause) {
    const text = String(cause)
    if (text.includes('EADDRINUSE')) throw new MeshError('PORT_IN_USE', `${listen} is in use`, { cause })
    const reason = /\b(EADDRNOTAVAIL|EACCES|EAFNOSUPPORT)\b/.exec(text)?.[0] ?? text
    throw new MeshError('CONFIG_INVALID', `--listen ${listen}: ${reason}`, { cause })
  }
}
