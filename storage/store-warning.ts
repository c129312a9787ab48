import type { FeedId } from '#protocol/log/feed'
import type { Salvaged } from './salvage.ts'

/** What a store found damaged and went on without. Replication fetches it again; a person should look at the disk. */
export type StoreWarning =
  /** Restored from its opening batch. Without a feed, nobody knows whose batches these were; they stay, out of sight. */
  | { readonly type: 'directoryEntryDamaged'; readonly feedNumber: number; readonly feed?: FeedId }
  /** Heads are missing or cannot be read: every feed was walked to its end instead, which may not be the one it had. */
  | { readonly type: 'headsDamaged' }
  /** Floor, holes and what is kept: the feed begins with the first batch that is left. */
  | { readonly type: 'boundsDamaged'; readonly feed: FeedId }
  /** Batches of that range are damaged or missing. */
  | { readonly type: 'batchesDamaged'; readonly feed: FeedId; readonly from: number; readonly to: number }
  /** It does not open, or ends the process: it is moved aside, and what can be read of it is copied. */
  | { readonly type: 'databaseDamaged'; readonly database: string; readonly reason: string }
  | ({ readonly type: 'databaseSalvaged' } & Salvaged)
  /** Appends that it once held are not there, and no file of it is missing either. */
  | { readonly type: 'databaseShorter'; readonly appends: number; readonly was: number }
  /** The value reads as absent. */
  | { readonly type: 'metaDamaged'; readonly key: string }
