import {
  type FeedNumber,
  type HeadEntry,
  appendOfHeadsKey,
  decodeHeads,
  encodeHeads,
  headEntryBytes,
  headsKey,
  headsRange,
  sealed,
  snapshotKey,
  unsealed,
} from './level-layout.ts'
import { type LevelDatabase, type LevelOperation, del, put } from './level-database.ts'
import type { Digests } from '#protocol/digests'
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
  readonly #digests: Digests
  #lastAppend: number
  /** The first append since the last snapshot, and the bytes of heads since. */
  #from: number
  #bytes = 0

  constructor(digests: Digests, lastAppend: number) {
    this.#digests = digests
    this.#lastAppend = lastAppend
    this.#from = lastAppend + 1
  }

  /** What an append writes that changes `feeds` by `changed`. */
  append(feeds: Feeds, changed: Feeds): LevelOperation[] {
    if (changed.size === 0) return []
    this.#lastAppend += 1
    this.#bytes += changed.size * headEntryBytes
    if (this.#bytes <= Math.max(snapshotBytesMin, feeds.size * headEntryBytes)) {
      return [put(headsKey(this.#lastAppend), this.#sealed(changed))]
    }
    const replaced: LevelOperation[] = []
    for (let append = this.#from; append < this.#lastAppend; append++) replaced.push(del(headsKey(append)))
    this.#from = this.#lastAppend + 1
    this.#bytes = 0
    return [...replaced, this.snapshot(new Map([...feeds, ...changed]))]
  }

  snapshot(feeds: Feeds): LevelOperation {
    return put(snapshotKey, this.#sealed(feeds))
  }

  #sealed(feeds: Feeds): Uint8Array {
    const entries = Array.from(feeds.values(), ({ number, state }) => ({ ...state, feed: number }))
    return sealed(encodeHeads(this.#lastAppend, entries), this.#digests)
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

export async function readHeads(db: LevelDatabase, digests: Digests): Promise<StoredHeads> {
  const sealedSnapshot = await db.get(snapshotKey)
  const bytes = sealedSnapshot === undefined ? encodeHeads(0, []) : unsealed(sealedSnapshot, digests)
  const snapshot = bytes === undefined ? undefined : decodeHeads(bytes)
  const byNumber = new Map((snapshot?.entries ?? []).map((entry) => [entry.feed, entry]))
  const latest = new Map(byNumber)
  let complete = snapshot !== undefined
  let lastAppend = snapshot?.append ?? 0
  for await (const [key, value] of db.iterator({
    ...headsRange(lastAppend + 1, Number.MAX_SAFE_INTEGER),
    highWaterMarkBytes,
  })) {
    const append = appendOfHeadsKey(key)
    const group = unsealed(value, digests)
    if (append !== lastAppend + 1 || group === undefined) complete = false
    lastAppend = Math.max(lastAppend, append)
    for (const entry of group === undefined ? [] : decodeHeads(group).entries) latest.set(entry.feed, entry)
  }
  return { snapshot: byNumber, latest, complete, lastAppend }
}
