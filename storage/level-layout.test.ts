import {
  batchKey,
  decodeBounds,
  decodeHeads,
  encodeBounds,
  encodeHeads,
  endOfBatchKey,
  sealed,
  unsealed,
} from './level-layout.ts'
import { type BatchHeader, readBatchHeader } from '#protocol/log/batch'
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
    const store = await LevelStore.open({ db, cluster: 'grove', digests: pureDigests, onWarning: () => {} })
    const orders = new SampleFeed()
    await store.append([orders.open()], [{ type: 'meta', key: 'clock', value: utf8('1001') }])
    await store.append([orders.batch('1 pear', '2 plums')])
    const figs = orders.batch('3 figs')
    await store.append([figs, orders.batch('4 limes')])
    // Its deletion is never done.
    db.clear = () => new Promise<void>(() => {})
    await store.append(
      [],
      [
        { type: 'floor', feed: orders.id, floor: { nextOffset: 2, hash: readHeader(figs.bytes).previousHash } },
        { type: 'holes', feed: orders.id, holes: [{ from: 3, to: 4 }] },
      ],
    )
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
        expect(endOfBatchKey(feedA, batchKey(feedA, endA))).toBe(endA)
      }),
    )
  })

  test('a flipped bit in a key is noticed, whatever the key then says', () => {
    const key = batchKey(7, 12)
    const value = utf8('1001')
    const sealedValue = sealed(key, value)
    expect(unsealed(key, sealedValue)).toEqual(value)
    for (let bit = 8; bit < key.length * 8; bit++) {
      const flipped = flippedAt(key, bit)
      expect(endOfBatchKey(new DataView(flipped.buffer).getUint32(1), flipped)).toBeUndefined()
      expect(unsealed(flipped, sealedValue)).toBeUndefined()
    }
    for (let bit = 0; bit < sealedValue.length * 8; bit++) {
      expect(unsealed(key, flippedAt(sealedValue, bit))).toBeUndefined()
    }
  })

  test('bounds come back as they were written', () => {
    const offset = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
    const bounds = fc.record({
      floor: fc.record({ nextOffset: offset, hash }),
      keptFrom: offset,
      holes: fc.array(fc.record({ from: offset, to: offset })),
      rooted: fc.boolean(),
    })
    fc.assert(
      fc.property(bounds, (one) => {
        expect(decodeBounds(encodeBounds(one))).toEqual(one)
      }),
    )
  })

  test('heads come back as they were written', () => {
    const head = fc.record({
      nextOffset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      hash,
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

function flippedAt(bytes: Uint8Array, bit: number): Uint8Array<ArrayBuffer> {
  const flipped = Uint8Array.from(bytes)
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return flipped
}

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => hexOf(bytes) as Hash)

function readHeader(bytes: Uint8Array): BatchHeader {
  const header = readBatchHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  return header
}

const withoutSpaces = (text: string): string => text.replaceAll(' ', '')
