import { expect, test } from 'vitest'
import { createGateway } from './app.ts'
import { gatewayDefaults } from './config.ts'
import { FakeBroker } from './fake-broker.ts'

const event = { specversion: '1.0', id: 'a1', source: '/shop', type: 'order.placed', data: { pears: 3 } }

async function publish(contentType: string, body: string, more: Record<string, string> = {}) {
  const broker = new FakeBroker()
  const app = createGateway({ broker, config: gatewayDefaults })
  const headers = { 'content-type': contentType, ...more }
  const answer = await app.request('/v1/topics/orders/records', { method: 'POST', headers, body })
  const { code } = (await answer.json()) as { code?: string }
  const records = broker.published.flatMap((request) => request.records)
  return {
    status: answer.status,
    code,
    records: records.map(({ value, ...rest }) => ({ ...rest, text: Buffer.from(value).toString() })),
  }
}

test('in binary mode the attributes of an event are headers of its record', async () => {
  const ce = { 'ce-specversion': '1.0', 'ce-id': 'a1', 'ce-source': '/shop', 'ce-type': 'order.placed' }
  const { status, records } = await publish('text/plain', 'pears', ce)
  expect(status).toBe(201)
  expect(records).toEqual([{ headers: { 'content-type': 'text/plain', ...ce }, text: 'pears' }])
})

test('in structured mode an event is stored as it came, and a batch as its events', async () => {
  const headers = { 'content-type': 'application/cloudevents+json' }
  const text = JSON.stringify(event, null, 2)
  expect(await publish('application/cloudevents+json', text)).toMatchObject({
    status: 201,
    records: [{ headers, text }],
  })
  const batch = await publish('application/cloudevents-batch+json', JSON.stringify([event, { ...event, id: 'a2' }]))
  expect([batch.status, batch.records.map(({ headers: own }) => own)]).toEqual([200, [headers, headers]])
  expect(batch.records.map(({ text: one }) => (JSON.parse(one) as typeof event).id)).toEqual(['a1', 'a2'])
})

test.each([
  ['application/cloudevents-batch+json', '[]', {}],
  ['application/cloudevents-batch+json', '{}', {}],
  ['application/cloudevents-batch+json', JSON.stringify([event, { ...event, type: '' }]), {}],
  ['application/cloudevents-batch+json', JSON.stringify([event]), { 'ce-id': 'a1' }],
])('%s %s is refused, and nothing of it is stored', async (type, body, more) => {
  expect(await publish(type, body, more)).toMatchObject({ status: 400, code: 'BAD_REQUEST', records: [] })
})
