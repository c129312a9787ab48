// A peer that keeps its records in memory still owns its data directory.
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { pureDigests } from '#protocol/log/pure-digests'
import { type DataDirectory, openDataDirectory } from './data-directory.ts'
import { openLevelStore } from './open-level-store.ts'
import { openMemoryStore } from './locked-memory-store.ts'
import { SampleFeed } from './sample-feed.ts'

async function emptyDirectory(): Promise<DataDirectory> {
  const path = await mkdtemp(join(tmpdir(), 'grapevine-memory-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return openDataDirectory({ path, cluster: 'grove' })
}

const openLevel = (directory: DataDirectory) => openLevelStore({ directory, digests: pureDigests, onWarning: () => {} })

test('it is locked like any other, and names its holder', async () => {
  const directory = await emptyDirectory()
  const store = await openMemoryStore(directory, pureDigests)
  for (const open of [() => openMemoryStore(directory, pureDigests), () => openLevel(directory)]) {
    await expect(open()).rejects.toMatchObject({ code: 'DATA_LOCKED', facts: { pid: process.pid } })
  }
  await store.close()
  expect(await readdir(directory.path)).toEqual(['grapevine.json', 'level', 'lock', 'starts.json'])
})

test('it forgets, so that the directory is free for either kind afterwards', async () => {
  const directory = await emptyDirectory()
  const store = await openMemoryStore(directory, pureDigests)
  await store.append([new SampleFeed().open()])
  await store.close()
  const again = await openMemoryStore(directory, pureDigests)
  expect(await again.feeds()).toEqual([])
  await again.close()
  await (await openLevel(directory)).close()
})

test('a directory with records is refused: the mesh would take them for lost', async () => {
  const directory = await emptyDirectory()
  const store = await openLevel(directory)
  await store.append([new SampleFeed().open()])
  await store.close()
  await expect(openMemoryStore(directory, pureDigests)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: `${directory.path} holds records that --storage level has kept, and --storage memory would leave them out.`,
  })
  await (await openLevel(directory)).close()
})
