import type { FeedId } from '#protocol/log/feed'
import type { Epoch, Hash } from '#protocol/ids'

/** What a peer holds of one feed, fsynced. Holes (damaged ranges) join these fields with repair (DESIGN §5). */
export interface FeedDigest {
  readonly feed: FeedId
  /** Logical floor: what lies below was trimmed by retention, everywhere. */
  readonly floor: number
  /** First offset that this peer happens to keep. */
  readonly keptFrom: number
  readonly nextOffset: number
  readonly hash: Hash
}

/**
 * Control messages of replication. Positions only: bytes of batches travel in data frames (`#protocol/wire/data-frame`).
 * Everything is per link and starts anew with each link.
 */
export type ReplicationMessage =
  /**
   * What the sender holds. The first digests of a link list everything: `initial`, and `more` on all but the last of them.
   * Later ones list what has changed since. A feed may come back with a lower head than before: the newest word holds.
   * `epoch` is that of the sender's own boot: its feeds of that epoch it pushes, all others are there to be asked for.
   */
  | {
      readonly type: 'digest'
      readonly epoch: Epoch
      readonly feeds: readonly FeedDigest[]
      readonly initial: boolean
      readonly more: boolean
    }
  /** The page of an initial digest with `more` has been read: the next one may come. */
  | { readonly type: 'digestMore' }
  /**
   * Asks for the batches of a feed beyond `position` (the nextOffset held, or −1 for all): at least one batch, and then as
   * many as fit into `bytesMax`. Answered by one data frame with this `ref`, or by `wantMissing`.
   */
  | {
      readonly type: 'want'
      readonly ref: number
      readonly feed: FeedId
      readonly position: number
      readonly bytesMax: number
    }
  /** There is nothing here beyond the position that was asked for. */
  | { readonly type: 'wantMissing'; readonly ref: number }
  /** The receiver has stored or discarded so many bytes of batches: they may be sent again. */
  | { readonly type: 'credit'; readonly bytes: number }
