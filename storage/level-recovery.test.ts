import type { BatchToStore, FeedStore } from './feed-store.ts'
import { batchKey, batchRange, directoryKey, floorKey, headsKey, headsRange, snapshotKey } from './level-layout.ts'
import { describe, expect, onTestFinished, test } from 'vitest'
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import type { LevelDatabase } from './level-database.ts'
import { LevelStore } from './level-store.ts'
import { MemoryLevel } from 'memory-level'
import { NOTHING } from '#protocol/log/feed'
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
    this.store = await LevelStore.open({ db: this.db, digests: pureDigests, onWarning })
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

const contents = async (store: FeedStore, { id }: SampleFeed) => (await store.read(id, NOTHING, 1e9)).map(hexOf)
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
  ])('opens with the shorter head when its last batch %s, and takes the batch again', async (_, damage) => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const store = await damaged.by(damage(batchKey(0, 3)))
    const shorter = { type: 'headShortened', feed: orders.id, recorded: headAfter(3), head: headAfter(2) }
    expect(damaged.warnings).toEqual([shorter])
    expect(await store.feeds()).toMatchObject([{ head: headAfter(2) }])
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(0, 3)))
    await store.append(batches.slice(3))
    expect(await contents(await damaged.by(async () => {}), orders)).toEqual(bytesOf(batches))
    expect(damaged.warnings).toEqual([shorter])
  })

  test('opens with the head before a write that LevelDB dropped, though later writes are there', async () => {
    const damaged = new Damaged()
    const { orders, batches, headAfter } = await ordersIn(damaged)
    const store = await damaged.by(remove(batchKey(0, 2), headsKey(3)))
    expect(damaged.warnings.map(({ type }) => type)).toEqual(['headsDamaged', 'headShortened'])
    expect(await store.feeds()).toMatchObject([{ head: headAfter(1) }])
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(0, 2)))
    await store.append(batches.slice(2))
    expect(await contents(store, orders)).toEqual(bytesOf(batches))
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

  test('goes back below the snapshot when the batches there are gone', async () => {
    const damaged = new Damaged()
    const { orders, headAfter } = await ordersIn(damaged)
    await damaged.by(async () => {})
    const store = await damaged.by(remove(batchKey(0, 2), batchKey(0, 3)))
    expect(damaged.warnings).toMatchObject([{ type: 'headShortened', recorded: headAfter(3), head: headAfter(1) }])
    expect(await store.feeds()).toMatchObject([{ feed: orders.id, head: headAfter(1) }])
  })

  test('knows a feed that was trimmed up to its head though other heads are damaged', async () => {
    const damaged = new Damaged()
    const { orders, headAfter } = await ordersIn(damaged)
    await damaged.store?.trim(orders.id, 3)
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
    await expect(store.read(orders.id, 1, 1e9)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect((await store.read(orders.id, 2, 1e9)).map(hexOf)).toEqual(bytesOf(batches.slice(3)))
    expect(damaged.warnings).toEqual([
      { type: 'batchDamaged', feed: orders.id, position: 1 },
      { type: 'batchDamaged', feed: orders.id, position: 1 },
    ])
  })

  test('does not know a feed of which nothing is left, and takes it again', async () => {
    const damaged = new Damaged()
    const { orders, batches } = await ordersIn(damaged)
    const store = await damaged.by((db) => db.clear(batchRange(0, 0, 9)))
    expect(damaged.warnings).toEqual([{ type: 'feedLost', feed: orders.id }])
    expect(await store.feeds()).toEqual([])
    await appendEach(store, batches)
    expect(await contents(await damaged.by(async () => {}), orders)).toEqual(bytesOf(batches))
    expect(damaged.warnings).toHaveLength(1)
  })

  test('finds the floor again when it cannot be read', async () => {
    const damaged = new Damaged()
    const { orders, batches } = await ordersIn(damaged)
    await damaged.store?.trim(orders.id, 1)
    const store = await damaged.by((db) =>
      db.batch([{ type: 'put', key: floorKey(0), value: Uint8Array.of(1) }], { sync: false }),
    )
    expect(damaged.warnings).toEqual([{ type: 'floorDamaged', feed: orders.id }])
    expect(await store.feeds()).toMatchObject([{ keptFrom: 1 }])
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(2)))
  })

  test('leaves batches alone whose directory entry cannot be read, and gives their number to nobody', async () => {
    const damaged = new Damaged()
    const { orders, batches } = await ordersIn(damaged)
    const store = await damaged.by(flip(directoryKey(0)))
    expect(damaged.warnings).toEqual([{ type: 'directoryEntryDamaged', feedNumber: 0 }])
    expect(await store.feeds()).toEqual([])
    const stock = new SampleFeed({ topic: 'stock' })
    await appendEach(store, [stock.open(), stock.batch('12 crates'), batches[0] as BatchToStore])
    expect(await damaged.db.get(batchKey(0, 1))).toEqual(batches[1]?.bytes)
    expect(await contents(store, orders)).toEqual(bytesOf(batches.slice(0, 1)))
  })

  test('reads damaged metadata as absent, and says so', async () => {
    const damaged = new Damaged()
    await (await damaged.open()).append([], [['clock', new Uint8Array(32)]])
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
  // It silently drops that write, or all that follow. What is left must read as if it had never been longer.
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('leaves each feed a prefix of itself (seed %i)', async (seed) => {
    const path = await mkdtemp(join(tmpdir(), 'grapevine-level-'))
    onTestFinished(() => rm(path, { recursive: true }))
    const random = new SeededRandom(seed)
    const openStore = () => {
      const db = new ClassicLevel<Uint8Array, Uint8Array>(path, views)
      return LevelStore.open({ db, digests: pureDigests, onWarning: () => {} })
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
    for (const [feed, batches] of written) {
      const head = known.find((stored) => stored.feed.writer === feed.id.writer)?.head
      const left = await contents(shorter, feed)
      expect(left).toEqual(bytesOf(batches.slice(0, left.length)))
      expect(head).toEqual(batches[left.length - 1]?.head)
      await shorter.append(batches.slice(left.length))
      expect(await contents(shorter, feed)).toEqual(bytesOf(batches))
    }
  })
})
