import type { Millis } from '#protocol/machine'
import type { PeerId } from '#protocol/ids'

/** One connection to a peer with its two streams, from up to down. A reconnect is another link. */
export type LinkId = number

/** Whom to dial: a seed address (`host:port`, peer id unknown) or a known member at its addresses, best first. */
export type DialTarget =
  | { readonly type: 'seed'; readonly address: string }
  | { readonly type: 'member'; readonly peer: PeerId; readonly addresses: readonly string[] }

/**
 * Streams between peers, as the driver sees them: libp2p in the peer process, `test/sim/network.ts` in the simulator.
 * Each link has a control and a data stream: an ordered prefix of what was sent arrives, then the link is down.
 */
export interface Transport {
  /** Starts a dial; its end is told by `linkUp` or `dialFailed`. Dialing a peer that has a link does nothing. */
  dial(target: DialTarget): void
  /** Queues one control frame. If the backlog of a slow link exceeds its bound, the link goes down. Unknown links: ignored. */
  sendControl(link: LinkId, frame: Uint8Array): void
  /** Writes one data frame given in parts; `written` is called once the stream can take another, never after linkDown. */
  sendData(link: LinkId, parts: readonly Uint8Array[], written: () => void): void
  close(link: LinkId, reason: string): void
}

export interface TransportListener {
  linkUp(link: LinkId, peer: PeerId): void
  /** `closed`: by the other process or ourselves; `broken`: an error; nothing more arrives on it. */
  linkDown(link: LinkId, cause: 'closed' | 'broken', reason: string): void
  controlFrame(link: LinkId, frame: Uint8Array): void
  /** The bytes are the receiver's to keep. */
  dataFrame(link: LinkId, frame: Uint8Array): void
  /** `there`: who is at the other end, if that is why: ourselves, or a peer that we have a link to already. */
  dialFailed(target: DialTarget, reason: string, there?: PeerId): void
}

export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): Millis
  /** Wall milliseconds since 1970. */
  wallMs(): number
  /** Calls back once after `afterMs`; never cancelled. */
  after(afterMs: Millis, run: () => void): void
}
