import { type Open, appendedTo, read, readAll, reopened, started } from './store-under-test.ts'
import { expect, test } from 'vitest'
import type { BatchToStore, FeedStore, StoreChange } from '../feed-store.ts'
import { NOTHING, type OffsetRange } from '#protocol/log/feed'
import { SampleFeed } from '../sample-feed.ts'

/** Five batches: the opening, then offsets 0–1, 2, 3 and 4. */
async function fiveBatches(open: Open) {
  const under = await started(open)
  const orders = new SampleFeed()
  const values = [['1 pear', '2 plums'], ['3 figs'], ['4 limes'], ['5 kiwis']]
  const batches = [orders.open(), ...values.map((records) => orders.batch(...records))]
  const sent = await appendedTo(under.store, batches)
  return { ...under, orders, batches, sent }
}

const holesOf = ({ id: feed }: SampleFeed, ...holes: readonly OffsetRange[]): StoreChange => ({
  type: 'holes',
  feed,
  holes,
})

const fillOf = (
  { id: feed }: SampleFeed,
  batches: readonly (BatchToStore | undefined)[],
  ...holes: readonly OffsetRange[]
): StoreChange => ({ type: 'fill', feed, batches: batches.filter((batch) => batch !== undefined), holes })

const skipTo = ({ id: feed, head: to }: SampleFeed): StoreChange => ({ type: 'skip', feed, to })

/** Damage, the holes that it leaves, and what fills them. */
export function repairing(open: Open): void {
  damage(open)
  holes(open)
  filling(open)
  skipping(open)
}

function damage(open: Open): void {
  test('a damaged batch is never returned: a read ends before it, and says how far the damage goes', async () => {
    const { store, damage: flip, orders, batches, sent } = await fiveBatches(open)
    await flip((batches[2] as BatchToStore).bytes)
    const damaged = { from: 2, to: 3 }
    expect(await readAll(store, orders, 0)).toEqual({ batches: [sent[1]], damaged })
    expect(await readAll(store, orders, 2)).toEqual({ batches: [], damaged })
    expect(await readAll(store, orders, 3)).toEqual({ batches: sent.slice(3), damaged: undefined })
  })

  test('damage that is met from inside of a batch goes down to where that batch begins', async () => {
    const { store, damage: flip, orders, batches } = await fiveBatches(open)
    await flip((batches[1] as BatchToStore).bytes)
    expect(await readAll(store, orders, 1)).toEqual({ batches: [], damaged: { from: 0, to: 2 } })
  })

  test('damaged batches in a row are one range, at the head too', async () => {
    const { store, damage: flip, orders, batches, sent } = await fiveBatches(open)
    await flip((batches[3] as BatchToStore).bytes)
    await flip((batches[4] as BatchToStore).bytes)
    expect(await readAll(store, orders, 2)).toEqual({ batches: [sent[2]], damaged: { from: 3, to: 5 } })
  })

  test('a read that is full before the damage does not tell of it', async () => {
    const { store, damage: flip, orders, batches } = await fiveBatches(open)
    await flip((batches[2] as BatchToStore).bytes)
    const { batches: found, damaged } = await store.read(orders.id, 0, 1)
    expect([found.length, damaged]).toEqual([1, undefined])
    expect(await store.read(orders.id, 2, 1)).toEqual({ batches: [], damaged: { from: 2, to: 3 } })
  })

  test('what a feed is outlives damage to its opening batch', async () => {
    const { store, damage: flip, orders, batches, sent } = await fiveBatches(open)
    await flip((batches[0] as BatchToStore).bytes)
    expect(await readAll(store, orders, NOTHING)).toEqual({ batches: sent, damaged: undefined })
  })
}

function holes(open: Open): void {
  test('a hole is not read, though its batches are there: a read ends before it and goes on after it', async () => {
    const { store, reopen, orders, sent } = await fiveBatches(open)
    await store.append([], [holesOf(orders, { from: 2, to: 3 })])
    const check = async (opened: FeedStore) => {
      const damaged = { from: 2, to: 3 }
      expect(await opened.feeds()).toMatchObject([{ holes: [damaged], head: orders.head, keptFrom: 0 }])
      expect(await readAll(opened, orders, NOTHING)).toEqual({ batches: sent.slice(0, 2), damaged })
      expect(await readAll(opened, orders, 2)).toEqual({ batches: [], damaged })
      expect(await readAll(opened, orders, 3)).toEqual({ batches: sent.slice(3), damaged: undefined })
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('the newest list of holes counts, and holes that touch are one', async () => {
    const { store, orders } = await fiveBatches(open)
    await store.append([], [holesOf(orders, { from: 0, to: 2 })])
    await store.append([], [holesOf(orders, { from: 2, to: 3 }, { from: 3, to: 4 })])
    expect(await store.feeds()).toMatchObject([{ holes: [{ from: 2, to: 4 }] }])
    await store.append([], [holesOf(orders)])
    expect(await store.feeds()).toMatchObject([{ holes: [] }])
  })

  test('a hole at the end does not keep the feed from going on', async () => {
    const { store, orders } = await fiveBatches(open)
    await store.append([], [holesOf(orders, { from: 4, to: 5 })])
    const [dates] = await appendedTo(store, [orders.batch('6 dates')])
    expect(await readAll(store, orders, 3)).toMatchObject({ damaged: { from: 4, to: 5 } })
    expect(await read(store, orders, 5)).toEqual([dates])
  })

  test('what lies below a floor, or is not kept, is no hole', async () => {
    const { store, reopen, orders, batches } = await fiveBatches(open)
    await store.append([], [holesOf(orders, { from: 0, to: 3 }, { from: 4, to: 9 })])
    await store.append([], [{ type: 'floor', feed: orders.id, floor: (batches[1] as BatchToStore).head }])
    expect(await store.feeds()).toMatchObject([
      {
        keptFrom: 2,
        holes: [
          { from: 2, to: 3 },
          { from: 4, to: 5 },
        ],
      },
    ])
    await store.append([], [{ type: 'kept', feed: orders.id, keptFrom: 3 }])
    expect(await (await reopened(store, reopen)).feeds()).toMatchObject([{ keptFrom: 3, holes: [{ from: 4, to: 5 }] }])
  })
}

function filling(open: Open): void {
  test('what is filled in is read again', async () => {
    const { store, reopen, damage: flip, orders, batches, sent } = await fiveBatches(open)
    const sound = batches.map((batch) => ({ ...batch, bytes: batch.bytes.slice() }))
    await flip((batches[2] as BatchToStore).bytes)
    await store.append([], [holesOf(orders, { from: 2, to: 3 })])
    await store.append([], [fillOf(orders, [sound[2]])])
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ holes: [], head: orders.head }])
      expect(await readAll(opened, orders, NOTHING)).toEqual({ batches: sent, damaged: undefined })
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('a hole is filled piece by piece, and batches that were missing altogether come in', async () => {
    const { store, reopen, orders, batches, sent } = await fiveBatches(open)
    await store.append([], [{ type: 'kept', feed: orders.id, keptFrom: 4 }])
    await store.append([], [{ type: 'kept', feed: orders.id, keptFrom: 0 }])
    await store.append([], [fillOf(orders, batches.slice(1, 3), { from: 3, to: 4 })])
    expect(await readAll(store, orders, NOTHING)).toEqual({ batches: sent.slice(0, 3), damaged: { from: 3, to: 4 } })
    const again = await reopened(store, reopen)
    await again.append([], [fillOf(orders, [batches[3]])])
    expect(await readAll(again, orders, NOTHING)).toEqual({ batches: sent, damaged: undefined })
  })

  test('an append that fills what is no hole, or does not chain, changes nothing', async () => {
    const { store, orders, batches } = await fiveBatches(open)
    await store.append([], [holesOf(orders, { from: 2, to: 4 })])
    const before = await store.feeds()
    for (const wrong of [[batches[1]], [batches[2], batches[4]], [batches[3], batches[2]], []]) {
      await expect(store.append([orders.batch('6 dates')], [fillOf(orders, wrong)])).rejects.toThrow()
      expect(await store.feeds()).toEqual(before)
    }
  })
}

function skipping(open: Open): void {
  test('what is passed over is a hole, behind which the feed goes on', async () => {
    const { store, reopen, orders, sent } = await fiveBatches(open)
    const lost = orders.batch('6 dates', '7 plums')
    const { head } = orders
    await store.append([], [skipTo(orders)])
    const damaged = { from: 5, to: 7 }
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toMatchObject([{ head, holes: [damaged], keptFrom: 0 }])
      expect(await readAll(opened, orders, NOTHING)).toEqual({ batches: sent, damaged })
    }
    await check(store)
    const again = await reopened(store, reopen)
    await check(again)
    const [pear] = await appendedTo(again, [orders.batch('8 pears')])
    const last = await reopened(again, reopen)
    expect(await readAll(last, orders, 7)).toEqual({ batches: [pear], damaged: undefined })
    await last.append([], [fillOf(orders, [lost])])
    expect(await readAll(last, orders, 4)).toMatchObject({ batches: { length: 3 }, damaged: undefined })
  })

  test('what is passed over joins a hole that it touches; nothing is passed over below the head', async () => {
    const { store, orders } = await fiveBatches(open)
    await store.append([], [holesOf(orders, { from: 4, to: 5 })])
    await store.append([], [skipTo(orders)])
    expect(await store.feeds()).toMatchObject([{ holes: [{ from: 4, to: 5 }] }])
    orders.batch('6 dates')
    await store.append([], [skipTo(orders)])
    expect(await store.feeds()).toMatchObject([{ head: orders.head, holes: [{ from: 4, to: 6 }] }])
  })
}
