// Named cursors over HTTP. How they are kept and merged is tested at the broker.
import { expect, test } from 'vitest'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from '../app.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'

const orders = 'orders' as TopicName

function gateway() {
  const broker = new FakeBroker()
  for (const value of ['v0', 'v1', 'v2']) {
    broker.append(orders, { headers: { 'content-type': 'text/plain' }, value: utf8(value) })
  }
  const app = createGateway({ broker, config: gatewayDefaults })
  const call = async (method: string, path = '/v1/topics/orders/cursors/billing', body?: object) => {
    const answer = await app.request(path, { method, ...(body && { body: JSON.stringify(body) }) })
    return { status: answer.status, ...((await answer.json()) as { code?: string; records?: { value: string }[] }) }
  }
  return { broker, app, call }
}

test('a cursor is stored under a name, read from, and deleted', async () => {
  const { call } = gateway()
  expect(await call('GET')).toMatchObject({ status: 404, code: 'CURSOR_NOT_FOUND', topic: 'orders', name: 'billing' })
  const named = { status: 200, topic: 'orders', name: 'billing', cursor: 'after-2' }
  expect(await call('PUT', undefined, { cursor: 'after-2' })).toEqual(named)
  expect(await call('GET')).toEqual(named)
  expect(await call('GET', '/v1/topics/orders/records?from=@billing')).toMatchObject({ records: [{ value: 'v2' }] })
  expect(await call('GET', '/v1/topics/orders/records?from=@other')).toMatchObject({ code: 'CURSOR_NOT_FOUND' })
  expect(await call('DELETE')).toEqual({ status: 200, topic: 'orders', name: 'billing', deleted: true })
  expect(await call('DELETE')).toMatchObject({ status: 404, code: 'CURSOR_NOT_FOUND' })
})

test('a stream of several topics reads those that have no such cursor from their earliest records', async () => {
  const { broker, app, call } = gateway()
  broker.append('bills' as TopicName, { headers: { 'content-type': 'text/plain' }, value: utf8('b0') })
  await call('PUT', undefined, { cursor: 'after-2' })
  const lines = await app.request('/v1/stream?topic=**&from=@billing', { headers: { accept: 'application/x-ndjson' } })
  expect((await lines.text()).match(/"value":"\w+"/g)).toEqual(['"value":"v2"', '"value":"b0"'])
})

test.each([
  [{}, 400, 'BAD_REQUEST'],
  [{ cursor: '' }, 400, 'BAD_REQUEST'],
  [{ cursor: 'x'.repeat(16 * 1024 + 1) }, 400, 'BAD_REQUEST'],
  [{ cursor: 'after-2', extra: 1 }, 400, 'BAD_REQUEST'],
  [{ cursor: 'lunch' }, 400, 'CURSOR_INVALID'],
])('PUT of %j is refused', async (body, status, code) => {
  expect(await gateway().call('PUT', undefined, body)).toMatchObject({ status, code })
})

test('a name that is none, and a peer that is on its way out, are refused with a word', async () => {
  const { broker, call } = gateway()
  expect(await call('GET', '/v1/topics/orders/cursors/a.b')).toMatchObject({ status: 400, code: 'BAD_REQUEST' })
  expect(await call('GET', '/v1/topics/orders/records?from=@')).toMatchObject({ status: 400, code: 'BAD_REQUEST' })
  broker.isGoing = 'decommissioned'
  expect(await call('PUT', undefined, { cursor: 'after-2' })).toMatchObject({ status: 503, code: 'DECOMMISSIONED' })
  expect(await call('DELETE')).toMatchObject({ status: 503, code: 'DECOMMISSIONED' })
})
