// Starts by time, and intervals in the order of time, over HTTP. What they give is tested at the broker.
import { expect, test } from 'vitest'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from '../app.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'

const orders = 'orders' as TopicName

/** Five records, a second apart from 1970 on. */
function gateway() {
  const broker = new FakeBroker()
  for (let i = 0; i < 5; i++) {
    broker.append(orders, { headers: { 'content-type': 'text/plain' }, value: utf8(`v${i}`) })
  }
  const app = createGateway({ broker, config: gatewayDefaults })
  const get = async (query: string, accept = 'application/json') => {
    const answer = await app.request(`/v1/topics/orders/records${query}`, { headers: { accept } })
    return { status: answer.status, text: await answer.text() }
  }
  const page = async (query: string) => {
    const { status, text } = await get(query)
    const { records = [], ...rest } = JSON.parse(text) as {
      records?: { value: string }[]
      next?: string
      code?: string
    }
    return { status, values: records.map(({ value }) => value), ...rest }
  }
  return { broker, get, page }
}

test.each([
  ['time:3000', ['v3', 'v4']],
  ['time:2999', ['v3', 'v4']],
  ['time:1970-01-01T00:00:02.500Z', ['v3', 'v4']],
  ['time:1970-01-01T01:00:03%2B01:00', ['v3', 'v4']],
  ['time:1970-01-01T01:00:03+01:00', ['v3', 'v4']],
  ['time:1970-01-01', ['v0', 'v1', 'v2', 'v3', 'v4']],
  ['time:1970-01-02', []],
])('a page from %s on has what is dated so or later', async (from, values) => {
  const { page, get } = gateway()
  expect(await page(`?from=${from}`)).toMatchObject({ status: 200, values })
  const lines = (await get(`?from=${from}`, 'application/x-ndjson')).text
  expect(lines.match(/"value":"v\d"/g) ?? []).toHaveLength(values.length)
})

test.each(['time:', 'time:yesterday', 'time:2026-13-01', 'time:2026-05-01T10:00', 'time:-1', 'time:999999999999999'])(
  'a start at %s is refused',
  async (from) => {
    const { page } = gateway()
    expect(await page(`?from=${from}`)).toMatchObject({ status: 400, code: 'BAD_REQUEST', field: 'from' })
  },
)

test('an interval has both its ends, and goes on page by page', async () => {
  const { page } = gateway()
  const asked = '?order=time&from=time:1000&to=time:4000&limit=3'
  const first = await page(asked)
  expect(first).toEqual({
    status: 200,
    values: ['v1', 'v2', 'v3'],
    from: '1970-01-01T00:00:01.000Z',
    to: '1970-01-01T00:00:04.000Z',
    next: 'gvt1.3000.0.oak-id.0123456789abcdef.3',
    complete: true,
  })
  const second = await page(`${asked}&after=${first.next}`)
  expect(second).toMatchObject({ values: ['v4'], complete: true })
  expect(second).not.toHaveProperty('next')
})

test('an interval that more may come into says so, and what is missing of it', async () => {
  const { broker, page } = gateway()
  const late = { type: 'late', feed: 'elm-id.00', from: 3, to: 9 } as const
  broker.isolated = true
  broker.gaps.push([late])
  expect(await page('?order=time')).toMatchObject({ complete: false, gaps: [late], values: { length: 5 } })
})

test.each([
  ['?order=size', 'BAD_REQUEST'],
  ['?order=time&from=latest', 'BAD_REQUEST'],
  ['?order=time&to=1000', 'BAD_REQUEST'],
  ['?order=time&from=time:2000&to=time:1000', 'BAD_REQUEST'],
  ['?order=time&after=gvt1.1.0.oak', 'BAD_REQUEST'],
  ['?order=time&wait=3s', 'BAD_REQUEST'],
  ['?to=time:1000', 'BAD_REQUEST'],
])('%s is refused', async (query, code) => {
  expect(await gateway().page(query)).toMatchObject({ status: 400, code })
})
