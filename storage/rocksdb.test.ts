// The seam holds for an engine that we did not choose: RocksDB behind the same API, through the same suite.
import { mkdtemp, rm } from 'node:fs/promises'
import type { LevelDatabase } from './level-database.ts'
import { LevelStore } from './level-store.ts'
import { feedStoreCompliance } from './compliance/feed-store-compliance.ts'
import { flipBitOf } from './compliance/flip-bit.ts'
import { join } from 'node:path'
import { describe, onTestFinished } from 'vitest'
import { pureDigests } from '#protocol/log/pure-digests'
import { tmpdir } from 'node:os'

type RocksLevel = new (
  path: string,
  options: { readonly keyEncoding: 'view'; readonly valueEncoding: 'view' },
) => LevelDatabase

/** A native package, built for a few platforms only. */
async function rocksLevel(): Promise<RocksLevel | string> {
  try {
    const name = '@nxtedition/rocksdb'
    return ((await import(name)) as { readonly RocksLevel: RocksLevel }).RocksLevel
  } catch (error) {
    return String(error).split('\n', 1)[0] ?? ''
  }
}

const found = await rocksLevel()
const title = typeof found === 'string' ? `RocksDB, which cannot be loaded here: ${found}` : 'RocksDB'

describe.skipIf(typeof found === 'string')(title, () => {
  feedStoreCompliance('LevelStore over it', async () => {
    if (typeof found === 'string') throw new Error(found)
    const path = await mkdtemp(join(tmpdir(), 'grapevine-rocks-'))
    onTestFinished(() => rm(path, { recursive: true }))
    const database = (): LevelDatabase =>
      withAbsentKeys(new found(path, { keyEncoding: 'view', valueEncoding: 'view' }))
    const openStore = async (db: LevelDatabase) => {
      await db.open()
      return LevelStore.open({ db, cluster: 'grove', digests: pureDigests, onWarning: () => {} })
    }
    const db = database()
    return { store: await openStore(db), reopen: () => openStore(database()), damage: (bytes) => flipBitOf(db, bytes) }
  })
})

/** It is of an abstract-level that rejects for a key that is not there, where newer ones answer undefined. */
function withAbsentKeys(db: LevelDatabase): LevelDatabase {
  const get = db.get.bind(db)
  db.get = (key) =>
    get(key).catch((error: unknown) => {
      if ((error as { readonly code?: unknown }).code === 'LEVEL_NOT_FOUND') return undefined
      throw error
    })
  return db
}
