import { type Open, appendedTo, predecessorUpTo, read, reopened, started } from './store-under-test.ts'
import { expect, test } from 'vitest'
import type { BatchToStore } from '../feed-store.ts'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from '../sample-feed.ts'

export function reading(open: Open): void {
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
}
