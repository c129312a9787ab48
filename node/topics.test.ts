// Topics at one peer without neighbors: what is configured survives a restart, is written in few records, and is acted upon.
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { type TopicName, topicsTopic } from '#protocol/topic-name'
import { MemoryDisk, MemoryStore } from '#storage/memory-store'
import { nodeDigests } from './node-digests.ts'
import { boot, orders, publish, texts } from './test-broker.ts'

test('a configuration is on disk when it is answered, and known after a restart', async () => {
  const disk = new MemoryDisk()
  const { broker } = await boot(new MemoryStore(nodeDigests, disk))
  await broker.putTopic(orders, { replicas: 5, retention: { ageMs: 1_000 } })
  const version = (await broker.topic(orders))?.version
  await broker.patchTopic(orders, { minAck: { type: 'majority' } }, version)
  const again = await boot(new MemoryStore(nodeDigests, disk), '0000000000000002')
  const config = { replicas: 5, retention: { ageMs: 1_000 }, minAck: 'majority' }
  expect(await again.broker.topic(orders)).toEqual({
    ...(await broker.topic(orders)),
    config,
    edited: '2023-11-14T22:13:20.000Z',
  })
  await expect(again.broker.patchTopic(orders, { replicas: 2 }, version)).rejects.toMatchObject({
    code: 'TOPIC_CHANGED',
  })
  await again.broker.patchTopic(orders, { replicas: 2 }, undefined)
  expect((await again.broker.topic(orders))?.config.replicas).toBe(2)
})

test('the first publish makes a topic, without waiting for anything', async () => {
  const { broker } = await boot()
  expect((await publish(broker, ['one'])).ack.reached).toBe(true)
  await broker.putTopic(orders, {})
  expect(await broker.topic(orders)).toMatchObject({
    topic: 'orders',
    generation: 0,
    records: 1,
    config: { replicas: 3 },
  })
  await expect(broker.putTopic(orders, { replicas: 4 })).rejects.toMatchObject({ code: 'TOPIC_DIFFERS' })
})

test('a topic tells from where on each feed is kept', async () => {
  const { broker, driver } = await boot()
  await publish(broker, ['one', 'two'])
  const [held] = driver.feeds(driver.peer.topicIdOf(orders))
  if (held === undefined) throw new Error('nothing is held')
  driver.letGo([{ feed: held.feed, floor: held.head }])
  await publish(broker, ['three'])
  await driver.idle()
  const offsets = [{ feed: `oak.${'1'.padStart(16, '0')}`, earliest: 2, next: 3 }]
  expect(await broker.topic(orders)).toMatchObject({ records: 1, offsets })
})

test('a flood of new topics is a few records of the registry', async () => {
  const { broker, driver } = await boot()
  const names = Array.from({ length: 2_000 }, (_, i) => `orders-${i}` as TopicName)
  await Promise.all(names.map((topic) => publish(broker, ['one'], { topic })))
  await broker.putTopic(names.at(-1) as TopicName, {})
  expect(broker.topics()).toHaveLength(2_000)
  const [feed] = driver.feeds(driver.peer.topicIdOf(topicsTopic))
  expect(feed?.head.nextOffset).toBeLessThan(10)
  expect((await texts(broker, { type: 'earliest' }, topicsTopic)).join('')).toContain('"orders-1999"')
})

test('a publish waits for what its topic asks, and says so; it is never refused for that', async () => {
  const { broker, driver } = await boot()
  await broker.putTopic(orders, { minAck: { type: 'count', count: 3 } })
  // Whoever waits for copies is answered at once.
  driver.drain()
  const { ack, ids } = await publish(broker, ['one'])
  expect(ack).toMatchObject({ level: 'n:3', reached: false, copies: 1 })
  expect(ids).toHaveLength(1)
  await broker.patchTopic(orders, { minAck: { type: 'majority' } }, undefined)
  expect((await publish(broker, ['two'], { ack: { type: 'count', count: 1 } })).ack.level).toBe('majority')
})

test('a name too many is refused while what is there goes on', async () => {
  const { broker, driver } = await boot()
  const names = Array.from({ length: limits.registeredTopicsMax }, (_, i) => `orders-${i}` as TopicName)
  await Promise.all(names.map((topic) => driver.editTopic(topic, { type: 'put', asked: {}, atMs: 1 })))
  await expect(broker.putTopic(orders, {})).rejects.toMatchObject({ code: 'TOO_MANY_TOPICS' })
  await expect(publish(broker, ['one more'])).rejects.toMatchObject({ code: 'TOO_MANY_TOPICS' })
  expect(await broker.putTopic('orders-7' as TopicName, {})).toEqual({ created: false })
  expect((await publish(broker, ['one'], { topic: 'orders-7' as TopicName })).ack.reached).toBe(true)
})
