import {
  type FeedNumber,
  type HeadEntry,
  decodeHeads,
  encodeHeads,
  headEntryBytes,
  headsKey,
  headsRange,
  snapshotKey,
  unsealed,
} from './level-layout.ts'
import { type LevelDatabase, type LevelOperation, del, putSealed } from './level-database.ts'
import type { FeedKey } from '#protocol/log/feed'
import type { FeedState } from './feed-state.ts'

export interface NumberedFeed {
  readonly number: FeedNumber
  readonly state: FeedState
}

type Feeds = ReadonlyMap<FeedKey, NumberedFeed>

/** A snapshot is written once the heads since the last one weigh more than it: so heads are written twice at most. */
const snapshotBytesMin = 64 * 1024

/** How much of the small values is read in one step at open. */
export const highWaterMarkBytes = 1024 * 1024

/**
 * Writes the heads of all feeds: one value per append, now and then a snapshot in place of those. Appends are numbered
 * without gaps, so that one which LevelDB lost is missed.
 */
export class HeadsJournal {
  #lastAppend: number
  /** The first append since the last snapshot, and the bytes of heads since. */
  #from: number
  #bytes = 0

  constructor(lastAppend: number) {
    this.#lastAppend = lastAppend
    this.#from = lastAppend + 1
  }

  get lastAppend(): number {
    return this.#lastAppend
  }

  /** What an append writes that moves heads of `feeds` as in `changed`. */
  append(feeds: Feeds, changed: Feeds): LevelOperation[] {
    if (changed.size === 0) return []
    this.#lastAppend += 1
    this.#bytes += changed.size * headEntryBytes
    if (this.#bytes <= Math.max(snapshotBytesMin, feeds.size * headEntryBytes)) {
      return [this.#put(headsKey(this.#lastAppend), changed)]
    }
    const replaced: LevelOperation[] = []
    for (let append = this.#from; append < this.#lastAppend; append++) replaced.push(del(headsKey(append)))
    this.#from = this.#lastAppend + 1
    this.#bytes = 0
    return [...replaced, this.snapshot(new Map([...feeds, ...changed]))]
  }

  snapshot(feeds: Feeds): LevelOperation {
    return this.#put(snapshotKey, feeds)
  }

  #put(key: Uint8Array, feeds: Feeds): LevelOperation {
    const entries = Array.from(feeds.values(), ({ number, state }) => ({ ...state, feed: number }))
    return putSealed(key, encodeHeads(this.#lastAppend, entries))
  }
}

export interface StoredHeads {
  readonly snapshot: ReadonlyMap<FeedNumber, HeadEntry>
  /** The snapshot with all later appends. */
  readonly latest: ReadonlyMap<FeedNumber, HeadEntry>
  /** False when an append is missing or cannot be read. */
  readonly complete: boolean
  readonly lastAppend: number
}

export async function readHeads(db: LevelDatabase): Promise<StoredHeads> {
  const sealedSnapshot = await db.get(snapshotKey)
  const bytes = sealedSnapshot === undefined ? encodeHeads(0, []) : unsealed(snapshotKey, sealedSnapshot)
  const snapshot = bytes === undefined ? undefined : decodeHeads(bytes)
  const byNumber = new Map((snapshot?.entries ?? []).map((entry) => [entry.feed, entry]))
  const latest = new Map(byNumber)
  let complete = snapshot !== undefined
  let lastAppend = snapshot?.append ?? 0
  const later = { ...headsRange(lastAppend + 1, Number.MAX_SAFE_INTEGER), highWaterMarkBytes }
  for await (const [key, value] of db.iterator(later)) {
    const group = unsealed(key, value)
    const heads = group === undefined ? undefined : decodeHeads(group)
    if (heads?.append !== lastAppend + 1) complete = false
    lastAppend = Math.max(lastAppend, heads?.append ?? 0)
    for (const entry of heads?.entries ?? []) latest.set(entry.feed, entry)
  }
  return { snapshot: byNumber, latest, complete, lastAppend }
}
