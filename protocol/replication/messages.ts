import type { FeedId } from '#protocol/log/feed'
import type { Hash } from '#protocol/ids'

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
 * `credit` counts bytes of data frames' batches. Everything is per link and starts anew with each link.
 */
export type ReplicationMessage =
  /**
   * What the sender holds. The first digests of a link list everything: `more` on all but the last of them. Later ones
   * list what has changed since. A feed may come back with a lower head than before: the newest word holds.
   */
  | {
      readonly type: 'digest'
      readonly feeds: readonly FeedDigest[]
      readonly initial: boolean
      readonly more: boolean
    }
  /** Asks for batches of a feed beyond `position` (nextOffset held, or −1 for all), at most about `bytesMax`. */
  | {
      readonly type: 'want'
      readonly ref: number
      readonly feed: FeedId
      readonly position: number
      readonly bytesMax: number
    }
  /** The asked range has ended: everything that was to be sent for `ref` is on the data stream. `missing`: nothing to send. */
  | { readonly type: 'wantDone'; readonly ref: number; readonly outcome: 'sent' | 'missing' }
  /** The receiver has stored or discarded so many bytes: they may be sent again. */
  | { readonly type: 'credit'; readonly bytes: number }
