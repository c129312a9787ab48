import type { PeerId } from '#protocol/ids'
import type { FeedId, FeedKey } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { MergeCount } from './merge.ts'

/**
 * Whether a member can be reached, as membership believes. `away`: it is dead for us, be it cut off or gone. `left`: it said that
 * it goes. `forgotten`: it does not belong any more, and nobody waits for it.
 */
export type Presence = 'reachable' | 'away' | 'left' | 'forgotten'

/** A `suspect` counts as reachable, also one that had left and runs again; but who was away is not back before it is alive. */
export type PresenceNews = Presence | 'suspect'

/** What has become of a member, by whose word, and why. */
export interface MemberNews {
  readonly peer: PeerId
  readonly presence: PresenceNews
  readonly by: PeerId
  readonly reason: string
}

export type PartitionInput =
  /** Who belongs by what the disk knows; nobody has been heard of yet. */
  | { readonly type: 'started'; readonly members: readonly PeerId[] }
  /** All that has changed at once. */
  | { readonly type: 'membersChanged'; readonly news: readonly MemberNews[] }
  /** A link to the member comes up. To be told before replication hears of it. */
  | { readonly type: 'met'; readonly peer: PeerId }
  /** It has told what it holds of these feeds, that some are gone there; `all`: and of whatever else it has for us. */
  | {
      readonly type: 'told'
      readonly peer: PeerId
      readonly feeds: readonly FeedKey[]
      readonly gone: readonly FeedKey[]
      readonly all: boolean
    }
  /** More of these feeds will be on the disk of this peer in a moment. */
  | { readonly type: 'storing'; readonly feeds: readonly FeedId[] }
  /** More of these feeds is on the disk of this peer. */
  | { readonly type: 'stored'; readonly feeds: readonly FeedKey[] }
  /** So many records have come in the feed, at that offset or beyond, whose producer's numbers are here already. */
  | { readonly type: 'duplicatesFound'; readonly feed: FeedId; readonly offset: number; readonly records: number }
  | { readonly type: 'timerFired'; readonly timer: PartitionTimer }

export type PartitionTimer =
  /** Whoever has started has heard of all who are there. */
  | { readonly type: 'settledIn' }
  /** Nobody of that cut has come or gone since: who is back is back. */
  | { readonly type: 'settled'; readonly cut: number; readonly change: number }

export type PartitionEffect =
  | { readonly type: 'setTimer'; readonly timer: PartitionTimer; readonly afterMs: Millis }
  /** Fact: some members cannot be reached; or others than before. */
  | ({ readonly type: 'partitionChanged' } & Reach)
  /** Fact: everybody can be reached again. */
  | { readonly type: 'partitionHealed'; readonly apartMs: Millis; readonly back: readonly PeerId[] }
  /** Fact: the two sides have given each other all that they had. */
  | { readonly type: 'sidesMerged'; readonly heal: HealReport }

/** Members as this peer believes, itself among them. */
export interface Reach {
  /** Those of `known` that are not away. */
  readonly reachable: readonly PeerId[]
  /** All that belong and have not left. */
  readonly known: readonly PeerId[]
}

/** Members that were lost together; they may reach each other. */
export interface Island {
  readonly sinceMs: Millis
  /** They were not heard of since this peer started. */
  readonly sinceStart: boolean
  readonly members: readonly AwayMember[]
}

export interface AwayMember extends Pick<MemberNews, 'peer' | 'by' | 'reason'> {
  readonly sinceMs: Millis
}

/**
 * `merging`: records are still on their way. `merged`: none are. `interrupted`: the other side, or a part of it, was lost again
 * before that, or all of it has left or was forgotten.
 */
export type HealState = 'merging' | 'merged' | 'interrupted'

export interface HealReport {
  /** Rises with each heal of this boot. */
  readonly number: number
  readonly state: HealState
  readonly sinceStart: boolean
  readonly sinceMs: Millis
  readonly healedMs: Millis
  readonly mergedMs: Millis | undefined
  /** Why the first of them was lost. */
  readonly reason: string
  readonly ours: readonly PeerId[]
  readonly theirs: readonly { readonly peer: PeerId; readonly taken: MergeCount }[]
  readonly received: MergeCount
  readonly duplicates: number
  readonly isPartial: boolean
}
