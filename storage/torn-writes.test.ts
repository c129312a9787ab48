// A power cut leaves the log of LevelDB cut off at some byte beyond the last sync, maybe with rubbish or zeros behind it. For
// each such moment: the store opens as it was after the last append that is there whole, whatever that append changed.
import { cp, mkdtemp, open, readdir, rm, stat, truncate } from 'node:fs/promises'
import { expect, onTestFinished, test } from 'vitest'
import { SeededRandom, randomIndex } from '#protocol/random'
import type { BatchToStore, FeedStore, StoreChange } from './feed-store.ts'
import { ClassicLevel } from 'classic-level'
import type { KeyRange } from './level-layout.ts'
import type { LevelDatabase } from './level-database.ts'
import { LevelStore } from './level-store.ts'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from './sample-feed.ts'
import { hexOf, textOf, utf8 } from '#protocol/text'
import { join } from 'node:path'
import { pureDigests } from '#protocol/log/pure-digests'
import { tmpdir } from 'node:os'

const views = { keyEncoding: 'view', valueEncoding: 'view' } as const

/** What it is to delete waits for `mayDelete`. */
const openStore = (path: string, mayDelete: () => Promise<void> = async () => {}): Promise<LevelStore> => {
  const db = new ClassicLevel<Uint8Array, Uint8Array>(path, views)
  const clear = db.clear.bind(db) as LevelDatabase['clear']
  db.clear = (async (range: KeyRange) => {
    await mayDelete()
    return clear(range)
  }) as typeof db.clear
  return LevelStore.open({ db, cluster: 'grove', digests: pureDigests, onWarning: () => expect.unreachable() })
}

type Append = readonly [batches: readonly BatchToStore[], changes?: readonly StoreChange[]]

/** Every change that there is, some in one append with others. */
function appendsOf(): readonly Append[] {
  const [oak, elm] = [new SampleFeed(), new SampleFeed({ writer: 'elm' })]
  const batches = [
    oak.open(),
    ...['1 pear', '2 plums', '3 figs', '4 limes', '5 kiwis'].map((value) => oak.batch(value)),
  ]
  const [opening, pear, plums, figs, limes, kiwis] = batches as [BatchToStore, ...BatchToStore[]] as BatchToStore[]
  const later = new SampleFeed({ epoch: '00000000000000bb', predecessor: { epoch: oak.id.epoch, ...oak.head } })
  const given = (batch: BatchToStore | undefined): BatchToStore[] => (batch === undefined ? [] : [batch])
  const feed = oak.id
  return [
    [[...given(opening), elm.open()], [{ type: 'meta', key: 'clock', value: utf8('1') }]],
    [[...given(pear), ...given(plums)]],
    [[...given(figs), elm.batch('1 dates')], [{ type: 'meta', key: 'clock', value: utf8('2') }]],
    [[...given(limes), ...given(kiwis)], [{ type: 'holes', feed, holes: [{ from: 1, to: 3 }] }]],
    [[], [{ type: 'fill', feed, batches: given(plums), holes: [{ from: 2, to: 3 }] }]],
    [[elm.batch('2 melons')], [{ type: 'kept', feed, keptFrom: 2 }]],
    [[], [{ type: 'fill', feed, batches: given(figs), holes: [] }]],
    [[], [{ type: 'floor', feed, floor: limes?.head ?? oak.head }]],
    [[later.open(), later.batch('6 quinces')]],
    [[], [{ type: 'floor', feed: elm.id, floor: { nextOffset: 9, hash: oak.head.hash } }]],
    [
      [],
      [
        { type: 'floor', feed, floor: oak.head },
        { type: 'forget', feed, rooted: [later.id] },
      ],
    ],
    [[later.batch('7 grapes')], [{ type: 'meta', key: 'clock', value: undefined }]],
  ]
}

/** All that can be known of a store. */
async function stateOf(store: FeedStore) {
  const feeds = (await store.feeds()).toSorted((a, b) =>
    a.feed.epoch + a.feed.writer < b.feed.epoch + b.feed.writer ? -1 : 1,
  )
  const contents: string[] = []
  for (const { feed, opening } of feeds) {
    for (const position of [NOTHING, opening.predecessor?.nextOffset ?? 0, 2, 3]) {
      const { batches, damaged } = await store.read(feed, position, 1e9)
      contents.push(`${batches.map(hexOf).join()} ${JSON.stringify(damaged)}`)
    }
  }
  const clock = await store.getMeta('clock')
  return { feeds, contents, clock: clock && textOf(clock) }
}

async function cutAt(directory: string, log: string, size: number, tail: Uint8Array): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'grapevine-torn-'))
  onTestFinished(() => rm(path, { recursive: true }))
  await cp(directory, path, { recursive: true })
  await truncate(join(path, log), size)
  const file = await open(join(path, log), 'a')
  await file.write(tail)
  await file.close()
  return path
}

test('at every moment of a power cut, each append is there whole or not at all', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-torn-'))
  onTestFinished(() => rm(directory, { recursive: true }))
  let appended = Promise.withResolvers<void>()
  appended.resolve()
  const store = await openStore(directory, () => appended.promise)
  const log = (await readdir(directory)).find((name) => name.endsWith('.log')) ?? ''
  const size = async (): Promise<number> => (await stat(join(directory, log))).size
  const moments = [{ size: await size(), state: await stateOf(store) }]
  for (const [batches, changes] of appendsOf()) {
    appended = Promise.withResolvers<void>()
    await store.append(batches, changes)
    const appendedSize = await size()
    appended.resolve()
    moments.push({ size: appendedSize, state: await stateOf(store) })
  }
  await store.close()

  const random = new SeededRandom(5)
  const tails = [new Uint8Array(), new Uint8Array(300), Uint8Array.from({ length: 50 }, () => randomIndex(random, 256))]
  let cuts = 0
  for (const [index, { size: from, state }] of moments.entries()) {
    const to = moments[index + 1]?.size ?? from
    // Nothing of the next append, a byte of it, some of it, all but a byte.
    const places = new Set([from, from + 1, from + randomIndex(random, Math.max(1, to - from)), to - 1])
    for (const place of places) {
      if (place < from || (place >= to && place !== from)) continue
      const path = await cutAt(directory, log, place, tails[cuts++ % tails.length] as Uint8Array)
      const after = await openStore(path)
      expect(await stateOf(after), `cut at ${place}, between ${from} and ${to}`).toEqual(state)
      await after.close()
    }
  }
  expect(cuts).toBeGreaterThan(30)
})
