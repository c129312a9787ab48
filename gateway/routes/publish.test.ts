// Publishing over HTTP: what reaches the broker, what is answered, and what is refused before anything was accepted.
import { expect, test } from 'vitest'
import { errorCatalogue, MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import { createGateway } from '../app.ts'
import type { PublishRequest, PublishResult } from '../broker.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'

function gateway(broker = new FakeBroker(), config: Partial<GatewayConfig> = {}) {
  const app = createGateway({ broker, config: { ...gatewayDefaults, ...config }, reportError: () => {} })
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    app.request(`/v1/topics/${path}`, { method: 'POST', body, headers })
  return { broker, app, post }
}

test('a raw body is one record with its content type, key and headers', async () => {
  const { broker, post } = gateway()
  const headers = { 'content-type': 'text/csv', 'record-key': 'pears', 'record-header-Trace-Id': 'a1', accept: '*/*' }
  const answer = await post('orders/records', '3,crates', headers)
  const id = 'oak-id.0123456789abcdef.0'
  const ack = { level: 'local', reached: true, copies: 1, peers: ['oak'], registryVersion: '1', home: ['oak'] }
  expect(answer.status).toBe(201)
  expect(answer.headers.get('grapevine-cursor')).toBe('after-1')
  expect(await answer.json()).toEqual({ id, cursor: 'after-1', ack })
  const record = {
    key: utf8('pears'),
    headers: { 'content-type': 'text/csv', 'trace-id': 'a1' },
    value: utf8('3,crates'),
  }
  const request = broker.published[0]
  expect({ ...request, records: [...(request?.records ?? [])].map((r) => ({ ...r, value: textOf(r.value) })) }).toEqual(
    {
      topic: 'orders',
      principal: 'anonymous',
      ack: { type: 'local' },
      waitMs: 5_000,
      records: [{ ...record, value: '3,crates' }],
    },
  )
})

test('an empty body without a content type is an empty record', async () => {
  const { broker, app } = gateway()
  expect((await app.request('/v1/topics/orders/records', { method: 'POST' })).status).toBe(201)
  expect(broker.published[0]?.records).toMatchObject([{ headers: {}, value: { length: 0 } }])
})

test('a batch is published in one go and answered record by record', async () => {
  const { broker, post } = gateway()
  const body = JSON.stringify({ records: [{ value: 'pears' }, { value: 'plums' }] })
  const answer = await post('orders/records?ack=n:2&wait=300ms', body, { 'content-type': 'application/json' })
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({
    results: [
      { status: 201, id: 'oak-id.0123456789abcdef.0' },
      { status: 201, id: 'oak-id.0123456789abcdef.1' },
    ],
    cursor: 'after-2',
    ack: { level: 'n:2', reached: true },
  })
  expect(broker.published).toMatchObject([{ ack: { type: 'count', count: 2 }, waitMs: 300 }])
})

test('a level that was not reached in time is a 202, for each record of a batch too', async () => {
  const { broker, post } = gateway()
  broker.reached = false
  const one = await post('orders/records?ack=all&wait=0', 'pears')
  expect(one.status).toBe(202)
  expect(await one.json()).toMatchObject({ ack: { level: 'all', reached: false, copies: 1, peers: ['oak'] } })
  const many = await post('orders/records?ack=all', '{"records":[{"value":1}]}', { 'content-type': 'application/json' })
  expect(many.status).toBe(200)
  expect(await many.json()).toMatchObject({ results: [{ status: 202 }] })
})

test.each([
  ['k\u00c3\u00a4se', 'käse'],
  ['k\u00e4se', 'käse'],
])('header %j is read as UTF-8 if it is that, else as ISO 8859-1', async (onTheWire, text) => {
  const { broker, post } = gateway()
  await post('orders/records', '', { 'record-key': onTheWire, 'record-header-food': onTheWire })
  expect(broker.published[0]?.records[0]).toMatchObject({ key: utf8(text), headers: { food: text } })
})

test.each([
  ['0', 0],
  ['1500ms', 1_500],
  ['60s', 60_000],
  ['1m', 60_000],
])('wait=%s is %d ms', async (wait, waitMs) => {
  const { broker, post } = gateway()
  await post(`orders/records?wait=${wait}`, '')
  expect(broker.published[0]?.waitMs).toBe(waitMs)
})

test('a cursor too long for the heads that clients read is in the body alone', async () => {
  class ManyWriters extends FakeBroker {
    override async publish(request: PublishRequest): Promise<PublishResult> {
      return { ...(await super.publish(request)), cursor: 'x'.repeat(5_000) }
    }
  }
  const { post } = gateway(new ManyWriters())
  const answer = await post('orders/records', 'pears')
  expect(answer.headers.has('grapevine-cursor')).toBe(false)
  expect(await answer.json()).toMatchObject({ cursor: 'x'.repeat(5_000) })
})

const json = { 'content-type': 'application/json' }

test.each([
  ['TOPIC_NAME_INVALID', 'pear orders', 'pear%20orders/records', '', {}],
  ['TOPIC_NAME_INVALID', '%zz', '%zz/records', '', {}],
  ['TOPIC_NAME_INVALID', 'a/b', 'a%2Fb/records', '', {}],
  ['TOPIC_NAME_INVALID', '$topics', '%24topics/records', '', {}],
  ['TOPIC_NAME_INVALID', 'aaa', `${'a'.repeat(65)}/records`, '', {}],
  ['ACK_LEVEL_INVALID', 'most', 'orders/records?ack=most', '', {}],
  ['ACK_LEVEL_INVALID', 'n:0', 'orders/records?ack=n:0', '', {}],
  ['ACK_LEVEL_INVALID', '""', 'orders/records?ack=', '', {}],
  ['BAD_REQUEST', 'akc', 'orders/records?akc=all', '', {}],
  ['BAD_REQUEST', 'more than once', 'orders/records?ack=all&ack=local', '', {}],
  ['BAD_REQUEST', 'duration', 'orders/records?wait=5', '', {}],
  ['BAD_REQUEST', 'duration', 'orders/records?wait=-1s', '', {}],
  ['BAD_REQUEST', 'at most 60s', 'orders/records?wait=61s', '', {}],
  ['BAD_REQUEST', 'duration', 'orders/records?wait=9999999s', '', {}],
  ['BAD_REQUEST', 'records[0]', 'orders/records', '{"records":[{}]}', json],
  ['BAD_JSON', 'JSON', 'orders/records', '{"pears":', json],
  ['BAD_REQUEST', 'content-type', 'orders/records', '', { 'content-type': 'pears' }],
  ['BAD_REQUEST', 'Content-Type', 'orders/records', '', { 'record-header-content-type': 'a/b' }],
  ['BAD_REQUEST', 'record-header-', 'orders/records', '', { 'record-header-': 'a' }],
  ['BAD_REQUEST', 'record-key', 'orders/records', '', { 'record-key': 'k'.repeat(1_025) }],
  ['UNSUPPORTED_MEDIA', 'Content-Encoding', 'orders/records', 'x', { 'content-encoding': 'gzip' }],
  ['RECORD_TOO_LARGE', `${limits.recordBytesMax}`, 'orders/records', 'x'.repeat(limits.recordBytesMax + 1), {}],
  ['BODY_TOO_LARGE', `${limits.requestBytesMax}`, 'orders/records', 'x'.repeat(limits.requestBytesMax + 1), json],
  ['RECORD_TOO_LARGE', `${limits.recordBytesMax}`, 'orders/records', 'x', { 'content-length': '99999999999' }],
] as const)('%s, about %s: POST %s', async (code, detail, path, body, headers) => {
  const { broker, post } = gateway()
  const answer = await post(path, body, headers)
  const { status } = errorCatalogue[code]
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(await answer.json()).toMatchObject({ status, code, detail: expect.stringContaining(detail) })
  expect(broker.published).toEqual([])
})

test('a body of unknown size is given up at the bound, not read to its end', async () => {
  const { app } = gateway()
  let pieces = 0
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => {
      pieces++
      controller.enqueue(new Uint8Array(64 * 1024))
    },
  })
  // Node wants half-duplex to be said when a body is a stream; its types do not know the option.
  const init = { method: 'POST', body, duplex: 'half' as const }
  const answer = await app.request('/v1/topics/orders/records', init)
  expect(answer.status).toBe(413)
  expect(pieces * 64 * 1024).toBeLessThan(2 * limits.recordBytesMax)
})

test('bodies that arrive at the same time share a bound, and leave it when they have arrived', async () => {
  const { app, post } = gateway(new FakeBroker(), { arrivingBytesMax: 10 })
  const pear = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>()
  const slow = pear.writable.getWriter()
  const init = { method: 'POST', body: pear.readable, duplex: 'half' as const }
  const first = app.request('/v1/topics/orders/records', init)
  await slow.write(utf8('12345678'))
  const second = await post('orders/records', '12345678')
  expect(second.status).toBe(503)
  expect(await second.json()).toMatchObject({ code: 'OVERLOADED', retryable: true })
  await slow.close()
  expect((await first).status).toBe(201)
  expect((await post('orders/records', '12345678')).status).toBe(201)
})

test('a body that breaks off is refused, and counts no longer', async () => {
  const { app, broker, post } = gateway(new FakeBroker(), { arrivingBytesMax: 10 })
  const pear = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>()
  const broken = pear.writable.getWriter()
  const init = { method: 'POST', body: pear.readable, duplex: 'half' as const }
  const first = app.request('/v1/topics/orders/records', init)
  await broken.write(utf8('12345678'))
  await broken.abort(new Error('ECONNRESET'))
  expect((await first).status).toBe(400)
  expect(broker.published).toEqual([])
  expect((await post('orders/records', '12345678')).status).toBe(201)
})

test.each([
  ['ACK_LEVEL_IMPOSSIBLE', 400, null],
  ['RECORD_TOO_LARGE', 413, null],
  // Not the same for all, so that not all come back at once.
  ['OVERLOADED', 503, /^[1-3]$/],
  ['DRAINING', 503, /^[1-3]$/],
  ['STORAGE_FAILED', 500, null],
] as const)('%s of the broker is answered with %i', async (code, status, retryAfter) => {
  const { broker, post } = gateway()
  broker.failure = new MeshError(code)
  const answer = await post('orders/records', 'pears')
  expect(answer.status).toBe(status)
  if (retryAfter === null) expect(answer.headers.has('retry-after')).toBe(false)
  else expect(answer.headers.get('retry-after')).toMatch(retryAfter)
  expect(await answer.json()).toMatchObject({ code, peer: 'oak' })
})
