// Reading a topic as lines of JSON: what is a record, what is about the stream, and when it ends.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from '../app.ts'
import type { RecordToPublish } from '../broker.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { LiveReads } from '../live-reads.ts'

const orders = 'orders' as TopicName
const text = (value: string): RecordToPublish => ({ headers: { 'content-type': 'text/plain' }, value: utf8(value) })

function gateway({ values = [] as string[], config = {} as Partial<GatewayConfig> } = {}) {
  const broker = new FakeBroker()
  for (const value of values) broker.append(orders, text(value))
  const full = { ...gatewayDefaults, ...config }
  const liveReads = new LiveReads(full.readersMax)
  const app = createGateway({ broker, config: full, liveReads, reportError: () => {} })
  const get = (query: string, accept = 'application/x-ndjson') =>
    app.request(`/v1/topics/orders/records${query}`, { headers: { accept } })
  const publish = (value: string) =>
    broker.publish({ topic: orders, records: [text(value)], ack: { type: 'local' }, waitMs: 0 })
  return { broker, get, publish, liveReads }
}

type Line = Record<string, unknown>

async function* linesOf(answer: Response): AsyncGenerator<Line, undefined> {
  let rest = ''
  for await (const piece of (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    yield* lines.map((line) => JSON.parse(line) as Line)
  }
  expect(rest).toBe('')
  return undefined
}

async function allOf(answer: Response): Promise<Line[]> {
  const lines: Line[] = []
  for await (const line of linesOf(answer)) lines.push(line)
  return lines
}
const nextOf = async (lines: AsyncGenerator<Line>): Promise<Line> => (await lines.next()).value as Line

test('all that is held here, one record to a line, and the cursor after it', async () => {
  const { broker, get, liveReads } = gateway({ values: ['pears'] })
  broker.append(orders, { key: utf8('eu'), headers: { trace: 'a1' }, value: Uint8Array.of(0xff) })
  const answer = await get('')
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
  expect(await allOf(answer)).toEqual([
    expect.objectContaining({ offset: 0, contentType: 'text/plain', value: 'pears' }),
    expect.objectContaining({ offset: 1, key: 'eu', headers: { trace: 'a1' }, valueBase64: '/w==' }),
    { event: 'caught-up', cursor: 'after-2' },
  ])
  expect(liveReads.count).toBe(0)
})

test('a peer that reaches nobody who keeps the topic says so', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  broker.isolated = true
  expect((await allOf(await get(''))).at(-1)).toEqual({ event: 'caught-up', cursor: 'after-1', isolated: true })
})

test('the other name of the media type is understood; events go before lines', async () => {
  const { get } = gateway({ values: ['pears'] })
  expect((await get('', 'application/ndjson, */*')).headers.get('content-type')).toBe('application/x-ndjson')
  const both = await get('', 'application/x-ndjson, text/event-stream')
  expect(both.headers.get('content-type')).toBe('text/event-stream')
  await both.body?.cancel()
})

test('a long topic is told read by read, each with the cursor that it can be resumed from', async () => {
  const { get } = gateway({ values: ['pears', 'plums', 'figs'], config: { streamRecordsPerRead: 2 } })
  const told = await allOf(await get('?from=earliest'))
  expect(told.map(({ event, value, cursor }) => event ?? value ?? cursor)).toEqual([
    'pears',
    'plums',
    'cursor',
    'figs',
    'caught-up',
  ])
  const resumed = await allOf(await get(`?from=${told[2]?.['cursor'] as string}`))
  expect(resumed.map(({ event, value }) => event ?? value)).toEqual(['figs', 'caught-up'])
})

test('with follow it goes on, says its cursor again when idle, and says bye when the peer drains', async () => {
  const { broker, get, publish, liveReads } = gateway({ values: ['pears'], config: { heartbeatMs: 5 } })
  const lines = linesOf(await get('?from=latest&follow=true'))
  expect(await nextOf(lines)).toEqual({ event: 'caught-up', cursor: 'after-1' })
  expect(await nextOf(lines)).toEqual({ event: 'cursor', cursor: 'after-1' })
  await publish('plums')
  let line = await nextOf(lines)
  while (line['event'] === 'cursor') line = await nextOf(lines)
  expect(line).toMatchObject({ offset: 1, value: 'plums' })
  expect(await nextOf(lines)).toEqual({ event: 'cursor', cursor: 'after-2' })
  broker.drain()
  line = await nextOf(lines)
  while (line['event'] === 'cursor') line = await nextOf(lines)
  const retryMs: unknown = expect.any(Number)
  expect(line).toEqual({ event: 'bye', reason: 'draining', alternatives: ['http://elm:8400'], retryMs })
  expect((await lines.next()).done).toBe(true)
  expect(liveReads.count).toBe(0)
})

test('who follows is told of a partition; a dump is about records alone', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  broker.meshChanges(['oak'], ['elm', 'oak'])
  const partition = { event: 'partition', reachable: ['oak'], known: ['elm', 'oak'] }
  const lines = linesOf(await get('?follow=true'))
  expect([await nextOf(lines), await nextOf(lines), await nextOf(lines)]).toContainEqual(partition)
  expect(await allOf(await get(''))).not.toContainEqual(partition)
  expect(await nextOf(linesOf(await get('')))).toMatchObject({ value: 'pears' })
})

test('a gap stands before the records after it', async () => {
  const { broker, get } = gateway({ values: ['figs'] })
  const lost = { type: 'lost', feed: 'elm-id.00', from: 3, to: 9 } as const
  broker.gaps.push([lost])
  expect(await allOf(await get(''))).toMatchObject([
    { event: 'gap', gap: lost },
    { value: 'figs' },
    { event: 'caught-up' },
  ])
})

test('what goes wrong in the middle is the last line', async () => {
  const values = ['pears', ...Array.from({ length: 100 }, () => 'plums')]
  const { broker, get } = gateway({ values, config: { streamRecordsPerRead: 1 } })
  const lines = linesOf(await get(''))
  expect(await nextOf(lines)).toMatchObject({ value: 'pears' })
  broker.failure = new MeshError('STORAGE_FAILED')
  let last: Line | undefined
  for await (const line of lines) last = line
  expect(last).toMatchObject({ event: 'problem', problem: { code: 'STORAGE_FAILED', peer: 'oak' } })
})

test('nothing is read from the log before the client has taken what was read', async () => {
  const { broker, get } = gateway({ values: ['pears', 'plums', 'figs'], config: { streamRecordsPerRead: 1 } })
  const reader = ((await get('')).body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  for (let i = 0; i < 10; i++) await turn()
  broker.failure = new MeshError('STORAGE_FAILED')
  // Had the second record been read ahead it would come now.
  expect(new TextDecoder().decode((await reader.read()).value)).toMatch(/^{"event":"problem"/)
})

test.each([
  ['?follow=yes', 400, 'BAD_REQUEST', 'follow'],
  ['?limit=3', 400, 'BAD_REQUEST', 'limit'],
  ['?from=yesterday', 400, 'CURSOR_INVALID', ''],
] as const)('GET %s is refused before it begins: %i %s', async (query, status, code, detail) => {
  const { get } = gateway({ values: ['pears'] })
  const answer = await get(query)
  expect(answer.status).toBe(status)
  expect(await answer.json()).toMatchObject({ status, code, detail: expect.stringContaining(detail) })
})

test('an unknown topic is a 404, not an empty stream', async () => {
  const answer = await gateway().get('')
  expect(answer.status).toBe(404)
  expect(await answer.json()).toMatchObject({ code: 'TOPIC_NOT_FOUND' })
})
