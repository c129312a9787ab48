import type { BatchToStore, FeedStore, StoreChange } from '../feed-store.ts'
import { hexOf, textOf } from '#protocol/text'
import { parseEpoch, parseHash } from '#protocol/ids'
import { onTestFinished } from 'vitest'
import type { Predecessor } from '#protocol/log/feed'
import type { SampleFeed } from '../sample-feed.ts'

export interface StoreUnderTest {
  readonly store: FeedStore
  /** The same contents in a new store, after `store` was closed. */
  readonly reopen: () => Promise<FeedStore>
  /** Flips one bit of the stored batch that has these bytes. */
  readonly damage: (bytes: Uint8Array) => Promise<void>
}

export type Open = () => Promise<StoreUnderTest>

export const everything = 1024 * 1024

export async function started(open: Open): Promise<StoreUnderTest> {
  const opened = await open()
  await finished(opened.store)
  return opened
}

export async function reopened(store: FeedStore, reopen: () => Promise<FeedStore>): Promise<FeedStore> {
  await store.close()
  return finished(await reopen())
}

export async function finished(store: FeedStore): Promise<FeedStore> {
  onTestFinished(() => store.close())
  return store
}

/** Appends, and gives the batches as `read` shows them. */
export async function appendedTo(store: FeedStore, batches: readonly BatchToStore[]): Promise<readonly string[]> {
  await store.append(batches)
  return batches.map(({ bytes }) => hexOf(bytes))
}

/** Bytes as hex, for a short difference and because engines return different kinds of byte arrays. */
export async function read(store: FeedStore, feed: SampleFeed, position: number, bytesMax = everything) {
  return (await store.read(feed.id, position, bytesMax)).batches.map(hexOf)
}

/** Where a read says that damage follows. */
export const damageAt = async (store: FeedStore, feed: SampleFeed, position: number) =>
  (await store.read(feed.id, position, everything)).damaged

/** A read from `position` to its end: batches, and damage after them. */
export async function readAll(store: FeedStore, feed: SampleFeed, position: number) {
  return { batches: await read(store, feed, position), damaged: await damageAt(store, feed, position) }
}

export const metaChange = (key: string, value: Uint8Array | undefined): StoreChange => ({ type: 'meta', key, value })

export async function metaText(store: FeedStore, key: string): Promise<string | undefined> {
  const value = await store.getMeta(key)
  return value && textOf(value)
}

export const heads = async (store: FeedStore) => (await store.feeds()).map(({ head }) => head)

export async function headOf(store: FeedStore, { id }: SampleFeed) {
  return (await store.feeds()).find(({ feed }) => feed.topicId === id.topicId && feed.writer === id.writer)?.head
}

export function predecessorUpTo(nextOffset: number): Predecessor {
  const epoch = parseEpoch('00000000000000a0')
  const hash = parseHash('5e'.repeat(32))
  if (epoch === undefined || hash === undefined) throw new Error('both are well-formed')
  return { epoch, nextOffset, hash }
}
