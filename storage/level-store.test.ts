import { mkdtemp, rm } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import type { BatchToStore, StoreChange } from './feed-store.ts'
import { batchRange, deletionRange, endOfBatchKey } from './level-layout.ts'
import type { LevelDatabase } from './level-database.ts'
import { LevelStore } from './level-store.ts'
import { MemoryLevel } from 'memory-level'
import { flipBitOf } from './compliance/flip-bit.ts'
import { feedStoreCompliance } from './compliance/feed-store-compliance.ts'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { pureDigests } from '#protocol/log/pure-digests'
import { tmpdir } from 'node:os'
import { SampleFeed } from './sample-feed.ts'
import { setImmediate as turn } from 'node:timers/promises'

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const

const openStore = (db: LevelDatabase) =>
  LevelStore.open({ db, cluster: 'grove', digests: pureDigests, onWarning: () => {} })

feedStoreCompliance('LevelStore over classic-level', async () => {
  const path = await mkdtemp(join(tmpdir(), 'grapevine-level-'))
  onTestFinished(() => rm(path, { recursive: true }))
  const db = new ClassicLevel<Uint8Array, Uint8Array>(path, views)
  return {
    store: await openStore(db),
    reopen: () => openStore(new ClassicLevel<Uint8Array, Uint8Array>(path, views)),
    damage: (bytes) => flipBitOf(db, bytes),
  }
})

feedStoreCompliance('LevelStore over memory-level', async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ ...views, storeEncoding: 'view' })
  return {
    store: await openStore(db),
    reopen: async () => {
      await db.open()
      return openStore(db)
    },
    damage: (bytes) => flipBitOf(db, bytes),
  }
})

/** A database that stops in the middle of what it was told: what it was to delete is still there. */
async function stoppedBeforeDeleting(change: (orders: SampleFeed) => StoreChange) {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ ...views, storeEncoding: 'view' })
  await db.open()
  const orders = new SampleFeed()
  const store = await openStore(db)
  await store.append([orders.open(), orders.batch('3 figs'), orders.batch('4 limes'), orders.batch('5 plums')])
  const clear = db.clear.bind(db) as LevelDatabase['clear']
  db.clear = (() => new Promise(() => {})) as typeof db.clear
  await store.append([], [change(orders)])
  db.clear = clear as typeof db.clear
  const batchesLeft = async () => (await db.keys(batchRange(0, 0, 1e9)).all()).map((key) => endOfBatchKey(0, key))
  expect(await batchesLeft()).toEqual([0, 1, 2, 3])
  return { db, orders, batchesLeft, deletionsLeft: () => db.keys(deletionRange).all() }
}

test.each([
  ['a floor', (orders: SampleFeed) => ({ type: 'floor', feed: orders.id, floor: orders.head }) as const, [0]],
  ['less kept', (orders: SampleFeed) => ({ type: 'kept', feed: orders.id, keptFrom: 2 }) as const, [0, 3]],
  ['a forgotten feed', (orders: SampleFeed) => ({ type: 'forget', feed: orders.id, rooted: [] }) as const, []],
])('what a crash after %s left is deleted at the next open', async (_, change, left) => {
  const { db, batchesLeft, deletionsLeft } = await stoppedBeforeDeleting(change)
  expect(await deletionsLeft()).toHaveLength(1)
  const again = await openStore(db)
  expect(await again.feeds()).toHaveLength(left.length > 0 ? 1 : 0)
  await again.close()
  await db.open()
  expect(await batchesLeft()).toEqual(left)
  expect(await deletionsLeft()).toEqual([])
})

test('a number whose batches are still to be deleted is given to nobody', async () => {
  const { db, orders } = await stoppedBeforeDeleting(({ id }) => ({ type: 'forget', feed: id, rooted: [] }))
  const again = await openStore(db)
  const stock = new SampleFeed({ topic: 'stock' })
  const pear = [stock.open(), stock.batch('1 pear')]
  await again.append(pear)
  await again.close()
  await db.open()
  const last = await openStore(db)
  expect(await last.feeds()).toMatchObject([{ feed: stock.id, head: stock.head }])
  expect((await last.read(stock.id, 0, 1024)).batches).toEqual([pear[1]?.bytes])
  expect(orders.id).not.toEqual(stock.id)
})

test('what is wanted again is not deleted behind our back', async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ ...views, storeEncoding: 'view' })
  await db.open()
  const orders = new SampleFeed()
  const store = await openStore(db)
  const [, figs] = [orders.open(), orders.batch('3 figs')]
  await store.append([new SampleFeed().open(), figs as BatchToStore])
  const clear = db.clear.bind(db) as LevelDatabase['clear']
  db.clear = (async (range: Parameters<typeof clear>[0]) => {
    await turn()
    return clear(range)
  }) as typeof db.clear
  await store.append([], [{ type: 'kept', feed: orders.id, keptFrom: 1 }])
  await store.append([], [{ type: 'kept', feed: orders.id, keptFrom: 0 }])
  await store.append([], [{ type: 'fill', feed: orders.id, batches: [figs as BatchToStore], holes: [] }])
  await turn()
  await turn()
  expect((await store.read(orders.id, 0, 1024)).batches).toEqual([figs?.bytes])
})

test('deleting that fails stops the store, as any write that fails', async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ ...views, storeEncoding: 'view' })
  await db.open()
  const orders = new SampleFeed()
  const store = await openStore(db)
  await store.append([orders.open(), orders.batch('3 figs')])
  db.clear = () => Promise.reject(new Error('EIO'))
  await store.append([], [{ type: 'floor', feed: orders.id, floor: orders.head }])
  await turn()
  await expect(store.append([orders.batch('4 limes')])).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
})
