// What a request may say of its producer, in each form of a publish, and what it may not. Method: what reaches the broker.
import { expect, test } from 'vitest'
import { createGateway } from '../app.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'

function gateway() {
  const broker = new FakeBroker()
  const app = createGateway({ broker, config: gatewayDefaults, reportError: () => {} })
  const post = async (body: string, headers: Record<string, string>) => {
    const answer = await app.request('/v1/topics/orders/records', { method: 'POST', body, headers })
    return { status: answer.status, text: await answer.text() }
  }
  const producers = () =>
    broker.published.map(({ producer, records }) => [producer, ...records.map((record) => record.producer)])
  return { broker, post, producers }
}

const text = { 'content-type': 'text/plain' }
const json = { 'content-type': 'application/json' }
const lines = { 'content-type': 'application/x-ndjson' }
const key = { type: 'idempotencyKey', name: 'a7', epoch: 0, seq: 0 }

test('an idempotency key is that of the whole request, one record or many', async () => {
  const { post, producers } = gateway()
  await post('pears', { ...text, 'idempotency-key': 'a7' })
  await post('{"records":[{"value":1},{"value":2}]}', { ...json, 'idempotency-key': 'a7' })
  expect(producers()).toEqual([
    [key, undefined],
    [key, undefined, undefined],
  ])
})

test('a producer says the number of the first record; its epoch is 0 unless it says so', async () => {
  const { post, producers } = gateway()
  await post('pears', { ...text, 'producer-id': 'shop', 'producer-seq': '7' })
  await post('pears', { ...text, 'producer-id': 'shop', 'producer-epoch': '2', 'producer-seq': '0' })
  const shop = { type: 'producer', name: 'shop' }
  expect(producers()).toEqual([
    [{ ...shop, epoch: 0, seq: 7 }, undefined],
    [{ ...shop, epoch: 2, seq: 0 }, undefined],
  ])
})

test('a record of many may have a number of its own', async () => {
  const { post, producers } = gateway()
  await post('{"records":[{"value":1,"producer":{"id":"shop","epoch":1,"seq":4}},{"value":2}]}', json)
  expect(producers()).toEqual([[undefined, { type: 'producer', name: 'shop', epoch: 1, seq: 4 }, undefined]])
})

test('the numbers of a stream of lines go on from publish to publish', async () => {
  const { broker, post } = gateway()
  const many = Array.from({ length: 3 }, (_, i) => `{"value":"${'x'.repeat(200_000)} ${i}"}`).join('\n')
  await post(many, { ...lines, 'idempotency-key': 'a7' })
  let seq = 0
  for (const { producer, records } of broker.published) {
    expect(producer).toEqual({ ...key, seq })
    seq += records.length
  }
  expect(seq).toBe(3)
})

test.each<readonly [headers: Record<string, string>, body: string, field: string]>([
  [{ 'idempotency-key': 'a', 'producer-id': 'b', 'producer-seq': '1' }, 'x', 'idempotency-key'],
  [{ 'idempotency-key': '' }, 'x', 'idempotency-key'],
  [{ 'idempotency-key': 'k'.repeat(256) }, 'x', 'idempotency-key'],
  [{ 'producer-seq': '1' }, 'x', 'producer-id'],
  [{ 'producer-epoch': '1' }, 'x', 'producer-id'],
  [{ 'producer-id': 'shop' }, 'x', 'producer-seq'],
  [{ 'producer-id': 'shop', 'producer-seq': '-1' }, 'x', 'producer-seq'],
  [{ 'producer-id': 'shop', 'producer-seq': '1e3' }, 'x', 'producer-seq'],
  [{ 'producer-id': 'shop', 'producer-seq': '9007199254740992' }, 'x', 'producer-seq'],
  [{ 'producer-id': 'shop', 'producer-seq': '4503599627370497' }, 'x', 'producer-seq'],
  [{ 'producer-id': 'shop', 'producer-seq': '1', 'producer-epoch': '4294967296' }, 'x', 'producer-epoch'],
  [json, '{"records":[{"value":1,"producer":"shop"}]}', 'records[0].producer'],
  [json, '{"records":[{"value":1,"producer":{"id":"shop"}}]}', 'records[0].producer.seq'],
  [json, '{"records":[{"value":1,"producer":{"id":7,"seq":1}}]}', 'records[0].producer.id'],
  [json, '{"records":[{"value":1,"producer":{"id":"a","seq":1.5}}]}', 'records[0].producer.seq'],
  [json, '{"records":[{"value":1,"producer":{"id":"a","seq":1,"nr":1}}]}', 'records[0].producer.nr'],
  [
    { ...json, 'idempotency-key': 'a' },
    '{"records":[{"value":1},{"value":1,"producer":{"id":"a","seq":1}}]}',
    'records[1].producer',
  ],
])('%j with %s is refused: %s', async (headers, body, field) => {
  const { broker, post } = gateway()
  const { status, text: problem } = await post(body, { ...text, ...headers })
  expect([status, (JSON.parse(problem) as { field: string }).field]).toEqual([400, field])
  expect(broker.published).toEqual([])
})
