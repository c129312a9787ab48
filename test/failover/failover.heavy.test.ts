// Goal: clients of peers that are killed and cut off get each acked record once and in order, wherever they go. Method: three real
// peers, four publishers and four subscribers of the library, and the ledger; short here, 50 kills and 10 splits by `npm run failover`.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { failover } from './failover.ts'
import { isWithoutFault, textOf } from './report.ts'

test('four kills and two splits later every subscriber has been given every acked record once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-failover-'))
  try {
    const report = await failover({ seed: 7, kills: 4, splits: 2, directory, say: () => undefined })
    console.log(textOf(report))
    expect(isWithoutFault(report), textOf(report)).toBe(true)
    expect(report.resumed.count).toBeGreaterThan(4)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
