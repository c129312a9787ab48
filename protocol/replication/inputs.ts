import type { AckLevel } from '#protocol/ack-level'
import type { Epoch, Hash, PeerId } from '#protocol/ids'
import type { FeedId, Head, Opening } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { ReplicationMessage } from './messages.ts'

/** Numbers one link of this process, from up to down. Bytes of an old link never count for a new one. */
export type LinkNumber = number

/** What the shell read from a batch whose checksum and structure it has verified. */
export interface BatchFacts {
  readonly baseOffset: number
  readonly nextOffset: number
  readonly previousHash: Hash
  readonly hash: Hash
  readonly sizeBytes: number
  /** Its hybrid-clock time. */
  readonly hlcMs: number
  /** On opening batches; the shell has checked that it names this very feed. */
  readonly opening?: Opening
}

/** A run of batches of one feed that is now on this peer's disk. */
export interface StoredRun {
  readonly feed: FeedId
  readonly head: Head
  /** For batches of other peers: whom to give how much credit back. */
  readonly credit?: { readonly link: LinkNumber; readonly bytes: number }
}

export type ReplicationInput =
  /** Who belongs to the mesh. `merged` is false until a joining peer has merged one registry. */
  | {
      readonly type: 'homeChanged'
      readonly home: readonly PeerId[]
      readonly registryVersion: string
      readonly merged: boolean
    }
  | { readonly type: 'linkUp'; readonly peer: PeerId; readonly link: LinkNumber }
  | { readonly type: 'linkDown'; readonly peer: PeerId }
  | { readonly type: 'messageReceived'; readonly from: PeerId; readonly message: ReplicationMessage }
  /** This peer has made a batch of its own feed; its fsync is under way. */
  | {
      readonly type: 'batchAppended'
      readonly feed: FeedId
      readonly head: Head
      readonly opening?: Opening
    }
  /** A data frame; `received` is the shell's number for its bytes. `ref` is 0 for a push, else the want it answers. */
  | {
      readonly type: 'rangeReceived'
      readonly from: PeerId
      readonly link: LinkNumber
      readonly received: number
      readonly ref: number
      readonly feed: FeedId
      readonly batches: readonly BatchFacts[]
    }
  | { readonly type: 'rangesStored'; readonly runs: readonly StoredRun[] }
  /** A `sendRange` has ended: the stream can take another. `head` is how far it went, undefined if nothing was there. */
  | {
      readonly type: 'rangeSent'
      readonly to: PeerId
      readonly link: LinkNumber
      readonly nextPosition: number | undefined
      readonly sizeBytes: number
    }
  /** A publish ends at `endOffset` of this peer's feed and waits for its level. */
  | { readonly type: 'publishAppended'; readonly publish: PendingPublish }
  /** This peer stops: publishes that wait for copies are answered with those that there are. */
  | { readonly type: 'drainRequested' }
  | { readonly type: 'timerFired'; readonly timer: ReplicationTimer }

export interface PendingPublish {
  readonly ref: number
  readonly feed: FeedId
  readonly endOffset: number
  readonly level: AckLevel
  readonly deadlineMs: Millis
}

export type ReplicationTimer =
  | { readonly type: 'sweep' }
  | { readonly type: 'digestDue' }
  | { readonly type: 'settleDue'; readonly dueMs: Millis }

export type ReplicationEffect =
  | { readonly type: 'send'; readonly to: PeerId; readonly message: ReplicationMessage }
  /** Read batches beyond `position` whose end is at most `endMax` and write them as one data frame; then say `rangeSent`. */
  | {
      readonly type: 'sendRange'
      readonly to: PeerId
      readonly link: LinkNumber
      readonly ref: number
      readonly feed: FeedId
      readonly position: number
      readonly endMax: number
      readonly bytesMax: number
    }
  /** Store batches `from` ≤ i < `to` of a received frame, release the rest; then say `rangesStored`. */
  | {
      readonly type: 'storeReceived'
      readonly received: number
      readonly link: LinkNumber
      readonly feed: FeedId
      readonly from: number
      readonly to: number
      readonly head: Head
    }
  | { readonly type: 'discardReceived'; readonly received: number }
  | { readonly type: 'closeLink'; readonly peer: PeerId; readonly reason: string }
  | { readonly type: 'setTimer'; readonly timer: ReplicationTimer; readonly afterMs: Millis }
  | { readonly type: 'publishSettled'; readonly settled: SettledPublish }
  /** Fact: the feed goes further on this peer's disk; readers may have more to read. */
  | { readonly type: 'feedAdvanced'; readonly feed: FeedId; readonly head: Head }

/** The answer to a publish: durable here, and `reached` tells whether the level was met in time (P2). */
export interface SettledPublish {
  readonly ref: number
  readonly reached: boolean
  /** Peers that hold it fsynced, this one first. */
  readonly peers: readonly PeerId[]
  readonly registryVersion: string
  readonly home: readonly PeerId[]
}

/** A feed as found on disk at start. */
export interface OpenedFeed {
  readonly feed: FeedId
  readonly opening: Opening
  readonly head: Head
  readonly keptFrom: number
  /** Hybrid-clock time of its last batch. */
  readonly hlcMs: number
}

export interface ReplicationOptions {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly feeds: readonly OpenedFeed[]
}
