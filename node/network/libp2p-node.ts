import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { MeshError } from '#protocol/errors'
import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'
import { parseAddress } from '../config.ts'
import type { Identify } from '@libp2p/identify'
import type { Ed25519PrivateKey, Libp2p, PeerId as Libp2pPeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '#protocol/ids'

const MiB = 1024 * 1024

/** Bounds of sockets and streams, each with its reason. Those of frames and backlogs are in `protocol/limits.ts`. */
export const networkLimits = {
  /** Open connections, spare ones included: a full mesh of 64 members twice over, and room for strangers in between. */
  connectionsMax: 512,
  /** Connections that are still shaking hands. All peers of a mesh may come back at once after a cut. */
  pendingConnectionsMax: 128,
  /** New connections per second from one IP address: a whole mesh may live behind one (a laptop, a NAT, a test). */
  connectionsPerHostPerSecondMax: 256,
  dialsMax: 32,
  dialQueueMax: 1_024,
  /** Members have at most 8 addresses, a DNS name of seeds may have more. */
  addressesPerDialMax: 32,
  /** One address that swallows packets must not use up the time of the others. */
  addressDialMs: 4_000,
  dialMs: 10_000,
  /** From an accepted socket to an encrypted connection. */
  handshakeMs: 10_000,
  /** From a connection to its two streams. A connection that carries no link by then is closed. */
  linkSetupMs: 10_000,
  /** What a closing connection may take to pass on what was sent before. */
  closeMs: 1_000,
  /** Is the other process still there, at the far end of a link that it seems to have forgotten? */
  answerMs: 3_000,
  /** Control, data, identify; some slack for those that are being closed. */
  streamsPerConnectionMax: 8,
  /** Of each protocol: a link has one. */
  streamsPerProtocolMax: 1,
  /** Bytes that the other side may send beyond what we have read. One round trip's worth at 20 MB/s over 100 ms. */
  streamWindowBytes: 2 * MiB,
  /** Beyond it libp2p resets the stream, so it has to be more than the window. */
  readBufferBytesMax: 4 * MiB,
  /** We write when nothing waits: one data frame, or one control backlog. */
  writeBufferBytesMax: 4 * MiB,
  readAheadBytes: 256 * 1024,
  /** yamux pings: they keep the socket of an idle link from its inactivity limit, whatever its streams do. */
  keepAliveMs: 30_000,
  /** A socket that moved nothing for so long is aborted: its pings go unanswered. */
  socketIdleMs: 120_000,
} as const

assert(networkLimits.streamWindowBytes < networkLimits.readBufferBytesMax, 'a full window fits into the read buffer')
assert(limits.dataFrameBytesMax < networkLimits.writeBufferBytesMax, 'a data frame fits into the write buffer')
assert(limits.controlBacklogBytesMax < networkLimits.writeBufferBytesMax, 'the backlog fits into the write buffer')
assert(networkLimits.keepAliveMs * 2 < networkLimits.socketIdleMs, 'one lost ping does not end a link')

export type MeshNode = Libp2p<{ identify: Identify }>

export interface MeshNodeConfig {
  readonly privateKey: Ed25519PrivateKey
  /** `host:port`; port 0 takes a free one. */
  readonly listen: string
  /** Peers that are neither dialed nor let in. */
  readonly refuses: (peer: PeerId) => boolean
  /** For tests of idle links; the limits above otherwise. */
  readonly keepAliveMs?: number
  readonly socketIdleMs?: number
}

/** A libp2p node, not yet started: protocols are registered first, so that nobody finds it without them. */
export async function createMeshNode(config: MeshNodeConfig): Promise<MeshNode> {
  const { privateKey, keepAliveMs = networkLimits.keepAliveMs, socketIdleMs = networkLimits.socketIdleMs } = config
  const refuses = (peer: Libp2pPeerId): boolean => config.refuses(peer.toString() as PeerId)
  return createLibp2p({
    start: false,
    privateKey,
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
    connectionEncrypters: [tls(), noise()],
    streamMuxers: [
      yamux({
        enableKeepAlive: true,
        keepAliveInterval: keepAliveMs,
        maxInboundStreams: networkLimits.streamsPerConnectionMax,
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
      maxConnections: networkLimits.connectionsMax,
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
      denyInboundEncryptedConnection: refuses,
      denyOutboundEncryptedConnection: refuses,
    },
    // Asked when a dial wants to know whom it met, not on each connection.
    services: { identify: identify({ runOnConnectionOpen: false }) },
  })
}

async function listenAddressOf(listen: string): Promise<string> {
  const found = await multiaddrsOf(listen).catch((cause: unknown) => {
    throw new MeshError('CONFIG_INVALID', `--listen ${listen}: the name has no address`, { cause })
  })
  return String(found[0])
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

/** Where this node listens, as `host:port`, those that other machines can reach first. */
export function addressesOf(node: MeshNode): string[] {
  const addresses = node.getMultiaddrs().flatMap((address) => hostPortOf(address) ?? [])
  const isLocal = (address: string): boolean => address.startsWith('127.') || address.startsWith('[::1]')
  return [...new Set(addresses)].toSorted((a, b) => Number(isLocal(a)) - Number(isLocal(b)))
}

/** Peers listen there unless told otherwise (DESIGN §11): the port of a seed that names none. */
const peerPortDefault = 7400

/** All addresses of `host:port` or a bare host, IP or DNS name; names are looked up anew each time. Rejects with a reason. */
export async function multiaddrsOf(address: string, peer?: PeerId): Promise<Multiaddr[]> {
  const { host, port } = parseAddress(address) ?? { host: address, port: peerPortDefault }
  const found = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host, family: isIP(host) }]
  const suffix = peer === undefined ? '' : `/p2p/${peer}`
  return found.map(({ address: ip, family }) => multiaddr(`/ip${family}/${ip}/tcp/${port}${suffix}`))
}

function hostPortOf(address: Multiaddr): string | undefined {
  const [ip, port] = address.getComponents()
  if (ip?.value === undefined || port?.name !== 'tcp') return undefined
  return ip.name === 'ip6' ? `[${ip.value}]:${port.value}` : `${ip.value}:${port.value}`
}
