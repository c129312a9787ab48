import type { AckLevel } from '#protocol/ack-level'
import type { ErrorCode } from '#protocol/errors'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Head, Opening } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { MembershipEffect, MembershipInput } from '#protocol/membership/membership'
import type { MembershipMessage } from '#protocol/membership/messages'
import type {
  BatchFacts,
  LinkNumber,
  ReplicationEffect,
  ReplicationTimer,
  SettledPublish,
  StoredRun,
} from '#protocol/replication/inputs'
import type { ReplicationMessage } from '#protocol/replication/messages'
import type { TopicName } from '#protocol/topic-name'

type Timer<Input> = Extract<Input, { type: 'timerFired' }> extends { timer: infer T } ? T : never
type DialTarget = Extract<MembershipEffect, { type: 'dial' }>['target']

export type PeerTimer =
  | { readonly machine: 'membership'; readonly timer: Timer<MembershipInput> }
  | { readonly machine: 'replication'; readonly timer: ReplicationTimer }

export type PeerInput =
  | { readonly type: 'started' }
  /**
   * A client's records in parts that each fit into a batch; the shell keeps the bytes of a part under its `ref`. All are
   * taken, and each is answered by `publishSettled`; or each by `publishRefused`.
   */
  | {
      readonly type: 'publishRequested'
      readonly topic: TopicName
      readonly parts: readonly PublishPart[]
      readonly level: AckLevel
      readonly waitMs: Millis
    }
  /** Makes a topic known by opening this peer's feed of it. Answered by `topicSettled`. */
  | { readonly type: 'topicRequested'; readonly ref: number; readonly topic: TopicName }
  /** The batch of a `makeBatch` is made and on its way to disk. */
  | { readonly type: 'batchMade'; readonly feed: FeedId; readonly head: Head }
  | { readonly type: 'rangesStored'; readonly runs: readonly StoredRun[] }
  | { readonly type: 'linkUp'; readonly link: LinkNumber; readonly peer: PeerId }
  | {
      readonly type: 'linkDown'
      readonly link: LinkNumber
      readonly cause: 'closed' | 'broken'
      readonly reason: string
    }
  /** `there`: who is at that address, if the dial failed for that: this peer itself, or one that it has a link to. */
  | {
      readonly type: 'dialFailed'
      readonly target: DialTarget
      readonly reason: string
      readonly there?: PeerId | undefined
    }
  | {
      readonly type: 'messageReceived'
      readonly link: LinkNumber
      readonly message: MembershipMessage | ReplicationMessage
    }
  | {
      readonly type: 'rangeReceived'
      readonly link: LinkNumber
      readonly received: number
      readonly ref: number
      readonly feed: FeedId
      readonly batches: readonly BatchFacts[]
    }
  | {
      readonly type: 'rangeSent'
      readonly link: LinkNumber
      readonly nextPosition: number | undefined
      readonly sizeBytes: number
    }
  /** Nothing new is accepted any more: what waits for copies is answered. */
  | { readonly type: 'drainRequested' }
  | { readonly type: 'leaveRequested' }
  | { readonly type: 'timerFired'; readonly timer: PeerTimer }

export interface PublishPart {
  readonly ref: number
  readonly count: number
  readonly sizeBytes: number
}

/** Effects of the machines inside that the shell performs as they are. */
type Passed =
  | Extract<ReplicationEffect, { type: 'sendRange' | 'storeReceived' | 'discardReceived' | 'feedAdvanced' }>
  | Extract<MembershipEffect, { type: 'dial' | 'persistRegistry' | 'memberChanged' }>

export type PeerEffect =
  | Passed
  | {
      readonly type: 'send'
      readonly link: LinkNumber
      readonly message: MembershipMessage | ReplicationMessage
    }
  | { readonly type: 'closeLink'; readonly link: LinkNumber; readonly reason: string }
  | { readonly type: 'setTimer'; readonly timer: PeerTimer; readonly afterMs: Millis }
  /**
   * Make the next batch of this peer's feed from the records of `refs`, in order, stamp it with the hybrid clock, hand it
   * to the disk, and say `batchMade` before anything else. With `opening` it is the opening batch, without records.
   */
  | {
      readonly type: 'makeBatch'
      readonly feed: FeedId
      readonly baseOffset: number
      readonly previous: Head | undefined
      readonly opening?: Opening
      readonly refs: readonly number[]
    }
  | { readonly type: 'publishSettled'; readonly placed: PlacedPublish; readonly settled: SettledPublish }
  | {
      readonly type: 'publishRefused'
      readonly ref: number
      readonly code: ErrorCode
      readonly detail: string
    }
  | { readonly type: 'topicRefused'; readonly ref: number; readonly code: ErrorCode; readonly detail: string }
  | { readonly type: 'topicSettled'; readonly ref: number; readonly topicId: TopicId; readonly created: boolean }

/** Where the records of a publish have gone: `count` offsets of this peer's feed from `firstOffset` on. */
export interface PlacedPublish {
  readonly ref: number
  readonly feed: FeedId
  readonly firstOffset: number
  readonly count: number
}
