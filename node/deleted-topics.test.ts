// Goal: a deleted topic is gone at once under its name, and what was acked without knowing of it is not lost in silence.
// Method: one peer without neighbors; what another one published meanwhile is put on its disk.
import { describe, expect, test } from 'vitest'
import { type Epoch, type PeerId, topicIdOf } from '#protocol/ids'
import { encodeBatch, encodeOpeningBatch } from '#protocol/log/batch'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { MemoryDisk, MemoryStore } from '#storage/memory-store'
import { nodeDigests } from './node-digests.ts'
import { boot, ManualClock, orders, publish, texts } from './test-broker.ts'

const remains = '$deleted.orders.0' as TopicName
const graceMs = 20_000

/** What elm published on its side of a split, as oak's disk has it after the heal. */
async function fromElm(store: MemoryStore, values: readonly string[]): Promise<void> {
  const opening = { topic: 'orders', generation: 0, writer: 'elm' as PeerId, epoch: '00000000000000e1' as Epoch }
  const feed = { topicId: topicIdOf(nodeDigests, { cluster: 'garden', name: 'orders', generation: 0 }), ...opening }
  const opened = encodeOpeningBatch(opening, { ms: 1, counter: 0 }, nodeDigests)
  const recordSets = [encodeRecords(values.map((value) => ({ value: utf8(value), headers: {} })))]
  const batch = { baseOffset: 0, hlc: { ms: 2, counter: 0 }, previousHash: opened.head.hash, recordSets }
  await store.append([
    { feed, opening, ...opened },
    { feed, ...encodeBatch(batch, nodeDigests) },
  ])
}

describe('a topic that is deleted', () => {
  test('is gone when that is answered; made again it is another one, with nothing of the old', async () => {
    const { broker } = await boot()
    await publish(broker, ['one', 'two'])
    await broker.patchTopic(orders, { replicas: 5 }, undefined)
    expect(await broker.deleteTopic(orders)).toEqual({ generation: 0 })
    expect(broker.topics()).toEqual([])
    await expect(broker.open(orders, { type: 'earliest' })).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
    await expect(broker.deleteTopic(orders)).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
    await publish(broker, ['three'])
    expect(await texts(broker, { type: 'earliest' })).toEqual(['three'])
    expect(await broker.topic(orders)).toMatchObject({ generation: 1, records: 1, config: { replicas: 3 } })
  })

  test('stays deleted after a restart, and its generation goes on', async () => {
    const disk = new MemoryDisk()
    const { broker } = await boot(new MemoryStore(nodeDigests, disk))
    await publish(broker, ['one'])
    await broker.deleteTopic(orders)
    const again = await boot(new MemoryStore(nodeDigests, disk), '0000000000000002')
    expect(again.broker.topics()).toEqual([])
    await publish(again.broker, ['two'])
    expect(await texts(again.broker, { type: 'earliest' })).toEqual(['two'])
    expect(await again.broker.deleteTopic(orders)).toEqual({ generation: 1 })
  })

  test('lets go of its records on disk', async () => {
    const clock = new ManualClock()
    const { broker, driver } = await boot(undefined, undefined, { clock })
    await publish(broker, ['one', 'two'])
    const topicId = driver.peer.topicIdOf(orders)
    await broker.deleteTopic(orders)
    clock.advance(1)
    await driver.idle()
    expect(driver.feeds(topicId)).toMatchObject([{ floor: { nextOffset: 2 }, head: { nextOffset: 2 } }])
    expect(broker.deletedTopics()).toEqual([])
  })

  test('is told to who reads it, who waits for more of it, and who comes with a cursor of it', async () => {
    const { broker } = await boot()
    const { cursor } = await publish(broker, ['one'])
    const reader = await broker.open(orders, { type: 'earliest' })
    await reader.next(10)
    const waiting = reader.more(new AbortController().signal)
    await broker.deleteTopic(orders)
    await waiting
    const facts = { topic: 'orders', generation: 0, remains }
    await expect(reader.next(10)).rejects.toMatchObject({ code: 'TOPIC_DELETED', facts })
    await publish(broker, ['two'])
    await expect(reader.next(10)).rejects.toMatchObject({ code: 'TOPIC_DELETED' })
    await expect(broker.open(orders, { type: 'cursor', cursor })).rejects.toMatchObject({
      code: 'TOPIC_DELETED',
      facts,
    })
  })

  test('is told as new when it is made again', async () => {
    const { broker } = await boot()
    await publish(broker, ['one'])
    const told: string[] = []
    broker.onTopic((topic) => told.push(topic))
    await broker.deleteTopic(orders)
    await publish(broker, ['two'])
    expect(told).toEqual(['orders'])
  })
})

describe('what was published without knowing of the deletion', () => {
  /** Oak deletes the topic with one record of its own; then elm's records come. */
  async function afterTheHeal(disk: MemoryDisk, clock: ManualClock) {
    const before = await boot(new MemoryStore(nodeDigests, disk), '0000000000000001', { deletedGraceMs: graceMs })
    await publish(before.broker, ['one'])
    await before.broker.deleteTopic(orders)
    const store = new MemoryStore(nodeDigests, disk)
    await fromElm(store, ['two', 'three'])
    return boot(store, '0000000000000002', { clock, deletedGraceMs: graceMs })
  }

  test('is told of, and read under a name of its own, for the grace time', async () => {
    const clock = new ManualClock()
    const { broker, driver } = await afterTheHeal(new MemoryDisk(), clock)
    clock.advance(1)
    await driver.idle()
    expect(broker.deletedTopics()).toMatchObject([{ topic: remains, records: 2, feeds: 1, goesInMs: graceMs }])
    expect(broker.topics()).toEqual([])
    expect(broker.readableTopics()).toContain(remains)
    expect(await texts(broker, { type: 'earliest' }, remains)).toEqual(['two', 'three'])
    expect(await broker.topicStatus(remains)).toMatchObject({ topic: remains, generation: 0, records: 2 })
    clock.advance(graceMs + 2_000)
    await driver.idle()
    expect(broker.deletedTopics()).toEqual([])
    await expect(broker.open(remains, { type: 'earliest' })).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
  })

  test('stays for the rest of its grace time after a restart', async () => {
    const disk = new MemoryDisk()
    const clock = new ManualClock()
    const { driver } = await afterTheHeal(disk, clock)
    clock.advance(15_000)
    await driver.idle()
    const later = new ManualClock()
    const store = new MemoryStore(nodeDigests, disk)
    const again = await boot(store, '0000000000000003', { clock: later, deletedGraceMs: graceMs })
    const { broker } = again
    later.advance(4_000)
    expect(broker.deletedTopics()).toMatchObject([{ records: 2 }])
    later.advance(4_000)
    await again.driver.idle()
    expect(broker.deletedTopics()).toEqual([])
  })
})

test('making and deleting topics over and over leaves no writers behind', async () => {
  const { broker } = await boot()
  for (let i = 0; i < 20; i++) {
    await publish(broker, ['one'])
    await publish(broker, ['two'])
    await broker.deleteTopic(orders)
  }
  expect(broker.topics()).toEqual([])
  expect(await broker.putTopic(orders, {})).toEqual({ created: true })
  expect((await broker.topic(orders))?.generation).toBe(20)
})
