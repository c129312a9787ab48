// The bounds that all clients of a gateway share, and those of one client, met over real sockets (P10, S25).
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { WebSocket } from 'ws'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { startGateway } from '../server.ts'

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

class Bounds implements GatewayMetrics {
  readonly contentType = 'text/plain'
  readonly met: string[] = []
  text = () => Promise.resolve('')
  answered(): void {}
  refused(_code: string, bound?: string): void {
    if (bound !== undefined) this.met.push(bound)
  }
  cut(bound: string): void {
    this.met.push(bound)
  }
}

async function start(config: Partial<GatewayConfig> = {}) {
  const broker = new FakeBroker()
  const metrics = new Bounds()
  const full = { ...gatewayDefaults, port: 0, drainMs: 200, ...config }
  const gateway = await startGateway({ broker, config: full, metrics, reportError: () => {} })
  ends.push(() => gateway.stop())
  return { broker, gateway, met: metrics.met }
}

type Started = Awaited<ReturnType<typeof start>>

/** A connection that is kept, and what it was told so far. */
async function dial({ gateway }: Started, text = '') {
  const socket = connect(gateway.port, '127.0.0.1')
  ends.push(() => void socket.destroy())
  socket.on('error', () => {})
  let told = ''
  socket.on('data', (data) => (told += data.toString('latin1')))
  const isClosed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await once(socket, 'connect')
  socket.write(text)
  return { socket, told: () => told, isClosed }
}

const health = 'GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n'
const longPoll = (topic: string) => `GET /v1/topics/${topic}/records?wait=60s HTTP/1.1\r\nhost: localhost\r\n\r\n`

async function put({ broker }: Started, count: number, bytes: number): Promise<void> {
  const records = Array.from({ length: count }, () => ({
    headers: { 'content-type': 'text/plain' },
    value: utf8('x'.repeat(bytes)),
  }))
  await broker.publish({ topic: 'orders' as TopicName, records, ack: { type: 'local' }, waitMs: 0 })
}

function get(started: Started, headers: Record<string, string> = {}, path = '/healthz'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(`${started.gateway.url}${path}`, { headers }, (answer) => resolve(answer.resume()))
      .on('error', reject)
      .end()
  })
}

const problemIn = (text: string): { code: string; limit: string; retryMs: number } =>
  JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))

// Connections ---------------------------------------------------------------------------------------------------------

test('a connection too many is told so, with a time to come back, and closed; one that leaves makes room', async () => {
  // Half of them are for one address, and all here come from one.
  const started = await start({ connectionsMax: 4 })
  const first = await dial(started, health)
  await dial(started, health)
  await vi.waitFor(() => expect(started.gateway.load().connections).toBe(2))
  const third = await dial(started, health)
  await third.isClosed
  expect(third.told()).toMatch(/^HTTP\/1.1 503 .*\r\nretry-after: [1-4]\r\n/s)
  expect(problemIn(third.told())).toMatchObject({ code: 'OVERLOADED', limit: 'connections-of-client' })
  expect(started.met).toEqual(['connections-of-client'])
  first.socket.destroy()
  await vi.waitFor(() => expect(started.gateway.load().connections).toBe(1))
  const fourth = await dial(started, health)
  await vi.waitFor(() => expect(fourth.told()).toMatch(/^HTTP\/1.1 200 /))
})

test('a WebSocket too many is refused as well, by HTTP', async () => {
  const started = await start({ connectionsMax: 2 })
  const open = () => new WebSocket(`${started.gateway.url.replace('http', 'ws')}/v1/ws`, 'grapevine.v1.json')
  const first = open()
  await once(first, 'open')
  const second = open()
  const [, answer] = (await once(second, 'unexpected-response')) as [unknown, IncomingMessage]
  expect(answer.statusCode).toBe(503)
  expect(answer.headers['retry-after']).toMatch(/^[1-4]$/)
  first.terminate()
})

test('a proxy that is listed may have all connections', async () => {
  const started = await start({ connectionsMax: 3, trustedProxies: ['127.0.0.0/8'] })
  for (let i = 0; i < 3; i++) {
    const one = await dial(started, health)
    await vi.waitFor(() => expect(one.told()).toMatch(/^HTTP\/1.1 200 /))
  }
  const fourth = await dial(started, health)
  await fourth.isClosed
  expect(problemIn(fourth.told())).toMatchObject({ code: 'OVERLOADED', limit: 'connections' })
})

// Requests ------------------------------------------------------------------------------------------------------------

test('a connection that sends requests without waiting for answers gets so many served, and the rest refused in order', async () => {
  const started = await start()
  await put(started, 0, 0)
  const max = limits.pipelinedRequestsMax
  const { socket, told } = await dial(started)
  socket.write(longPoll('orders').repeat(max) + health)
  await vi.waitFor(() => expect(started.met).toEqual(['pipelined']))
  expect(started.gateway.load()).toMatchObject({ requests: max + 1, liveReads: { longPoll: max } })
  await put(started, 1, 1)
  await vi.waitFor(() => expect(told().match(/HTTP\/1\.1 \d+/g)).toHaveLength(max + 1))
  expect(told().lastIndexOf('HTTP/1.1 200')).toBeLessThan(told().indexOf('HTTP/1.1 503'))
})

test('requests under way are bounded in all, and those of a connection that closes are not counted any more', async () => {
  const started = await start({ connectionsMax: 8 })
  await put(started, 0, 0)
  const busy = await dial(started, longPoll('orders').repeat(8))
  await vi.waitFor(() => expect(started.gateway.load().requests).toBe(8))
  const refused = await dial(started, health)
  await refused.isClosed
  expect(problemIn(refused.told())).toMatchObject({ code: 'OVERLOADED', limit: 'requests' })
  busy.socket.destroy()
  await vi.waitFor(() => expect(started.gateway.load()).toMatchObject({ requests: 0, liveReads: { longPoll: 0 } }))
  expect((await get(started)).statusCode).toBe(200)
})

// Rates ---------------------------------------------------------------------------------------------------------------

const slow = { requestsPerSecond: 0.001, bytesPerSecond: 1_000_000 }

test('who asks too much is refused with 429 and told when to come again, and is not served meanwhile', async () => {
  // Two seconds' worth: the first is served.
  const started = await start({ rates: { ...slow, requestsPerSecond: 0.5 } })
  const first = await get(started)
  expect(first.statusCode).toBe(200)
  expect(first.headers['ratelimit-policy']).toMatch(/^"requests";q=1;w=2, "bytes";/)
  expect(first.headers['ratelimit']).toMatch(/^"requests";r=0;t=2, "bytes";r=2000000;t=0$/)
  const second = await dial(started, health)
  await second.isClosed
  expect(second.told()).toMatch(/^HTTP\/1.1 429 .*\r\nratelimit: "requests";r=0;t=2/s)
  expect(Number(/\r\nretry-after: (\d+)\r\n/.exec(second.told())?.[1])).toBeGreaterThanOrEqual(2)
  const { code, limit, retryMs } = problemIn(second.told())
  expect({ code, limit }).toEqual({ code: 'RATE_LIMITED', limit: 'rate' })
  expect(retryMs).toBeGreaterThanOrEqual(1_000)
  expect(started.met).toEqual(['rate'])
})

test('an ordinary client sees nothing of all this', async () => {
  const { headers } = await get(await start())
  expect(Object.keys(headers).filter((name) => name.startsWith('ratelimit'))).toEqual([])
})

test('X-Forwarded-For chooses a bucket only if a listed proxy says so', async () => {
  const rates = { ...slow, requestsPerSecond: 0.5 }
  const open = await start({ rates })
  expect((await get(open, { 'x-forwarded-for': '198.51.100.1' })).statusCode).toBe(200)
  expect((await get(open, { 'x-forwarded-for': '198.51.100.2' })).statusCode).toBe(429)
  const behind = await start({ rates, trustedProxies: ['127.0.0.1'] })
  expect((await get(behind, { 'x-forwarded-for': '198.51.100.1' })).statusCode).toBe(200)
  expect((await get(behind, { 'x-forwarded-for': '198.51.100.2' })).statusCode).toBe(200)
  expect((await get(behind, { 'x-forwarded-for': '203.0.113.9, 198.51.100.2' })).statusCode).toBe(429)
})

test('bytes of bodies count: after too many of them a client waits', async () => {
  const started = await start({ rates: { requestsPerSecond: 1_000, bytesPerSecond: 1_000 } })
  const post = () =>
    fetch(`${started.gateway.url}/v1/topics/orders/records`, { method: 'POST', body: 'x'.repeat(100_000) })
  expect((await post()).status).toBe(201)
  const refused = await post()
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(90)
})

test('handshakes of WebSockets count as requests, and one too many is told why', async () => {
  const started = await start({ rates: { requestsPerSecond: 0.5, bytesPerSecond: 1_000_000 } })
  const dialed = () => new WebSocket(`${started.gateway.url.replace('http', 'ws')}/v1/ws`, 'grapevine.v1.json')
  const first = dialed()
  ends.push(() => first.terminate())
  await once(first, 'open')
  const [, answer] = (await once(dialed(), 'unexpected-response')) as [unknown, IncomingMessage]
  const text = Buffer.concat((await answer.toArray()) as Buffer[]).toString()
  expect([answer.statusCode, JSON.parse(text)]).toMatchObject([429, { code: 'RATE_LIMITED' }])
})

test('a WebSocket that sends more than its share is read more slowly, and nothing is refused', async () => {
  const started = await start({ rates: { requestsPerSecond: 100, bytesPerSecond: 1_000_000 } })
  const socket = new WebSocket(`${started.gateway.url.replace('http', 'ws')}/v1/ws`, 'grapevine.v1.json')
  ends.push(() => socket.terminate())
  let published = 0
  let problems = 0
  socket.on('message', (data: Buffer) => {
    const { type } = JSON.parse(data.toString()) as { type: string }
    if (type === 'published') published++
    if (type === 'error') problems++
  })
  await once(socket, 'open')
  const beganMs = performance.now()
  const record = '"topic":"orders","records":[{"value":"pears"}]'
  for (let i = 0; i < 40; i++) for (let n = 0; n < 6; n++) socket.send(`{"type":"publish","ref":"${i}-${n}",${record}}`)
  await vi.waitFor(() => expect(published).toBe(240), { timeout: 10_000 })
  // Of 200 at once the handshake was one; 41 more take a good 400 ms, and what comes next waits for them.
  socket.send(`{"type":"publish","ref":"last",${record}}`)
  await vi.waitFor(() => expect(published).toBe(241), { timeout: 10_000 })
  expect(performance.now() - beganMs).toBeGreaterThan(390)
  expect(problems).toBe(0)
})

// Memory --------------------------------------------------------------------------------------------------------------

const page = 'GET /v1/topics/orders/records?limit=1000 HTTP/1.1\r\nhost: localhost\r\n\r\n'

test('clients that ask for pages and do not take them are cut, the slowest first, before they take more than the bound', async () => {
  const unsentBytesMax = 8 * 1024 * 1024
  const started = await start({ unsentBytesMax, lookEveryMs: 20 })
  // One record may always be asked for, whatever waits.
  await put(started, 1, 1_000_000)
  const stalled = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const { socket } = await dial(started)
      socket.pause()
      socket.write(page.repeat(16))
      return socket
    }),
  )
  await vi.waitFor(() => expect(started.met).toContain('unsent'))
  await vi.waitFor(() => expect(started.gateway.load().unsentBytes).toBeLessThanOrEqual(unsentBytesMax))
  expect(started.gateway.load().connections).toBeLessThan(stalled.length)
  // Who reads is served.
  const reading = await dial(started, page)
  await vi.waitFor(() => expect(reading.told()).toMatch(/"upToDate":true}\n$/))
})

test('while clients take nothing, pages are short instead of being refused', async () => {
  const started = await start({ unsentBytesMax: 16 * 1024 * 1024, lookEveryMs: 20 })
  await put(started, 64, 128 * 1024)
  for (let i = 0; i < 3; i++) {
    const { socket } = await dial(started)
    socket.pause()
    socket.write(page)
  }
  await vi.waitFor(() => expect(started.gateway.load().unsentBytes).toBeGreaterThan(8 * 1024 * 1024))
  const answer = await fetch(`${started.gateway.url}/v1/topics/orders/records?limit=1000`)
  expect(await answer.json()).toMatchObject({ records: [{ offset: 0 }], cursor: 'after-1', upToDate: false })
  const interval = await fetch(`${started.gateway.url}/v1/topics/orders/records?order=time&limit=1000`)
  expect(await interval.json()).toMatchObject({ records: [{ offset: 0 }], next: expect.stringMatching(/\.0$/) })
})

test('heads that grow and are never whole are cut before they take more than the bound', async () => {
  const started = await start({ arrivingHeadBytesMax: 256 * 1024, lookEveryMs: 20 })
  const trickling = await Promise.all(
    Array.from({ length: 4 }, () => dial(started, `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(100_000)}`)),
  )
  await Promise.race(trickling.map(({ isClosed }) => isClosed))
  expect(started.met).toContain('heads')
  await vi.waitFor(() => expect(started.gateway.load().arrivingBytes).toBeLessThanOrEqual(256 * 1024))
  expect(started.gateway.load().connections).toBeGreaterThan(0)
})

test('a client that pings and reads no pong is not listened to any more', async () => {
  const started = await start()
  const { socket } = await dial(
    started,
    'GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n' +
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: grapevine.v1.json\r\n\r\n',
  )
  await once(socket, 'data')
  socket.pause()
  // Masked with zeros: 125 bytes, and as many of the pong.
  const pings = Buffer.concat(
    Array.from({ length: 1_000 }, () => Buffer.from([0x89, 0xfd, 0, 0, 0, 0, ...Array.from({ length: 125 }, () => 1)])),
  )
  let written = 0
  // Until nothing of it is taken any more.
  for (let quiet = 0; quiet < 200 && written < 512 * 1024 * 1024;) {
    if (socket.writableLength < 1024 * 1024) {
      socket.write(pings)
      written += pings.length
      quiet = 0
    } else quiet++
    await new Promise((resolve) => void setImmediate(resolve))
  }
  expect(written).toBeLessThan(512 * 1024 * 1024)
  await vi.waitFor(() => expect(started.gateway.load().unsentBytes).toBeLessThan(2 * limits.socketBufferedBytesMax))
})
