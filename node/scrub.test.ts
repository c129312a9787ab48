// Feeds in a memory store, damaged by hand, and a clock whose waits are counted instead of waited for.
import { expect, test } from 'vitest'
import { type FeedId, NOTHING, type OffsetRange } from '#protocol/log/feed'
import { MemoryStore } from '#storage/memory-store'
import { SampleFeed } from '#storage/sample-feed'
import type { FeedStore } from '#storage/feed-store'
import { nodeDigests } from './node-digests.ts'
import { Scrub, type ScrubConfig } from './scrub.ts'

const config: ScrubConfig = { bytesPerSecond: 1_000, pauseMs: 86_400_000 }

interface Setting {
  readonly store?: Pick<FeedStore, 'read'>
  readonly feeds?: readonly FeedId[]
}

function scrubOf({ store = new MemoryStore(nodeDigests), feeds = [] }: Setting) {
  const damage: (OffsetRange & { readonly epoch: string })[] = []
  const waits: number[] = []
  const scrub: Scrub = new Scrub(config, {
    store,
    feeds: () => feeds,
    digests: nodeDigests,
    clock: {
      after: (ms, run) => {
        waits.push(ms)
        if (waits.filter((wait) => wait === config.pauseMs).length === 2) scrub.stop()
        queueMicrotask(run)
      },
    },
    onDamage: ({ epoch }, range) => void damage.push({ epoch: epoch.slice(-2), ...range }),
  })
  return { scrub, damage, waits }
}

async function storeWith(...feeds: readonly SampleFeed[]) {
  const store = new MemoryStore(nodeDigests)
  const stored = feeds.map((feed) => [
    feed.open(),
    ...['1 pear', '2 plums', '3 figs'].map((value) => feed.batch(value)),
  ])
  await store.append(stored.flat())
  return { store, stored: stored.map((batches) => batches.map(({ bytes }) => bytes)) }
}

const flip = (bytes: Uint8Array | undefined): void => {
  if (bytes !== undefined) bytes[40] = (bytes[40] ?? 0) ^ 1
}

test('a pass tells of all damage in all feeds, and so does the next one', async () => {
  const [orders, stock] = [new SampleFeed(), new SampleFeed({ epoch: '00000000000000bb' })]
  const { store, stored } = await storeWith(orders, stock)
  flip(stored[0]?.[1])
  flip(stored[0]?.[3])
  flip(stored[1]?.[2])
  const { scrub, damage } = scrubOf({ store, feeds: [orders.id, stock.id] })
  await scrub.run()
  const found = [
    { epoch: 'aa', from: 0, to: 1 },
    { epoch: 'aa', from: 2, to: 3 },
    { epoch: 'bb', from: 1, to: 2 },
  ]
  expect(damage).toEqual([...found, ...found])
  expect(scrub.passes).toBe(2)
})

test('it reads no faster than it may, and pauses between passes', async () => {
  const orders = new SampleFeed()
  const { store, stored } = await storeWith(orders)
  const bytes = stored.flat().reduce((sum, batch) => sum + batch.length, 0)
  const { scrub, waits } = scrubOf({ store, feeds: [orders.id] })
  await scrub.run()
  expect(waits).toEqual([bytes, config.pauseMs, bytes, config.pauseMs])
  expect(scrub.bytes).toBe(2 * bytes)
})

test('one feed can be verified at once, up to where its chain has the hash that is wanted', async () => {
  const orders = new SampleFeed()
  const { store, stored } = await storeWith(orders)
  const { scrub, damage } = scrubOf({ store })
  const { hash } = orders.head
  expect(await scrub.verify(orders.id, 3)).toEqual({ damaged: [], nextOffset: 3, hash })
  expect(await scrub.verify(orders.id, 9)).toMatchObject({ nextOffset: 3, hash })
  expect(await scrub.verify(orders.id, 1)).toMatchObject({ damaged: [], nextOffset: 1 })
  flip(stored[0]?.[3])
  expect(await scrub.verify(orders.id, 2)).toMatchObject({ damaged: [], nextOffset: 2 })
  expect(damage).toEqual([])
  expect(await scrub.verify(orders.id, 3)).toEqual({ damaged: [{ from: 2, to: 3 }], nextOffset: 3, hash: undefined })
  expect(damage).toHaveLength(1)
  expect(await scrub.verify(new SampleFeed({ epoch: '00000000000000cc' }).id, 3)).toMatchObject({ nextOffset: NOTHING })
})

test('what is not kept is passed over, and holes are told of', async () => {
  const orders = new SampleFeed()
  const { store } = await storeWith(orders)
  await store.append([], [{ type: 'kept', feed: orders.id, keptFrom: 1 }])
  await store.append([], [{ type: 'holes', feed: orders.id, holes: [{ from: 1, to: 2 }] }])
  const { scrub } = scrubOf({ store })
  expect(await scrub.verify(orders.id, 3)).toEqual({
    damaged: [{ from: 1, to: 2 }],
    nextOffset: 3,
    hash: orders.head.hash,
  })
})

test('a batch of another history, whole in itself, is damage', async () => {
  const [ours, theirs] = [new SampleFeed(), new SampleFeed()]
  const chain = [ours.open(), ours.batch('1 pear'), ours.batch('2 plums')]
  const other = [theirs.open(), theirs.batch('1 kiwi'), theirs.batch('2 limes')]
  const mixed = [chain[0], chain[1], other[2]].map((batch) => batch?.bytes ?? new Uint8Array())
  const read: FeedStore['read'] = async (_, position) => ({ batches: mixed.slice(position + 1) })
  const { scrub } = scrubOf({ store: { read } })
  expect(await scrub.verify(ours.id, 2)).toMatchObject({ damaged: [{ from: 1, to: 2 }] })
})
