import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityFileName, loadIdentity } from './identity.ts'

// Goal: a peer keeps its id for as long as it keeps its directory, and nobody else can read the key.

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-identity-'))
})
afterEach(() => rm(directory, { recursive: true }))

const keyPath = () => join(directory, identityFileName)
const modeOf = async (path: string) => (await stat(path)).mode & 0o777

test('the first start makes a key that only the owner can read, later ones find it', async () => {
  const first = await loadIdentity(directory)
  const second = await loadIdentity(directory)
  expect(first.peerId).toMatch(/^12D3KooW/)
  expect(second.peerId).toBe(first.peerId)
  expect(first.wasExposed).toBe(false)
  expect(await modeOf(keyPath())).toBe(0o600)
  expect(await readdir(directory)).toEqual([identityFileName])
})

test('the directory is made if it is missing', async () => {
  const nested = join(directory, 'data', 'oak')
  const { peerId } = await loadIdentity(nested)
  expect((await loadIdentity(nested)).peerId).toBe(peerId)
})

test('peers that start on one new directory at once end with the same key', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => loadIdentity(directory)))
  expect(new Set(all.map((identity) => identity.peerId)).size).toBe(1)
})

test('a key that others could read is closed to them, and that is told', async () => {
  const { peerId } = await loadIdentity(directory)
  await chmod(keyPath(), 0o644)
  expect(await loadIdentity(directory)).toMatchObject({ peerId, wasExposed: true })
  expect(await modeOf(keyPath())).toBe(0o600)
  expect(await loadIdentity(directory)).toMatchObject({ wasExposed: false })
})

test.each([
  ['empty', ''],
  ['cut short', 'half a key'],
  ['of 64 other bytes', 'x'.repeat(64)],
])('a key file that is %s is refused and left alone', async (_, content) => {
  await writeFile(keyPath(), content, { mode: 0o600 })
  await expect(loadIdentity(directory)).rejects.toMatchObject({ code: 'DATA_UNUSABLE' })
  expect(await readFile(keyPath(), 'utf8')).toBe(content)
})

test('a directory that cannot be used is named', async () => {
  await writeFile(join(directory, 'file'), '')
  await expect(loadIdentity(join(directory, 'file'))).rejects.toMatchObject({ code: 'DATA_UNUSABLE' })
})
