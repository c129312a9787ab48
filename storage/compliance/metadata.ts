import { type Open, finished, heads, metaChange, metaText, read, reopened, started } from './store-under-test.ts'
import { expect, test } from 'vitest'
import type { FeedStore } from '../feed-store.ts'
import { MeshError } from '#protocol/errors'
import { NOTHING } from '#protocol/log/feed'
import { SampleFeed } from '../sample-feed.ts'
import { utf8 } from '#protocol/text'

export function metadata(open: Open): void {
  test('metadata is set, replaced and removed, together with batches or alone', async () => {
    const { store, reopen } = await started(open)
    const orders = new SampleFeed()
    await store.append(
      [],
      [metaChange('clock', utf8('1')), metaChange('registry', utf8('oak')), metaChange('empty', utf8(''))],
    )
    await store.append(
      [orders.open()],
      [metaChange('clock', utf8('2')), metaChange('registry', undefined), metaChange('absent', undefined)],
    )
    const check = async (opened: FeedStore) => {
      expect(await metaText(opened, 'clock')).toBe('2')
      expect(await metaText(opened, 'empty')).toBe('')
      expect(await metaText(opened, 'registry')).toBeUndefined()
      expect(await metaText(opened, 'never')).toBeUndefined()
    }
    await check(store)
    await check(await reopened(store, reopen))
  })

  test('of two changes to one key in an append, the later one counts', async () => {
    const { store } = await started(open)
    await store.append([], [metaChange('clock', utf8('1')), metaChange('clock', utf8('2'))])
    expect(await metaText(store, 'clock')).toBe('2')
  })
}

export function closing(open: Open): void {
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
      () => store.getMeta('clock'),
    ]) {
      await expect(call()).rejects.toBeInstanceOf(MeshError)
    }
    await store.close()
    expect(await heads(await finished(await reopen()))).toEqual([orders.head])
  })
}
