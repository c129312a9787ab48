import type { FeedId, Head } from '#protocol/log/feed'

/** What a store found damaged and went on without. Replication fetches it again; a person should look at the disk. */
export type StoreWarning =
  /** The store ends before its recorded head: the feed is announced from where it is whole. */
  | { readonly type: 'headShortened'; readonly feed: FeedId; readonly recorded: Head; readonly head: Head }
  /** Nothing of the feed is left that can be read: it is unknown here until a neighbor has it. */
  | { readonly type: 'feedLost'; readonly feed: FeedId }
  /** Nobody knows whose batches these were; they stay on disk, out of sight. */
  | { readonly type: 'directoryEntryDamaged'; readonly feedNumber: number }
  /** Heads are missing or cannot be read: every feed was walked to its end instead. */
  | { readonly type: 'headsDamaged' }
  | { readonly type: 'floorDamaged'; readonly feed: FeedId }
  | { readonly type: 'batchDamaged'; readonly feed: FeedId; readonly position: number }
  /** The value reads as absent. */
  | { readonly type: 'metaDamaged'; readonly key: string }
