import { type Open, everything, headOf, heads, metaChange, read, reopened, started } from './store-under-test.ts'
import { expect, test } from 'vitest'
import type { FeedStore } from '../feed-store.ts'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from '../sample-feed.ts'
import { hexOf, utf8 } from '#protocol/text'

export function appending(open: Open): void {
  test('a new store knows no feed, and an unknown feed reads as nothing', async () => {
    const { store } = await started(open)
    expect(await store.feeds()).toEqual([])
    expect(await store.read(new SampleFeed().id, NOTHING, everything)).toEqual({ batches: [] })
  })

  test('what was appended is there after a restart: bytes, head and what the feed says of itself', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    const batches = [orders.open(), orders.batch('1 pear', '2 plums'), orders.batch('3 figs')]
    const sent = batches.map(({ bytes }) => hexOf(bytes))
    await store.append(batches)
    const { id: feed, opening, head, hlcMs } = orders
    const whole = { floor: batches[0]?.head, keptFrom: 0, holes: [], rooted: false }
    const check = async (opened: FeedStore) => {
      expect(await opened.feeds()).toEqual([{ feed, opening, head, ...whole, hlcMs }])
      expect(await read(opened, orders, NOTHING)).toEqual(sent)
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
    await expect(store.append([plums, orders.batch('4 limes')], [metaChange('clock', utf8('9'))])).rejects.toThrow()
    expect(await heads(store)).toEqual([head])
    const again = await reopened(store, reopen)
    expect(await heads(again)).toEqual([head])
    expect(await again.getMeta('clock')).toBeUndefined()
  })
}
