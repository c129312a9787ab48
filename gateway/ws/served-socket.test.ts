// WebSockets over real connections: what only a socket shows. The broker is a fake.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { Hash } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { encodeBatch, recordsOf } from '#protocol/log/batch'
import { pureDigests } from '#protocol/log/pure-digests'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { binarySocketProtocol, decodeBatchFrame, encodeBinaryHead } from '#protocol/wire/binary-frame'
import { socketProtocol } from '#protocol/wire/socket-frames'
import { peerFrame } from '../api/asyncapi.ts'
import type { BatchChunk, BatchReader, PublishResult, ReadChunk } from '../broker.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { startGateway } from '../server.ts'
import { type Frame, TestClient } from './test-client.ts'

const orders = 'orders' as TopicName
const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

async function start(config: Partial<GatewayConfig> = {}, broker = new FakeBroker()) {
  const reported: unknown[] = []
  const full = { ...gatewayDefaults, port: 0, drainMs: 500, ...config }
  const gateway = await startGateway({ broker, config: full, reportError: (error) => void reported.push(error) })
  ends.push(() => gateway.stop())
  const url = `${gateway.url.replace('http', 'ws')}/v1/ws`
  const healthy = async () => expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200)
  return { broker, gateway, reported, url, healthy }
}

const publishTo = (broker: FakeBroker, ...values: string[]) =>
  broker.publish({
    topic: orders,
    records: values.map((value) => ({ headers: { 'content-type': 'text/plain' }, value: utf8(value) })),
    ack: { type: 'local' },
    waitMs: 0,
  })

class Client extends TestClient {
  constructor(url: string, protocols: string | string[] = socketProtocol) {
    super(new WebSocket(url, protocols), (data, isBinary) => (isBinary ? batchFrame(data) : frameOf(data.toString())))
    ends.push(() => this.socket.terminate())
  }

  static async open(url: string, protocol = socketProtocol): Promise<Client> {
    const client = new Client(url, protocol)
    await client.until('welcome')
    return client
  }

  get values(): unknown[] {
    return this.frames.flatMap(({ record }) => (record === undefined ? [] : [(record as { value: unknown }).value]))
  }
}

/** A frame that is as `/asyncapi.json` says. */
function frameOf(text: string): Frame {
  const frame = JSON.parse(text) as Frame
  const { error } = peerFrame.safeParse(frame)
  if (error !== undefined) undescribed.push(`${text.slice(0, 200)} ${error.message}`)
  return frame
}

const undescribed: string[] = []
afterEach(() => expect(undescribed.splice(0)).toEqual([]))

/** A batch with its records, as JSON would have them. */
function batchFrame(data: Uint8Array): Frame {
  const batch = decodeBatchFrame(data)
  if (!('bytes' in batch)) throw new Error(batch.where)
  const records = recordsOf(batch.bytes, batch.header)
  if (typeof records === 'string') throw new Error(records)
  const texts = records.map(({ value }) => Buffer.from(value).toString())
  return { type: 'batch', ...batch, texts, count: records.length }
}

const subscribe = (fields: object = {}) => ({
  type: 'subscribe',
  sub: 'a',
  topics: ['orders'],
  from: 'earliest',
  credit: 100,
  ...fields,
})

// The conversation ------------------------------------------------------------------------------------------------------

test('a client publishes and reads on one socket', async () => {
  const { url } = await start()
  const client = await Client.open(url)
  expect(client.frames[0]).toMatchObject({ peer: 'oak', servers: ['http://elm:8400'], limits: { subscriptions: 64 } })
  const records = [{ key: 'eu', value: { pears: 3 } }, { value: 'text' }, { valueBase64: '/w==' }]
  client.send(subscribe(), { type: 'publish', ref: 'p', topic: 'orders', records })
  const results = [0, 1, 2].map((offset) => ({ status: 201, id: `oak-id.0123456789abcdef.${offset}` }))
  expect(await client.until('published')).toMatchObject({ ref: 'p', results, cursor: 'after-3' })
  expect(await client.until('record', 3)).toMatchObject({
    sub: 'a',
    record: { offset: 2, valueBase64: '/w==' },
    cursor: 'after-3',
  })
  expect(client.frames.find(({ type }) => type === 'record')).toMatchObject({
    record: { topic: 'orders', key: 'eu', contentType: 'application/json', value: { pears: 3 } },
    cursor: 'after-1',
  })
})

test('on a binary socket records go as they were encoded and come in batches', async () => {
  const { url, broker } = await start()
  const client = await Client.open(url, binarySocketProtocol)
  const values = ['pears', 'figs']
  const { bytes } = encodeRecords(
    values.map((value) => ({ value: utf8(value), headers: { 'content-type': 'text/plain' } })),
  )
  const head = encodeBinaryHead('publish', { ref: 'p', topic: 'orders', count: 2, ack: 'n:2' })
  client.send(subscribe())
  client.socket.send(Buffer.concat([head, bytes]))
  const runs = [{ feed: 'oak-id.0123456789abcdef', from: 0, count: 2 }]
  expect(await client.until('published')).toMatchObject({ ref: 'p', status: 201, runs, cursor: 'after-2' })
  expect(broker.published).toMatchObject([{ ack: { type: 'count', count: 2 } }])
  const batch = { sub: 'a', topic: 'orders', feed: 'oak-id.0123456789abcdef', from: 0, skip: [], cursor: 'after-2' }
  expect(await client.until('batch')).toMatchObject({ ...batch, texts: values })
  // What is said in text is said as ever.
  client.send({ type: 'publish', ref: 'q', topic: 'orders', records: [{ value: 'plums' }] })
  expect(await client.until('published', 2)).toMatchObject({ ref: 'q', runs: [{ from: 2, count: 1 }] })
  expect(await client.until('batch', 2)).toMatchObject({ from: 2, texts: ['plums'] })
  broker.skip = [{ from: 3, to: 4 }]
  await publishTo(broker, 'nuts', 'kale')
  expect(await client.until('batch', 3)).toMatchObject({ from: 3, skip: broker.skip, texts: ['nuts', 'kale'] })
})

test('on a binary socket records that are none are refused, and what is no message ends it', async () => {
  const { url, broker, healthy } = await start()
  const client = await Client.open(url, binarySocketProtocol)
  const head = encodeBinaryHead('publish', { ref: 'p', topic: 'orders', count: 2 })
  client.socket.send(Buffer.concat([head, Buffer.alloc(7)]))
  expect(await client.until('error')).toMatchObject({ ref: 'p', problem: { code: 'BAD_REQUEST' } })
  client.socket.send(Buffer.of(7))
  expect(await client.until('error', 2)).toMatchObject({ problem: { code: 'BAD_REQUEST' } })
  expect(await client.closed).toBe(4500)
  expect(broker.published).toEqual([])
  await healthy()
})

test('exactly as many records come as there is credit for', async () => {
  const { url, broker } = await start({ streamRecordsPerRead: 3 })
  await publishTo(broker, ...Array.from({ length: 20 }, (_, i) => String(i)))
  const client = await Client.open(url)
  client.send(subscribe({ credit: 7 }))
  await client.until('record', 7)
  // Its answer comes after everything that was sent before.
  const barrier = async (ref: string) => {
    client.send({ type: 'publish', ref, topic: 'bills', records: [{ value: '' }] })
    while ((await client.until('published'))['ref'] !== ref) client.frames.shift()
  }
  await barrier('one')
  expect(client.values).toHaveLength(7)
  client.send({ type: 'credit', sub: 'a', n: 1 }, { type: 'credit', sub: 'a', n: 4 })
  await client.until('record', 12)
  expect(client.values).toEqual(Array.from({ length: 12 }, (_, i) => String(i)))
})

test('a cursor of one socket goes on at another', async () => {
  const { url, broker } = await start()
  await publishTo(broker, 'pears', 'plums')
  const first = await Client.open(url)
  first.send(subscribe({ credit: 1 }))
  const { cursor } = await first.until('record')
  first.socket.close()
  const second = await Client.open(url)
  second.send(subscribe({ from: { orders: cursor } }))
  await second.until('caught-up')
  expect(second.values).toEqual(['plums'])
})

test('bytes of a frame that is not whole yet are counted, and forgotten with it', async () => {
  const { url, gateway } = await start()
  const client = await Client.open(url)
  client.socket.send('{"type":', { fin: false })
  client.socket.send(' '.repeat(100_000), { fin: false })
  await expect.poll(() => gateway.load().arrivingBytes).toBeGreaterThan(100_000)
  client.socket.send('"pears"}', { fin: true })
  await client.until('error')
  expect(gateway.load().arrivingBytes).toBe(0)
})

test('a topic that appears is read by who asked for its pattern', async () => {
  const { url, broker } = await start()
  const client = await Client.open(url)
  client.send(subscribe({ topics: ['ord*', 'or.**', '*'], from: 'latest' }))
  expect(await client.until('error')).toMatchObject({ sub: 'a', problem: { code: 'TOPIC_NAME_INVALID' } })
  client.send(subscribe({ topics: ['or.**', '*'], from: 'latest' }))
  await client.until('caught-up')
  await publishTo(broker, 'pears')
  await client.until('record')
  expect(client.values).toEqual(['pears'])
})

test('a mesh that is cut and healed is told', async () => {
  const { url, broker } = await start()
  const client = await Client.open(url)
  client.send(subscribe())
  await client.until('caught-up')
  broker.meshChanges(['oak'], ['elm', 'oak'])
  expect(await client.until('partition')).toMatchObject({ sub: 'a', reachable: ['oak'], known: ['elm', 'oak'] })
  broker.meshChanges(['elm', 'oak'], ['elm', 'oak'])
  await client.until('healed')
})

// Limits ----------------------------------------------------------------------------------------------------------------

/** Has always more to tell, and counts how much was asked of it. */
class EndlessBroker extends FakeBroker {
  bytesRead = 0
  /** The most that it was asked for at once. */
  bytesTargetMax = 0
  limitMax = 0
  cursor = 'after-0'

  override async open(): Promise<BatchReader> {
    const record = this.append(orders, { headers: {}, value: utf8('x'.repeat(16 * 1024)) })
    const next = async (limit: number, bytesTarget = Infinity): Promise<ReadChunk> => {
      this.bytesTargetMax = Math.max(this.bytesTargetMax, bytesTarget)
      this.limitMax = Math.max(this.limitMax, limit)
      const count = Math.min(limit, Math.ceil(bytesTarget / record.value.length))
      this.bytesRead += count * record.value.length
      return {
        records: Array.from({ length: count }, () => ({ record, cursor: 'after-1' })),
        cursor: 'after-1',
        upToDate: false,
      }
    }
    const nextBatches = async (limit: number, bytesTarget: number): Promise<BatchChunk> => {
      const { bytes } = encodeBatch(
        {
          baseOffset: 0,
          hlc: { ms: 0, counter: 0 },
          previousHash: 'aa'.repeat(32) as Hash,
          recordSets: [encodeRecords([{ value: record.value, headers: {} }])],
        },
        pureDigests,
      )
      this.bytesTargetMax = Math.max(this.bytesTargetMax, bytesTarget)
      this.limitMax = Math.max(this.limitMax, limit)
      const count = Math.min(limit, Math.ceil(bytesTarget / bytes.length))
      this.bytesRead += count * bytes.length
      const batch = { topic: orders, feed: record.feed, bytes, from: 0, skip: [], count: 1, cursor: 'after-1' }
      return { batches: Array.from({ length: count }, () => batch), cursor: 'after-1', upToDate: false }
    }
    return { cursor: this.cursor, next, nextBatches, more: () => Promise.resolve() }
  }
}

test.each([
  [socketProtocol, 'record'],
  [binarySocketProtocol, 'batch'],
])(
  'a client of %s that does not read stops its reader however much credit it gave, and goes on when it reads',
  async (protocol, what) => {
    const broker = new EndlessBroker()
    const { url, gateway } = await start({}, broker)
    await broker.putTopic(orders, {})
    const client = await Client.open(url, protocol)
    client.send(subscribe({ credit: 1_000_000 }))
    await client.until(what)
    client.socket.pause()
    // As long as the reader runs, each answer to another client finds it further on.
    let before = -1
    for (let same = 0; same < 20; same = broker.bytesRead === before ? same + 1 : 0) {
      before = broker.bytesRead
      await fetch(`${gateway.url}/healthz`)
    }
    // What the kernel's buffers take of it, and a little of ours.
    expect(broker.bytesRead).toBeLessThan(32 * 1024 * 1024)
    expect(broker.bytesTargetMax).toBe(limits.socketReadBytesTarget)
    client.socket.resume()
    const told = () => client.frames.filter(({ type }) => type === what).length
    while (broker.bytesRead === before) await client.until(what, told() + 1)
  },
)

test.each([
  [socketProtocol, 'record'],
  [binarySocketProtocol, 'batch'],
])('a long cursor makes the reads of a client of %s short: it is told with each %s', async (protocol, what) => {
  const broker = new EndlessBroker()
  broker.cursor = 'x'.repeat(limits.socketReadBytesTarget / 4)
  const { url } = await start({}, broker)
  await broker.putTopic(orders, {})
  const client = await Client.open(url, protocol)
  client.send(subscribe({ credit: 100 }))
  await client.until(what, 8)
  expect(broker.limitMax).toBe(4)
})

test('a client that asks without end and reads no answer is not listened to', async () => {
  const { url, gateway } = await start()
  const client = await Client.open(url)
  client.socket.pause()
  const bad = '{"type":"pears"}'.padEnd(1_000)
  // When its frames are no longer taken, the kernel's buffers fill up, then its own.
  while (client.socket.bufferedAmount < 8 * 1024 * 1024) {
    for (let n = 0; n < 100; n++) client.socket.send(bad)
    await fetch(`${gateway.url}/healthz`)
  }
  client.socket.resume()
  await client.until('error', 100)
})

test('a client that answers no ping is cut, and one that does is told that we are here', async () => {
  const { url } = await start({ heartbeatMs: 50 })
  const silent = new WebSocket(url, socketProtocol, { autoPong: false })
  ends.push(() => silent.terminate())
  const client = await Client.open(url)
  await once(silent, 'close')
  await client.until('welcome', 5)
  expect(client.socket.readyState).toBe(WebSocket.OPEN)
})

test('sockets of a peer are bounded, and who leaves makes room', async () => {
  const { url, gateway } = await start({ socketsMax: 1 })
  const first = await Client.open(url)
  const answer = await refusalOf(gateway.port)
  expect(answer).toMatchObject({ status: 503, code: 'OVERLOADED' })
  first.socket.close()
  await first.closed
  for (;;) {
    const again = new Client(url)
    if (await again.until('welcome').then(Boolean, () => false)) break
  }
})

test('readers of sockets share the bound of live reads', async () => {
  const { url, broker } = await start({ readersMax: 1 })
  await publishTo(broker, 'pears')
  const client = await Client.open(url)
  client.send(subscribe(), subscribe({ sub: 'b' }))
  expect(await client.until('error')).toMatchObject({ sub: 'b', problem: { code: 'OVERLOADED', retryable: true } })
  client.send({ type: 'unsubscribe', sub: 'a' }, subscribe({ sub: 'c' }))
  await client.until('subscribed', 2)
})

// Bad input -------------------------------------------------------------------------------------------------------------

test.each<[string, (socket: WebSocket) => void, number, string?]>([
  ['JSON that is cut', (socket) => socket.send('{"type":"subscribe","sub":"a'), 4500, 'BAD_JSON'],
  ['no object', (socket) => socket.send('[1,2]'), 4500, 'BAD_REQUEST'],
  ['a binary frame', (socket) => socket.send(Buffer.from('{}')), 4500, 'UNSUPPORTED_MEDIA'],
  ['100,000 levels of brackets', (socket) => socket.send('['.repeat(100_000)), 4500, 'BAD_JSON'],
  ['100,000 fragments', (socket) => sendFragments(socket, 100_000), 1008],
  ['100 MB', (socket) => socket.send('x'.repeat(100_000_000)), 1009],
  ['text that is no UTF-8', (socket) => socket.send(Buffer.from([0xff]), { binary: false }), 1007],
  ['bytes that are no frame', (socket) => rawOf(socket).write(Buffer.from([0xff, 0xff, 0xff, 0xff])), 1002],
])('%s closes the socket, and nothing else', async (_, misbehave, closeCode, code) => {
  const { url, healthy, reported } = await start()
  const other = await Client.open(url)
  const client = await Client.open(url)
  misbehave(client.socket)
  expect(await client.closed).toBe(closeCode)
  if (code !== undefined) expect(await client.until('error')).toMatchObject({ problem: { code } })
  other.send(subscribe())
  await other.until('caught-up')
  await healthy()
  expect(reported).toEqual([])
})

const rawOf = (socket: WebSocket) => (socket as unknown as { _socket: Socket })._socket

function sendFragments(socket: WebSocket, count: number): void {
  for (let n = 0; n < count; n++) socket.send(n === 0 ? '{' : ' ', { fin: n === count - 1 })
}

test('an unknown or malformed frame is answered with a problem, and the socket goes on', async () => {
  const { url } = await start()
  const client = await Client.open(url)
  const misnamed = { type: 'publish', ref: 'p', topic: 'or ders', records: [{ value: '' }] }
  client.send({ type: 'pears' }, misnamed, { type: 'auth', token: 't' }, subscribe({ from: 'nonsense' }))
  expect(await client.until('error', 3)).toMatchObject({ problem: { code: 'AUTH_DISABLED', peer: 'oak' } })
  expect(client.frames.slice(1)).toMatchObject([
    { problem: { code: 'BAD_REQUEST', field: 'type' } },
    { ref: 'p', problem: { code: 'TOPIC_NAME_INVALID', status: 400 } },
    {},
    // Its topic does not exist, so nobody has looked at the cursor yet.
    { type: 'subscribed' },
    { event: 'caught-up' },
  ])
})

test('a cursor that cannot be read ends its subscription', async () => {
  const { url, broker } = await start()
  await publishTo(broker, 'pears')
  const client = await Client.open(url)
  client.send(subscribe({ from: 'nonsense' }))
  expect(await client.until('error')).toMatchObject({ sub: 'a', problem: { code: 'CURSOR_INVALID' } })
})

test('frames that are arriving share a bound; who goes beyond it is closed, and its bytes are forgotten', async () => {
  const { url } = await start({ arrivingBytesMax: 300_000 })
  const first = await Client.open(url)
  const second = await Client.open(url)
  for (const { socket } of [first, second]) socket.send('x'.repeat(200_000), { fin: false })
  expect(await Promise.race([first.closed, second.closed])).toBe(4001)
  const third = await Client.open(url)
  const value = 'x'.repeat(90_000)
  third.send({ type: 'publish', ref: 'p', topic: 'orders', records: [{ value }] })
  await third.until('published')
})

test('of frames that are arriving the largest is given up, not the one that came last', async () => {
  const { url } = await start({ arrivingBytesMax: 300_000 })
  const small = await Client.open(url)
  const hog = await Client.open(url)
  hog.socket.send('x'.repeat(290_000), { fin: false })
  hog.socket.ping()
  await once(hog.socket, 'pong')
  small.send({ type: 'publish', ref: 'p', topic: 'orders', records: [{ value: 'x'.repeat(90_000) }] })
  await small.until('published')
  expect(await hog.closed).toBe(4001)
})

// The handshake ---------------------------------------------------------------------------------------------------------

const handshake = {
  host: 'localhost',
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol': socketProtocol,
}

/** Status and problem of a handshake that is refused. */
async function refusalOf(port: number, headers: Record<string, string> = {}, target = '/v1/ws', method = 'GET') {
  const socket = connect(port)
  ends.push(() => void socket.destroy())
  const lines = Object.entries({ ...handshake, ...headers }).flatMap(([name, value]) => value && `${name}: ${value}`)
  socket.write(`${[`${method} ${target} HTTP/1.1`, ...lines.filter(Boolean)].join('\r\n')}\r\n\r\n`)
  let text = ''
  while (!text.includes('\r\n\r\n') || !text.trimEnd().endsWith('}')) text += String((await once(socket, 'data'))[0])
  const [head = '', body = ''] = text.split('\r\n\r\n')
  return { ...(JSON.parse(body) as { code: string; detail: string }), status: Number(head.split(' ')[1]) }
}

test.each<[string, Record<string, string>, number, string]>([
  ['no subprotocol', { 'sec-websocket-protocol': '' }, 400, 'BAD_REQUEST'],
  ['an unknown subprotocol', { 'sec-websocket-protocol': 'mqtt, grapevine.v9.json' }, 400, 'BAD_REQUEST'],
  ['another version', { 'sec-websocket-version': '8' }, 400, 'BAD_REQUEST'],
  ['a key that is none', { 'sec-websocket-key': 'pears' }, 400, 'BAD_REQUEST'],
  ['an upgrade to something else', { upgrade: 'h2c' }, 426, 'UPGRADE_REQUIRED'],
  ['no wish for an upgrade', { connection: 'close' }, 426, 'UPGRADE_REQUIRED'],
  ['a host that is none', { host: 'a b' }, 400, 'BAD_REQUEST'],
])('a handshake with %s is refused with a problem', async (_, headers, status, code) => {
  const { gateway, healthy } = await start()
  expect(await refusalOf(gateway.port, headers)).toMatchObject({ status, code })
  await healthy()
})

test.each([
  ['//', 404, 'ROUTE_NOT_FOUND'],
  ['/v1/nowhere', 404, 'ROUTE_NOT_FOUND'],
  ['/v1/ws?token=x', 400, 'TOKEN_IN_URL'],
  ['/v1/ws?ticket=x', 400, 'BAD_REQUEST'],
  ['http://[', 400, 'BAD_REQUEST'],
  ['*', 400, 'BAD_REQUEST'],
])('a handshake for %s is refused with a problem', async (target, status, code) => {
  const { gateway, healthy } = await start()
  expect(await refusalOf(gateway.port, {}, target)).toMatchObject({ status, code })
  await healthy()
})

test('a handshake at a peer that drains, or by POST, is refused with a problem', async () => {
  const { gateway, broker } = await start()
  expect(await refusalOf(gateway.port, {}, '/v1/ws', 'POST')).toMatchObject({ status: 405 })
  broker.drain()
  expect(await refusalOf(gateway.port)).toMatchObject({ status: 503, code: 'DRAINING' })
})

test.each([
  [['mqtt', socketProtocol], socketProtocol],
  [[binarySocketProtocol, socketProtocol], binarySocketProtocol],
  [[socketProtocol, binarySocketProtocol], socketProtocol],
])('of the subprotocols %j that are offered, the first that we know is chosen: %s', async (offers, chosen) => {
  const { url } = await start()
  const client = new Client(url, offers)
  await client.until('welcome')
  expect(client.socket.protocol).toBe(chosen)
})

test('connections that are reset in the handshake and after it harm nobody', async () => {
  const { gateway, url, reported, healthy } = await start()
  const lines = Object.entries(handshake).map(([name, value]) => `${name}: ${value}`)
  const request = `${['GET /v1/ws HTTP/1.1', ...lines].join('\r\n')}\r\n\r\n`
  for (const cut of [20, request.length - 2, request.length]) {
    const socket = connect(gateway.port)
    await new Promise<void>((resolve) => void socket.write(request.slice(0, cut), () => resolve()))
    socket.resetAndDestroy()
  }
  const client = await Client.open(url)
  rawOf(client.socket).resetAndDestroy()
  await healthy()
  await Client.open(url)
  expect(reported).toEqual([])
})

// The end ---------------------------------------------------------------------------------------------------------------

class SlowBroker extends FakeBroker {
  readonly asked = Promise.withResolvers<void>()
  readonly settled = Promise.withResolvers<void>()

  override async publish(...request: Parameters<FakeBroker['publish']>): Promise<PublishResult> {
    this.asked.resolve()
    await this.settled.promise
    return super.publish(...request)
  }
}

test('a stop says bye, answers the publishes that it took, and closes', async () => {
  const broker = new SlowBroker()
  const { url, gateway } = await start({ drainMs: 10_000 }, broker)
  const client = await Client.open(url)
  client.send(subscribe(), { type: 'publish', ref: 'p', topic: 'orders', records: [{ value: 'pears' }] })
  await broker.asked.promise
  const stopped = gateway.stop()
  const bye = { reason: 'draining', servers: ['http://elm:8400'], retryMs: expect.any(Number) }
  expect(await client.until('bye')).toMatchObject(bye)
  broker.settled.resolve()
  await client.until('published')
  expect(await client.closed).toBe(4000)
  await stopped
})

test('a broker that drains before its gateway ends a waiting subscription with bye', async () => {
  const { url, broker } = await start()
  await publishTo(broker, 'pears')
  const client = await Client.open(url)
  client.send(subscribe())
  await client.until('caught-up')
  broker.drain()
  await client.until('bye')
  expect(await client.closed).toBe(4000)
})

test('a stop cuts what is not done when its time is up', async () => {
  const broker = new SlowBroker()
  const { url, gateway } = await start({ drainMs: 20 }, broker)
  const client = await Client.open(url)
  client.send({ type: 'publish', ref: 'p', topic: 'orders', records: [{ value: 'pears' }] })
  await broker.asked.promise
  await gateway.stop()
  expect(await client.closed).toBe(1006)
})

test('a client that goes away ends its reads', async () => {
  const { url, broker, healthy } = await start()
  await publishTo(broker, 'pears')
  const client = await Client.open(url)
  client.send(subscribe())
  await client.until('caught-up')
  expect(broker.waitingReaders).toBe(1)
  expect(broker.listenerCount).toBe(2)
  client.socket.terminate()
  while (broker.waitingReaders > 0 || broker.listenerCount > 0) await healthy()
})
