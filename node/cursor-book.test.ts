// Named cursors at real machines: stored at one peer, read at another, through splits, restarts and compaction.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { cursorsTopic, type TopicName } from '#protocol/topic-name'
import { MemoryStore } from '#storage/memory-store'
import { CursorBook } from './cursor-book.ts'
import { nodeDigests } from './node-digests.ts'
import { boot, ManualClock, orders, publish, still, texts } from './test-broker.ts'
import { WiredPeers } from './test-pair.ts'

const named = (name: string, orEarliest = false) => ({ type: 'named', name, orEarliest }) as const

test('a cursor is stored under a name, read, replaced, and deleted', async () => {
  const { broker } = await boot()
  const { cursor } = await publish(broker, ['pears'])
  await publish(broker, ['plums'])
  expect(await broker.namedCursor(orders, 'billing')).toBeUndefined()
  expect(await broker.putNamedCursor(orders, 'billing', cursor)).toBe(cursor)
  expect(await broker.namedCursor(orders, 'billing')).toBe(cursor)
  expect(await broker.namedCursor('bills' as TopicName, 'billing')).toBeUndefined()
  expect(await texts(broker, named('billing'))).toEqual(['plums'])
  const { cursor: end } = await publish(broker, ['figs'])
  await broker.putNamedCursor(orders, 'billing', end)
  expect(await texts(broker, named('billing'))).toEqual([])
  await broker.putNamedCursor(orders, 'billing', cursor)
  expect(await texts(broker, named('billing'))).toEqual(['plums', 'figs'])
  expect(await broker.deleteNamedCursor(orders, 'billing')).toBe(true)
  expect(await broker.deleteNamedCursor(orders, 'billing')).toBe(false)
  await expect(broker.open(orders, named('billing'))).rejects.toMatchObject({ code: 'CURSOR_NOT_FOUND' })
  expect(await texts(broker, named('billing', true))).toEqual(['pears', 'plums', 'figs'])
})

test('what is no cursor of the topic is refused, and so is storing at a peer that has stopped', async () => {
  const { broker, driver } = await boot()
  await publish(broker, ['pears'])
  const other = await publish(broker, ['pears'], { topic: 'bills' as TopicName })
  for (const cursor of ['gv1.', 'after-1', other.cursor]) {
    await expect(broker.putNamedCursor(orders, 'billing', cursor)).rejects.toMatchObject({ code: 'CURSOR_INVALID' })
  }
  const isCursor = ['gv1.', 'after-1', `${other.cursor}\n`, other.cursor].map((text) => broker.isCursor(text))
  expect(isCursor).toEqual([false, false, false, true])
  driver.stop()
  await expect(broker.putNamedCursor(orders, 'billing', (await publishCursor()).cursor)).rejects.toMatchObject({
    code: 'DRAINING',
  })
})

/** A cursor of `orders`, as any peer gives it. */
const publishCursor = async () => publish((await boot()).broker, ['x'])

test('many edits at once share writes, and the last of each name holds; after a restart, too', async () => {
  const store = new MemoryStore(nodeDigests)
  const { broker, driver } = await boot(store)
  const cursors: string[] = []
  for (let i = 0; i < 5; i++) cursors.push((await publish(broker, [`v${i}`])).cursor)
  const puts = cursors.flatMap((cursor) => ['a', 'b', 'c'].map((name) => broker.putNamedCursor(orders, name, cursor)))
  const back = cursors.toReversed().map((cursor) => broker.putNamedCursor(orders, 'back', cursor))
  await Promise.all([...puts, ...back])
  const topicId = driver.peer.topicIdOf(cursorsTopic)
  const written = driver.feeds(topicId)[0]?.head.nextOffset ?? 0
  expect(written).toBeLessThan(puts.length / 2)
  expect(await broker.namedCursor(orders, 'b')).toBe(cursors[4])
  expect(await broker.namedCursor(orders, 'back')).toBe(cursors[0])
  // Also when one comes while another is being written.
  for (let turns = 0; turns < 40; turns++) {
    const [one, other] = [cursors[turns % 5], cursors[(turns + 2) % 5]] as [string, string]
    const first = broker.putNamedCursor(orders, 'back', one)
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    await Promise.all([first, broker.putNamedCursor(orders, 'back', other)])
    expect(await broker.namedCursor(orders, 'back')).toBe(other)
  }
  driver.stop()
  const again = await boot(store, '0000000000000002')
  for (const name of ['a', 'b', 'c']) expect(await again.broker.namedCursor(orders, name)).toBe(cursors[4])
})

test('what a peer wrote before goes once it is said again, and nothing of what it has to say', async () => {
  const store = new MemoryStore(nodeDigests)
  const { broker, driver } = await boot(store)
  const { cursor } = await publish(broker, ['pears'])
  const book = new CursorBook({ driver, clock: still, digests: nodeDigests, compactAfter: 10 })
  await book.put(orders, 'kept', cursor)
  await book.put(orders, 'gone', cursor)
  await book.delete(orders, 'gone')
  for (let i = 0; i < 60; i++) await book.put(orders, 'busy', cursor)
  await driver.idle()
  const topicId = driver.peer.topicIdOf(cursorsTopic)
  const feed = () => driver.feeds(topicId)[0]
  expect(feed()?.floor.nextOffset).toBeGreaterThan(20)
  expect((feed()?.head.nextOffset ?? 0) - (feed()?.floor.nextOffset ?? 0)).toBeLessThan(30)
  driver.stop()
  const again = await boot(store, '0000000000000002')
  const names = await Promise.all(['kept', 'gone', 'busy'].map((name) => again.broker.namedCursor(orders, name)))
  expect(names).toEqual([cursor, undefined, cursor])
})

test('where all the room is in use cursors move on, and none is added or grows', async () => {
  const { driver } = await boot()
  const book = new CursorBook({ driver, clock: still, digests: nodeDigests })
  const length = limits.namedCursorTextMax
  const names = Array.from({ length: limits.namedCursorsLengthMax / length }, (_, n) => `c${n}`)
  await Promise.all(names.map((name) => book.put(orders, name, 'x'.repeat(length))))
  await expect(book.put(orders, 'more', 'x')).rejects.toMatchObject({ code: 'TOO_MANY_CURSORS' })
  const moved = 'y'.repeat(length)
  await book.put(orders, 'c7', moved)
  expect(await book.get(orders, 'c7')).toBe(moved)
  await expect(book.put(orders, 'c7', `${moved}y`)).rejects.toMatchObject({ code: 'TOO_MANY_CURSORS' })
})

/** Of whose disk what lies from there on cannot be read, for as long as that is so. */
class DamagedStore extends MemoryStore {
  unreadableFrom = Number.POSITIVE_INFINITY

  override async read(...[feed, position, bytesMax]: Parameters<MemoryStore['read']>) {
    const { batches } = await super.read(feed, position, position < this.unreadableFrom ? 1 : bytesMax)
    return { batches: position < this.unreadableFrom ? batches : [] }
  }
}

test('nothing is let go of that could not be read yet, however often it was looked for', async () => {
  const store = new DamagedStore(nodeDigests)
  const first = await boot(store)
  const { cursor } = await publish(first.broker, ['pears'])
  const before = new CursorBook({ driver: first.driver, clock: still, digests: nodeDigests })
  for (let i = 0; i < 60; i++) await before.put(orders, 'busy', cursor)
  await before.put(orders, 'kept', cursor)
  await first.driver.idle()
  first.driver.stop()
  const { driver } = await boot(store, '0000000000000002')
  store.unreadableFrom = 60
  const book = new CursorBook({ driver, clock: still, digests: nodeDigests, compactAfter: 10 })
  for (let i = 0; i < 3; i++) await book.put(orders, 'busy', cursor)
  expect(await book.get(orders, 'kept')).toBeUndefined()
  await driver.idle()
  store.unreadableFrom = Number.POSITIVE_INFINITY
  // Once it can be read it is known at the next look after something has come, and is said again with the rest.
  await book.put(orders, 'news', cursor)
  expect(await book.get(orders, 'kept')).toBe(cursor)
  // A write begins after all that came with the one before.
  await book.put(orders, 'busy', cursor)
  await driver.idle()
  const feeds = driver.feeds(driver.peer.topicIdOf(cursorsTopic))
  expect(feeds.map(({ floor }) => floor.nextOffset > 60)).toEqual([true, true])
  driver.stop()
  const again = await boot(store, '0000000000000003')
  expect(await again.broker.namedCursor(orders, 'kept')).toBe(cursor)
})

test('a cursor stored at one peer is read at another, and what both sides of a split store is read as one', async () => {
  const clock = new ManualClock()
  const peers = await WiredPeers.boot(['oak', 'elm'], 2, clock)
  peers.link('oak', 'elm')
  await peers.settle(100)
  const [oak, elm] = [peers.at('oak').broker, peers.at('elm').broker]
  await publish(oak, ['o1', 'o2'])
  await publish(elm, ['e1', 'e2'])
  await peers.settle(100)
  const reader = await oak.open(orders, { type: 'earliest' })
  const { records } = await reader.next(1)
  await oak.putNamedCursor(orders, 'billing', records[0]?.cursor ?? '')
  await peers.settle(100)
  expect(await elm.namedCursor(orders, 'billing')).toBe(records[0]?.cursor)
  peers.cut('oak', 'elm')
  // On each side somebody reads on, at what was written there.
  const here = await publish(oak, ['o3'])
  const there = await publish(elm, ['e3'])
  await oak.putNamedCursor(orders, 'billing', here.cursor)
  await elm.putNamedCursor(orders, 'billing', there.cursor)
  expect(await texts(oak, named('billing'))).toEqual([])
  peers.link('oak', 'elm')
  await peers.settle(100)
  await peers.settle(100)
  const [mine, theirs] = await Promise.all([oak, elm].map((broker) => broker.namedCursor(orders, 'billing')))
  expect(mine).toBe(theirs)
  // What one side has read and the other has not comes again, and nothing is missed.
  expect(await texts(oak, named('billing'))).toEqual(['e3', 'o3'])
  await publish(elm, ['e4'])
  await peers.settle(100)
  expect(await texts(oak, named('billing'))).toEqual(['e3', 'o3', 'e4'])
})

test('a peer that does not keep the cursors reads them through those who do', async () => {
  const clock = new ManualClock()
  const peers = await WiredPeers.boot(['oak', 'elm', 'ash'], 1, clock)
  peers.link('oak', 'elm')
  peers.link('oak', 'ash')
  peers.link('elm', 'ash')
  await peers.settle(100)
  const { cursor } = await publish(peers.at('oak').broker, ['pears'])
  await peers.settle(100)
  await peers.at('oak').broker.putNamedCursor(orders, 'billing', cursor)
  await peers.settle(100)
  for (const name of ['oak', 'elm', 'ash'] as PeerId[]) {
    const found = peers.at(name).broker.namedCursor(orders, 'billing')
    await peers.settle(100)
    expect(await found).toBe(cursor)
  }
})
