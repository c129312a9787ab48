import { batchKey, decodeHeads, encodeHeads, endOfBatchKey } from './level-layout.ts'
import { describe, expect, test } from 'vitest'
import { hexOf, utf8 } from '#protocol/text'
import type { Hash } from '#protocol/ids'
import { LevelStore } from './level-store.ts'
import { MemoryLevel } from 'memory-level'
import { SampleFeed } from './sample-feed.ts'
import fc from 'fast-check'
import { pureDigests } from '#protocol/log/pure-digests'
import { readFile } from 'node:fs/promises'

const views = { keyEncoding: 'view', valueEncoding: 'view', storeEncoding: 'view' } as const

describe('the layout of the level store', () => {
  // A store that is read by a later version, or by hand, has these bytes.
  test('is what README.md shows', async () => {
    const db = new MemoryLevel<Uint8Array, Uint8Array>(views)
    const store = await LevelStore.open({ db, digests: pureDigests, onWarning: () => {} })
    const orders = new SampleFeed()
    await store.append([orders.open()], [['clock', utf8('1001')]])
    await store.append([orders.batch('1 pear', '2 plums')])
    await store.trim(orders.id, 0)
    const stored = new Map((await db.iterator().all()).map(([key, value]) => [hexOf(key), hexOf(value)]))

    const readme = await readFile(new URL('README.md', import.meta.url), 'utf8')
    const shown = Array.from(readme.matchAll(/^([0-9a-f ]+) → ((?:[0-9a-f]{2,} ?)+)/gm), ([, ...sides]) =>
      sides.map(withoutSpaces),
    )
    expect(shown.map(([key]) => key)).toEqual([...stored.keys()])
    for (const [key = '', value = ''] of shown) expect(stored.get(key)?.slice(0, value.length)).toBe(value)
  })

  test('batches sort by feed, then by where they end', () => {
    const offsets = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
    const place = fc.tuple(fc.integer({ min: 0, max: 0xffff_ffff }), offsets)
    fc.assert(
      fc.property(place, place, ([feedA, endA], [feedB, endB]) => {
        const order = Buffer.compare(batchKey(feedA, endA), batchKey(feedB, endB))
        expect(order).toBe(Math.sign(feedA - feedB || endA - endB))
        expect(endOfBatchKey(batchKey(feedA, endA))).toBe(endA)
      }),
    )
  })

  test('heads come back as they were written', () => {
    const head = fc.record({
      nextOffset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      hash: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => hexOf(bytes) as Hash),
    })
    const feed = fc.integer({ min: 0, max: 0xffff_ffff })
    const hlcMs = fc.integer({ min: 0, max: 2 ** 48 - 1 })
    fc.assert(
      fc.property(fc.array(fc.record({ feed, head, hlcMs })), (entries) => {
        expect(decodeHeads(encodeHeads(7, entries))).toEqual({ append: 7, entries })
      }),
    )
  })
})

const withoutSpaces = (text: string): string => text.replaceAll(' ', '')
