import type { AckLevel } from '#protocol/ack-level'
import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Head, OffsetRange, Opening } from '#protocol/log/feed'
import type { OffsetRanges } from '#protocol/log/offset-ranges'
import type { IndexedRange } from '#protocol/log/producer-index'
import type { Millis } from '#protocol/machine'
import type { Retention } from '#protocol/topic-config'
import type { ReplicationConfig } from './config.ts'
import type { MeasuredBatch } from './feed-sizes.ts'
import type { Registry } from './homes.ts'
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
  /** Which of its records have producers; absent if none has. */
  readonly producerRanges?: readonly IndexedRange[]
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
  /** Who belongs to the mesh, and where: who keeps which topic follows from it. */
  | ({ readonly type: 'registryChanged' } & Registry)
  /** Membership believes that the peer is there (alive or suspect), or that it is not (dead or left). */
  | { readonly type: 'presenceChanged'; readonly peer: PeerId; readonly present: boolean }
  /** How many copies these topics are to have, from their configuration. */
  | { readonly type: 'replicasChanged'; readonly topics: readonly TopicReplicas[] }
  /** How long these topics keep their records, from their configuration. */
  | { readonly type: 'retentionChanged'; readonly topics: readonly TopicRetention[] }
  /** Answers `readClock`: the wall clock of this peer, in milliseconds since 1970. */
  | { readonly type: 'clockRead'; readonly wallMs: Millis }
  /** Answers `measureFeed`: what follows the position on disk, as far as it was read. */
  | {
      readonly type: 'feedMeasured'
      readonly feed: FeedId
      readonly position: number
      readonly batches: readonly MeasuredBatch[]
    }
  /** What lies below is not kept any more, for everybody and for good. */
  | { readonly type: 'floorsRaised'; readonly floors: readonly { readonly feed: FeedId; readonly floor: Head }[] }
  | { readonly type: 'linkUp'; readonly peer: PeerId; readonly link: LinkNumber }
  | { readonly type: 'linkDown'; readonly peer: PeerId }
  | { readonly type: 'messageReceived'; readonly from: PeerId; readonly message: ReplicationMessage }
  /** This peer has made a batch of its own feed; its fsync is under way. */
  | {
      readonly type: 'batchAppended'
      readonly feed: FeedId
      readonly head: Head
      readonly sizeBytes: number
      readonly hlcMs: number
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
  /** Batches of ours in this range are damaged or missing, as a read has shown. */
  | { readonly type: 'damageFound'; readonly feed: FeedId; readonly range: OffsetRange }
  /** Answers `findChain`: the hash of the batch that ends where the range begins, and of the one that ends where it does. */
  | {
      readonly type: 'chainFound'
      readonly feed: FeedId
      readonly range: OffsetRange
      readonly before: Hash | undefined
      readonly after: Hash | undefined
    }
  /** The batches of a `fillHole` are on disk. */
  | {
      readonly type: 'holeFilled'
      readonly feed: FeedId
      readonly piece: OffsetRange
      readonly credit: { readonly link: LinkNumber; readonly bytes: number }
    }
  /** The change of a `changeFeed` is on disk. */
  | { readonly type: 'feedChanged'; readonly change: FeedChange }
  /** The copy of a `verifyCopy` was read. `sound`: every batch was there and fits, up to the head. */
  | { readonly type: 'copyVerified'; readonly number: number; readonly sound: boolean }
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
  /** A record that is in the log, here or elsewhere, ends at `endOffset`: somebody asks whether its level is reached. */
  | { readonly type: 'copiesAwaited'; readonly publish: PendingPublish }
  /** Somebody reads the topic here, or asks about it. `waiting`: until the opposite is told; else for a while. */
  | { readonly type: 'topicUsed'; readonly topicId: TopicId; readonly waiting: boolean }
  /** A reader wants what follows `position` and is not on this disk. Answered by `readAnswered` or `readFailed`. */
  | {
      readonly type: 'readRequested'
      readonly ref: number
      readonly feed: FeedId
      readonly position: number
      readonly bytesMax: number
    }
  /** This peer stops: publishes that wait for copies are answered with those that there are. */
  /** There is hardly room left on this peer's disk, or there is again: nothing of others is stored meanwhile. */
  | { readonly type: 'diskChanged'; readonly full: boolean }
  | { readonly type: 'drainRequested' }
  | { readonly type: 'timerFired'; readonly timer: ReplicationTimer }

/** What is said of a feed beside its batches; the store knows what it means (`storage/feed-store.ts`). */
export type FeedChange =
  | { readonly type: 'floor'; readonly feed: FeedId; readonly floor: Head }
  | { readonly type: 'kept'; readonly feed: FeedId; readonly keptFrom: number }
  | { readonly type: 'holes'; readonly feed: FeedId; readonly holes: OffsetRanges }
  | { readonly type: 'skip'; readonly feed: FeedId; readonly to: Head }
  | { readonly type: 'forget'; readonly feed: FeedId; readonly rooted: readonly FeedId[] }

export interface TopicRetention {
  readonly topicId: TopicId
  readonly retention: Retention
}

export interface TopicReplicas {
  readonly topicId: TopicId
  /** Infinity: every registered member keeps it. */
  readonly replicas: number
}

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
  /** Look up what a piece of a hole has to fit to; then say `chainFound`. */
  | { readonly type: 'findChain'; readonly feed: FeedId; readonly range: OffsetRange }
  /** Store the batches of a received frame, which lie in `piece`, with the holes that are left; then say `holeFilled`. */
  | {
      readonly type: 'fillHole'
      readonly received: number
      readonly link: LinkNumber
      readonly feed: FeedId
      readonly piece: OffsetRange
      readonly holes: OffsetRanges
    }
  /** Store the change, after what was ordered before of the same feed; then say `feedChanged`. */
  | { readonly type: 'changeFeed'; readonly change: FeedChange }
  /** Read the feed from disk, from its floor to that head, check every batch and the chain; then say `copyVerified`. */
  | {
      readonly type: 'verifyCopy'
      readonly number: number
      readonly feed: FeedId
      readonly floor: Head
      readonly head: Head
    }
  /** Read batches beyond `position`, at least one, and look at their headers; then say `feedMeasured`. */
  | { readonly type: 'measureFeed'; readonly feed: FeedId; readonly position: number; readonly bytesMax: number }
  /** Say `clockRead`. */
  | { readonly type: 'readClock' }
  /** Facts: a damaged range was withdrawn; it is here again. */
  | { readonly type: 'feedDamaged'; readonly feed: FeedId; readonly range: OffsetRange }
  | { readonly type: 'feedRepaired'; readonly feed: FeedId; readonly range: OffsetRange; readonly from: PeerId }
  /** Batches `from` ≤ i < `to` of a received frame are what the read of this number asked for; release the rest. */
  | {
      readonly type: 'readAnswered'
      readonly ref: number
      readonly received: number
      readonly from: number
      readonly to: number
    }
  /** Nobody who is linked can give it now. */
  | { readonly type: 'readFailed'; readonly ref: number }
  | { readonly type: 'closeLink'; readonly peer: PeerId; readonly reason: string }
  /** With these a link is needed from now on, and with nobody else. Said only where there are more members than links. */
  | { readonly type: 'linksNeeded'; readonly peers: ReadonlySet<PeerId> }
  | { readonly type: 'setTimer'; readonly timer: ReplicationTimer; readonly afterMs: Millis }
  | { readonly type: 'publishSettled'; readonly settled: SettledPublish }
  /** Fact: the feed goes further on this peer's disk; readers may have more to read. */
  | { readonly type: 'feedAdvanced'; readonly feed: FeedId; readonly head: Head }
  /** Fact: of a topic that is used here, others are known to hold more, or it is known now that they do not. */
  | { readonly type: 'topicChanged'; readonly topicId: TopicId }

/** The answer to a publish: durable here, and `reached` tells whether the level was met in time (P2). */
export interface SettledPublish {
  readonly ref: number
  /** What it waited for: at least what the publish asked, and what its topic asks. */
  readonly level: AckLevel
  readonly reached: boolean
  /** Peers that hold it fsynced, this one first. */
  readonly peers: readonly PeerId[]
  /** Who belonged to the mesh, and which of them to the topic, when this was answered. */
  readonly registryVersion: string
  readonly home: readonly PeerId[]
}

/** A feed as found on disk at start. */
export interface OpenedFeed {
  readonly feed: FeedId
  readonly opening: Opening
  readonly head: Head
  readonly floor: Head
  readonly keptFrom: number
  readonly holes: OffsetRanges
  readonly rooted: boolean
  /** Hybrid-clock time of its last batch. */
  readonly hlcMs: number
}

export interface ReplicationOptions {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly feeds: readonly OpenedFeed[]
  readonly config: ReplicationConfig
}
