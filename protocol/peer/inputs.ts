import type { AckLevel } from '#protocol/ack-level'
import type { ErrorCode } from '#protocol/errors'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Head, Opening } from '#protocol/log/feed'
import type { ProducerCheckpoint } from '#protocol/log/producer-checkpoint'
import type { IndexedRange, ProducerSpan } from '#protocol/log/producer-index'
import type { Millis } from '#protocol/machine'
import type { MembershipEffect, MembershipInput } from '#protocol/membership/membership'
import type { MembershipMessage } from '#protocol/membership/messages'
import type {
  BatchFacts,
  LinkNumber,
  ReplicationEffect,
  ReplicationInput,
  ReplicationTimer,
  SettledPublish,
  StoredRun,
} from '#protocol/replication/inputs'
import type { ReplicationMessage } from '#protocol/replication/messages'
import type { PartitionEffect, PartitionTimer } from '#protocol/partitions/inputs'
import type { TopicName } from '#protocol/topic-name'
import type { KeptFeed } from '#protocol/topics/remains'
import type { RemainingTopic } from './deleted-topics.ts'
import type { TopicEdit, TopicsEffect, TopicsInput } from '#protocol/topics/topics'

type Timer<Input> = Extract<Input, { type: 'timerFired' }> extends { timer: infer T } ? T : never
type DialTarget = Extract<MembershipEffect, { type: 'dial' }>['target']

export type PeerTimer =
  | { readonly machine: 'membership'; readonly timer: Timer<MembershipInput> }
  | { readonly machine: 'replication'; readonly timer: ReplicationTimer }
  | { readonly machine: 'partitions'; readonly timer: PartitionTimer }
  /** A look at what is left of deleted topics. */
  | { readonly machine: 'topics'; readonly timer: { readonly type: 'lookAtRemains'; readonly dueMs: Millis } }

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
      /** Hybrid-clock time: how new these records are, next to those of others. */
      readonly hlcMs: number
    }
  /** A client asks for copies of a record. Answered by `publishSettled`, or by `publishRefused`. */
  | {
      readonly type: 'copiesAwaited'
      readonly ref: number
      readonly topic: TopicName
      readonly feed: FeedId
      readonly endOffset: number
      readonly level: AckLevel
      readonly waitMs: Millis
    }
  /** A reader needs to know what producers have published to the topic. Answered by `producersKnown`. */
  | { readonly type: 'producersWanted'; readonly topicId: TopicId }
  /** For a `loadProducers`: a part of what was read, and that it was all. */
  | { readonly type: 'producersRead'; readonly topicId: TopicId; readonly spans: readonly ProducerSpan[] }
  | { readonly type: 'producersLoaded'; readonly topicId: TopicId }
  /** A checkpoint is on disk. */
  | { readonly type: 'producersKept'; readonly topicId: TopicId }
  /** For a `findOriginals`: what of it is in the log. `differs` says of a record that the log has another in its place. */
  | {
      readonly type: 'originalsFound'
      readonly lookup: number
      readonly originals: readonly Original[]
      readonly differs?: string
    }
  /** A client makes, changes or deletes a topic. Answered by `topicSettled` or `topicRefused`. */
  | {
      readonly type: 'topicEdited'
      readonly ref: number
      readonly topic: TopicName
      readonly edit: Exclude<TopicEdit, { type: 'delete' }> | { readonly type: 'delete'; readonly atMs: number }
    }
  /** This peer has said again what it wrote there before. */
  | Extract<ReplicationInput, { type: 'floorsRaised' }>
  /** What records of `$topics` say that are on this peer's disk. */
  | Extract<TopicsInput, { type: 'recordsRead' }>
  /** The batch of a `makeBatch` is made and on its way to disk. */
  | {
      readonly type: 'batchMade'
      readonly feed: FeedId
      readonly head: Head
      readonly sizeBytes: number
      readonly hlcMs: number
    }
  | { readonly type: 'rangesStored'; readonly runs: readonly StoredRun[] }
  | Extract<
      ReplicationInput,
      {
        type:
          | 'diskChanged'
          | 'damageFound'
          | 'chainFound'
          | 'holeFilled'
          | 'feedChanged'
          | 'copyVerified'
          | 'clockRead'
          | 'feedMeasured'
      }
    >
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
  | Extract<ReplicationInput, { type: 'topicUsed' | 'readRequested' }>
  /** Nothing new is accepted any more: what waits for copies is answered. */
  | { readonly type: 'drainRequested' }
  | { readonly type: 'leaveRequested' }
  | Extract<MembershipInput, { type: 'registryEdited' }>
  | { readonly type: 'timerFired'; readonly timer: PeerTimer }

export interface PublishPart {
  readonly ref: number
  readonly count: number
  readonly sizeBytes: number
  readonly producerRanges: readonly IndexedRange[]
}

/** Records of a part that are in the log already: consecutive there, too. */
export interface Original {
  readonly ref: number
  readonly firstIndex: number
  readonly count: number
  readonly feed: FeedId
  readonly firstOffset: number
}

/** Records of a part that may be in the log already, and where they would be. */
export interface SoughtRange extends IndexedRange {
  readonly ref: number
  readonly places: readonly ProducerSpan[]
}

/** The records of a part that a batch takes: all, or these. */
export interface PartOfBatch {
  readonly ref: number
  readonly pieces?: readonly { readonly firstIndex: number; readonly count: number }[]
}

export interface Refusal {
  readonly code: ErrorCode
  readonly detail: string
}

/** Effects of the machines inside that the shell performs as they are. */
type Passed =
  | Exclude<ReplicationEffect, { type: 'send' | 'closeLink' | 'linksNeeded' | 'setTimer' | 'publishSettled' }>
  | Extract<
      MembershipEffect,
      {
        type:
          | 'dial'
          | 'persistRegistry'
          | 'memberChanged'
          | 'registrySettled'
          | 'registryRefused'
          | 'statusChanged'
          | 'doubleNoticed'
      }
    >
  | Exclude<PartitionEffect, { type: 'setTimer' }>
  /** `writeTopics`: publish the text as a record of `$topics`, as a client would. */
  | Exclude<TopicsEffect, { type: 'snapshotBegun' | 'snapshotWritten' }>
  /** Fact: more was published to a topic that had been deleted elsewhere. */
  | { readonly type: 'remainsFound'; readonly remains: RemainingTopic }
  /** Keep this, for the next boot, in place of what was kept before. */
  | { readonly type: 'persistRemains'; readonly kept: readonly KeptFeed[] }

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
   * Make the next batch of this peer's feed from the records of `parts`, in order, stamp it with the hybrid clock, hand it
   * to the disk, and say `batchMade` before anything else. With `opening` it is the opening batch, without records.
   */
  | {
      readonly type: 'makeBatch'
      readonly feed: FeedId
      readonly baseOffset: number
      readonly previous: Head | undefined
      readonly opening?: Opening
      readonly parts: readonly PartOfBatch[]
    }
  | { readonly type: 'publishSettled'; readonly placed: PlacedPublish; readonly settled: SettledPublish }
  | ({ readonly type: 'publishRefused'; readonly ref: number } & Refusal)
  /** Read what producers have published to these feeds, up to these offsets: a checkpoint, and the log since, or from there. */
  | {
      readonly type: 'loadProducers'
      readonly topicId: TopicId
      readonly feeds: readonly { readonly feed: FeedId; readonly endOffset: number; readonly from?: number }[]
    }
  | { readonly type: 'producersKnown'; readonly topicId: TopicId }
  /** Write a checkpoint. */
  | { readonly type: 'keepProducers'; readonly topicId: TopicId; readonly checkpoint: ProducerCheckpoint }
  /** Wait until these places are on disk, and say which of the records are there. */
  | { readonly type: 'findOriginals'; readonly lookup: number; readonly ranges: readonly SoughtRange[] }

/** Where the records of a part are, in their order: in this peer's feed, or where they were already. */
export interface PlacedPublish {
  readonly ref: number
  readonly runs: readonly PlacedRun[]
}

export interface PlacedRun {
  readonly feed: FeedId
  readonly firstOffset: number
  readonly count: number
}
