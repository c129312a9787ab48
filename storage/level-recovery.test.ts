import type { BatchToStore, FeedStore } from './feed-store.ts'
import { batchKey, batchRange, boundsKey, directoryKey, headsKey, headsRange, snapshotKey } from './level-layout.ts'
import { describe, expect, onTestFinished, test } from 'vitest'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import type { LevelDatabase } from './level-database.ts'
import { LevelStore } from './level-store.ts'
import { MemoryLevel } from 'memory-level'
import type { Hash } from '#protocol/ids'
import { type Head, NOTHING } from '#protocol/log/feed'
import { SampleFeed } from './sample-feed.ts'
import { SeededRandom, randomIndex } from '#protocol/random'
import type { StoreWarning } from './store-warning.ts'
import { hexOf } from '#protocol/text'
import { join } from 'node:path'
import { pureDigests } from '#protocol/log/pure-digests'
import { tmpdir } from 'node:os'

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const

/** A store that is damaged while it is closed. Feeds have the numbers 0, 1, … in the order of their first append. */
class Damaged {
  readonly db = new MemoryLevel<Uint8Array, Uint8Array>({ ...views, storeEncoding: 'view' })
  readonly warnings: StoreWarning[] = []
  store: FeedStore | undefined

  async open(): Promise<FeedStore> {
    await this.db.open()
    const onWarning = (warning: StoreWarning) => void this.warnings.push(warning)
    this.store = await LevelStore.open({ db: this.db, cluster: 'grove', digests: pureDigests, onWarning })
    return this.store
  }

  /** Closes the store, does the damage, opens it again. */
  async by(damage: (db: LevelDatabase) => Promise<void>): Promise<FeedStore> {
    await this.store?.close()
    await this.db.open()
    await damage(this.db)
    return this.open()
  }
}

const flip = (key: Uint8Array) => async (db: LevelDatabase) => {
  const value = Uint8Array.from((await db.get(key)) ?? [])
  expect(value.length).toBeGreaterThan(20)
  value[20] = (value[20] ?? 0) ^ 4
  await db.batch([{ type: 'put', key, value }], { sync: false })
}

const remove =
  (...keys: readonly Uint8Array[]) =>
  (db: LevelDatabase) =>
    db.batch(
      keys.map((key) => ({ type: 'del', key })),
      { sync: false },
    )

const contents = async (store: FeedStore, { id }: SampleFeed) => (await store.read(id, NOTHING, 1e9)).batches.map(hexOf)
const bytesOf = (batches: readonly BatchToStore[]) => batches.map(({ bytes }) => hexOf(bytes))

/** Each batch in an append of its own: the opening batch is append 1. */
async function appendEach(store: FeedStore, batches: readonly BatchToStore[]): Promise<void> {
  for (const batch of batches) await store.append([batch])
}

async function ordersIn(damaged: Damaged) {
  const orders = new SampleFeed()
  const batches = [orders.open(), orders.batch('1 pear'), orders.batch('2 plums'), orders.batch('3 figs')]
  await appendEach(await damaged.open(), batches)
  return { orders, batches, headAfter: (index: number) => batches[index]?.head }
}

describe('a level store that lost something', () => {
  test.each([
    ['is missing', remove],
    ['is damaged', flip],
  ])('has a hole at the end when its last batch %s, and takes the batch again', async (_, damage) => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const store = await damaged.by(damage(batchKey(0, 3)))
    const hole = { from: 2, to: 3 }
    expect(damaged.warnings).toEqual([{ type: 'batchesDamaged', feed: orders.id, ...hole }])
    expect(await store.feeds()).toMatchObject([{ head: headAfter(3), holes: [hole], hlcMs: orders.hlcMs }])
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(0, 3)))
    const again = await damaged.by(async () => {})
    expect(await again.feeds()).toMatchObject([{ holes: [hole] }])
    await again.append([], [{ type: 'fill', feed: orders.id, batches: batches.slice(3), holes: [] }])
    expect(await contents(await damaged.by(async () => {}), orders)).toEqual(bytesOf(batches))
    expect(damaged.warnings).toHaveLength(1)
  })

  test('is shorter when LevelDB has dropped its last writes', async () => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const store = await damaged.by(remove(batchKey(0, 3), headsKey(4)))
    expect(await store.feeds()).toMatchObject([{ head: headAfter(2), holes: [] }])
    await store.append(batches.slice(3))
    expect(await contents(store, orders)).toEqual(bytesOf(batches))
    expect(damaged.warnings).toEqual([])
  })

  test('has a hole where LevelDB has dropped a write, and keeps the later ones', async () => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const store = await damaged.by(remove(batchKey(0, 2), headsKey(3)))
    expect(damaged.warnings.map(({ type }) => type)).toEqual(['headsDamaged', 'batchesDamaged'])
    expect(await store.feeds()).toMatchObject([{ head: headAfter(3), holes: [{ from: 1, to: 2 }] }])
    expect(await store.read(orders.id, 1, 1e9)).toEqual({ batches: [], damaged: { from: 1, to: 2 } })
    expect((await store.read(orders.id, 2, 1e9)).batches.map(hexOf)).toEqual(bytesOf(batches.slice(3)))
  })

  test('does not lose another feed with it', async () => {
    const damaged = new Damaged()
    const { batches } = await ordersIn(damaged)
    const stock = new SampleFeed({ topic: 'stock' })
    const kept = [stock.open(), stock.batch('12 crates')]
    await appendEach(damaged.store as FeedStore, kept)
    const store = await damaged.by(remove(batchKey(0, 2), headsKey(3)))
    expect(await contents(store, stock)).toEqual(bytesOf(kept))
    expect(batches).toHaveLength(4)
  })

  test.each([
    ['the heads of an append', headsKey(2)],
    ['the last heads', headsKey(4)],
    ['the snapshot of all heads', snapshotKey],
  ])('loses nothing when %s cannot be read', async (_, key) => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    if (key === snapshotKey) await damaged.by(async () => {})
    const store = await damaged.by(flip(key))
    expect(damaged.warnings).toEqual([{ type: 'headsDamaged' }])
    expect(await store.feeds()).toMatchObject([{ head: headAfter(3), hlcMs: orders.hlcMs }])
    expect(await contents(store, orders)).toEqual(bytesOf(batches))
  })

  test('has a hole below the snapshot when the batches there are gone', async () => {
    const damaged = new Damaged()
    const { headAfter } = await ordersIn(damaged)
    await damaged.by(async () => {})
    const store = await damaged.by(remove(batchKey(0, 2), batchKey(0, 3)))
    expect(await store.feeds()).toMatchObject([{ head: headAfter(3), holes: [{ from: 1, to: 3 }] }])
  })

  test('knows a feed that was trimmed up to its head though other heads are damaged', async () => {
    const damaged = new Damaged()
    const { orders, headAfter } = await ordersIn(damaged)
    await damaged.store?.append([], [{ type: 'floor', feed: orders.id, floor: orders.head }])
    const again = await damaged.by(async () => {})
    const stock = new SampleFeed({ topic: 'stock' })
    await appendEach(again, [stock.open()])
    const store = await damaged.by(flip(headsKey(5)))
    expect(damaged.warnings).toEqual([{ type: 'headsDamaged' }])
    expect(await store.feeds()).toMatchObject([
      { feed: orders.id, keptFrom: 3, head: headAfter(3) },
      { head: stock.head },
    ])
  })

  test('reads up to a batch that is missing in between, and not over it', async () => {
    const damaged = new Damaged()
    const { orders, batches } = await ordersIn(damaged)
    const store = await damaged.by(remove(batchKey(0, 2)))
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(0, 2)))
    expect(await store.read(orders.id, 1, 1e9)).toEqual({ batches: [], damaged: { from: 1, to: 2 } })
    expect((await store.read(orders.id, 2, 1e9)).batches.map(hexOf)).toEqual(bytesOf(batches.slice(3)))
    const warning = { type: 'batchesDamaged', feed: orders.id, from: 1, to: 2 }
    expect(damaged.warnings).toEqual([warning, warning])
  })

  test('knows a feed of which no batch is left by its opening and its head, and takes the others again', async () => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const store = await damaged.by((db) => db.clear(batchRange(0, 0, 9)))
    const hole = { from: 0, to: 3 }
    expect(damaged.warnings).toEqual([{ type: 'batchesDamaged', feed: orders.id, ...hole }])
    expect(await store.feeds()).toMatchObject([{ head: headAfter(3), keptFrom: 0, holes: [hole] }])
    await store.append([], [{ type: 'fill', feed: orders.id, batches: batches.slice(1), holes: [] }])
    expect(await contents(await damaged.by(async () => {}), orders)).toEqual(bytesOf(batches))
    expect(damaged.warnings).toHaveLength(1)
  })

  test('begins with the first batch that is left when floor and holes cannot be read', async () => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const floor = headAfter(1) as Head
    await damaged.store?.append([], [{ type: 'floor', feed: orders.id, floor }])
    const store = await damaged.by(flip(boundsKey(0)))
    expect(damaged.warnings).toEqual([{ type: 'boundsDamaged', feed: orders.id }])
    // The others know the floor; this store knows what it has.
    expect(await store.feeds()).toMatchObject([{ floor: headAfter(0), keptFrom: 1, holes: [], head: orders.head }])
    expect((await store.read(orders.id, 0, 1e9)).batches.map(hexOf)).toEqual(bytesOf(batches.slice(2)))
  })

  test('knows a feed by its opening batch when the directory cannot be read, or has it no more', async () => {
    for (const damage of [flip(directoryKey(0)), remove(directoryKey(0)), flip(batchKey(0, 0))]) {
      const damaged = new Damaged()
      const { orders, batches } = await ordersIn(damaged)
      const store = await damaged.by(damage)
      expect(await store.feeds()).toMatchObject([{ feed: orders.id, head: orders.head }])
      expect(await contents(store, orders)).toEqual(bytesOf(batches))
      await damaged.by(async () => {})
      expect(damaged.warnings.length).toBeLessThan(2)
    }
  })

  test('leaves batches alone that nobody knows, and gives their number to nobody', async () => {
    const damaged = new Damaged()
    const { orders, batches } = await ordersIn(damaged)
    const store = await damaged.by(async (db) => {
      await flip(directoryKey(0))(db)
      await flip(batchKey(0, 0))(db)
    })
    expect(damaged.warnings).toEqual([{ type: 'directoryEntryDamaged', feedNumber: 0 }])
    expect(await store.feeds()).toEqual([])
    const stock = new SampleFeed({ topic: 'stock' })
    await appendEach(store, [stock.open(), stock.batch('12 crates'), batches[0] as BatchToStore])
    expect(await damaged.db.get(batchKey(0, 1))).toEqual(batches[1]?.bytes)
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(0, 1)))
  })

  test('keeps a head that a floor has moved beyond everything stored, and drops what a lost head takes with it', async () => {
    const damaged = new Damaged()
    const { orders, headAfter } = await ordersIn(damaged)
    const holes = [{ from: 0, to: 1 }]
    await damaged.store?.append([], [{ type: 'holes', feed: orders.id, holes }])
    await damaged.store?.append([], [{ type: 'kept', feed: orders.id, keptFrom: 3 }])
    // The journal and all that lies above the opening are gone: what was kept from 3 on is not known any more.
    const shorter = await damaged.by(async (db) => {
      await db.clear(headsRange(2, 9))
      await db.clear(batchRange(0, 1, 9))
    })
    expect(await shorter.feeds()).toMatchObject([{ head: headAfter(0), keptFrom: 0, holes: [] }])
    const floor = { nextOffset: 9, hash: 'ab'.repeat(32) as Hash }
    await shorter.append([], [{ type: 'floor', feed: orders.id, floor }])
    for (const damage of [async () => {}, flip(snapshotKey)]) {
      expect(await (await damaged.by(damage)).feeds()).toMatchObject([{ head: floor, floor, keptFrom: 9 }])
    }
  })

  test('reads damaged metadata as absent, and says so', async () => {
    const damaged = new Damaged()
    await (await damaged.open()).append([], [{ type: 'meta', key: 'clock', value: new Uint8Array(32) }])
    const store = await damaged.by(flip(Uint8Array.from(Buffer.from('mclock'))))
    expect(await store.getMeta('clock')).toBeUndefined()
    expect(damaged.warnings).toEqual([{ type: 'metaDamaged', key: 'clock' }])
  })
})

describe('heads', () => {
  test('are one value per append, and one snapshot once those weigh more than it', async () => {
    const damaged = new Damaged()
    const store = await damaged.open()
    const orders = new SampleFeed()
    const stock = new SampleFeed({ topic: 'stock' })
    await store.append([orders.open(), stock.open()])
    const sizes: number[] = []
    for (let order = 0; order < 1_402; order++) {
      await store.append([orders.batch('a')])
      if (order % 100 === 0) sizes.push((await damaged.db.keys(headsRange(0, 1e9)).all()).length)
    }
    expect(sizes.slice(0, 3)).toEqual([2, 102, 202])
    expect(Math.max(...sizes)).toBeLessThan((64 * 1024) / 50)
    expect(sizes.at(-1)).toBeGreaterThan(50)
    expect(sizes.at(-1)).toBeLessThan(100)
    expect(await (await damaged.by(async () => {})).feeds()).toMatchObject([
      { head: orders.head },
      { head: stock.head },
    ])
    expect(await damaged.db.keys(headsRange(0, 1e9)).all()).toEqual([])
    expect(damaged.warnings).toEqual([])
  })
})

describe('a flipped bit in the log of LevelDB', () => {
  // It silently drops that write, or all that follow. What is left is right, and the store knows what is missing below its head.
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('leaves each feed a part of itself (seed %i)', async (seed) => {
    const path = await mkdtemp(join(tmpdir(), 'grapevine-level-'))
    onTestFinished(() => rm(path, { recursive: true }))
    const random = new SeededRandom(seed)
    const openStore = () => {
      const db = new ClassicLevel<Uint8Array, Uint8Array>(path, views)
      return LevelStore.open({ db, cluster: 'grove', digests: pureDigests, onWarning: () => {} })
    }
    const feeds = ['oak', 'elm', 'ash'].map((writer) => new SampleFeed({ writer }))
    const written = new Map(feeds.map((feed) => [feed, [feed.open()]]))
    const store = await openStore()
    await store.append([...written.values()].flat())
    for (let append = 0; append < 40; append++) {
      const feed = feeds[randomIndex(random, 3)] as SampleFeed
      const batch = feed.batch(new Uint8Array(randomIndex(random, 6_000)))
      written.get(feed)?.push(batch)
      await store.append([batch])
    }
    await store.close()
    const log = join(path, (await readdir(path)).find((name) => name.endsWith('.log')) ?? '')
    const bytes = await readFile(log)
    const at = randomIndex(random, bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << randomIndex(random, 8))
    await writeFile(log, bytes)
    const shorter = await openStore()
    onTestFinished(() => shorter.close())
    const known = await shorter.feeds()
    for (const [{ id: feed }, batches] of written) {
      const { head, holes = [] } = known.find((stored) => stored.feed.writer === feed.writer) ?? {}
      expect(head).toEqual(batches[head?.nextOffset ?? -1]?.head)
      for (const [index, { from, to }] of holes.entries()) {
        const filled = batches.slice(from + 1, to + 1)
        await shorter.append([], [{ type: 'fill', feed, batches: filled, holes: holes.slice(index + 1) }])
      }
      await shorter.append(batches.slice((head?.nextOffset ?? -1) + 1))
      expect((await shorter.read(feed, NOTHING, 1e9)).batches.map(hexOf)).toEqual(bytesOf(batches))
    }
  })
})
