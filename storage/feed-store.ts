import type { FeedId, Head, OffsetRange, Opening } from '#protocol/log/feed'

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
  /** Retention has let go of everything below, everywhere. At first it is where the feed begins. */
  readonly floor: Head
  /** First offset that this store keeps; at least the floor's. The opening batch is kept all the same. */
  readonly keptFrom: number
  /** Damaged ranges between `keptFrom` and the head: ascending, apart from each other, on batch boundaries. */
  readonly holes: readonly OffsetRange[]
  /** Its predecessor was forgotten when retention had emptied it: this feed has none any more. */
  readonly rooted: boolean
  /** Hybrid-clock milliseconds of the last batch: a restarted writer goes on above it. */
  readonly hlcMs: number
}

/** A change of one feed beside the batches that it grows by. All but `forget` are of a feed that the store knows. */
export type FeedChange =
  /**
   * Retention: a batch ends at `floor.nextOffset` with the SHA-256 `floor.hash`, and what ends at or below may go. A floor
   * that is not above the feed's does nothing. One beyond the head moves the head to it: the feed goes on from there.
   */
  | { readonly type: 'floor'; readonly feed: FeedId; readonly floor: Head }
  /**
   * This store alone lets go of what lies below, a batch boundary from the floor to the head. Lowered, it says that what
   * is missing is wanted again: that becomes a hole.
   */
  | { readonly type: 'kept'; readonly feed: FeedId; readonly keptFrom: number }
  /** The feed's holes are these; what of them lies outside of `keptFrom` and head is left out. */
  | { readonly type: 'holes'; readonly feed: FeedId; readonly holes: readonly OffsetRange[] }
  /** Contiguous batches out of a hole, whose place in the chain the caller has checked, and the holes that are left. */
  | {
      readonly type: 'fill'
      readonly feed: FeedId
      readonly batches: readonly BatchToStore[]
      readonly holes: readonly OffsetRange[]
    }
  /**
   * What lies between the head and `to`, where a batch ends with that SHA-256, is passed over: it is a hole, and the feed goes
   * on from there. One that is not above the head does nothing.
   */
  | { readonly type: 'skip'; readonly feed: FeedId; readonly to: Head }
  /** The feed was never here, but for those of its successors `rooted` that are: they have no predecessor any more. */
  | { readonly type: 'forget'; readonly feed: FeedId; readonly rooted: readonly FeedId[] }

/** `undefined` removes. Values are small (≤ 1 MiB). */
export interface MetaChange {
  readonly type: 'meta'
  readonly key: string
  readonly value: Uint8Array | undefined
}

export type StoreChange = MetaChange | FeedChange

/** What a read found. */
export interface FeedRead {
  readonly batches: readonly Uint8Array[]
  /** The next batch is damaged or missing, and sound ones go on after this range at the earliest. */
  readonly damaged?: OffsetRange
}

/**
 * Feeds on disk (DESIGN §5). One append is one atomic, fsynced write: after it resolves, everything in it survives a power
 * cut; after a crash before that, all of it or nothing of it is there. Batches of one feed arrive in order and contiguous:
 * the caller has checked chain and checksum, and keeps at most one append under way.
 *
 * Errors: opening throws MeshError DATA_LOCKED, DATA_VERSION, DATA_CLUSTER or DATA_UNUSABLE. A rejected append is fatal
 * (STORAGE_FAILED): the caller must stop without acking and never retries (fsyncgate).
 */
export interface FeedStore {
  /** Every feed, at open. */
  feeds(): Promise<readonly StoredFeed[]>
  /**
   * The batches, then the changes in their order. What is let go of is out of sight at once; its bytes are deleted after
   * the commit, and after a crash in between at the next open. The opening batch stays until the feed is forgotten.
   */
  append(batches: readonly BatchToStore[], changes?: readonly StoreChange[]): Promise<void>
  /**
   * Contiguous batches whose end lies above `position` (NOTHING: from the opening batch on), in order: at least one if
   * there is any, and then as many as fit into `bytesMax`. Below `keptFrom` it starts there, but after an opening batch
   * that is not followed by what is kept it ends. Checksums are verified and a damaged batch is never returned: the read
   * ends before it, and before a hole, and says so.
   */
  read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead>
  getMeta(key: string): Promise<Uint8Array | undefined>
  /** Gives the room of what was deleted back now, where that takes a while otherwise. For a disk that is nearly full. */
  reclaim?(): Promise<void>
  /** Waits for what is under way, then releases the directory. Later calls reject. */
  close(): Promise<void>
}
