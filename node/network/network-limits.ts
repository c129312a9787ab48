import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'

const MiB = 1024 * 1024

/** Bounds of sockets and streams, each with its reason. Those of frames and backlogs are in `protocol/limits.ts`. */
export const networkLimits = {
  /** However many members there are: sockets, and memory, and what the links may have in flight. */
  connectionsMax: limits.linksMax,
  /** Two for each member: when both dial at once there is a spare one for a while. */
  connectionsPerMember: 2,
  /** For seeds, joiners, the forgotten and strangers, and for a whole mesh that comes to a peer which does not know it yet. */
  connectionsOfStrangers: 128,
  /** Connections that are still shaking hands. All peers of a mesh may come back at once after a cut. */
  pendingConnectionsMax: 128,
  /** New connections per second from one IP address: a whole mesh may live behind one (a laptop, a NAT, a test). */
  connectionsPerHostPerSecondMax: 256,
  /**
   * What a connection waits from an address from which a stranger came, for so long after the last of them: whoever comes again and again
   * costs a handshake a second at most, some 20 ms of a processor, in place of as many as there is time for. Its own peers wait, too.
   */
  strangerDelayMs: 1_000,
  strangerMemoryMs: 60_000,
  strangerAddressesMax: 1_024,
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
  /** Control, data, admission. */
  streamsPerConnectionMax: 8,
  /** Of each protocol: a link has one. */
  streamsPerProtocolMax: 1,
  /** Handshakes under way on one connection: the first, and whether the other side is still there. */
  admissionsPerConnectionMax: 4,
  /** The longest word of a handshake has a name and a number of 64 characters. */
  admissionFrameBytesMax: 1_024,
  /** Bytes that the other side may send beyond what we have read. One round trip's worth at 20 MB/s over 100 ms. */
  streamWindowBytes: 2 * MiB,
  /** Beyond it libp2p resets the stream, so it has to be more than the window. */
  readBufferBytesMax: 4 * MiB,
  /** We write when nothing waits: one data frame, or one control backlog. */
  writeBufferBytesMax: 4 * MiB,
  readAheadBytes: 256 * 1024,
  /**
   * What a connection takes before it is encrypted, which happens once in two or three turns of the event loop. Lower: when
   * turns are long, because clients keep this peer busy, copies fall behind. Higher: on a slow link gossip waits behind it.
   */
  plaintextBytesTarget: 1 * MiB,
  /** yamux pings: they keep the socket of an idle link from its inactivity limit, whatever its streams do. */
  keepAliveMs: 30_000,
  /** A socket that moved nothing for so long is aborted: its pings go unanswered. */
  socketIdleMs: 120_000,
} as const

assert(networkLimits.streamWindowBytes < networkLimits.readBufferBytesMax, 'a full window fits into the read buffer')
assert(limits.dataFrameBytesMax < networkLimits.writeBufferBytesMax, 'a data frame fits into the write buffer')
assert(limits.controlBacklogBytesMax < networkLimits.writeBufferBytesMax, 'the backlog fits into the write buffer')
assert(2 * networkLimits.strangerDelayMs < networkLimits.addressDialMs, 'who waits has time left for a handshake')
assert(networkLimits.keepAliveMs * 2 < networkLimits.socketIdleMs, 'one lost ping does not end a link')

/** Connections that a peer of so many members, itself included, has at a time. Beyond it those that come are refused. */
export const connectionsMaxFor = (members: number): number =>
  Math.min(
    networkLimits.connectionsMax,
    members * networkLimits.connectionsPerMember + networkLimits.connectionsOfStrangers,
  )

/** Times that tests shorten. */
export type NetworkTiming = Readonly<Record<'keepAliveMs' | 'socketIdleMs' | 'linkSetupMs', number>>

/**
 * What one data stream holds in memory at both ends together, at most, however long its reader stalls: there a frame in
 * the making, what was read ahead or flushed out by resuming, and a window in the stream's buffer; here one frame, and
 * what the connection has taken.
 */
export const streamHeldBytesMax =
  2 * limits.dataFrameBytesMax +
  networkLimits.readAheadBytes +
  2 * networkLimits.streamWindowBytes +
  networkLimits.plaintextBytesTarget
