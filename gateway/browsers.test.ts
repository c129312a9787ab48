// What pages of others can do to a gateway through somebody's browser: nothing, by HTTP or as a WebSocket.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { socketProtocol } from '#protocol/wire/socket-frames'
import type { Authority } from './auth/authority.ts'
import { authorityOf } from './auth/test-authority.ts'
import { gatewayDefaults, type GatewayConfig } from './config.ts'
import { FakeBroker } from './fake-broker.ts'
import { startGateway } from './server.ts'

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

async function start(config: Partial<GatewayConfig> = {}, authority?: Authority) {
  const broker = new FakeBroker()
  const gateway = await startGateway({ broker, config: { ...gatewayDefaults, port: 0, ...config }, authority })
  ends.push(() => gateway.stop())
  /** What a handshake is answered with: 101, or why not. */
  const upgrade = async (origin: string): Promise<number | undefined> => {
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/ws`, socketProtocol, { origin })
    ends.push(() => socket.terminate())
    socket.on('error', () => {})
    const opened = once(socket, 'open').then(() => 101)
    const refused = once(socket, 'unexpected-response').then(([, { statusCode }]) => statusCode as number)
    return Promise.race([opened, refused])
  }
  return { broker, port: gateway.port, url: gateway.url, upgrade }
}

test('a page of another origin publishes nothing, although its request needs no preflight', async () => {
  const { broker, url } = await start()
  const headers = { origin: 'https://evil.example', 'content-type': 'text/plain' }
  const answer = await fetch(`${url}/v1/topics/orders/records`, { method: 'POST', headers, body: 'pears' })
  expect(answer.status).toBe(403)
  expect(await answer.json()).toMatchObject({ code: 'ORIGIN_REFUSED', detail: expect.stringContaining('evil.example') })
  expect(broker.published).toEqual([])
})

test('a page of another origin opens no WebSocket; our own and those that are listed do', async () => {
  const { url, upgrade } = await start({ allowOrigins: ['https://shop.example'] })
  expect(await upgrade('https://evil.example')).toBe(403)
  expect(await upgrade('https://shop.example')).toBe(101)
  expect(await upgrade(url)).toBe(101)
})

const knownBy = async (port: number, host: string, ...fields: readonly string[]): Promise<number> => {
  const socket = connect(port, '127.0.0.1')
  ends.push(() => void socket.destroy())
  const target = fields.length > 0 ? '/v1/ws' : '/v1/topics'
  socket.write(`${[`GET ${target} HTTP/1.1`, `host: ${host}`, ...fields].join('\r\n')}\r\n\r\n`)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return Number(answer.toString().split(' ')[1])
}

const handshake = [
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
  `sec-websocket-protocol: ${socketProtocol}`,
]

test('a name that leads to this machine (DNS rebinding) reads nothing, although browsers send no Origin with a GET', async () => {
  const { port } = await start({ ownHosts: ['mesh.example'] })
  expect(await knownBy(port, 'evil.example:8400')).toBe(403)
  expect(await knownBy(port, 'evil.example:8400', ...handshake)).toBe(403)
  for (const host of [`127.0.0.1:${port}`, 'localhost', 'mesh.example']) {
    expect([await knownBy(port, host), await knownBy(port, host, ...handshake)], host).toEqual([200, 101])
  }
  // Beyond loopback, and with tokens, a peer has names that it does not know of, and its tokens are no page's.
  expect(await knownBy((await start({ host: '0.0.0.0' })).port, 'oak')).toBe(200)
  expect(await knownBy((await start({}, authorityOf([]))).port, 'oak')).toBe(401)
})

const shop = { origin: 'https://shop.example' }

test('a page of an origin that is listed may ask for anything, and read what it is answered, problems too', async () => {
  const { broker, url } = await start({ allowOrigins: ['https://shop.example'] })
  const asked = {
    'access-control-request-method': 'PUT',
    'access-control-request-headers': 'authorization, record-key',
  }
  const preflight = await fetch(`${url}/v1/topics/orders`, { method: 'OPTIONS', headers: { ...shop, ...asked } })
  expect([preflight.status, await preflight.text()]).toEqual([204, ''])
  expect(Object.fromEntries(preflight.headers)).toMatchObject({
    'access-control-allow-origin': 'https://shop.example',
    'access-control-allow-methods': expect.stringContaining('PUT'),
    'access-control-allow-headers': 'authorization,record-key',
    'access-control-max-age': '600',
  })
  expect(await broker.topic('orders' as never)).toBeUndefined()
  const body = 'pears'
  const headers = { ...shop, 'content-type': 'text/plain' }
  const made = await fetch(`${url}/v1/topics/orders/records`, { method: 'POST', headers, body })
  const refused = await fetch(`${url}/v1/topics/orders/records?akc=all`, { headers: shop })
  const bytes = { ...shop, accept: 'application/octet-stream' }
  const record = await fetch(`${url}/v1/topics/orders/records/oak-id.0123456789abcdef.0`, { headers: bytes })
  for (const answer of [made, refused, record]) {
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://shop.example')
    expect(answer.headers.get('access-control-expose-headers')).toContain('Grapevine-Cursor')
    expect(answer.headers.get('vary')).toMatch(/origin/i)
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  }
  expect([made.status, refused.status]).toEqual([201, 400])
  const gone = new AbortController()
  const events = { ...shop, accept: 'text/event-stream' }
  const stream = await fetch(`${url}/v1/topics/orders/records`, { headers: events, signal: gone.signal })
  expect(stream.headers.get('access-control-allow-origin')).toBe('https://shop.example')
  const first = await stream.body?.getReader().read()
  expect(Buffer.from(first?.value ?? []).toString()).toMatch(/^retry/)
  gone.abort()
})

test('our own pages and programs are told nothing of origins, and an OPTIONS that is no preflight is refused', async () => {
  const { url } = await start({ allowOrigins: ['https://shop.example'] })
  for (const headers of [{ origin: url }, {}]) {
    expect((await fetch(`${url}/healthz`, { headers })).headers.get('access-control-allow-origin')).toBeNull()
  }
  expect((await fetch(`${url}/healthz`, { method: 'OPTIONS', headers: shop })).status).toBe(405)
})
