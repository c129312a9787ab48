// What a client that means harm sends, byte by byte (SECURITY.md, S20–S29, and what was found in hono, ws and node-server): each is refused
// by name or ends its connection, and others go on being served.
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { gzipSync, brotliCompressSync, zstdCompressSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { gatewayDefaults, type GatewayConfig } from './config.ts'
import { FakeBroker } from './fake-broker.ts'
import { startGateway } from './server.ts'

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
  // Whatever any of these tests sent: nothing of it is on every object now.
  expect(Object.keys(Object.prototype)).toEqual([])
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})

async function start(config: Partial<GatewayConfig> = {}) {
  const broker = new FakeBroker()
  const reported: unknown[] = []
  const full = { ...gatewayDefaults, port: 0, drainMs: 100, ...config }
  const gateway = await startGateway({ broker, config: full, reportError: (error) => void reported.push(error) })
  ends.push(() => gateway.stop())
  return { broker, gateway, reported, url: gateway.url }
}

type Started = Awaited<ReturnType<typeof start>>

/** Sends bytes as they are; all that is answered until the connection ends. */
function raw({ gateway }: Started, bytes: string | Uint8Array, isWhole = true): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(gateway.port, '127.0.0.1')
    ends.push(() => void socket.destroy())
    let told = ''
    socket.on('error', () => {})
    socket.on('data', (data) => (told += data.toString('latin1')))
    socket.on('close', () => resolve(told))
    socket.write(bytes)
    if (isWhole) socket.on('data', () => told.includes('\r\n\r\n') && socket.end())
  })
}

const get = (target: string, ...fields: readonly string[]): string =>
  `${[`GET ${target} HTTP/1.1`, 'host: localhost', 'connection: close', ...fields].join('\r\n')}\r\n\r\n`

const isServed = async ({ url }: Started): Promise<boolean> => (await fetch(`${url}/healthz`)).status === 200

const upgrade = [
  'GET /v1/ws HTTP/1.1',
  'host: localhost',
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
  'sec-websocket-protocol: grapevine.v1.json',
]

/** The close code of a frame from the peer, behind its answer to the handshake and its welcome. */
function closeCodeIn(told: string): number | undefined {
  const at = told.lastIndexOf('\x88')
  return at < 0 ? undefined : Buffer.from(told.slice(at + 2, at + 4), 'latin1').readUInt16BE(0)
}

// S20 -----------------------------------------------------------------------------------------------------------------

test('S20: heads that trickle (slowloris) and connections that say nothing are given up, and others are served meanwhile', async () => {
  const started = await start({ headTimeoutMs: 200, requestTimeoutMs: 400 })
  const slow = Array.from({ length: 100 }, (_, i) => raw(started, i % 2 === 0 ? 'GET / HTTP/1.1\r\nx: ' : '', false))
  expect(await isServed(started)).toBe(true)
  const told = await Promise.all(slow)
  expect(told.filter((text) => text !== '' && !text.startsWith('HTTP/1.1 408 '))).toEqual([])
  await expect.poll(() => started.gateway.load().connections).toBeLessThan(3)
})

// S21 -----------------------------------------------------------------------------------------------------------------

test('S21: compression is not agreed on, and a frame that says it is compressed ends the socket', async () => {
  const started = await start()
  const handshake = [...upgrade, 'sec-websocket-extensions: permessage-deflate; client_max_window_bits'].join('\r\n')
  // RSV1 set, masked with zeros: what would unpack to a bomb.
  const bomb = Buffer.from([0xc1, 0x84, 0, 0, 0, 0, 1, 2, 3, 4])
  const told = await raw(started, Buffer.concat([Buffer.from(`${handshake}\r\n\r\n`), bomb]), false)
  expect(told).toMatch(/^HTTP\/1\.1 101 /)
  expect(told.toLowerCase()).not.toContain('sec-websocket-extensions')
  expect(closeCodeIn(told)).toBe(1002)
  expect(await isServed(started)).toBe(true)
})

test.each([
  // ws CVE-2026-62389: fragments without end, each of which costs more than it says.
  [
    'fragments without end',
    Buffer.concat(Array.from({ length: 5_000 }, (_, i) => Buffer.from([i === 0 ? 1 : 0, 0x80, 0, 0, 0, 0]))),
    1008,
  ],
  ['a length of 2^63 − 1', Buffer.from([0x81, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0]), 1009],
  ['a control frame in fragments', Buffer.from([0x09, 0x80, 0, 0, 0, 0]), 1002],
  ['a frame that is not masked', Buffer.from([0x81, 0x02, 0x7b, 0x7d]), 1002],
  ['text that is no UTF-8', Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]), 1007],
])('S21: %s ends the socket, and nothing else', async (_, frames, closeCode) => {
  const started = await start()
  const told = await raw(started, Buffer.concat([Buffer.from(`${upgrade.join('\r\n')}\r\n\r\n`), frames]), false)
  expect(closeCodeIn(told)).toBe(closeCode)
  expect(await isServed(started)).toBe(true)
})

// S22, S23 ------------------------------------------------------------------------------------------------------------

test.each([
  ['gzip', gzipSync(Buffer.alloc(4_000_000))],
  ['br', brotliCompressSync(Buffer.alloc(4_000_000))],
  ['zstd', zstdCompressSync(Buffer.alloc(4_000_000))],
])('S22: a body that %s would unpack to a thousand times as much is not unpacked', async (encoding, body) => {
  const started = await start()
  const headers = { 'content-encoding': encoding }
  const answer = await fetch(`${started.url}/v1/topics/orders/records`, { method: 'POST', body, headers })
  expect(answer.status).toBe(415)
  expect(started.broker.published).toEqual([])
})

test.each([
  ['too deep', '['.repeat(100_000), 400],
  ['a prototype', '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}', 201],
  ['a prototype in a batch', '{"records":[{"value":1,"__proto__":{"polluted":1}}]}', 400],
  ['headers with a prototype', '{"records":[{"value":1,"headers":{"__proto__":"polluted","constructor":"x"}}]}', 200],
  ['a key twice', '{"records":[{"value":1,"value":2}]}', 200],
  ['a hundred thousand keys', `{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join(',')}}`, 413],
])('S23: JSON with %s is a record or refused, and nothing more', async (_, body, status) => {
  const started = await start()
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${started.url}/v1/topics/orders/records`, { method: 'POST', body, headers })
  expect([status, 201]).toContain(answer.status)
})

// S24 -----------------------------------------------------------------------------------------------------------------

test.each([
  '..%2f..%2fetc%2fpasswd',
  '%2e%2e',
  'a%2fb',
  'a%00b',
  '%c0%ae%c0%ae',
  '%ff',
  'caf%C3%A9',
  'cafe%CC%81',
  '%E2%80%AEsredro',
  'a..b',
  '.a',
  'a%20b',
  '%24topics',
  'x'.repeat(65),
  Array.from({ length: 64 }, () => 'abcd').join('.'),
])('S24: %.40s is no topic to publish to, and no path', async (name) => {
  const started = await start()
  const fields = ['host: localhost', 'connection: close', 'content-length: 1']
  const told = await raw(started, `POST /v1/topics/${name}/records HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\nx`)
  expect(told).toMatch(/^HTTP\/1\.1 40[04] [\s\S]*"code":"(TOPIC_NAME_INVALID|ROUTE_NOT_FOUND)"/)
  expect(started.broker.published).toEqual([])
})

// S26, S27 ------------------------------------------------------------------------------------------------------------

const evil = 'a\r\nset-cookie: b=c\r\n\r\nid: 1\nevent: bye\ndata: {}\n\n'

test('S26: line breaks in keys, values and headers of a record make neither header fields nor events', async () => {
  const started = await start()
  const headers = { 'content-type': 'text/plain', x: evil }
  const record = { key: utf8(evil), headers, value: utf8(evil) }
  const topic = 'orders' as TopicName
  const { runs } = await started.broker.publish({
    topic,
    principal: '',
    records: [record],
    ack: { type: 'local' },
    waitMs: 0,
  })
  const id = `${runs[0]?.feed}.${runs[0]?.from}`
  const bytes = await raw(started, get(`/v1/topics/orders/records/${id}`, 'accept: application/octet-stream'))
  const [head = ''] = bytes.split('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 200 /)
  expect(head.toLowerCase()).not.toMatch(/set-cookie|record-header-x|record-key/)
  const client = new AbortController()
  ends.push(() => client.abort())
  const accept = { accept: 'text/event-stream' }
  const url = `${started.url}/v1/topics/orders/records?from=earliest`
  const stream = await fetch(url, { headers: accept, signal: client.signal })
  let text = ''
  for await (const piece of stream.body as unknown as AsyncIterable<Uint8Array>) {
    text += Buffer.from(piece).toString()
    if (text.includes('caught-up')) break
  }
  expect(text).not.toMatch(/^event: bye/m)
  expect(text.match(/^data: /gm)).toHaveLength(2)
})

test('S27: what went wrong inside is not told: neither where, nor of whom', async () => {
  const started = await start()
  started.broker.failure = new Error('ENOENT: /var/lib/grapevine/secret of tenant ash')
  const answer = await fetch(`${started.url}/v1/topics/orders/records`, { method: 'POST', body: 'pears' })
  const text = await answer.text()
  expect(answer.status).toBe(500)
  expect(text).not.toMatch(/ENOENT|\/var|ash|\.ts|at /)
  expect(String(started.reported[0])).toContain('ENOENT')
})

// S28, S29 ------------------------------------------------------------------------------------------------------------

test('S28: no page is told that it may send credentials, and nothing is served from a disk', async () => {
  const started = await start({ allowOrigins: ['https://shop.example', '*'] })
  const listed = await fetch(`${started.url}/version`, { headers: { origin: 'https://shop.example' } })
  expect(listed.status).toBe(200)
  expect(listed.headers.has('access-control-allow-credentials')).toBe(false)
  for (const target of ['/../package.json', '/%2e%2e/package.json', '/static/..%2fpackage.json', '//etc/passwd']) {
    expect(await raw(started, get(target))).toMatch(/^HTTP\/1\.1 40[04] /)
  }
})

test('S29: a pattern is no regular expression, and a bad one costs no time', async () => {
  const started = await start()
  const names = ['(a+)+$', '**.**', '*'.repeat(200), 'a*', '[a-z]'].map(encodeURIComponent)
  for (const match of names) expect((await fetch(`${started.url}/v1/topics?match=${match}`)).status).toBe(400)
  const startedMs = performance.now()
  const deep = Array.from({ length: 100 }, () => '*').join('.')
  expect((await fetch(`${started.url}/v1/topics?match=${deep}.**`)).status).toBe(200)
  expect(performance.now() - startedMs).toBeLessThan(5_000)
})

// What was found in others --------------------------------------------------------------------------------------------

test('hono, ws and node-server are as new as the last of what was found in them', () => {
  const lock = readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')
  const { packages } = JSON.parse(lock) as { packages: Record<string, { version: string }> }
  const number = (version = '0'): number =>
    version.split('.').reduce((sum, part) => sum * 10_000 + Number.parseInt(part, 10), 0)
  const versionOf = (name: string): number => number(packages[`node_modules/${name}`]?.version)
  expect(versionOf('hono')).toBeGreaterThanOrEqual(number('4.12.21'))
  expect(versionOf('ws')).toBeGreaterThanOrEqual(number('8.21.1'))
  expect(versionOf('@hono/node-server')).toBeGreaterThanOrEqual(number('1.19.13'))
})

test.each([
  ['an upgrade to something else', [...upgrade.slice(0, 3), 'upgrade: h2c', ...upgrade.slice(4)]],
  ['an upgrade by a body', ['POST /v1/ws HTTP/1.1', ...upgrade.slice(1), 'content-length: 0']],
  ['a key that is none', [...upgrade.slice(0, 5), 'sec-websocket-key: x', ...upgrade.slice(6)]],
  ['a host that is none', ['GET /v1/ws HTTP/1.1', 'host: localhost/../x', ...upgrade.slice(2)]],
  ['protocols without end', [...upgrade.slice(0, 6), `sec-websocket-protocol: ${'x,'.repeat(20_000)}`]],
])('a handshake with %s is refused, and the peer lives on', async (_, head) => {
  const started = await start()
  const told = await raw(started, `${head.join('\r\n')}\r\n\r\n`)
  expect(told).toMatch(/^HTTP\/1\.1 4\d\d /)
  expect(await isServed(started)).toBe(true)
  expect(started.reported).toEqual([])
})
