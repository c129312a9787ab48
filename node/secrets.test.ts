// What a secret file may hold, and what is said of one that is no good.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadSecrets } from './secrets.ts'

let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'grapevine-secrets-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const [old, current] = ['o'.repeat(32), 'c'.repeat(40)]

async function fileWith(text: string): Promise<string> {
  const file = join(directory, 'secret')
  await writeFile(file, text)
  return file
}

test.each([
  [current, [current]],
  [`${current}\n`, [current]],
  [`  ${old}  \r\n\n${current}\n`, [old, current]],
])('%j', async (text, secrets) => {
  expect(await loadSecrets(await fileWith(text))).toEqual(secrets)
})

test('without a file there is none', async () => {
  expect(await loadSecrets(undefined)).toEqual([])
})

test.each([
  ['\n \n', 'has no secret'],
  ['short', 'line 1 has 5 characters: a secret has 32 to 1024'],
  [`${current}\n${'x'.repeat(2_000)}`, 'line 2 has 2000 characters'],
  [[old, current, old].join('\n'), 'has 3 lines'],
])('%j is refused, and never shown', async (text, complaint) => {
  const error = await loadSecrets(await fileWith(text)).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(complaint) as string })
  expect(String(error)).not.toContain(current)
})

test('a file that is not there is named', async () => {
  const file = join(directory, 'nowhere')
  await expect(loadSecrets(file)).rejects.toThrow(`--secret-file ${file} cannot be read (ENOENT)`)
})
