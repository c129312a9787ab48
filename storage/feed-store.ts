import type { FeedId, Head, Opening } from '#protocol/log/feed'

/** A batch on its way to disk. The bytes are stored as they are; everything else was read from them by the caller. */
export interface BatchToStore {
  readonly feed: FeedId
  /** The batch as its writer made it; not changed and not kept by the caller afterwards. */
  readonly bytes: Uint8Array
  /** The feed's head once this batch is stored: its end and its SHA-256. */
  readonly head: Head
  /** Present on the first batch of a feed (its opening batch), and only there. */
  readonly opening?: Opening
}

/** What the store knows of one feed when it is opened. */
export interface StoredFeed {
  readonly feed: FeedId
  readonly opening: Opening
  readonly head: Head
  /** Offset of the first batch that is still here; the opening batch counts as `baseOffset`. */
  readonly keptFrom: number
  /** Hybrid-clock milliseconds of the last batch: a restarted writer goes on above it. */
  readonly hlcMs: number
}

/** Metadata written together with batches, or alone; `undefined` removes. Values are small (≤ 1 MiB). */
export type MetaChange = readonly [key: string, value: Uint8Array | undefined]

/**
 * Feeds on disk (DESIGN §5). One append is one atomic, fsynced write: after it resolves, everything in it survives a power
 * cut; after a crash before that, all of it or nothing of it is there. Batches of one feed arrive in order and contiguous:
 * the caller has checked chain and checksum, and keeps at most one append under way.
 *
 * Errors: opening throws MeshError DATA_LOCKED, DATA_VERSION, DATA_CLUSTER or DATA_UNUSABLE. A rejected append is fatal
 * (STORAGE_FAILED): the caller must stop without acking and never retries (fsyncgate).
 */
export interface FeedStore {
  /** Every feed with its head, at open. */
  feeds(): Promise<readonly StoredFeed[]>
  append(batches: readonly BatchToStore[], meta?: readonly MetaChange[]): Promise<void>
  /**
   * Contiguous batches whose end lies above `position` (NOTHING for all, the opening batch included), in order: at least
   * one if there is any, and then as many as fit into `bytesMax`. Checksums are verified; a damaged batch is never
   * returned: the read ends before it, and if it would be the first, rejects with MeshError STORAGE_FAILED.
   */
  read(feed: FeedId, position: number, bytesMax: number): Promise<readonly Uint8Array[]>
  /** Drops the batches that end at or below `floor`, which lies on a batch boundary, at most the head's. */
  trim(feed: FeedId, floor: number): Promise<void>
  getMeta(key: string): Promise<Uint8Array | undefined>
  /** Waits for what is under way, then releases the directory. Later calls reject. */
  close(): Promise<void>
}
