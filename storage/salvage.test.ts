// Real LevelDB files, damaged as disks and people do: a store opens all the same, has what can be read, and says what it did.
import { rm, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { DamagedDirectory, all, cutOff } from './compliance/damaged-directory.ts'

test('a database whose manifest is gone is salvaged whole: what LevelDB would have deleted is still there', async () => {
  const damaged = await DamagedDirectory.create()
  const [manifest = ''] = await damaged.files('MANIFEST')
  await rm(manifest)
  expect(await damaged.check()).toBe(all)
  expect(damaged.said).toContain('databaseSalvaged')
})

test('a database without one of its tables is salvaged but for that', async () => {
  const damaged = await DamagedDirectory.create()
  const tables = await damaged.files('.ldb')
  // LevelDB merges in its own time: of two megabytes it leaves two tables at least.
  await rm(tables[1] ?? '')
  const count = await damaged.check()
  expect(count).toBeGreaterThan(all / 4)
  expect(count).toBeLessThan(all)
  expect(damaged.said).toContain('databaseSalvaged')
})

describe('a database that has died of its last two starts', () => {
  const died = (damaged: DamagedDirectory, record: object) =>
    writeFile(`${damaged.path}/starts.json`, JSON.stringify(record))

  test('is looked at first, and opened as it is when all of it can be read', async () => {
    const damaged = await DamagedDirectory.create()
    await died(damaged, { early: 2, unclean: 2, appends: 1 })
    expect(await damaged.check()).toBe(all)
    expect(damaged.said).toEqual([])
  })

  test('is salvaged when it cannot', async () => {
    const damaged = await DamagedDirectory.create()
    const tables = await damaged.files('.ldb')
    await cutOff(0.9)(tables[1] ?? '')
    await died(damaged, { early: 2, unclean: 2, appends: 1 })
    expect(await damaged.check()).toBeGreaterThan(all / 4)
    expect(damaged.warnings[0]).toMatchObject({ reason: 'a process that reads it does not get to its end' })
  })
})

test('damage that was the end of a run is not waited for again', async () => {
  const damaged = await DamagedDirectory.create()
  const record = { early: 1, unclean: 1, appends: 1, damage: 'Corruption: a compaction met a bad block' }
  await writeFile(`${damaged.path}/starts.json`, JSON.stringify(record))
  expect(await damaged.check()).toBe(all)
  expect(damaged.warnings[0]).toMatchObject({ type: 'databaseDamaged', reason: record.damage })
})
