import type { BatchToStore, FeedChange, StoreChange } from './feed-store.ts'
import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { type OffsetRanges, noRanges, united, within } from '#protocol/log/offset-ranges'
import { type FeedState, headerOf } from './feed-state.ts'
import { assert } from '#protocol/assert'

type Change<T extends FeedChange['type']> = Extract<FeedChange, { type: T }>
type Before = (key: FeedKey) => FeedState | undefined
type After = Map<FeedKey, FeedState | undefined>

/**
 * The feeds that an append changes, as they are after it; undefined once they are forgotten. Throws, before anything was
 * written, when its caller has made a mistake.
 */
export function changedFeeds(
  before: Before,
  batches: readonly BatchToStore[],
  changes: readonly StoreChange[],
): ReadonlyMap<FeedKey, FeedState | undefined> {
  const after: After = new Map()
  const stateOf: Before = (key) => (after.has(key) ? after.get(key) : before(key))
  for (const batch of batches) {
    const key = feedKeyOf(batch.feed)
    after.set(key, appended(stateOf(key), batch))
  }
  for (const change of changes) {
    if (change.type === 'forget') forget(change, stateOf, after)
    else if (change.type !== 'meta') after.set(feedKeyOf(change.feed), changed(stateOf(feedKeyOf(change.feed)), change))
  }
  return after
}

/** The state of a feed once `batch` is stored. Its caller has checked the chain; this asserts that it has. */
function appended(before: FeedState | undefined, batch: BatchToStore): FeedState {
  const header = headerOf(batch)
  assert(header.opening === (before === undefined), 'the first batch of a feed, and only that, opens it')
  if (before !== undefined) {
    assert(header.baseOffset === before.head.nextOffset, 'batches of a feed are contiguous')
    assert(header.previousHash === before.head.hash, 'batches of a feed are chained')
  }
  return grown(before, batch, header.hlc.ms)
}

/** The same for whoever wants to see what unchecked batches make of a feed: simulated disks take what they are given. */
export function grown(before: FeedState | undefined, batch: BatchToStore, hlcMs: number): FeedState {
  const { feed, head, opening } = batch
  if (before !== undefined) return { ...before, head, hlcMs }
  assert(opening !== undefined, 'an opening batch comes with what it says')
  return { feed, opening, head, floor: head, keptFrom: head.nextOffset, holes: [], rooted: false, hlcMs }
}

function forget({ feed, rooted }: Change<'forget'>, stateOf: Before, after: After): void {
  if (stateOf(feedKeyOf(feed)) !== undefined) after.set(feedKeyOf(feed), undefined)
  for (const successor of rooted) {
    const state = stateOf(feedKeyOf(successor))
    if (state !== undefined) after.set(feedKeyOf(successor), { ...state, rooted: true })
  }
}

function changed(state: FeedState | undefined, change: Exclude<FeedChange, { type: 'forget' }>): FeedState {
  assert(state !== undefined, 'a feed that is changed is known')
  switch (change.type) {
    case 'floor':
      return withFloor(state, change)
    case 'kept':
      return withKept(state, change)
    case 'holes':
      return withHoles(state, change.holes)
    case 'fill':
      return filled(state, change)
    case 'skip':
      return skipped(state, change)
  }
}

function withFloor(state: FeedState, { floor }: Change<'floor'>): FeedState {
  if (floor.nextOffset <= state.floor.nextOffset) return state
  assert(floor.nextOffset !== state.head.nextOffset || floor.hash === state.head.hash, 'a floor lies on the chain')
  const head = floor.nextOffset > state.head.nextOffset ? floor : state.head
  const keptFrom = Math.max(state.keptFrom, floor.nextOffset)
  return withHoles({ ...state, floor, head, keptFrom }, state.holes)
}

function withKept(state: FeedState, { keptFrom }: Change<'kept'>): FeedState {
  assert(keptFrom >= state.floor.nextOffset, 'nothing is kept below the floor')
  assert(keptFrom <= state.head.nextOffset, 'what is kept begins at the head at the latest')
  const missing = keptFrom < state.keptFrom ? [{ from: keptFrom, to: state.keptFrom }] : []
  return withHoles({ ...state, keptFrom }, united(missing, state.holes))
}

function withHoles(state: FeedState, holes: OffsetRanges): FeedState {
  for (const [index, { from, to }] of holes.entries()) {
    assert(from < to, 'a hole holds something')
    assert(from >= (holes[index - 1]?.to ?? 0), 'holes are in order and do not overlap')
  }
  return { ...state, holes: united(within(holes, { from: state.keptFrom, to: state.head.nextOffset }), noRanges) }
}

function filled(state: FeedState, { batches, holes }: Change<'fill'>): FeedState {
  const headers = batches.map(headerOf)
  const [first, last] = [headers[0], headers.at(-1)]
  assert(first !== undefined && last !== undefined, 'a hole is filled with batches')
  for (const [index, header] of headers.entries()) {
    assert(!header.opening, 'the opening batch lies in no hole')
    assert(index === 0 || follows(batches[index - 1], header), 'what fills a hole is contiguous and chained')
  }
  const isHole = state.holes.some(({ from, to }) => from <= first.baseOffset && last.nextOffset <= to)
  assert(isHole, 'what is filled in was a hole')
  return withHoles(state, holes)
}

function skipped(state: FeedState, { to: head }: Change<'skip'>): FeedState {
  if (head.nextOffset <= state.head.nextOffset) return state
  const passed = [{ from: state.head.nextOffset, to: head.nextOffset }]
  return withHoles({ ...state, head }, united(state.holes, passed))
}

const follows = (
  before: BatchToStore | undefined,
  { baseOffset, previousHash }: ReturnType<typeof headerOf>,
): boolean => before?.head.nextOffset === baseOffset && before.head.hash === previousHash
