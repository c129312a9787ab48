// Reading a topic: pages, long-polls and server-sent events, all over one reader of the broker.
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from '../app.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { LiveReads } from '../live-reads.ts'
import { eventsOf, type SseEvent, take } from '../told-events.ts'

const orders = 'orders' as TopicName
const text = { 'content-type': 'text/plain' }

function gateway({ values = [] as string[], config = {} as Partial<GatewayConfig> } = {}) {
  const broker = new FakeBroker()
  const publish = (...more: string[]) =>
    broker.publish({
      topic: orders,
      records: more.map((value) => ({ headers: text, value: utf8(value) })),
      ack: { type: 'local' },
      waitMs: 0,
    })
  for (const value of values) broker.append(orders, { headers: text, value: utf8(value) })
  const full = { ...gatewayDefaults, ...config }
  const liveReads = new LiveReads(full.readersMax)
  const reported: unknown[] = []
  const app = createGateway({ broker, config: full, liveReads, reportError: (error) => reported.push(error) })
  const get = (query: string, headers: Record<string, string> = {}, signal?: AbortSignal) =>
    app.request(`/v1/topics/orders/records${query}`, { headers, ...(signal && { signal }) })
  return { broker, app, publish, liveReads, get, reported }
}

/** Until a reader waits for news in the broker. */
const waiting = async (broker: FakeBroker): Promise<void> => {
  while (broker.waitingReaders === 0) await turn()
}

interface Page {
  records: { value: string }[]
  cursor: string
  upToDate: boolean
  gaps?: unknown[]
}

async function pageOf(answer: Response | Promise<Response>) {
  const page = (await (await answer).json()) as Page
  return { ...page, records: page.records.map(({ value }) => value) }
}

// Pages -----------------------------------------------------------------------------------------------------------------

test('pages follow each other by their cursors until the reader has everything', async () => {
  const { get } = gateway({ values: ['pears', 'plums', 'figs'] })
  const first = await pageOf(get('?limit=2'))
  expect(first).toEqual({ records: ['pears', 'plums'], cursor: 'after-2', upToDate: false })
  const second = await get(`?limit=2&from=${first.cursor}`)
  expect(second.headers.get('grapevine-cursor')).toBe('after-3')
  expect(await pageOf(second)).toEqual({ records: ['figs'], cursor: 'after-3', upToDate: true })
})

test('a page begins with the earliest record, or with what comes after now', async () => {
  const { get } = gateway({ values: ['pears'] })
  expect(await pageOf(get('?from=earliest'))).toMatchObject({ records: ['pears'] })
  expect(await pageOf(get('?from=latest'))).toEqual({ records: [], cursor: 'after-1', upToDate: true })
})

test('a page of large records ends early, and the next goes on after it', async () => {
  const large = 'x'.repeat(limits.pageBytesMax / 4)
  const { get } = gateway({ values: [large, large, large, large, large] })
  const first = await pageOf(get(''))
  expect([first.records.length, first.cursor, first.upToDate]).toEqual([3, 'after-3', false])
  const second = await pageOf(get('?from=after-3'))
  expect([second.records.length, second.cursor, second.upToDate]).toEqual([2, 'after-5', true])
})

test('a page tells what is missing between its records', async () => {
  const { broker, get } = gateway({ values: ['figs'] })
  const lost = { type: 'lost', feed: 'elm-id.00', from: 3, to: 9 } as const
  broker.gaps.push([lost])
  expect(await pageOf(get(''))).toEqual({ records: ['figs'], cursor: 'after-1', upToDate: true, gaps: [lost] })
})

describe('a strict reader', () => {
  const lost = { type: 'lost', feed: 'elm-id.00', from: 3, to: 9 } as const
  const late = { type: 'late', feed: 'elm-id.00', from: 9, to: 10 } as const

  test('is told of what is lost instead of the records behind it, and where it can go on', async () => {
    const { broker, get } = gateway({ values: ['figs'] })
    broker.gaps.push([lost, late])
    const answer = await get('?from=after-0&strict=true')
    expect(answer.status).toBe(410)
    const problem = { code: 'RECORDS_LOST', gaps: [lost], cursor: 'after-0', retryable: false }
    expect(await answer.json()).toMatchObject(problem)
    expect(await pageOf(get('?from=after-0'))).toMatchObject({ records: ['figs'] })
  })

  test('has what comes before that first', async () => {
    const { broker, get } = gateway({ values: ['figs', 'pears'] })
    broker.chunkMax = 1
    broker.gaps.push([], [lost])
    expect(await pageOf(get('?strict=true'))).toEqual({ records: ['figs'], cursor: 'after-1', upToDate: false })
    broker.gaps.push([lost])
    expect((await get('?from=after-1&strict=true')).status).toBe(410)
  })

  test('is told what is late as ever', async () => {
    const { broker, get } = gateway({ values: ['figs'] })
    broker.gaps.push([late])
    expect(await pageOf(get('?strict=true'))).toMatchObject({ records: ['figs'], gaps: [late] })
  })
})

test.each([
  ['?strict=maybe', 400, 'BAD_REQUEST', 'strict'],
  ['?limit=0', 400, 'BAD_REQUEST', 'limit'],
  ['?limit=1001', 400, 'BAD_REQUEST', 'limit'],
  ['?limit=ten', 400, 'BAD_REQUEST', 'limit'],
  ['?wait=soon', 400, 'BAD_REQUEST', 'wait'],
  ['?form=earliest', 400, 'BAD_REQUEST', 'form'],
  ['?from=yesterday', 400, 'CURSOR_INVALID', ''],
  ['?from=%ff%zz', 400, 'CURSOR_INVALID', ''],
] as const)('GET %s is refused: %i %s', async (query, status, code, detail) => {
  const { get } = gateway({ values: ['pears'] })
  const answer = await get(query)
  expect(answer.status).toBe(status)
  expect(await answer.json()).toMatchObject({ status, code, detail: expect.stringContaining(detail) })
})

test('a topic that this peer does not know is a 404 that may be tried again', async () => {
  const { get } = gateway()
  for (const accept of ['application/json', 'text/event-stream']) {
    const answer = await get('', { accept })
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ code: 'TOPIC_NOT_FOUND', retryable: true })
  }
})

// Long-polls ------------------------------------------------------------------------------------------------------------

test('a long-poll answers when something was published', async () => {
  const { broker, publish, get, liveReads } = gateway({ values: ['pears'] })
  const answer = get('?from=latest&wait=60s')
  await waiting(broker)
  expect(liveReads.count).toBe(1)
  await publish('plums')
  expect(await pageOf(answer)).toEqual({ records: ['plums'], cursor: 'after-2', upToDate: true })
  expect(liveReads.count).toBe(0)
})

test.each(['decommissioned', 'forgotten'] as const)('a peer that is %s serves readers', async (reason) => {
  const { broker, publish, get } = gateway({ values: ['pears'] })
  broker.isGoing = reason
  const answer = get('?from=latest&wait=60s')
  await waiting(broker)
  await publish('plums')
  expect(await pageOf(answer)).toMatchObject({ records: ['plums'] })
})

test('a long-poll that has records to tell does not wait', async () => {
  const { get } = gateway({ values: ['pears'] })
  expect(await pageOf(get('?wait=60s'))).toMatchObject({ records: ['pears'] })
})

test('a long-poll ends empty when its time is up, when its client goes, and when the peer drains', async () => {
  const { broker, liveReads, get } = gateway({ values: ['pears'] })
  const nothing = { records: [], cursor: 'after-1', upToDate: true }
  expect(await pageOf(get('?from=latest&wait=1ms'))).toEqual(nothing)

  const gone = new AbortController()
  const left = get('?from=latest&wait=60s', {}, gone.signal)
  await waiting(broker)
  gone.abort()
  await left
  expect([liveReads.count, broker.waitingReaders]).toEqual([0, 0])

  const drained = get('?from=latest&wait=60s')
  await waiting(broker)
  liveReads.drain()
  expect(await pageOf(drained)).toEqual(nothing)
})

test('a long-poll is woken by records that are lost, not by a feed that goes on waiting', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  const late = { type: 'late', feed: 'elm-id.00', from: 3, to: 9 } as const
  const lost = { type: 'lost', feed: 'elm-id.00', from: 3, to: 9 } as const
  broker.gaps.push([late], [{ ...late, to: 10 }])
  const answer = get('?from=latest&wait=60s')
  await waiting(broker)
  broker.stir()
  await turn()
  await waiting(broker)
  broker.gaps.push([lost])
  broker.stir()
  expect(await pageOf(answer)).toMatchObject({ records: [], gaps: [lost] })
})

test('a long-poll that ends tells what waits here, though that was found before it began to wait', async () => {
  const { broker, get, publish } = gateway({ values: ['pears'] })
  const late = { type: 'late', feed: 'elm-id.00', from: 3, to: 9 } as const
  broker.gaps.push([late])
  expect(await pageOf(get('?from=latest&wait=1ms'))).toMatchObject({ records: [], gaps: [late] })
  broker.gaps.push([late])
  const answer = get('?from=latest&wait=60s')
  await waiting(broker)
  await publish('plums')
  expect(await pageOf(answer)).toMatchObject({ records: ['plums'], gaps: [late] })
})

test('a feed that goes on during a long-poll is not told to wait', async () => {
  const { broker, get, publish } = gateway({ values: ['pears'] })
  const { feed } = broker.append(orders, { headers: text, value: utf8('figs') })
  broker.gaps.push([{ type: 'late', feed, from: 1, to: 2 }])
  const answer = get('?from=latest&wait=60s')
  await waiting(broker)
  await publish('plums')
  expect(await pageOf(answer)).toEqual({ records: ['plums'], cursor: 'after-3', upToDate: true })
})

// Server-sent events ------------------------------------------------------------------------------------------------------

const sse = { accept: 'text/event-stream' }

test('a stream tells what is there, says that it has caught up, and goes on live; each event has its cursor', async () => {
  const { get, publish } = gateway({ values: ['pears', 'plums'] })
  const answer = await get('?from=earliest', sse)
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  const events = eventsOf(answer)
  expect(await take(events, 4)).toEqual([
    { retry: expect.stringMatching(/^\d{3,4}$/) },
    { id: 'after-1', data: expect.objectContaining({ offset: 0, value: 'pears' }) },
    { id: 'after-2', data: expect.objectContaining({ offset: 1, value: 'plums' }) },
    { event: 'caught-up', id: 'after-2', data: { cursor: 'after-2' } },
  ])
  await publish('figs')
  expect(await take(events, 1)).toEqual([{ id: 'after-3', data: expect.objectContaining({ value: 'figs' }) }])
})

test.each([
  ['', {}, 'after-2', []],
  ['?from=earliest', {}, 'after-2', ['pears', 'plums']],
  ['?from=after-1', {}, 'after-2', ['plums']],
  ['?lastEventId=after-1', {}, 'after-2', ['plums']],
  ['?from=earliest', { 'last-event-id': 'after-1' }, 'after-2', ['plums']],
  ['?from=earliest&lastEventId=after-2', { 'last-event-id': 'after-1' }, 'after-2', ['plums']],
  ['?from=earliest', { 'last-event-id': '' }, 'after-2', ['pears', 'plums']],
])('a stream %s with %j begins where it should', async (query, headers, cursor, expected) => {
  const { get } = gateway({ values: ['pears', 'plums'] })
  const events = eventsOf(await get(query, { ...sse, ...headers }))
  const [, ...told] = await take(events, expected.length + 2)
  expect(told.pop()).toMatchObject({ event: 'caught-up', id: cursor })
  expect(told).toMatchObject(expected.map((value) => ({ data: { value } })))
})

test('a stream says that it is isolated, and once more that it has caught up when it is not any more', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  broker.isolated = true
  const events = eventsOf(await get('?from=earliest', sse))
  const caughtUp = { event: 'caught-up', id: 'after-1' }
  expect((await take(events, 3)).at(-1)).toEqual({ ...caughtUp, data: { cursor: 'after-1', isolated: true } })
  await waiting(broker)
  broker.isolated = false
  broker.stir()
  expect(await take(events, 1)).toEqual([{ ...caughtUp, data: { cursor: 'after-1' } }])
  expect(await (await get('?from=earliest')).json()).not.toHaveProperty('isolated')
})

test('a page of a peer that reaches nobody who keeps the topic says so', async () => {
  const { broker, get } = gateway({ values: ['pears', 'plums'] })
  broker.isolated = true
  expect(await (await get('')).json()).toMatchObject({ upToDate: true, isolated: true })
  expect(await (await get('?limit=1')).json()).not.toHaveProperty('isolated')
})

test('a stream from a cursor that is none is refused before it begins', async () => {
  const { get } = gateway({ values: ['pears'] })
  const answer = await get('', { ...sse, 'last-event-id': 'after-lunch' })
  expect(answer.status).toBe(400)
  expect(await answer.json()).toMatchObject({ code: 'CURSOR_INVALID' })
})

test('an idle stream says something now and then', async () => {
  const { get, publish } = gateway({ values: ['pears'], config: { heartbeatMs: 1 } })
  const events = eventsOf(await get('', sse))
  await take(events, 2)
  expect(await take(events, 2)).toEqual([undefined, undefined])
  await publish('plums')
  let next: SseEvent | undefined
  while (next === undefined) [next] = await take(events, 1)
  expect(next.data).toMatchObject({ value: 'plums' })
})

test('a stream tells gaps before the records after them, and the cursor with those that come alone', async () => {
  const { broker, get, publish } = gateway({ values: ['figs'] })
  const lost = { type: 'lost', feed: 'elm-id.00', from: 3, to: 9 } as const
  const late = { type: 'late', feed: 'ash-id.00', from: 0, to: 9 } as const
  broker.gaps.push([lost, late], [], [{ ...late, to: 12 }])
  const events = eventsOf(await get('?from=earliest', sse))
  const [, ...told] = await take(events, 5)
  expect(told.map((event) => event?.event ?? 'record')).toEqual(['gap', 'gap', 'record', 'caught-up'])
  expect(told[0]).toEqual({ event: 'gap', data: lost })
  await waiting(broker)
  broker.stir()
  expect(await take(events, 1)).toEqual([{ event: 'gap', id: 'after-1', data: { ...late, to: 12 } }])
  await publish('plums')
  expect(await take(events, 1)).toMatchObject([{ id: 'after-2' }])
})

test('a stream tells of a partition, to who comes meanwhile too, and that it is healed', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  const events = eventsOf(await get('', sse))
  await take(events, 2)
  const next = take(events, 1)
  await waiting(broker)
  broker.meshChanges(['oak'], ['elm', 'oak'])
  const partition = { event: 'partition', data: { reachable: ['oak'], known: ['elm', 'oak'] } }
  expect(await next).toEqual([partition])
  expect(await take(eventsOf(await get('', sse)), 3)).toContainEqual(partition)
  const whole = ['elm', 'oak']
  broker.meshChanges(whole, whole)
  expect(await take(events, 1)).toEqual([{ event: 'healed', data: {} }])
})

test('when the peer drains a stream says bye, where to go on and when, and ends', async () => {
  const { broker, get, liveReads } = gateway({ values: ['pears'] })
  const events = eventsOf(await get('', sse))
  await take(events, 2)
  liveReads.drain()
  const [bye] = await take(events, 1)
  // elm is alive; ash is dead, and oak is the one that goes.
  const retryMs: unknown = expect.any(Number)
  expect(bye).toMatchObject({ event: 'bye', data: { reason: 'draining', alternatives: ['http://elm:8400'], retryMs } })
  expect((await events.next()).done).toBe(true)
  expect([liveReads.count, broker.waitingReaders]).toEqual([0, 0])
})

test('a stream also ends when the broker drains before its gateway', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  const events = eventsOf(await get('', sse))
  await take(events, 2)
  broker.drain()
  expect(await take(events, 1)).toMatchObject([{ event: 'bye' }])
})

test('a stream that cannot read on says which problem it has, and ends', async () => {
  const { broker, get, liveReads, reported } = gateway({ values: ['pears'] })
  const events = eventsOf(await get('', sse))
  await take(events, 2)
  broker.failure = new MeshError('CURSOR_INVALID')
  broker.stir()
  expect(await take(events, 1)).toMatchObject([{ event: 'problem', data: { code: 'CURSOR_INVALID', peer: 'oak' } }])
  expect((await events.next()).done).toBe(true)
  expect([liveReads.count, reported]).toEqual([0, []])
})

test('a client that goes frees its place at once', async () => {
  const { broker, get, liveReads } = gateway({ values: ['pears'] })
  const answer = await get('', sse)
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  await reader.read()
  void reader.read()
  await waiting(broker)
  expect(liveReads.count).toBe(1)
  await reader.cancel()
  expect([liveReads.count, broker.waitingReaders, broker.listenerCount]).toEqual([0, 0, 0])
})

test('nothing is read from the log before the client has taken what was read', async () => {
  const { broker, get } = gateway({ values: ['pears', 'plums', 'figs'], config: { streamRecordsPerRead: 1 } })
  const answer = await get('?from=earliest', sse)
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  await reader.read()
  broker.failure = new MeshError('STORAGE_FAILED')
  for (let i = 0; i < 10; i++) await turn()
  // Had the second record been read ahead it would come now.
  expect(new TextDecoder().decode((await reader.read()).value)).toMatch(/^event: problem/)
})

test('a long cursor makes the reads of a stream short where it is told with each record', async () => {
  const { broker, get } = gateway({ values: ['pears'] })
  const limitsAsked: number[] = []
  broker.open = async () => {
    const next = async (limit: number) => {
      limitsAsked.push(limit)
      return { records: [], cursor: 'after-1', upToDate: true }
    }
    const nextBatches = () => Promise.reject(new Error('no socket'))
    const cursor = 'x'.repeat(limits.socketReadBytesTarget / 4)
    return { cursor, next, nextBatches, more: () => new Promise(() => {}) }
  }
  await (await get('', { accept: 'application/x-ndjson' })).text()
  await take(eventsOf(await get('', sse)), 2)
  expect([...new Set(limitsAsked)]).toEqual([gatewayDefaults.streamRecordsPerRead, 4])
})

test('live reads are bounded; one that ends makes room', async () => {
  const { broker, get } = gateway({ values: ['pears'], config: { readersMax: 1 } })
  const stream = await get('', sse)
  for (const refused of [await get('', sse), await get('?from=latest&wait=1s')]) {
    expect(refused.status).toBe(503)
    expect(await refused.json()).toMatchObject({ code: 'OVERLOADED', retryable: true })
  }
  // A page that waits for nothing is no live read.
  expect((await get('')).status).toBe(200)
  await stream.body?.cancel()
  const poll = get('?from=latest&wait=60s')
  await waiting(broker)
  broker.drain()
  expect((await poll).status).toBe(200)
})

test('HEAD of a stream is answered and leaves nothing open', async () => {
  const { app, liveReads } = gateway({ values: ['pears'] })
  const answer = await app.request('/v1/topics/orders/records', { method: 'HEAD', headers: sse })
  expect([answer.status, liveReads.count]).toEqual([200, 0])
})

test('a topic that is deleted ends what is read of it, with its name: a page, a poll, a stream', async () => {
  const { broker, get, app } = gateway({ values: ['pears'] })
  const poll = get('?from=latest&wait=10s')
  await waiting(broker)
  const stream = await get('?from=earliest', { accept: 'text/event-stream' })
  const told = stream.text()
  while (broker.waitingReaders < 2) await turn()
  await broker.deleteTopic(orders)
  expect((await poll).status).toBe(410)
  expect(await (await poll).json()).toMatchObject({ code: 'TOPIC_DELETED', retryable: false })
  expect(await told).toMatch(/event: problem\ndata: \{.*"code":"TOPIC_DELETED"/)
  expect((await app.request('/v1/topics/orders/records')).status).toBe(404)
})
