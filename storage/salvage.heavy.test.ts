// As salvage.test.ts, at greater length: each file of a database in each way that it can be damaged.
import { readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { SeededRandom, randomIndex } from '#protocol/random'
import { DamagedDirectory, all, cutOff, flip } from './compliance/damaged-directory.ts'

describe('a database whose files are', () => {
  test.each([
    ['listed wrongly', 'CURRENT', (file: string) => writeFile(file, 'MANIFEST-999999\n')],
    ['not listed', 'CURRENT', (file: string) => rm(file)],
    ['listed in an empty file', 'CURRENT', (file: string) => truncate(file, 0)],
    ['in a manifest with a flipped bit', 'MANIFEST', (file: string) => flip(file, 40)],
    ['in an empty manifest', 'MANIFEST', (file: string) => truncate(file, 0)],
    ['in a manifest that is gone', 'MANIFEST', (file: string) => rm(file)],
  ])('%s is salvaged whole', async (_, name, damage) => {
    const damaged = await DamagedDirectory.create()
    const [file = ''] = await damaged.files(name)
    await damage(file)
    expect(await damaged.check()).toBe(all)
    expect(damaged.said).toContain('databaseSalvaged')
    const left = (await readdir(damaged.path)).filter((entry) => entry.startsWith('level.'))
    expect(left).toEqual([expect.stringMatching(/^level\.damaged-/)])
  })
})

// What is left of a manifest is one that LevelDB once had. Whether it finds the files of then is up to its compactions: if it
// does, it goes on from there without a word. Nothing wrong is read, and what is missing can come back.
test.each([
  ['in its middle', 0.5],
  ['near its beginning', 0.1],
])('a database whose manifest is cut off %s has some of what was written', async (_, share) => {
  const damaged = await DamagedDirectory.create()
  const [manifest = ''] = await damaged.files('MANIFEST')
  await cutOff(share)(manifest)
  expect(await damaged.check()).toBeLessThan(all + 1)
})

describe('a database of which', () => {
  test.each([
    ['a table is gone', (file: string) => rm(file)],
    ['a table is cut off', cutOff(0.5)],
    ['a table is empty', (file: string) => truncate(file, 0)],
    ['the index of a table has a flipped bit', async (file: string) => flip(file, (await stat(file)).size - 60)],
    ['the footer of a table has a flipped bit', async (file: string) => flip(file, (await stat(file)).size - 3)],
  ])('%s is salvaged but for that', async (_, damage) => {
    const damaged = await DamagedDirectory.create()
    const tables = await damaged.files('.ldb')
    await damage(tables.at(-1) ?? '')
    // How many tables there are, and whether one that cannot be read ends the process, is up to its compactions.
    const counts = [await damaged.readElsewhere(), await damaged.readElsewhere(), await damaged.readElsewhere()]
    const count = counts.find((each) => each !== undefined)
    expect(count).toBeGreaterThan(all / 4)
    expect(count).toBeLessThan(all + 1)
  })

  test('the log is gone is shorter, and says so', async () => {
    const damaged = await DamagedDirectory.create()
    const [log = ''] = await damaged.files('.log')
    await (await damaged.open()).close()
    await rm(log, { force: true })
    const [newLog = ''] = await damaged.files('.log')
    await rm(newLog)
    expect(await damaged.check()).toBeLessThan(all + 1)
  })
})

test('no single flipped bit keeps a store from opening at its third start at the latest, or brings wrong bytes', async () => {
  const random = new SeededRandom(11)
  let [opened, aborted, whole] = [0, 0, 0]
  for (let round = 0; round < 40; round++) {
    const damaged = await DamagedDirectory.create()
    const files = (await damaged.files('')).filter((name) => !/LOCK|LOG/.test(name))
    const file = files[randomIndex(random, files.length)] ?? ''
    const { size } = await stat(file)
    // Half of them near the end, where tables have their index.
    const at = random.next() < 0.5 ? randomIndex(random, size) : size - 1 - randomIndex(random, Math.min(size, 2_000))
    await flip(file, at, randomIndex(random, 8))
    let count: number | undefined
    for (let start = 1; start <= 3 && count === undefined; start++) {
      count = await damaged.readElsewhere()
      if (count === undefined) aborted += 1
    }
    expect(count, `round ${round}: bit of ${at} in ${file}`).toBeDefined()
    opened += 1
    if (count === all) whole += 1
  }
  process.stderr.write(`${opened} opened, ${whole} of them whole; ${aborted} starts were aborted\n`)
})
