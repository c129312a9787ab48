// A mesh whose peers offer `grapevine.v1.bin`: the same calls with the same results, in bytes. Against fake gateways.
import { expect, test } from 'vitest'
import { FakeGateway, problemOf } from '#test/fake-gateway'
import { connect } from './mesh.ts'
import type { ReceivedRecord } from './record.ts'
import type { StreamItem } from './subscription.ts'

async function gateway(name: string): Promise<FakeGateway> {
  const started = await FakeGateway.start(name)
  started.offersBinary = true
  return started
}

const take = async <T>(items: AsyncIterable<T>, count: number): Promise<T[]> => {
  const taken: T[] = []
  for await (const item of items) if (taken.push(item) === count) break
  return taken
}

const published = (at: FakeGateway) => at.frames.filter((frame) => frame.type === 'publish')
const textsAt = (at: FakeGateway, topic = 'orders') =>
  at.topics.get(topic)?.map(({ valueBase64 = '' }) => Buffer.from(valueBase64, 'base64').toString())

test('what is published is read as it was, to the last byte: text, JSON and bytes', async () => {
  await using oak = await gateway('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const bytes = Uint8Array.of(0xff, 0x00, 0xfe, 0x80)
  const { id } = await mesh.publish('orders', '\uFEFFgrüße\r\n')
  const exact = { value: '{ "spaces": 12345678901234567890 }', contentType: 'application/json' }
  await mesh.publishMany('orders', [{ value: { item: 'pears' }, key: 'k7' }, exact])
  await mesh.publish('orders', bytes)
  expect(id).toBe('12D3KooWoak.00000000000000aa.0')

  const records = await take(mesh.subscribe('orders', { from: 'earliest' }), 4)
  expect(records.map(({ contentType }) => contentType)).toEqual([
    'text/plain; charset=utf-8',
    'application/json',
    'application/json',
    'application/octet-stream',
  ])
  expect(records[0]?.text()).toBe('\uFEFFgrüße\r\n')
  expect(records[1]).toMatchObject({ key: 'k7', time: '2026-05-01T10:00:00.000Z', offset: 1 })
  expect(records[1]?.json()).toEqual({ item: 'pears' })
  expect(records[2]?.text()).toBe(exact.value)
  expect(records[3]?.bytes()).toEqual(bytes)
  const shown = { id: '12D3KooWoak.00000000000000aa.3', offset: 3, valueBase64: '/wD+gA==', cursor: 'gv1.4' }
  expect(JSON.parse(JSON.stringify(records[3]))).toMatchObject(shown)
})

test('what a gateway would refuse is refused before it is sent, and does not hold up what follows', async () => {
  await using oak = await gateway('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const refused = { code: 'BAD_REQUEST' }
  await expect(mesh.publish('orders', 'x', { contentType: 'text' })).rejects.toMatchObject(refused)
  await expect(mesh.publish('orders', 'x', { headers: { a: '1', A: '2' } })).rejects.toMatchObject(refused)
  await expect(mesh.publish('orders', { a: 1 }, { contentType: 'text/plain' })).rejects.toMatchObject(refused)
  await expect(mesh.publish('orders', 'x\ud800')).rejects.toMatchObject(refused)
  await expect(mesh.publish('orders', 'x'.repeat(2 ** 20))).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' })
  await expect(mesh.publish('orders', 'x'.repeat(100_000))).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  await mesh.publish('orders', 'pears', { headers: { 'Trace-Id': 'a1' } })
  expect(published(oak)).toMatchObject([
    { producer: { epoch: 0, seq: 0 }, records: [{ headers: { 'trace-id': 'a1' } }] },
  ])
})

test('publishes whose answers are lost are sent again, the same and in order, also where only JSON is spoken', async () => {
  for (const offersBinary of [true, false]) {
    await using oak = await gateway('oak')
    await using elm = await gateway('elm')
    elm.offersBinary = offersBinary
    await using mesh = await connect({ servers: [oak.url, elm.url] })
    oak.interceptFrame = (_, socket) => {
      if (published(oak).length === 2) socket.terminate()
      return true
    }
    // Not alike, so they go in messages of their own.
    const publishes = ['pears', 'figs'].map((value, n) => mesh.publish('orders', value, { wait: 5_000 + n }))
    for (const each of publishes) expect(await each).toMatchObject({ peers: ['elm'] })
    expect(published(elm).map(({ producer }) => producer)).toEqual(published(oak).map(({ producer }) => producer))
    if (offersBinary) expect(published(elm)).toEqual(published(oak))
    else expect(published(elm).flatMap(({ records }) => records)).toMatchObject([{ value: 'pears' }, { value: 'figs' }])
  }
})

test('what is refused for a gap is sent again under another number', async () => {
  await using oak = await gateway('oak')
  await using mesh = await connect({ servers: [oak.url] })
  oak.interceptFrame = (frame, socket) => {
    if (published(oak).length > 1 || !('ref' in frame)) return false
    socket.send(JSON.stringify({ type: 'error', ref: frame.ref, problem: problemOf('PRODUCER_GAP') }))
    return true
  }
  await mesh.publish('orders', 'pears')
  expect(published(oak).map(({ producer }) => producer?.epoch)).toEqual([0, 1])
  expect(textsAt(oak)).toEqual(['pears'])
})

test('a subscription goes on from the cursor after a batch, at the next server, whatever that speaks', async () => {
  await using oak = await gateway('oak')
  await using elm = await FakeGateway.start('elm')
  oak.append('orders', 'pears', 'figs')
  elm.append('orders', 'pears', 'figs', 'plums')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  const texts: string[] = []
  for await (const record of mesh.subscribe('orders', { from: 'earliest' })) {
    texts.push(record.text())
    if (texts.length === 1) oak.breakSockets()
    if (texts.length === 3) break
  }
  expect(texts).toEqual(['pears', 'figs', 'plums'])
})

test('a batch of more than there was credit for is taken whole, and credit comes as it is taken', async () => {
  await using oak = await gateway('oak')
  const values = Array.from({ length: 1_000 }, (_, i) => String(i))
  oak.append('orders', ...values)
  await using mesh = await connect({ servers: [oak.url] })
  const records: ReceivedRecord[] = []
  for await (const record of mesh.subscribe('orders', { from: 'earliest' })) {
    records.push(record)
    if (records.length === 1_000) oak.append('orders', 'last')
    if (records.length === 1_001) break
  }
  expect(records.map((record) => record.text())).toEqual([...values, 'last'])
  expect(oak.frames.filter(({ type }) => type === 'credit').length).toBeLessThan(10)
})

test('what a batch is told to skip is not given, nor what was given from another place in the log', async () => {
  await using oak = await gateway('oak')
  const shop = (seq: number) => ({ producer: { id: 'ab'.repeat(16), epoch: 0, seq } })
  for (const [index, value] of ['pears', 'figs', 'plums', 'nuts'].entries()) oak.store('orders', value, shop(index))
  oak.skip = [[1, 2]]
  await using mesh = await connect({ servers: [oak.url] })
  const texts: string[] = []
  for await (const record of mesh.subscribe('orders', { from: 'earliest' })) {
    texts.push(record.text())
    if (texts.length === 3) {
      oak.skip = []
      oak.storeAll('orders', [
        ['plums', shop(2)],
        ['nuts', shop(3)],
        ['kale', shop(4)],
      ])
    }
    if (texts.length === 4) break
  }
  expect(texts).toEqual(['pears', 'plums', 'nuts', 'kale'])
})

test('a batch whose records cannot be read is told as lost, and costs no credit for ever', async () => {
  await using oak = await gateway('oak')
  oak.append('orders', ...Array.from({ length: 500 }, () => 'pears'))
  oak.breaksRecords = true
  await using mesh = await connect({ servers: [oak.url] })
  const items: StreamItem[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    items.push(item)
    if (item.type === 'gap') {
      oak.breaksRecords = false
      oak.append('orders', 'figs')
    }
    if (item.type === 'record') break
  }
  expect(items.filter(({ type }) => type !== 'caught-up')).toMatchObject([
    { type: 'gap', topic: 'orders', gap: { type: 'lost', from: 0, to: 500 } },
    { type: 'record', record: { offset: 500 } },
  ])
})

test('a socket that brings what is no batch is given up and another opened', async () => {
  await using oak = await gateway('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url], backoff: { baseMs: 1, capMs: 2 } })
  oak.interceptFrame = (_, socket) => {
    oak.interceptFrame = () => false
    socket.send(Buffer.of(2, 0, 0, 0, 2, 0x7b, 0x7d))
    return true
  }
  const items = await take(mesh.stream('orders', { from: 'earliest' }), 2)
  expect(items).toMatchObject([
    { type: 'interrupted', error: { message: expect.stringContaining('no batch') } },
    { type: 'record', record: { offset: 0 } },
  ])
})
