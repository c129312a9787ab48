// A peer says that its copy is whole only of what its store gives it, batch by batch.
import { expect, test } from 'vitest'
import type { Hash } from '#protocol/ids'
import type { Head } from '#protocol/log/feed'
import { SampleFeed } from '#storage/sample-feed'
import { MemoryStore } from '#storage/memory-store'
import type { FeedChange } from '#storage/feed-store'
import { nodeDigests } from './node-digests.ts'
import { isCopySound } from './sound-copy.ts'

/** No waiting, but for the next turn. */
const clock = { nowMs: () => 0, wallMs: () => 0, after: (_: number, run: () => void) => queueMicrotask(run) }

async function copyOf(changes: (feed: SampleFeed, heads: readonly Head[]) => readonly FeedChange[] = () => []) {
  const feed = new SampleFeed({ digests: nodeDigests })
  const store = new MemoryStore(nodeDigests)
  const batches = [feed.open(), ...['pears', 'plums', 'figs'].map((value) => feed.batch(value))]
  await store.append(batches)
  await store.append(
    [],
    changes(
      feed,
      batches.map(({ head }) => head),
    ),
  )
  const heads = batches.map(({ head }) => head) as [Head, Head, Head, Head]
  const isSound = (floor: Head, head: Head) =>
    isCopySound({ clock, digests: nodeDigests, read: store.read.bind(store) }, { feed: feed.id, floor, head })
  return { heads, isSound }
}

test('a whole copy is sound up to its head, and up to each batch before', async () => {
  const { heads, isSound } = await copyOf()
  for (const head of heads) expect(await isSound(heads[0], head)).toBe(true)
})

test('up to an offset that it does not have, or another hash there, it is not', async () => {
  const { heads, isSound } = await copyOf()
  const [opened, , second, last] = heads
  expect(await isSound(opened, { ...last, nextOffset: 4 })).toBe(false)
  expect(await isSound(opened, { ...last, hash: second.hash })).toBe(false)
  expect(await isSound({ ...opened, hash: 'f'.repeat(64) as Hash }, last)).toBe(false)
})

test('with a hole it is not, nor without its beginning', async () => {
  const damaged = await copyOf((feed) => [{ type: 'holes', feed: feed.id, holes: [{ from: 1, to: 2 }] }])
  expect(await damaged.isSound(damaged.heads[0], damaged.heads[3])).toBe(false)
  expect(await damaged.isSound(damaged.heads[0], damaged.heads[1])).toBe(true)
  const partly = await copyOf((feed) => [{ type: 'kept', feed: feed.id, keptFrom: 2 }])
  expect(await partly.isSound(partly.heads[0], partly.heads[3])).toBe(false)
})

test('from a floor on it is sound, and there is nothing to read of what lies below', async () => {
  const { heads, isSound } = await copyOf((feed, [, , floor]) => [
    { type: 'floor', feed: feed.id, floor: floor as Head },
  ])
  const [opened, first, floor, last] = heads
  expect(await isSound(floor, last)).toBe(true)
  expect(await isSound(floor, first)).toBe(true)
  expect(await isSound(opened, last)).toBe(false)
})
