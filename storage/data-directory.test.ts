import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { DataDirectory } from './data-directory.ts'
import { join } from 'node:path'
import { openDataDirectory } from './data-directory.ts'
import { openLevelStore } from './open-level-store.ts'
import { pureDigests } from '#protocol/log/pure-digests'
import { textOf, utf8 } from '#protocol/text'
import { tmpdir } from 'node:os'

async function emptyFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'grapevine-data-'))
  onTestFinished(() => rm(path, { recursive: true }))
  return path
}

const openStore = (directory: DataDirectory) => openLevelStore({ directory, digests: pureDigests, onWarning: () => {} })

describe('data directory', () => {
  test('is created for its owner alone, and opened again by its cluster', async () => {
    const path = join(await emptyFolder(), 'data', 'oak')
    await openDataDirectory({ path, cluster: 'grove' })
    expect((await stat(path)).mode & 0o777).toBe(0o700)
    expect(JSON.parse(await readFile(join(path, 'grapevine.json'), 'utf8'))).toMatchObject({
      format: 1,
      cluster: 'grove',
    })
    await openDataDirectory({ path, cluster: 'grove' })
    expect(await readdir(path)).toEqual(['grapevine.json'])
  })

  test('of another cluster is refused, and both are named', async () => {
    const path = await emptyFolder()
    await openDataDirectory({ path, cluster: 'grove' })
    await expect(openDataDirectory({ path, cluster: 'hedge' })).rejects.toMatchObject({
      code: 'DATA_CLUSTER',
      message: `${path} belongs to cluster grove, and this peer was started for hedge.`,
    })
  })

  test('of a newer version is refused', async () => {
    const path = await emptyFolder()
    await writeFile(join(path, 'grapevine.json'), '{"format":2,"cluster":"grove","created":"2031-01-01T00:00:00.000Z"}')
    await expect(openDataDirectory({ path, cluster: 'grove' })).rejects.toMatchObject({
      code: 'DATA_VERSION',
      message: `${path} has format 2; this version of Grapevine reads format 1.`,
    })
  })

  test.each([
    ['cut off', '{"format":1,'],
    ['of another shape', '{"format":"1"}'],
    ['not an object', 'null'],
  ])('with a grapevine.json that is %s cannot be used', async (_, text) => {
    const path = await emptyFolder()
    await writeFile(join(path, 'grapevine.json'), text)
    await expect(openDataDirectory({ path, cluster: 'grove' })).rejects.toMatchObject({ code: 'DATA_UNUSABLE' })
  })

  test('that cannot be created, or is a file, cannot be used', async () => {
    const file = join(await emptyFolder(), 'file')
    await writeFile(file, '')
    for (const path of [file, join(file, 'data')]) {
      await expect(openDataDirectory({ path, cluster: 'grove' })).rejects.toMatchObject({ code: 'DATA_UNUSABLE' })
    }
  })

  test.skipIf(process.getuid?.() === 0)(
    'that may not be written cannot be used (root may write anywhere)',
    async () => {
      const path = await emptyFolder()
      await chmod(path, 0o500)
      await expect(openDataDirectory({ path, cluster: 'grove' })).rejects.toMatchObject({ code: 'DATA_UNUSABLE' })
    },
  )
})

describe('a file of the data directory', () => {
  test('is made once, for its owner alone, and then stays', async () => {
    const path = await emptyFolder()
    const directory = await openDataDirectory({ path, cluster: 'grove' })
    const first = await directory.readOrCreateFile('identity.key', 0o600, () => utf8('first'))
    const again = await directory.readOrCreateFile('identity.key', 0o600, () => utf8('second'))
    expect([textOf(first), textOf(again)]).toEqual(['first', 'first'])
    expect((await stat(join(path, 'identity.key'))).mode & 0o777).toBe(0o600)
  })

  test('is the same for two that make it at once', async () => {
    const directory = await openDataDirectory({ path: await emptyFolder(), cluster: 'grove' })
    const made = await Promise.all(
      ['oak', 'elm', 'ash'].map((name) => directory.readOrCreateFile('identity.key', 0o600, () => utf8(name))),
    )
    expect(new Set(made.map(textOf)).size).toBe(1)
    expect(await readdir(directory.path)).toEqual(['grapevine.json', 'identity.key'])
  })

  test('that cannot be made leaves nothing behind', async () => {
    const directory = await openDataDirectory({ path: await emptyFolder(), cluster: 'grove' })
    const failing = directory.readOrCreateFile('identity.key', 0o600, () => Promise.reject(new Error('no entropy')))
    await expect(failing).rejects.toMatchObject({
      code: 'DATA_UNUSABLE',
      message: expect.stringContaining('no entropy'),
    })
    expect(await readdir(directory.path)).toEqual(['grapevine.json'])
  })
})

describe('the lock of a data directory', () => {
  test('names the process that holds it, until that closes its store', async () => {
    const directory = await openDataDirectory({ path: await emptyFolder(), cluster: 'grove' })
    const store = await openStore(directory)
    await expect(openStore(directory)).rejects.toMatchObject({
      code: 'DATA_LOCKED',
      message: `${directory.path} is used by process ${process.pid}. Two peers cannot share a data directory.`,
    })
    await store.close()
    expect(await readdir(directory.path)).toEqual(['grapevine.json', 'level', 'lock', 'starts.json'])
    await (await openStore(directory)).close()
  })

  test('of a dead process is taken over', async () => {
    const directory = await openDataDirectory({ path: await emptyFolder(), cluster: 'grove' })
    await (await openStore(directory)).close()
    // As a kill -9 leaves it; the pid belongs to somebody else by now.
    await writeFile(join(directory.path, 'peer.pid'), '1\n')
    const store = await openStore(directory)
    expect(await readFile(join(directory.path, 'peer.pid'), 'utf8')).toBe(`${process.pid}\n`)
    await store.close()
  })

  test('is released when the store cannot be opened after all', async () => {
    const directory = await openDataDirectory({ path: await emptyFolder(), cluster: 'grove' })
    const obstacle = join(directory.path, 'peer.pid')
    await mkdir(obstacle)
    await expect(openStore(directory)).rejects.toMatchObject({ code: 'DATA_UNUSABLE' })
    await rm(obstacle, { recursive: true })
    await (await openStore(directory)).close()
  })
})
