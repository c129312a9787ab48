import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Dice } from '../sim/dice.ts'
import { type Flip, flipBits } from './flip-bits.ts'

test('so many single bits of the stored files are changed, and nothing else', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-flips-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  await mkdir(join(directory, 'level'))
  const files = { 'level/000001.ldb': 5_000, 'level/CURRENT': 16, 'level/LOCK': 3, 'level/LOG': 400 }
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, name), Buffer.alloc(bytes))
  const dice = new Dice(1, 'flips')
  const flips: Flip[] = []
  for (let i = 0; i < 10; i++) flips.push(...(await flipBits(directory, 2, dice)))
  expect(flips).toHaveLength(20)
  const changed: Record<string, number> = {}
  for (const name of Object.keys(files)) {
    const bytes = await readFile(join(directory, name))
    changed[name] = bytes.reduce((ones, byte) => ones + byte.toString(2).replaceAll('0', '').length, 0)
  }
  expect(changed['level/000001.ldb']).toBeGreaterThan(5)
  expect(changed['level/CURRENT']).toBeGreaterThan(0)
  expect(changed['level/LOCK']).toBe(0)
  expect(changed['level/LOG']).toBe(0)
  expect(Object.values(changed).reduce((sum, ones) => sum + ones, 0)).toBe(20)
})
