import type { BatchToStore, FeedStore } from './feed-store.ts'
import { describe, expect, onTestFinished, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from './sample-feed.ts'
import { hexOf, textOf, utf8 } from '#protocol/text'
import { parseEpoch, parseHash } from '#protocol/ids'
import type { Predecessor } from '#protocol/log/feed'

export interface StoreUnderTest {
  readonly store: FeedStore
  /** The same contents in a new store, after `store` was closed. */
  readonly reopen: () => Promise<FeedStore>
  /** Flips one bit of the stored batch that has these bytes. */
  readonly damage: (bytes: Uint8Array) => Promise<void>
}

const everything = 1024 * 1024

/** What every FeedStore does. A new engine is finished when this passes: call it in a test file of its own. */
export function feedStoreCompliance(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} is a feed store`, () => {
    appending(open)
    reading(open)
    trimming(open)
    metadata(open)
    closing(open)
  })
}

type Open = () => Promise<StoreUnderTest>

function appending(open: Open): void {
  test('a new store knows no feed, and an unknown feed reads as nothing', async () => {
    const { store } = await started(open)
    expect(await store.feeds()).toEqual([])
    expect(await store.read(new SampleFeed().id, NOTHING, everything)).toEqual([])
  })

  test('what was appended is there after a restart: bytes, head and what the feed says of itself', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    const batches = [orders.open(), orders.batch('1 pear', '2 plums'), orders.batch('3 figs')]
    const sent = batches.map(({ bytes }) => hexOf(bytes))
    await store.append(batches)
    const { id: feed, opening, head, hlcMs } = orders
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toEqual([{ feed, opening, head, keptFrom: 0, hlcMs }])
      expect((await opened.read(feed, NOTHING, everything)).map(hexOf)).toEqual(sent)
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('a feed goes on after a restart of the store', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    await store.append([orders.open(), orders.batch('1 pear')])
    const again = await reopened(store, reopen)
    const plums = orders.batch('2 plums')
    await again.append([plums])
    expect(await heads(again)).toEqual([orders.head])
    expect(await read(again, orders, 1)).toEqual([hexOf(plums.bytes)])
  })

  test('one append carries batches of several feeds, and several of one', async () => {
    const { store, reopen } = await started(open)
    const oak = new SampleFeed({ writer: 'oak' })
    const elm = new SampleFeed({ writer: 'elm' })
    const stock = new SampleFeed({ writer: 'oak', topic: 'stock' })
    await store.append([
      oak.open(),
      elm.open(),
      oak.batch('1 pear'),
      stock.open(),
      elm.batch('2 plums'),
      oak.batch('3 figs'),
    ])
    await store.append([elm.batch('4 limes')])
    const again = await reopened(store, reopen)
    expect(await headOf(again, oak)).toEqual(oak.head)
    expect(await headOf(again, elm)).toEqual(elm.head)
    expect(await headOf(again, stock)).toEqual(stock.head)
  })

  test('an append with a batch that does not fit its feed leaves nothing behind', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    const pear = [orders.open(), orders.batch('1 pear')]
    const head = orders.head
    await store.append(pear)
    const plums = orders.batch('2 plums')
    orders.batch('3 figs')
    await expect(store.append([plums, orders.batch('4 limes')], [['clock', utf8('9')]])).rejects.toThrow()
    expect(await heads(store)).toEqual([head])
    const again = await reopened(store, reopen)
    expect(await heads(again)).toEqual([head])
    expect(await again.getMeta('clock')).toBeUndefined()
  })
}

function reading(open: Open): void {
  test('a position inside a batch reads that batch; one at the head or beyond reads nothing', async () => {
    const { store } = await started(open)
    const orders = new SampleFeed()
    const [opened, fruit, figs] = await appendedTo(store, [
      orders.open(),
      orders.batch('1', '2', '3'),
      orders.batch('4'),
    ])
    expect(await read(store, orders, NOTHING)).toEqual([opened, fruit, figs])
    expect(await read(store, orders, 0)).toEqual([fruit, figs])
    expect(await read(store, orders, 2)).toEqual([fruit, figs])
    expect(await read(store, orders, 3)).toEqual([figs])
    expect(await read(store, orders, 4)).toEqual([])
    expect(await read(store, orders, 99)).toEqual([])
  })

  test('the opening batch of a feed with a predecessor ends where that one ended, beyond 32 bits too', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed({ predecessor: predecessorUpTo(2 ** 32 - 2) })
    const batches = [orders.open(), orders.batch('1'), orders.batch('2'), orders.batch('3'), orders.batch('4')]
    const [opened, ...fruit] = await appendedTo(store, batches)
    const again = await reopened(store, reopen)
    expect(await again.feeds()).toMatchObject([{ keptFrom: 2 ** 32 - 2, head: { nextOffset: 2 ** 32 + 2 } }])
    expect(await read(again, orders, 0)).toEqual([opened, ...fruit])
    expect(await read(again, orders, 2 ** 32 - 2)).toEqual(fruit)
    expect(await read(again, orders, 2 ** 32)).toEqual(fruit.slice(2))
  })

  test('a read gives as many batches as fit, and one however large it is', async () => {
    const { store } = await started(open)
    const orders = new SampleFeed()
    const sent = [orders.open(), orders.batch('1 pear'), orders.batch('2 plum'), orders.batch('3 figs')]
    const [, pear, plum, figs] = await appendedTo(store, sent)
    const batchBytes = (sent[1] as BatchToStore).bytes.length
    expect(await read(store, orders, 0, 1)).toEqual([pear])
    expect(await read(store, orders, 0, 2 * batchBytes - 1)).toEqual([pear])
    expect(await read(store, orders, 0, 2 * batchBytes)).toEqual([pear, plum])
    expect(await read(store, orders, 2, 2 * batchBytes)).toEqual([figs])
  })

  test('a long feed is read whole, in order', async () => {
    const { store } = await started(open)
    const orders = new SampleFeed()
    const sent = [orders.open(), ...Array.from({ length: 300 }, (_, order) => orders.batch(`order ${order}`))]
    const stored = await appendedTo(store, sent)
    expect(await read(store, orders, NOTHING)).toEqual(stored)
  })

  test('feeds do not read into each other', async () => {
    const { store } = await started(open)
    const oak = new SampleFeed({ writer: 'oak' })
    const elm = new SampleFeed({ writer: 'elm' })
    const [, pear] = await appendedTo(store, [oak.open(), oak.batch('1 pear'), elm.open(), elm.batch('2 plums')])
    expect(await read(store, oak, 0)).toEqual([pear])
  })

  test('a damaged batch is never returned: a read ends before it, and one that would begin with it rejects', async () => {
    const { store, damage } = await started(open)
    const orders = new SampleFeed()
    const batches = [orders.open(), orders.batch('1 pear'), orders.batch('2 plums'), orders.batch('3 figs')]
    const [, pear, , figs] = await appendedTo(store, batches)
    await damage((batches[2] as BatchToStore).bytes)
    expect(await read(store, orders, 0)).toEqual([pear])
    await expect(read(store, orders, 1)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(await read(store, orders, 2)).toEqual([figs])
  })
}

function trimming(open: Open): void {
  test('a trim drops what ends at or below the floor, for good', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    const [, , plums, figs] = await appendedTo(store, [
      orders.open(),
      orders.batch('1 pear'),
      orders.batch('2 plums'),
      orders.batch('3 figs'),
    ])
    await store.trim(orders.id, 1)
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ keptFrom: 1, head: orders.head }])
      expect(await read(opened, orders, NOTHING)).toEqual([plums, figs])
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('a trim to the first offset drops the opening batch alone', async () => {
    const { store } = await started(open)
    const orders = new SampleFeed()
    const [, pear] = await appendedTo(store, [orders.open(), orders.batch('1 pear')])
    await store.trim(orders.id, 0)
    expect(await store.feeds()).toMatchObject([{ keptFrom: 0 }])
    expect(await read(store, orders, NOTHING)).toEqual([pear])
  })

  test('a feed that was trimmed up to its head keeps the head, and goes on from there', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    await store.append([orders.open(), orders.batch('1 pear')])
    await store.trim(orders.id, 1)
    const { hlcMs } = orders
    const again = await reopened(store, reopen)
    expect(await again.feeds()).toMatchObject([{ keptFrom: 1, head: orders.head, hlcMs }])
    expect(await read(again, orders, NOTHING)).toEqual([])
    const [plums] = await appendedTo(again, [orders.batch('2 plums')])
    expect(await read(again, orders, NOTHING)).toEqual([plums])
  })

  test('a floor never sinks, also when it moves during an append', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    await store.append([orders.open(), orders.batch('1 pear'), orders.batch('2 plums')])
    await Promise.all([store.trim(orders.id, 1), store.append([orders.batch('3 figs')])])
    expect(await store.feeds()).toMatchObject([{ keptFrom: 1, head: orders.head }])
    await Promise.all([store.append([orders.batch('4 limes')]), store.trim(orders.id, 2)])
    expect(await store.feeds()).toMatchObject([{ keptFrom: 2, head: orders.head }])
    await Promise.all([store.trim(orders.id, 3), store.trim(orders.id, 1)])
    await store.trim(orders.id, 1)
    expect(await store.feeds()).toMatchObject([{ keptFrom: 3, head: orders.head }])
    expect(await (await reopened(store, reopen)).feeds()).toMatchObject([{ keptFrom: 3, head: orders.head }])
  })

  test('a trim during a read does not tear it', async () => {
    const { store } = await started(open)
    const orders = new SampleFeed()
    const fruit = await appendedTo(store, [orders.open(), orders.batch('1 pear'), orders.batch('2 plums')])
    const [whole] = await Promise.all([read(store, orders, NOTHING), store.trim(orders.id, 2)])
    expect(whole).toEqual(fruit)
    expect(await read(store, orders, NOTHING)).toEqual([])
  })
}

function metadata(open: Open): void {
  test('metadata is set, replaced and removed, together with batches or alone', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    await store.append(
      [],
      [
        ['clock', utf8('1')],
        ['registry', utf8('oak')],
        ['empty', utf8('')],
      ],
    )
    await store.append(
      [orders.open()],
      [
        ['clock', utf8('2')],
        ['registry', undefined],
        ['absent', undefined],
      ],
    )
    const check = async (opened: FeedStore) => {
      expect(await meta(opened, 'clock')).toBe('2')
      expect(await meta(opened, 'empty')).toBe('')
      expect(await meta(opened, 'registry')).toBeUndefined()
      expect(await meta(opened, 'never')).toBeUndefined()
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('of two changes to one key in an append, the later one counts', async () => {
    const { store } = await started(open)
    await store.append(
      [],
      [
        ['clock', utf8('1')],
        ['clock', utf8('2')],
      ],
    )
    expect(await meta(store, 'clock')).toBe('2')
  })
}

function closing(open: Open): void {
  test('closing waits for what is under way; then every call rejects, and closing again does nothing', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    await store.append([orders.open()])
    const appending = store.append([orders.batch('1 pear')])
    const reading = read(store, orders, NOTHING)
    await store.close()
    await appending
    expect(await reading).not.toEqual([])
    for (const call of [
      () => store.feeds(),
      () => store.append([]),
      () => store.read(orders.id, NOTHING, 1),
      () => store.trim(orders.id, 0),
      () => store.getMeta('clock'),
    ]) {
      await expect(call()).rejects.toBeInstanceOf(MeshError)
    }
    await store.close()
    expect(await heads(await finished(await reopen()))).toEqual([orders.head])
  })
}

async function started(open: Open): Promise<StoreUnderTest> {
  const opened = await open()
  await finished(opened.store)
  return opened
}

async function reopened(store: FeedStore, reopen: () => Promise<FeedStore>): Promise<FeedStore> {
  await store.close()
  return finished(await reopen())
}

async function finished(store: FeedStore): Promise<FeedStore> {
  onTestFinished(() => store.close())
  return store
}

/** Appends, and gives the batches as `read` shows them. */
async function appendedTo(store: FeedStore, batches: readonly BatchToStore[]): Promise<readonly string[]> {
  await store.append(batches)
  return batches.map(({ bytes }) => hexOf(bytes))
}

/** Bytes as hex, for a short difference and because engines return different kinds of byte arrays. */
async function read(store: FeedStore, feed: SampleFeed, position: number, bytesMax = everything) {
  return (await store.read(feed.id, position, bytesMax)).map(hexOf)
}

async function meta(store: FeedStore, key: string): Promise<string | undefined> {
  const value = await store.getMeta(key)
  return value && textOf(value)
}

const heads = async (store: FeedStore) => (await store.feeds()).map(({ head }) => head)

async function headOf(store: FeedStore, { id }: SampleFeed) {
  return (await store.feeds()).find(({ feed }) => feed.topicId === id.topicId && feed.writer === id.writer)?.head
}

function predecessorUpTo(nextOffset: number): Predecessor {
  const epoch = parseEpoch('00000000000000a0')
  const hash = parseHash('5e'.repeat(32))
  if (epoch === undefined || hash === undefined) throw new Error('both are well-formed')
  return { epoch, nextOffset, hash }
}
