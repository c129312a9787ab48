// One peer without neighbors, as the gateway sees it: publish, read, status, and what is refused by name. In memory, with
// a transport that leads nowhere.
import { expect, test } from 'vitest'
import { type Epoch, type PeerId, topicIdOf } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { encodeOpeningBatch } from '#protocol/log/batch'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { MemoryDisk, MemoryStore } from '#storage/memory-store'
import { PeerBroker } from './broker.ts'
import { nodeDigests } from './node-digests.ts'
import { boot, orders, publish, self, still, texts, withIds } from './test-broker.ts'

test('a retry is answered with its original, also after a restart; a record says by whom it is', async () => {
  const disk = new MemoryDisk()
  const request = (more: object) => {
    const records = ['one', 'two'].map((text) => ({ value: utf8(text), headers: {} }))
    return { topic: orders, records, ack: { type: 'local' as const }, waitMs: 0, ...more }
  }
  const producer = { type: 'idempotencyKey' as const, name: 'a7', epoch: 0, seq: 0 }
  const { broker } = await boot(new MemoryStore(nodeDigests, disk))
  const { ids } = await withIds(broker.publish(request({ producer })))
  expect((await withIds(broker.publish(request({ producer })))).ids).toEqual(ids)
  const { broker: later } = await boot(new MemoryStore(nodeDigests, disk), '0000000000000002')
  expect((await withIds(later.publish(request({ producer })))).ids).toEqual(ids)
  const other = { ...producer, type: 'producer' as const }
  expect((await withIds(later.publish(request({ producer: other })))).ids).not.toEqual(ids)
  const page = await (await later.open(orders, { type: 'earliest' })).next(10)
  const triples = page.records.map(({ record }) => record.producer)
  expect(triples.map((triple) => triple?.seq)).toEqual([0, 1, 0, 1])
  expect(new Set(triples.map((triple) => triple?.id)).size).toBe(2)
  const differs = request({ producer, records: [{ value: utf8('three'), headers: {} }] })
  await expect(later.publish(differs)).rejects.toMatchObject({ code: 'RETRY_DIFFERS' })
})

test('records that a client encoded are those of the same publish as JSON, retries included', async () => {
  const { broker } = await boot()
  const records = ['one', 'two'].map((text) => ({ value: utf8(text), headers: { 'content-type': 'text/plain' } }))
  const nobody = { id: new Uint8Array(16), epoch: 0, seq: 0 }
  const terms = { topic: orders, ack: { type: 'local' as const }, waitMs: 0 }
  const producer = { type: 'producer' as const, name: 'shop', epoch: 2, seq: 5 }
  const encoded = () => {
    const { bytes, count } = encodeRecords(records.map((record) => ({ ...record, producer: nobody })))
    return { ...terms, producer, encoded: { bytes, count } }
  }
  const first = await broker.publishEncoded(encoded())
  expect(first).toMatchObject({ runs: [{ from: 0, count: 2 }], ack: { reached: true } })
  expect((await broker.publishEncoded(encoded())).runs).toEqual(first.runs)
  expect((await broker.publish({ ...terms, producer, records })).runs).toEqual(first.runs)
  const page = await (await broker.open(orders, { type: 'earliest' })).next(10)
  expect(page.records.map(({ record }) => record.producer)).toMatchObject([
    { epoch: 2, seq: 5 },
    { epoch: 2, seq: 6 },
  ])
  expect(page.records.map(({ record }) => Buffer.from(record.value).toString())).toEqual(['one', 'two'])
})

test.each([
  [Uint8Array.of(0, 0, 0, 5, 0, 0), 1, 'BAD_REQUEST', { field: 'records[0]', fault: 'truncated' }],
  [Uint8Array.of(0, 0, 0, 6, 0, 0), 2, 'BAD_REQUEST', { field: 'records[1]', fault: 'truncated' }],
  [Uint8Array.of(0, 0, 0, 6, 0, 0), 0, 'BAD_REQUEST', {}],
  [Uint8Array.of(0xff, 0, 0, 6, 0, 0), 1, 'RECORD_TOO_LARGE', { field: 'records[0]' }],
])('encoded bytes that are no records are refused: %j', async (bytes, count, code, facts) => {
  const { broker } = await boot()
  const request = { topic: orders, ack: { type: 'local' as const }, waitMs: 0, encoded: { bytes, count } }
  await expect(broker.publishEncoded(request)).rejects.toMatchObject({ code, facts })
  expect(broker.topics()).toEqual([])
})

test('records are read back in order, each by its id, and from the cursor of a publish on', async () => {
  const { broker } = await boot()
  const first = await publish(broker, ['one', 'two'])
  expect(first.ack).toMatchObject({ level: 'local', reached: true, copies: 1, peers: ['oak'] })
  expect(first.ids).toEqual(['oak.0000000000000001.0', 'oak.0000000000000001.1'])
  await publish(broker, ['three'])
  expect(await texts(broker, { type: 'earliest' })).toEqual(['one', 'two', 'three'])
  expect(await texts(broker, { type: 'cursor', cursor: first.cursor })).toEqual(['three'])
  const record = await broker.record(orders, { writer: 'oak', epoch: '0000000000000001', offset: 1 })
  expect(Buffer.from(record?.value ?? []).toString()).toBe('two')
  expect(await broker.record(orders, { writer: 'oak', epoch: '0000000000000001', offset: 3 })).toBeUndefined()
})

test('after a restart the new feed goes on from the old one, and both are one order', async () => {
  const disk = new MemoryDisk()
  await publish((await boot(new MemoryStore(nodeDigests, disk))).broker, ['one', 'two'])
  const { broker } = await boot(new MemoryStore(nodeDigests, disk), '0000000000000002')
  expect((await publish(broker, ['three'])).ids).toEqual(['oak.0000000000000002.2'])
  expect(await texts(broker, { type: 'earliest' })).toEqual(['one', 'two', 'three'])
  expect(await broker.topicStatus(orders)).toMatchObject({ records: 3, feeds: 2, converged: true })
})

test('a publish larger than a batch is split, stays in order, and is answered as one', async () => {
  const { broker } = await boot()
  const large = Array.from({ length: 30 }, (_, i) => String(i).padStart(100_000, '.'))
  const { ids } = await publish(broker, large)
  expect(ids.map((id) => Number(id.split('.')[2]))).toEqual(large.map((_, i) => i))
  expect(await texts(broker, { type: 'earliest' })).toEqual(large)
})

test('a topic is made once, and is known without a record', async () => {
  const { broker } = await boot()
  expect(await Promise.all([broker.putTopic(orders, {}), broker.putTopic(orders, {})])).toEqual([
    { created: true },
    { created: false },
  ])
  expect(await broker.putTopic(orders, {})).toEqual({ created: false })
  expect(broker.topics()).toMatchObject([{ topic: 'orders', records: 0, feeds: 0 }])
  const { records, upToDate } = await (await broker.open(orders, { type: 'earliest' })).next(10)
  expect({ records, upToDate }).toEqual({ records: [], upToDate: true })
})

test('a topic that becomes known is told once it can be opened, and only once; one known from before is not', async () => {
  const disk = new MemoryDisk()
  await publish((await boot(new MemoryStore(nodeDigests, disk))).broker, ['one'])
  const { broker } = await boot(new MemoryStore(nodeDigests, disk), '0000000000000002')
  const told: string[] = []
  const opened: Promise<unknown>[] = []
  const end = broker.onTopic((topic) => {
    told.push(topic)
    opened.push(broker.open(topic, { type: 'earliest' }))
  })
  await publish(broker, ['two'])
  await broker.putTopic('bills' as TopicName, {})
  await broker.putTopic('bills' as TopicName, {})
  end()
  await broker.putTopic('notes' as TopicName, {})
  expect(told).toEqual(['bills'])
  await Promise.all(opened)
})

test('a read may end by bytes before it ends by count', async () => {
  const { broker } = await boot()
  await publish(broker, ['12345', '67890', 'abcde'])
  const reader = await broker.open(orders, { type: 'earliest' })
  const chunk = await reader.next(10, 6)
  expect([chunk.records.length, chunk.upToDate]).toEqual([2, false])
  expect((await reader.next(10, 6)).upToDate).toBe(true)
})

test('a peer on its own reaches everybody it knows', async () => {
  const { broker } = await boot()
  expect(broker.reachability()).toEqual({ reachable: ['oak'], known: ['oak'] })
})

test('more copies than peers, unknown topics, bad ids and a draining peer are named', async () => {
  const { broker } = await boot()
  const two = broker.publish({ topic: orders, records: [], ack: { type: 'count', count: 2 }, waitMs: 0 })
  await expect(two).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  const wide = broker.publish({
    topic: orders,
    records: [{ value: utf8('x'), headers: {} }],
    ack: { type: 'count', count: 2 },
    waitMs: 0,
  })
  await expect(wide).rejects.toMatchObject({ code: 'ACK_LEVEL_IMPOSSIBLE' })
  await expect(broker.open(orders, { type: 'earliest' })).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' })
  await expect(broker.record(orders, { writer: '!', epoch: 'x', offset: 0 })).rejects.toMatchObject({
    code: 'RECORD_ID_INVALID',
  })
  broker.drain()
  expect(broker.ready()).toEqual({ ready: false, reason: 'draining' })
  await expect(publish(broker, ['late'])).rejects.toMatchObject({ code: 'DRAINING' })
})

test('a failed write is fatal: nothing of it is acked, and nothing after it is taken', async () => {
  const store = new MemoryStore(nodeDigests)
  const { broker, failures } = await boot(store)
  await publish(broker, ['safe'])
  store.append = () => Promise.reject(new Error('EIO'))
  await expect(publish(broker, ['lost'])).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  expect(failures).toHaveLength(1)
  store.append = () => Promise.resolve()
  await expect(publish(broker, ['after'])).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
})

test('a publish that is refused has left nothing behind, and what waits for the disk is bounded', async () => {
  const store = new MemoryStore(nodeDigests)
  const { broker } = await boot(store)
  const disk = Promise.withResolvers<void>()
  const append = store.append.bind(store)
  store.append = async (...args) => {
    await disk.promise
    return append(...args)
  }
  const large = 'x'.repeat(1_000_000)
  const accepted: Promise<unknown>[] = []
  const refused: unknown[] = []
  // 8 MB each, to topics of their own, during one fsync that does not end: 64 MiB are taken.
  for (let i = 0; i < 12; i++) {
    const topic = `orders-${i}` as TopicName
    const records = Array.from({ length: 8 }, () => ({ value: utf8(large), headers: {} }))
    const published = broker.publish({ topic, records, ack: { type: 'local' }, waitMs: 0 })
    accepted.push(published.catch((error: unknown) => refused.push(error)))
  }
  disk.resolve()
  await Promise.all(accepted)
  expect(refused).toHaveLength(4)
  expect(refused[0]).toMatchObject({ code: 'OVERLOADED' })
  expect(broker.topics().map(({ records }) => records)).toEqual(Array.from({ length: 8 }, () => 8))
})

test('what another peer wrote with a wrong clock does not become our time', async () => {
  const elm = 'elm' as PeerId
  const opening = { topic: 'orders', generation: 0, writer: elm, epoch: '0000000000000009' as Epoch }
  const feed = { topicId: topicIdOf(nodeDigests, { cluster: 'garden', name: 'orders', generation: 0 }), ...opening }
  const year2100 = { ms: 4_102_444_800_000, counter: 0 }
  const { bytes, head } = encodeOpeningBatch(opening, year2100, nodeDigests)
  const store = new MemoryStore(nodeDigests)
  await store.append([{ feed, bytes, head, opening }])
  const { broker } = await boot(store)
  await publish(broker, ['now'])
  const record = await broker.record(orders, { writer: 'oak', epoch: '0000000000000001', offset: 0 })
  expect(record?.timeMs).toBe(still.wallMs())
})

test('topics are bounded', async () => {
  const { broker } = await boot()
  // The writer of what the mesh knows of its topics is one of them.
  const names = Array.from({ length: limits.topicsMax - 1 }, (_, i) => `orders-${i}` as TopicName)
  await Promise.all(names.map((topic) => publish(broker, ['one'], { topic })))
  await expect(publish(broker, ['one more'])).rejects.toMatchObject({ code: 'TOO_MANY_TOPICS' })
  expect(await broker.putTopic('orders-7' as TopicName, {})).toEqual({ created: false })
})

test('a reader that comes while the peer boots waits for it', async () => {
  const { broker, driver } = await boot()
  await publish(broker, ['one'])
  const starting = new PeerBroker(self, { clock: still, digests: nodeDigests })
  const opened = starting.open(orders, { type: 'earliest' })
  expect(starting.ready()).toEqual({ ready: false, reason: 'starting' })
  starting.attach(driver, self, undefined)
  expect((await (await opened).next(10)).records).toHaveLength(1)
})
