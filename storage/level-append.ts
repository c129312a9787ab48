import type { BatchToStore, MetaChange, StoreChange } from './feed-store.ts'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import type { FeedState } from './feed-state.ts'
import { type FeedNumber, batchKey, boundsKey, directoryKey, encodeBounds, metaKey } from './level-layout.ts'
import { type LevelOperation, del, put, putSealed } from './level-database.ts'
import type { Deletion } from './level-deletions.ts'
import type { NumberedFeed } from './level-heads.ts'
import { baseOffsetOf } from './feed-state.ts'
import { changedFeeds } from './feed-change.ts'
import { assert } from '#protocol/assert'

/** A feed before and after an append: undefined when it is not there. */
export interface ChangedFeed {
  readonly key: FeedKey
  readonly number: FeedNumber
  readonly before: FeedState | undefined
  readonly after: FeedState | undefined
}

/** The feeds that an append changes; new ones with the numbers they get. */
export function changesOf(
  feeds: ReadonlyMap<FeedKey, NumberedFeed>,
  newNumber: () => FeedNumber,
  batches: readonly BatchToStore[],
  changes: readonly StoreChange[],
): readonly ChangedFeed[] {
  const states = changedFeeds((key) => feeds.get(key)?.state, batches, changes)
  return Array.from(states, ([key, after]) => {
    const known = feeds.get(key)
    return { key, number: known?.number ?? newNumber(), before: known?.state, after }
  })
}

/** What an append writes beside heads and orders to delete. */
export function operationsOf(
  changed: readonly ChangedFeed[],
  batches: readonly BatchToStore[],
  changes: readonly StoreChange[],
): LevelOperation[] {
  const numbers = new Map(changed.map(({ key, number }) => [key, number]))
  const filled = changes.flatMap((change) => (change.type === 'fill' ? change.batches : []))
  return [
    ...[...batches, ...filled].flatMap((batch) => batchOperations(batch, numbers.get(feedKeyOf(batch.feed)))),
    ...changed.flatMap((feed) => boundsOperations(feed)),
    ...changes.flatMap((change) => (change.type === 'meta' ? [metaOperation(change)] : [])),
  ]
}

/** What nobody sees any more after the append. */
export function deletionsOf(changed: readonly ChangedFeed[]): readonly Deletion[] {
  return changed.flatMap(({ number: feed, before, after }) => {
    if (after === undefined) return [{ feed, from: 0, to: Number.MAX_SAFE_INTEGER }]
    const from = before?.keptFrom ?? baseOffsetOf(after.opening)
    return after.keptFrom > from ? [{ feed, from: from + 1, to: after.keptFrom }] : []
  })
}

function batchOperations({ bytes, head, opening }: BatchToStore, number: FeedNumber | undefined): LevelOperation[] {
  assert(number !== undefined, 'each batch belongs to a feed that the append changes')
  const stored = put(batchKey(number, head.nextOffset), bytes)
  return opening === undefined ? [stored] : [putSealed(directoryKey(number), bytes), stored]
}

function boundsOperations({ number, before, after }: ChangedFeed): LevelOperation[] {
  if (after === undefined) return [del(directoryKey(number)), del(boundsKey(number))]
  const isSame =
    before === undefined
      ? after.keptFrom === baseOffsetOf(after.opening) && !after.rooted
      : after.floor === before.floor &&
        after.keptFrom === before.keptFrom &&
        after.holes === before.holes &&
        after.rooted === before.rooted
  return isSame ? [] : [putSealed(boundsKey(number), encodeBounds(after))]
}

function metaOperation({ key, value }: MetaChange): LevelOperation {
  return value === undefined ? del(metaKey(key)) : putSealed(metaKey(key), value)
}
