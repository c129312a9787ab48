import { type Open, appendedTo, damageAt, predecessorUpTo, read, reopened, started } from './store-under-test.ts'
import { expect, test } from 'vitest'
import type { FeedStore } from '../feed-store.ts'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from '../sample-feed.ts'

/** Floors, what is kept, and feeds that are forgotten. */
export function lettingGo(open: Open): void {
  floors(open)
  movingFloors(open)
  kept(open)
  forgotten(open)
}

async function fourBatches(open: Open) {
  const under = await started(open)
  const orders = new SampleFeed()
  const batches = [orders.open(), orders.batch('1 pear'), orders.batch('2 plums'), orders.batch('3 figs')]
  const heads = batches.map(({ head }) => head)
  const sent = await appendedTo(under.store, batches)
  const moveTo = (index: number) => ({ type: 'floor' as const, feed: orders.id, floor: heads[index] ?? orders.head })
  return { ...under, orders, heads, sent, floorAfter: moveTo }
}

function floors(open: Open): void {
  test('a floor lets go of what ends at or below it, for good, but for the opening batch', async () => {
    const { store, reopen, orders, heads, sent, floorAfter } = await fourBatches(open)
    await store.append([], [floorAfter(1)])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ floor: heads[1], keptFrom: 1, head: orders.head }])
      expect(await read(opened, orders, NOTHING)).toEqual(sent.slice(0, 1))
      expect(await read(opened, orders, 0)).toEqual(sent.slice(2))
      expect(await damageAt(opened, orders, NOTHING)).toBeUndefined()
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('a feed whose floor is its head goes on from there', async () => {
    const { store, reopen, orders, floorAfter } = await fourBatches(open)
    await store.append([], [floorAfter(3)])
    const { hlcMs, head } = orders
    const again = await reopened(store, reopen)
    expect(await again.feeds()).toMatchObject([{ keptFrom: 3, floor: head, head, hlcMs }])
    expect(await again.read(orders.id, 0, 1024)).toEqual({ batches: [] })
    const [limes] = await appendedTo(again, [orders.batch('4 limes')])
    expect(await read(again, orders, 0)).toEqual([limes])
  })

  test('a floor beyond the head takes the head with it, and the feed goes on from there', async () => {
    const { store, reopen, orders, sent, floorAfter } = await fourBatches(open)
    orders.batch('4 limes')
    const { head } = orders
    await store.append([], [floorAfter(4)])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ floor: head, head, keptFrom: 4 }])
      expect(await opened.read(orders.id, 0, 1024)).toEqual({ batches: [] })
      expect(await read(opened, orders, NOTHING)).toEqual(sent.slice(0, 1))
    }
    await check(store)
    const again = await reopened(store, reopen)
    await check(again)
    const [kiwis] = await appendedTo(again, [orders.batch('5 kiwis')])
    const last = await reopened(again, reopen)
    expect(await read(last, orders, 0)).toEqual([kiwis])
    expect(await last.feeds()).toMatchObject([{ floor: head, head: orders.head }])
  })
}

function movingFloors(open: Open): void {
  test('a floor comes after the batches of its append', async () => {
    const { store, orders } = await fourBatches(open)
    const limes = orders.batch('4 limes')
    await store.append([limes], [{ type: 'floor', feed: orders.id, floor: limes.head }])
    expect(await store.feeds()).toMatchObject([{ floor: limes.head, head: limes.head }])
  })

  test('a floor never sinks', async () => {
    const { store, reopen, heads, floorAfter } = await fourBatches(open)
    await store.append([], [floorAfter(2), floorAfter(1)])
    await store.append([], [floorAfter(1), floorAfter(0)])
    expect(await store.feeds()).toMatchObject([{ floor: heads[2], keptFrom: 2 }])
    expect(await (await reopened(store, reopen)).feeds()).toMatchObject([{ floor: heads[2], keptFrom: 2 }])
  })

  test('a floor that moves during a read does not tear it', async () => {
    const { store, orders, sent, floorAfter } = await fourBatches(open)
    const [whole] = await Promise.all([read(store, orders, NOTHING), store.append([], [floorAfter(2)])])
    expect(whole).toEqual(sent)
    expect(await read(store, orders, 0)).toEqual(sent.slice(3))
  })

  test('the floor of a feed with a predecessor is where it begins', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed({ predecessor: predecessorUpTo(7) })
    const opening = orders.open()
    const [, pear] = await appendedTo(store, [opening, orders.batch('7 pears')])
    const again = await reopened(store, reopen)
    expect(await again.feeds()).toMatchObject([{ floor: opening.head, keptFrom: 7 }])
    await again.append([], [{ type: 'floor', feed: orders.id, floor: opening.head }])
    expect(await read(again, orders, 7)).toEqual([pear])
  })
}

function kept(open: Open): void {
  const keptFrom = (orders: SampleFeed, offset: number) =>
    ({ type: 'kept', feed: orders.id, keptFrom: offset }) as const

  test('what this store alone lets go of moves no floor', async () => {
    const { store, reopen, orders, heads, sent } = await fourBatches(open)
    await store.append([], [keptFrom(orders, 2)])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ floor: heads[0], keptFrom: 2, head: orders.head, holes: [] }])
      expect(await read(opened, orders, 0)).toEqual(sent.slice(3))
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('all of a feed may be let go of: its head stays', async () => {
    const { store, reopen, orders } = await fourBatches(open)
    await store.append([], [keptFrom(orders, 3)])
    const again = await reopened(store, reopen)
    expect(await again.feeds()).toMatchObject([{ keptFrom: 3, head: orders.head }])
    const [limes] = await appendedTo(again, [orders.batch('4 limes')])
    expect(await read(again, orders, 0)).toEqual([limes])
  })

  test('what is wanted again is a hole until it is filled', async () => {
    const { store, reopen, orders, sent } = await fourBatches(open)
    await store.append([], [keptFrom(orders, 2)])
    await store.append([], [keptFrom(orders, 1)])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ keptFrom: 1, holes: [{ from: 1, to: 2 }] }])
      expect(await opened.read(orders.id, 0, 1024)).toEqual({ batches: [], damaged: { from: 1, to: 2 } })
      expect(await read(opened, orders, 2)).toEqual(sent.slice(3))
    }
    await check(store)
    await check(await reopened(store, reopen))
  })
}

function forgotten(open: Open): void {
  test('a forgotten feed was never here, and its successor has no predecessor any more', async () => {
    const { store, reopen, orders, floorAfter } = await fourBatches(open)
    const { head } = orders
    const predecessor = { epoch: orders.id.epoch, ...head }
    const later = new SampleFeed({ epoch: '00000000000000bb', predecessor })
    const others = await appendedTo(store, [later.open(), later.batch('4 limes')])
    const unknown = new SampleFeed({ epoch: '00000000000000cc' })
    await store.append([], [floorAfter(3), { type: 'forget', feed: orders.id, rooted: [later.id, unknown.id] }])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ feed: later.id, head: later.head, rooted: true }])
      expect(await opened.read(orders.id, NOTHING, 1024)).toEqual({ batches: [] })
      expect(await read(opened, later, NOTHING)).toEqual(others)
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('a feed that was forgotten with records can come back', async () => {
    const { store, reopen, orders, sent } = await fourBatches(open)
    await store.append([], [{ type: 'forget', feed: orders.id, rooted: [] }])
    const again = new SampleFeed()
    await store.append([again.open(), again.batch('1 pear')])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ feed: orders.id, keptFrom: 0, head: again.head }])
      expect(await read(opened, orders, NOTHING)).toEqual(sent.slice(0, 2))
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('an unknown feed is forgotten already', async () => {
    const { store } = await started(open)
    await store.append([], [{ type: 'forget', feed: new SampleFeed().id, rooted: [] }])
    expect(await store.feeds()).toEqual([])
  })
}
