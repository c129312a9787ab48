// Who may ask what over HTTP. The routes are taken from the gateway itself, so that one that is added and asks nobody is found.
import { describe, expect, test } from 'vitest'
import type { Action } from '#protocol/grants'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from '../app.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { Intake } from '../intake/intake.ts'
import { Sockets } from '../ws/sockets.ts'
import { authorityOf, everything, madeToken } from './test-authority.ts'

const admin = madeToken('admin', everything)
const none = madeToken('none')
const shop = madeToken('shop', { publish: ['orders', 'orders.eu'] })
const eu = madeToken('eu', { subscribe: ['*.eu'] })
const keeper = madeToken('keeper', { manage: ['orders'] })
const looker = madeToken('looker', { subscribe: ['$mesh'] })
const tokens = [admin, none, shop, eu, keeper, looker]

const metrics: GatewayMetrics = {
  contentType: 'text/plain',
  text: async () => 'figures',
  answered: () => {},
  refused: () => {},
  cut: () => {},
}

function gateway(intake?: Intake) {
  const broker = new FakeBroker()
  broker.lab = {
    drop: () => [],
    heal: () => {},
    dropped: () => [],
    ...({ shape: () => [], shaped: () => [] } as object),
  } as never
  const authority = authorityOf(tokens)
  const sockets = new Sockets(gatewayDefaults)
  const reported: unknown[] = []
  const reportError = (error: unknown) => void reported.push(error)
  const app = createGateway({
    broker,
    config: gatewayDefaults,
    authority,
    metrics,
    sockets,
    reportError,
    ...(intake && { intake }),
  })
  const ask = async (request: string, token?: string, more: Record<string, string> = {}, body?: string) => {
    const [method = '', path = ''] = request.split(' ')
    const headers = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...more }
    const answer = await app.request(path, { method, headers, ...(body !== undefined && { body }) })
    const text =
      method === 'HEAD' || answer.headers.get('content-type') === 'text/event-stream' ? '' : await answer.text()
    const isJson = /^application\/(problem\+)?json/.test(answer.headers.get('content-type') ?? '') && text !== ''
    const json = (isJson ? JSON.parse(text) : {}) as Record<string, unknown>
    return { status: answer.status, code: json['code'], body: json, headers: answer.headers, answer }
  }
  return { app, broker, authority, ask, reported }
}

const publish = (broker: FakeBroker, topic: string, value: string) =>
  broker.publish({
    topic: topic as TopicName,
    records: [{ headers: { 'content-type': 'text/plain' }, value: utf8(value) }],
    ack: { type: 'local' },
    waitMs: 0,
  })

/** What is there for everybody: it says nothing of records, topics or members. */
const open = ['/', '/healthz', '/readyz', '/version', '/openapi.json', '/asyncapi.json', '/problems', '/problems/:code']
/** What needs a token and no grant: a list of what one may see, who answers, a ticket for oneself, a socket that asks by itself. */
const withoutGrant = ['GET /v1/topics', 'GET /v1/mesh/self', 'POST /v1/tickets', 'GET /v1/ws']

describe('every route', () => {
  const { app } = gateway()
  const routes = app.routes.filter(({ path, method }) => path !== '/*' && !open.includes(path) && method !== 'OPTIONS')
  const asked = [...new Set(routes.map(({ method, path }) => `${method} ${path}`))].map((route) => [
    route,
    route
      .replace(':topic', 'orders')
      .replace(':id', '12D3KooWA.0123456789abcdef.0')
      .replace('/stream', '/stream?topic=orders')
      .replaceAll(/:\w+/g, 'x'),
  ])

  test.each(asked)(
    '%s is refused to who shows no token, and to a token that grants nothing',
    async (route, request) => {
      const { ask, broker } = gateway()
      await publish(broker, 'orders', 'pears')
      const published = broker.published.length
      if (route !== 'GET /v1/ws') {
        const stranger = await ask(request)
        expect(stranger).toMatchObject({ status: 401, code: 'AUTH_REQUIRED' })
        expect(stranger.headers.get('www-authenticate')).toBe('Bearer realm="grapevine"')
      }
      if (withoutGrant.includes(route)) return
      const powerless = await ask(
        request,
        none.text,
        { 'if-match': '*' },
        /POST|PUT|PATCH/.test(request) ? '{}' : undefined,
      )
      expect(powerless).toMatchObject({ status: 403, code: 'FORBIDDEN' })
      expect(broker.published.length).toBe(published)
    },
  )
})

test('each principal has a rate of its own, which it takes everywhere with it', async () => {
  // Two seconds' worth: one request.
  const rates = { requestsPerSecond: 0.5, bytesPerSecond: 1_000 }
  const intake = new Intake({ ...gatewayDefaults, rates }, { onCut: () => {} })
  const { ask } = gateway(intake)
  expect((await ask('GET /v1/topics', shop.text)).status).toBe(200)
  const refused = await ask('GET /v1/topics', shop.text)
  expect(refused).toMatchObject({ status: 429, code: 'RATE_LIMITED' })
  expect(refused.headers.get('retry-after')).toMatch(/^[2-4]$/)
  expect((await ask('GET /v1/topics', eu.text)).status).toBe(200)
  intake.stop()
})

test('what is open to all is open to all, whatever they show', async () => {
  const { ask } = gateway()
  for (const path of ['/', '/healthz', '/readyz', '/version', '/openapi.json', '/problems', '/problems/INTERNAL']) {
    expect((await ask(`GET ${path}`)).status, path).toBe(200)
    expect((await ask(`GET ${path}`, 'nonsense')).status, path).toBe(200)
  }
})

test.each<[string, string, number]>([
  ['POST /v1/topics/orders/records', shop.text, 201],
  ['POST /v1/topics/orders.eu/records', shop.text, 201],
  ['POST /v1/topics/bills/records', shop.text, 403],
  ['POST /v1/topics/orders/records', eu.text, 403],
  ['GET /v1/topics/orders/records', shop.text, 403],
  ['GET /v1/topics/orders.eu/records', eu.text, 200],
  ['HEAD /v1/topics/orders/records', eu.text, 403],
  ['GET /v1/topics/orders/records/12D3KooWA.0123456789abcdef.0', eu.text, 403],
  ['GET /v1/topics/$topics/records', eu.text, 403],
  ['GET /v1/topics/$deleted.orders.0/records', eu.text, 403],
  ['GET /v1/stream?topic=orders', eu.text, 403],
  ['GET /v1/stream?topic=orders.eu&topic=bills', eu.text, 403],
  ['GET /v1/stream?topic=bills.us.**', eu.text, 403],
  ['PUT /v1/topics/orders', keeper.text, 200],
  ['PUT /v1/topics/orders', shop.text, 403],
  ['DELETE /v1/topics/orders', shop.text, 403],
  ['DELETE /v1/topics/bills', keeper.text, 403],
  // Something is granted of it, so one may know that it is there.
  ['GET /v1/topics/orders', shop.text, 200],
  ['GET /v1/topics/bills', shop.text, 403],
  // What is not there is refused like what is.
  ['GET /v1/topics/nowhere/records', eu.text, 403],
  ['GET /v1/mesh/members', looker.text, 200],
  ['GET /metrics', looker.text, 200],
  ['POST /v1/mesh/members/oak/forget', looker.text, 403],
  ['PUT /v1/lab/partition', looker.text, 403],
  ['GET /v1/mesh/members', eu.text, 403],
])('%s by %s: %i', async (request, token, status) => {
  const { broker, ask } = gateway()
  for (const topic of ['orders', 'orders.eu', 'bills']) await publish(broker, topic, 'pears')
  const answer = await ask(request, token, {}, request.startsWith('POST') ? 'pears' : undefined)
  expect(answer.status).toBe(status)
})

test('a list shows what something is granted of', async () => {
  const { broker, ask } = gateway()
  for (const topic of ['orders', 'orders.eu', 'bills.eu', 'bills']) await publish(broker, topic, 'pears')
  const listed = async (token: string) =>
    ((await ask('GET /v1/topics', token)).body['topics'] as { topic: string }[]).map(({ topic }) => topic)
  expect(await listed(eu.text)).toEqual(['bills.eu', 'orders.eu'])
  expect(await listed(shop.text)).toEqual(['orders', 'orders.eu'])
  expect(await listed(none.text)).toEqual([])
})

test('a stream over a pattern is of what both it and the grant match', async () => {
  const { app, broker } = gateway()
  for (const topic of ['orders.eu', 'orders.us', 'bills']) await publish(broker, topic, `of ${topic}`)
  const lines = { accept: 'application/x-ndjson', authorization: `Bearer ${eu.text}` }
  const texts = async (query: string) => (await app.request(`/v1/stream?${query}`, { headers: lines })).text()
  expect(await texts('topic=**')).toMatch(/of orders\.eu/)
  expect(await texts('topic=**')).not.toMatch(/orders\.us|bills/)
  expect(await texts('topic=orders.*')).not.toMatch(/orders\.us/)
})

test('publishes are those of the principal', async () => {
  const { broker, ask } = gateway()
  const numbered = { 'producer-id': 'p', 'producer-seq': '0' }
  await ask('POST /v1/topics/orders/records', shop.text, numbered, 'pears')
  await ask('POST /v1/topics/orders/records', admin.text, { 'content-type': 'application/x-ndjson' }, '{"value": 1}\n')
  expect(broker.published.map(({ principal }) => principal)).toEqual(['token:shop', 'token:admin'])
})

test.each([
  ['Basic c2hvcDpzZWNyZXQ='],
  ['Bearer'],
  ['Bearer '],
  [`Bearer ${shop.text} ${shop.text}`],
  [`Bearer ${shop.text}, Bearer ${admin.text}`],
  [shop.text],
])('Authorization: %s is no token', async (authorization) => {
  const { ask } = gateway()
  expect(await ask('GET /v1/topics', undefined, { authorization })).toMatchObject({
    status: 401,
    code: 'AUTH_REQUIRED',
  })
})

test('the scheme is read as HTTP has it, and a token that is not good is challenged', async () => {
  const { ask } = gateway()
  expect((await ask('GET /v1/topics', undefined, { authorization: `bearer ${shop.text}` })).status).toBe(200)
  const refused = await ask('GET /v1/topics', 'pears')
  expect(refused.code).toBe('TOKEN_INVALID')
  expect(refused.headers.get('www-authenticate')).toBe('Bearer realm="grapevine", error="invalid_token"')
})

test.each(['token', 'access_token', 'Authorization', 'api-key'])(
  '?%s= is refused, with or without a header',
  async (name) => {
    const { ask } = gateway()
    for (const token of [undefined, shop.text]) {
      const answer = await ask(`POST /v1/topics/orders/records?${name}=${shop.text}`, token, {}, 'pears')
      expect(answer).toMatchObject({ status: 400, code: 'TOKEN_IN_URL' })
      expect(JSON.stringify(answer.body)).not.toContain(shop.text)
    }
  },
)

test('where no tokens are asked for, one in a URL is refused all the same, and one in a header does no harm', async () => {
  const app = createGateway({ broker: new FakeBroker(), config: gatewayDefaults })
  const inUrl = await app.request(`/v1/topics?token=${shop.text}`)
  expect(await inUrl.json()).toMatchObject({ code: 'TOKEN_IN_URL' })
  expect((await app.request('/v1/topics', { headers: { authorization: `Bearer ${shop.text}` } })).status).toBe(200)
  const ticket = await app.request('/v1/tickets', { method: 'POST' })
  expect(await ticket.json()).toMatchObject({ code: 'AUTH_DISABLED' })
})

// Tickets ---------------------------------------------------------------------------------------------------------------

const events = { accept: 'text/event-stream' }

async function ticketOf(ask: ReturnType<typeof gateway>['ask'], token: string): Promise<string> {
  const { status, body, headers } = await ask('POST /v1/tickets', token)
  expect(status).toBe(201)
  expect(headers.get('cache-control')).toBe('no-store')
  expect(body['expiresInMs']).toBe(30_000)
  return body['ticket'] as string
}

test('a ticket opens one event stream of its principal', async () => {
  const { broker, ask } = gateway()
  await publish(broker, 'orders.eu', 'pears')
  await publish(broker, 'orders', 'pears')
  const ticket = await ticketOf(ask, eu.text)
  const stream = await ask(`GET /v1/topics/orders.eu/records?from=earliest&ticket=${ticket}`, undefined, events)
  expect(stream.status).toBe(200)
  await stream.answer.body?.cancel()
  const again = await ask(`GET /v1/topics/orders.eu/records?ticket=${ticket}`, undefined, events)
  expect(again).toMatchObject({ status: 401, code: 'TICKET_INVALID' })
  const other = await ticketOf(ask, eu.text)
  const beyond = await ask(`GET /v1/topics/orders/records?ticket=${other}`, undefined, events)
  expect(beyond).toMatchObject({ status: 403, code: 'FORBIDDEN' })
})

test('a ticket is for streams, and no way to another ticket', async () => {
  const { ask, broker } = gateway()
  const ticket = await ticketOf(ask, admin.text)
  expect((await ask(`GET /v1/topics/orders/records?ticket=${ticket}`)).code).toBe('TOKEN_IN_URL')
  expect((await ask(`POST /v1/tickets?ticket=${ticket}`)).code).toBe('TOKEN_IN_URL')
  expect((await ask(`POST /v1/topics/orders/records?ticket=${ticket}`, undefined, events, 'pears')).code).toBe(
    'TOKEN_IN_URL',
  )
  expect((await ask(`GET /v1/stream?topic=a&ticket=${ticket}&ticket=x`, undefined, events)).code).toBe('TOKEN_IN_URL')
  expect(broker.published).toEqual([])
})

test('a ticket is no better than its token', async () => {
  const { ask, authority } = gateway()
  const ticket = await ticketOf(ask, eu.text)
  authority.revoke(eu.stored.id)
  const answer = await ask(`GET /v1/topics/orders.eu/records?ticket=${ticket}`, undefined, events)
  expect(answer).toMatchObject({ status: 401, code: 'TOKEN_REVOKED' })
})

// What ends meanwhile -----------------------------------------------------------------------------------------------------

const streams: [string, string, Record<string, string>, Action][] = [
  ['server-sent events', '/v1/topics/orders.eu/records?from=earliest', events, 'subscribe'],
  ['lines', '/v1/topics/orders.eu/records?follow=true', { accept: 'application/x-ndjson' }, 'subscribe'],
  ['a stream over patterns', '/v1/stream?topic=**&from=earliest', events, 'subscribe'],
  ['lines over patterns', '/v1/stream?topic=**&follow=true', { accept: 'application/x-ndjson' }, 'subscribe'],
]

test.each(streams)(
  '%s end with the problem when their token is revoked, and tell nothing after it',
  async (_, path, headers) => {
    const { app, broker, authority } = gateway()
    await publish(broker, 'orders.eu', 'before')
    const answer = await app.request(path, { headers: { ...headers, authorization: `Bearer ${eu.text}` } })
    const reader = (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('before')) text += (await reader.read()).value ?? ''
    authority.revoke(eu.stored.id)
    await publish(broker, 'orders.eu', 'too late')
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value
    expect(text).toContain('TOKEN_REVOKED')
    expect(text).not.toContain('too late')
  },
)

test('the stream of events of the mesh ends likewise', async () => {
  const { app, authority } = gateway()
  const headers = { ...events, authorization: `Bearer ${looker.text}` }
  const answer = await app.request('/v1/mesh/events', { headers })
  const text = answer.text()
  authority.revoke(looker.stored.id)
  expect(await text).toContain('TOKEN_REVOKED')
})

test('a long poll that waits is refused when its token ends', async () => {
  const { ask, broker, authority } = gateway()
  await publish(broker, 'orders.eu', 'before')
  const cursor = (await ask('GET /v1/topics/orders.eu/records', eu.text)).body['cursor'] as string
  const poll = ask(`GET /v1/topics/orders.eu/records?from=${cursor}&wait=60s`, eu.text)
  authority.revoke(eu.stored.id)
  expect(await poll).toMatchObject({ status: 401, code: 'TOKEN_REVOKED' })
})

test('whoever waited for a peer that starts, or for its own body, is asked again who that is', async () => {
  const { app, ask, broker, authority } = gateway()
  await publish(broker, 'orders.eu', 'before')
  const started = Promise.withResolvers<void>()
  const open = broker.open.bind(broker)
  broker.open = async (...asked) => started.promise.then(() => open(...asked))
  const page = ask('GET /v1/topics/orders.eu/records', eu.text)
  const body = new TransformStream<Uint8Array, Uint8Array>()
  const headers = { authorization: `Bearer ${shop.text}`, 'content-type': 'text/plain' }
  const init = { method: 'POST', headers, body: body.readable, duplex: 'half' }
  const publishing = app.request('/v1/topics/orders/records', init as RequestInit)
  const writer = body.writable.getWriter()
  await writer.write(utf8('pears'))
  authority.revoke(eu.stored.id)
  authority.revoke(shop.stored.id)
  started.resolve()
  await writer.close()
  expect(await page).toMatchObject({ status: 401, code: 'TOKEN_REVOKED' })
  expect(await (await publishing).json()).toMatchObject({ code: 'TOKEN_REVOKED' })
  expect(broker.published).toHaveLength(1)
})

test('lines that are published after the end of their token are not accepted', async () => {
  const { app, broker, authority } = gateway()
  const lines = new TransformStream<Uint8Array, Uint8Array>()
  const writer = lines.writable.getWriter()
  const headers = { authorization: `Bearer ${shop.text}`, 'content-type': 'application/x-ndjson' }
  const init = { method: 'POST', headers, body: lines.readable, duplex: 'half' }
  const answering = app.request('/v1/topics/orders/records', init as RequestInit)
  await writer.write(utf8('{"value": "before"}\n'))
  const answer = await answering
  authority.revoke(shop.stored.id)
  await writer.write(utf8('{"value": "after"}\n')).catch(() => {})
  await writer.close().catch(() => {})
  expect(await answer.text()).toContain('TOKEN_REVOKED')
  expect(broker.published).toHaveLength(1)
})
