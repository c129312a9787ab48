import { mkdtemp, rm } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import type { LevelDatabase } from './level-database.ts'
import { LevelStore } from './level-store.ts'
import { MemoryLevel } from 'memory-level'
import { feedStoreCompliance } from './feed-store-compliance.ts'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { pureDigests } from '#protocol/log/pure-digests'
import { tmpdir } from 'node:os'
import { SampleFeed } from './sample-feed.ts'
import { setImmediate as turn } from 'node:timers/promises'

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const

const openStore = (db: LevelDatabase) => LevelStore.open({ db, digests: pureDigests, onWarning: () => {} })

async function flipBitOf(db: LevelDatabase, bytes: Uint8Array): Promise<void> {
  for await (const [key, value] of db.iterator({ gte: Uint8Array.of(0), lte: Uint8Array.of(255) })) {
    if (Buffer.compare(value, bytes) !== 0) continue
    const damaged = Uint8Array.from(value)
    damaged[40] = (damaged[40] ?? 0) ^ 1
    await db.batch([{ type: 'put', key, value: damaged }], { sync: false })
  }
}

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

test('two trims at once leave the higher floor on disk, in whatever order the database writes', async () => {
  const db = new MemoryLevel<Uint8Array, Uint8Array>({ ...views, storeEncoding: 'view' })
  await db.open()
  const orders = new SampleFeed()
  const store = await openStore(db)
  await store.append([orders.open(), orders.batch('3 figs'), orders.batch('4 limes'), orders.batch('5 plums')])

  // The first write from here on is overtaken by the second, if there is one already.
  const write = db.batch.bind(db) as LevelDatabase['batch']
  let writes = 0
  db.batch = (async (...args: Parameters<typeof write>) => {
    if (writes++ === 0) await turn()
    return write(...args)
  }) as typeof db.batch
  await Promise.all([store.trim(orders.id, 1), store.trim(orders.id, 2)])
  db.batch = write as typeof db.batch

  const after = await openStore(db)
  expect(await after.feeds()).toMatchObject([{ keptFrom: 2 }])
  expect(await after.read(orders.id, 0, 1024)).toHaveLength(1)
})
