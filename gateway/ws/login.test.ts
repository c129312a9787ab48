// Who is at the other end of a WebSocket, over real connections: by header, by ticket, by first frame; and how that ends.
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { closeCodes, socketProtocol } from '#protocol/wire/socket-frames'
import {
  authorityOf,
  madeToken,
  noonMs,
  signedToken,
  signedTokens,
  type SigningKey,
  storedOf,
  TestClock,
} from '../auth/test-authority.ts'
import { Authority } from '../auth/authority.ts'
import { pureDigests } from '#protocol/log/pure-digests'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { startGateway } from '../server.ts'
import { type Frame, TestClient } from './test-client.ts'

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

const shop = madeToken('shop', { publish: ['orders'], subscribe: ['orders', '*.eu'] })
const other = madeToken('other', { subscribe: ['orders'] })

async function start(authority: Authority = authorityOf([shop, other])) {
  const broker = new FakeBroker()
  const reported: unknown[] = []
  const reportError = (error: unknown) => void reported.push(error)
  const gateway = await startGateway({
    broker,
    authority,
    reportError,
    config: { ...gatewayDefaults, port: 0, drainMs: 500 },
  })
  ends.push(
    () => gateway.stop(),
    () => authority.stop(),
  )
  const url = `${gateway.url.replace('http', 'ws')}/v1/ws`
  return { authority, broker, gateway, reported, http: gateway.url, url }
}

const publishTo = (broker: FakeBroker, topic: string, value: string) =>
  broker.publish({
    topic: topic as TopicName,
    records: [{ headers: { 'content-type': 'text/plain' }, value: utf8(value) }],
    ack: { type: 'local' },
    waitMs: 0,
  })

class Client extends TestClient {
  readonly opened: Promise<unknown>

  constructor(url: string, headers: Record<string, string> = {}) {
    super(new WebSocket(url, socketProtocol, { headers }), (data) => JSON.parse(data.toString()) as Frame)
    this.opened = once(this.socket, 'open')
    this.opened.catch(() => {})
    ends.push(() => this.socket.terminate())
  }

  static async saying(url: string, token: string): Promise<Client> {
    const client = new Client(url)
    await client.opened
    client.send({ type: 'auth', token })
    return client
  }

  /** Codes of the problems that it was told. */
  get problems(): unknown[] {
    return this.frames.flatMap(({ problem }) => (problem === undefined ? [] : [(problem as { code: string }).code]))
  }
}

const subscribe = (sub: string, ...topics: string[]) => ({
  type: 'subscribe',
  sub,
  topics,
  from: 'earliest',
  credit: 100,
})
const publish = (ref: string, topic: string) => ({ type: 'publish', ref, topic, records: [{ value: 'pears' }] })

/** The answer to a handshake that is refused. */
async function refusal(url: string, headers: Record<string, string> = {}) {
  const { socket } = new Client(url, headers)
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage]
  const text = (await response.toArray()).join('')
  return {
    status: response.statusCode,
    headers: response.headers,
    code: text === '' ? '' : (JSON.parse(text) as Frame)['code'],
  }
}

test('a header of the handshake says who that is, and the socket is theirs', async () => {
  const { broker, url } = await start()
  const client = new Client(url, { authorization: `Bearer ${shop.text}` })
  await client.until('welcome')
  client.send(publish('1', 'orders'), publish('2', 'bills'))
  await client.until('published')
  expect((await client.until('error'))['problem']).toMatchObject({
    code: 'FORBIDDEN',
    action: 'publish',
    topic: 'bills',
  })
  expect(broker.published).toMatchObject([{ topic: 'orders', principal: 'token:shop' }])
})

test('a token that is not good is refused before there is a socket', async () => {
  const { url, authority } = await start()
  const wrong = await refusal(url, { authorization: 'Bearer pears' })
  expect(wrong).toMatchObject({ status: 401, code: 'TOKEN_INVALID' })
  expect(wrong.headers['www-authenticate']).toContain('invalid_token')
  authority.revoke(shop.stored.id)
  expect(await refusal(url, { authorization: `Bearer ${shop.text}` })).toMatchObject({
    status: 401,
    code: 'TOKEN_REVOKED',
  })
  expect(await refusal(`${url}?token=${shop.text}`)).toMatchObject({ status: 400, code: 'TOKEN_IN_URL' })
})

test('the first frame says who that is; the welcome comes after it', async () => {
  const { url } = await start()
  const client = await Client.saying(url, shop.text)
  await client.until('welcome')
  expect(client.frames.map(({ type }) => type)).toEqual(['welcome'])
  client.send(publish('1', 'orders'))
  await client.until('published')
})

test.each<[string, object, number, string]>([
  ['a token that is not good', { type: 'auth', token: 'pears' }, closeCodes.tokenInvalid, 'TOKEN_INVALID'],
  ['something else first', subscribe('a', 'orders'), closeCodes.authRequired, 'AUTH_REQUIRED'],
  ['no token in it', { type: 'auth' }, closeCodes.authRequired, 'AUTH_REQUIRED'],
])('%s ends it', async (_, frame, closeCode, code) => {
  const { url, broker } = await start()
  await publishTo(broker, 'orders', 'pears')
  const client = new Client(url)
  await client.opened
  client.send(frame, publish('1', 'orders'))
  expect(await client.closed).toBe(closeCode)
  expect(client.problems).toEqual([code])
  expect(client.frames.map(({ type }) => type)).toEqual(['error'])
  expect(broker.published).toHaveLength(1)
})

test('who says nothing is closed in a few seconds, and told why', { timeout: 15_000 }, async () => {
  const { url } = await start()
  const client = new Client(url)
  expect(await client.closed).toBe(closeCodes.authRequired)
  expect(client.problems).toEqual(['AUTH_REQUIRED'])
})

test('a ticket opens one socket', async () => {
  const { http, url } = await start()
  const answer = await fetch(`${http}/v1/tickets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${shop.text}` },
  })
  const { ticket } = (await answer.json()) as { ticket: string }
  const client = new Client(`${url}?ticket=${ticket}`)
  await client.until('welcome')
  expect(await refusal(`${url}?ticket=${ticket}`)).toMatchObject({ status: 401, code: 'TICKET_INVALID' })
})

test('of a pattern what is granted is read, also of topics that appear later; a name or pattern beyond it is refused', async () => {
  const { broker, url } = await start()
  for (const topic of ['orders', 'orders.eu', 'bills']) await publishTo(broker, topic, topic)
  const client = await Client.saying(url, shop.text)
  await client.until('welcome')
  client.send(subscribe('all', '**'), subscribe('name', 'bills'), subscribe('pattern', 'bills.us.*'))
  await client.until('caught-up')
  await publishTo(broker, 'bills.us', 'bills.us')
  await publishTo(broker, 'bills.eu', 'bills.eu')
  await client.until('record', 3)
  const values = client.frames.flatMap(({ record }) => (record === undefined ? [] : [(record as Frame)['value']]))
  expect(values.map(String).toSorted()).toEqual(['bills.eu', 'orders', 'orders.eu'])
  expect(client.frames.filter(({ type }) => type === 'error')).toMatchObject([
    { sub: 'name', problem: { code: 'FORBIDDEN', topic: 'bills' } },
    { sub: 'pattern', problem: { code: 'FORBIDDEN', topic: 'bills.us.*' } },
  ])
})

test.each<[string, (authority: Authority, clock: TestClock) => void, number, string]>([
  ['revoked', (authority) => authority.revoke(shop.stored.id), closeCodes.tokenRevoked, 'TOKEN_REVOKED'],
  [
    'given other grants',
    (authority) => {
      authority.tokens.replace(storedOf(madeToken('shop', { subscribe: ['orders'] }).stored))
      authority.look()
    },
    closeCodes.grantsChanged,
    'GRANTS_CHANGED',
  ],
])('a socket ends when its token is %s, and nothing is read after it', async (_, end, closeCode, code) => {
  const clock = new TestClock()
  const { authority, broker, url } = await start(authorityOf([shop, other], clock))
  const client = await Client.saying(url, shop.text)
  const bystander = await Client.saying(url, other.text)
  await client.until('welcome')
  client.send(subscribe('a', 'orders'))
  await client.until('subscribed')
  end(authority, clock)
  await publishTo(broker, 'orders', 'too late')
  client.send(publish('1', 'orders'))
  expect(await client.closed).toBe(closeCode)
  expect(client.problems).toEqual([code])
  expect(client.frames.some(({ type }) => type === 'record')).toBe(false)
  expect(broker.published).toHaveLength(1)
  await bystander.until('welcome')
})

const secret = Buffer.alloc(32, 7)
const key: SigningKey = {
  jwk: { kty: 'oct', kid: 'k', k: secret.toString('base64url') },
  private: secret,
  alg: 'HS256',
}

async function signing(clock: TestClock) {
  const signed = await signedTokens([key], { clock })
  return new Authority({ digests: pureDigests, wallMs: clock.wallMs, signed })
}

test('a signed token that is wrong is refused by the handshake, too, and one that expires ends its socket', async () => {
  const clock = new TestClock()
  const { url } = await start(await signing(clock))
  const good = await signedToken(key, { exp: noonMs / 1_000 + 60 })
  expect(await refusal(url, { authorization: `Bearer ${good.slice(0, -4)}AAAA` })).toMatchObject({ status: 401 })
  const client = new Client(url, { authorization: `Bearer ${good}` })
  await client.until('welcome')
  clock.nowMs += 60_000
  expect(await client.closed).toBe(closeCodes.tokenExpired)
  expect(client.problems).toEqual(['TOKEN_EXPIRED'])
})

test('who has not said who that is sends no more than a token takes, whole or not', async () => {
  const { url } = await start()
  for (const fin of [true, false]) {
    const client = new Client(url)
    await client.opened
    const beganMs = performance.now()
    client.socket.send('x'.repeat(10_000), { fin })
    expect(await client.closed).toBe(closeCodes.authRequired)
    expect(client.problems).toEqual(['AUTH_REQUIRED'])
    // Not because it was late.
    expect(performance.now() - beganMs).toBeLessThan(limits.socketAuthMsMax - 500)
  }
  // As long as a token may be: looked at.
  const client = await Client.saying(url, 'x'.repeat(8 * 1024))
  expect(await client.closed).toBe(closeCodes.tokenInvalid)
})

/** A handshake with that token, from a client that lets its half of the connection open. */
function knock(http: string, token: string) {
  const socket = connect({ port: Number(new URL(http).port), host: '127.0.0.1', allowHalfOpen: true })
  ends.push(() => void socket.destroy())
  socket.on('error', () => {})
  const head = ['GET /v1/ws HTTP/1.1', 'host: localhost', 'connection: upgrade', 'upgrade: websocket']
  const key = ['sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==']
  const rest = [`sec-websocket-protocol: ${socketProtocol}`, `authorization: Bearer ${token}`]
  socket.write(`${[...head, ...key, ...rest].join('\r\n')}\r\n\r\n`)
  return socket
}

test('a handshake that is refused late leaves no socket behind, whatever its client still sends', async () => {
  const { gateway, http } = await start(await signing(new TestClock()))
  const knocks = Array.from({ length: 5 }, async () => {
    const socket = knock(http, 'x.y.z')
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1.1 401 /)
    socket.write('x')
    socket.destroy()
  })
  await Promise.all(knocks)
  // One that neither sends anything nor closes.
  const last = knock(http, 'x.y.z')
  await once(last.resume(), 'end')
  await expect.poll(() => gateway.load().connections, { timeout: 4_000 }).toBe(0)
})

test('a stop does not wait for handshakes that are not answered yet', async () => {
  const asked = Promise.withResolvers<void>()
  const find = (): Promise<never> => {
    asked.resolve()
    return new Promise(() => {})
  }
  const signed = { find } as unknown as Awaited<ReturnType<typeof signedTokens>>
  const authority = new Authority({ digests: pureDigests, wallMs: new TestClock().wallMs, signed })
  const { gateway, http } = await start(authority)
  const socket = knock(http, 'x.y.z').resume()
  await asked.promise
  const ended = once(socket, 'end')
  await gateway.stop()
  await ended
})

test('a token is renewed by another of the same principal: what it grants now counts, and the socket outlives the first', async () => {
  const clock = new TestClock()
  const { broker, url } = await start(await signing(clock))
  await publishTo(broker, 'bills', 'of bills')
  await publishTo(broker, 'orders', 'of orders')
  const grapevine = { subscribe: ['orders'] }
  const client = await Client.saying(url, await signedToken(key, { exp: noonMs / 1_000 + 60, grapevine }))
  await client.until('welcome')
  client.send(subscribe('wide', '*'), subscribe('narrow', 'orders'))
  await client.until('record', 2)
  client.send({ type: 'auth', token: await signedToken(key, { grapevine: { subscribe: ['bills'] } }) })
  await client.until('welcome', 2)
  const bills = await client.until('record', 3)
  expect(bills).toMatchObject({ sub: 'wide', record: { value: 'of bills' } })
  expect(client.frames.filter(({ type }) => type === 'error')).toMatchObject([
    { sub: 'narrow', problem: { code: 'FORBIDDEN', topic: 'orders' } },
  ])
  clock.nowMs += 61_000
  client.send({ type: 'auth', token: await signedToken(key, { sub: 'root' }) })
  // Somebody else's is refused, and all goes on.
  await client.until('error', 2)
  client.send(publish('1', 'orders'))
  await client.until('error', 3)
  expect(client.problems).toEqual(['FORBIDDEN', 'TOKEN_INVALID', 'FORBIDDEN'])
})

test('where nobody is asked for a token, a frame that brings one is told so, and the socket goes on', async () => {
  const broker = new FakeBroker()
  const gateway = await startGateway({ broker, config: { ...gatewayDefaults, port: 0 } })
  ends.push(() => gateway.stop())
  const client = await Client.saying(`${gateway.url.replace('http', 'ws')}/v1/ws`, shop.text)
  await client.until('error')
  expect(client.problems).toEqual(['AUTH_DISABLED'])
  client.send(publish('1', 'orders'))
  await client.until('published')
})
