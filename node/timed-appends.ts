import type { FeedStore } from '#storage/feed-store'
import type { Clock } from './driver-ports.ts'

export interface Commit {
  readonly tookMs: number
  readonly batches: number
  /** Of the batches. */
  readonly bytes: number
}

export type OnCommit = (commit: Commit) => void

/** The appends of a store, each told with what it took once it has succeeded: one append is one group commit, one fsync. */
export function timedAppends(parts: {
  readonly store: Pick<FeedStore, 'append'>
  readonly clock: Clock
  readonly onCommit: OnCommit
}): Pick<FeedStore, 'append'> {
  const { store, clock, onCommit } = parts
  return {
    append: async (batches, changes) => {
      const startMs = clock.nowMs()
      await store.append(batches, changes)
      const bytes = batches.reduce((sum, batch) => sum + batch.bytes.length, 0)
      onCommit({ tookMs: clock.nowMs() - startMs, batches: batches.length, bytes })
    },
  }
}
