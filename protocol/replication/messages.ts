import type { FeedId, Head } from '#protocol/log/feed'
import type { OffsetRanges } from '#protocol/log/offset-ranges'
import type { Epoch, Hash, TopicId } from '#protocol/ids'

/**
 * What a peer holds of one feed, fsynced: from `keptFrom` to `nextOffset`, less the holes; and its opening batch. What most
 * feeds do not have is left out, since a peer remembers thousands of these for each neighbor.
 */
export interface FeedDigest {
  readonly feed: FeedId
  /** Logical floor: what lies below was trimmed by retention, everywhere. */
  readonly floor: number
  /** The chain hash at the floor; left out while the floor is where the feed begins. */
  readonly floorHash?: Hash
  /** First offset that this peer happens to keep. */
  readonly keptFrom: number
  /** Damaged ranges: not there until they are repaired. */
  readonly holes?: OffsetRanges
  /** Its predecessor was forgotten, once retention had emptied it: nobody needs that one first. */
  readonly rooted?: true
  readonly nextOffset: number
  readonly hash: Hash
}

/**
 * Control messages of replication. Positions only: bytes of batches travel in data frames (`#protocol/wire/data-frame`).
 * All but what is remembered of the other's heads is per link and starts anew with each link.
 */
export type ReplicationMessage =
  /**
   * The hash of all digests that the sender has for this neighbor (`set-hash.ts`): first on each link, and now and then
   * while nothing happens. Who remembers exactly these is even with it; else it answers `summaryDiffers`.
   * `epoch` is that of the sender's own boot: its feeds of that epoch it pushes, all others are there to be asked for.
   */
  | { readonly type: 'summary'; readonly epoch: Epoch; readonly root: string }
  /** What the sender remembers instead, bucket by bucket. Answered by a listing of the buckets that differ. */
  | { readonly type: 'summaryDiffers'; readonly buckets: string }
  /**
   * What the sender holds. A listing says it of all feeds in some buckets: its first page names those as `replaced`, and
   * what it does not list of them is not there any more; `more` is on all of its pages but the last. Other digests list
   * what has changed. A feed may come back with a lower head than before: the newest word holds.
   */
  | {
      readonly type: 'digest'
      readonly feeds: readonly FeedDigest[]
      /** Feeds that are not there any more; what `feeds` says holds after that. */
      readonly gone?: readonly FeedId[]
      readonly listing?: { readonly replaced: readonly number[]; readonly more: boolean }
    }
  /** Tell what you have not told yet, then answer `flushed`: what the receiver held when it was asked is known by then. */
  | { readonly type: 'flush'; readonly ref: number }
  | { readonly type: 'flushed'; readonly ref: number }
  /** The page of a listing with `more` has been read: the next one may come. */
  | { readonly type: 'digestMore' }
  /**
   * The sender reads these topics through the receiver, or no longer. It is told of all feeds of them that the receiver
   * holds, in digests with `followed` after them, and of their heads as they move.
   */
  | { readonly type: 'follow'; readonly topics: readonly TopicId[]; readonly on: boolean }
  /** All heads that the sender has of these topics were told, maybe none. `more`: others come when `followMore` is said. */
  | { readonly type: 'followed'; readonly topics: readonly TopicId[]; readonly more: boolean }
  | { readonly type: 'followMore' }
  /**
   * Asks for the batches of a feed beyond `position` (the nextOffset held, or −1 for all), up to `end` if that is said: at
   * least one batch, and then as many as fit into `bytesMax`. Answered by one data frame with this `ref`, or by
   * `wantMissing`.
   */
  | {
      readonly type: 'want'
      readonly ref: number
      readonly feed: FeedId
      readonly position: number
      readonly end?: number
      readonly bytesMax: number
    }
  /** There is nothing here beyond the position that was asked for. */
  | { readonly type: 'wantMissing'; readonly ref: number }
  /** The sender's disk is nearly full: it stores nothing that comes, until it says otherwise or has another link. */
  | { readonly type: 'disk'; readonly full: boolean }
  /**
   * May the sender let go of the feed up to this head? Who is at home and has read all of it from disk answers
   * `handoffConfirmed`; whoever does not, says nothing.
   */
  | ({ readonly type: 'handoff'; readonly ref: number; readonly feed: FeedId } & Head)
  | { readonly type: 'handoffConfirmed'; readonly ref: number }
  /** What the sender's wall clock shows, in milliseconds since 1970. First on each link, and now and then. */
  | { readonly type: 'clock'; readonly wallMs: number }
  /** The receiver has stored or discarded so many bytes of batches: they may be sent again. */
  | { readonly type: 'credit'; readonly bytes: number }
