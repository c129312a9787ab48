import {
  type FeedNumber,
  batchRange,
  decodeDeletion,
  deletionKey,
  deletionRange,
  encodeDeletion,
  feedNumberOf,
  unsealed,
} from './level-layout.ts'
import { type LevelDatabase, type LevelOperation, del, putSealed } from './level-database.ts'

/** Batches of a feed that nobody sees any more: those with `from <= end <= to`. */
export interface Deletion {
  readonly feed: FeedNumber
  readonly from: number
  readonly to: number
}

export interface DeletionsDeps {
  readonly db: LevelDatabase
  readonly onFailure: (error: unknown) => void
}

/**
 * Deletes what was let go of, one feed after the other, while the store goes on. What is still to be deleted is written
 * with the change that lets go of it and removed when it is done, so that the next open finishes what a crash cut off.
 */
export class Deletions {
  readonly #deps: DeletionsDeps
  readonly #pending = new Map<FeedNumber, Deletion>()
  /** Deleted, and maybe still there in tables: LevelDB writes down that a key is gone, and compacts when more is written. */
  readonly #deleted = new Map<FeedNumber, Deletion>()
  /** An append under way writes down what is to be deleted of these feeds. */
  readonly #ordered = new Set<FeedNumber>()
  #running: Promise<void> | undefined
  #removing: Promise<void> | undefined

  constructor(deps: DeletionsDeps) {
    this.#deps = deps
  }

  /** With what is still to be deleted of that feed. */
  joined(deletion: Deletion): Deletion {
    return joined(deletion, this.#pending.get(deletion.feed))
  }

  /** For an append, which `start` follows, and which waits for `removed` first. */
  operation(deletion: Deletion): LevelOperation {
    this.#ordered.add(deletion.feed)
    return putSealed(deletionKey(deletion.feed), encodeDeletion(deletion))
  }

  /** For deletions that are on disk. */
  start(deletions: readonly Deletion[]): void {
    for (const deletion of deletions) {
      this.#ordered.delete(deletion.feed)
      this.#pending.set(deletion.feed, deletion)
    }
    if (this.#pending.size > 0) this.#running ??= this.#run().catch(this.#deps.onFailure)
  }

  /** Resolves when nothing that was written down is being removed: what is written down anew must not go with it. */
  async removed(): Promise<void> {
    await this.#removing
  }

  /** Compacts what was deleted since the last time. */
  async reclaim(): Promise<void> {
    const { db } = this.#deps
    await this.#running
    for (const [feed, { from, to }] of this.#deleted) {
      this.#deleted.delete(feed)
      const { gte, lte } = batchRange(feed, from, to)
      await db.compactRange?.(gte, lte)
    }
  }

  /** Resolves when nothing is being deleted. */
  async idle(): Promise<void> {
    await this.#running
  }

  async #run(): Promise<void> {
    const { db } = this.#deps
    for (;;) {
      const deletion = this.#next()
      if (deletion === undefined) return
      const { feed, from, to } = deletion
      await db.clear(batchRange(feed, from, to))
      // Meanwhile there may be more of it.
      if (this.#pending.get(feed) !== deletion) continue
      this.#pending.delete(feed)
      this.#deleted.set(feed, joined(deletion, this.#deleted.get(feed)))
      if (this.#ordered.has(feed)) continue
      this.#removing = db.batch([del(deletionKey(feed))], { sync: false })
      await this.#removing
      this.#removing = undefined
    }
  }

  #next(): Deletion | undefined {
    for (const deletion of this.#pending.values()) return deletion
    this.#running = undefined
    return undefined
  }
}

const joined = (one: Deletion, other: Deletion = one): Deletion => ({
  feed: one.feed,
  from: Math.min(one.from, other.from),
  to: Math.max(one.to, other.to),
})

export async function readDeletions(db: LevelDatabase): Promise<readonly Deletion[]> {
  const deletions: Deletion[] = []
  for await (const [key, value] of db.iterator(deletionRange)) {
    const bytes = unsealed(key, value)
    // One that cannot be read is dropped: better to keep what nobody sees than to delete what somebody does.
    if (bytes !== undefined) deletions.push({ feed: feedNumberOf(key), ...decodeDeletion(bytes) })
  }
  return deletions
}
