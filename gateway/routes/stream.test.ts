// Several topics as one stream over HTTP. The session behind it is tested with the WebSocket that it comes from.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from '../app.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { LiveReads } from '../live-reads.ts'
import { eventsOf, type SseEvent, take } from '../told-events.ts'

const named = (topic: string) => topic as TopicName
const sse = { accept: 'text/event-stream' }
const lines = { accept: 'application/x-ndjson' }

function gateway({ config = {} as Partial<GatewayConfig>, broker = new FakeBroker() } = {}) {
  const append = (topic: string, ...values: string[]) => {
    for (const value of values) {
      broker.append(named(topic), { headers: { 'content-type': 'text/plain' }, value: utf8(value) })
    }
    broker.stir()
  }
  const full = { ...gatewayDefaults, ...config }
  const liveReads = new LiveReads(full.readersMax)
  const reported: unknown[] = []
  const app = createGateway({ broker, config: full, liveReads, reportError: (error) => reported.push(error) })
  const get = (query: string, headers: Record<string, string> = sse, signal?: AbortSignal) =>
    app.request(`/v1/stream${query}`, { headers, ...(signal && { signal }) })
  return { broker, append, get, liveReads, reported }
}

async function problemOf(answer: Response | Promise<Response>) {
  const { status, code, detail } = (await (await answer).json()) as { status: number; code: string; detail: string }
  return { status, code, detail }
}

const setOf = (event: SseEvent | undefined) => (event?.id ?? '').split(',').toSorted().join(' ')
const valueOf = (event: SseEvent | undefined) => (event?.data as { value?: string } | undefined)?.value

test('topics and patterns are told together, live ones and new ones too, each event with the cursors of all', async () => {
  const { append, get } = gateway()
  append('orders', 'pears')
  append('bills.eu', 'plums')
  append('other', 'nothing')
  const answer = await get('?topic=orders&topic=bills.**&from=earliest')
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  const events = eventsOf(answer)
  const [retry, begun, ...told] = await take(events, 5)
  expect(retry).toHaveProperty('retry')
  expect([setOf(begun), begun?.data]).toEqual(['bills.eu:after-0 orders:after-0', undefined])
  expect(told.map((event) => [event?.event, valueOf(event), setOf(event)])).toEqual([
    [undefined, 'pears', 'bills.eu:after-0 orders:after-1'],
    [undefined, 'plums', 'bills.eu:after-1 orders:after-1'],
    ['caught-up', undefined, 'bills.eu:after-1 orders:after-1'],
  ])
  append('bills.us', 'figs')
  append('bills', 'not of the pattern')
  const [joined] = await take(events, 1)
  expect([valueOf(joined), setOf(joined)]).toEqual(['figs', 'bills.eu:after-1 bills.us:after-1 orders:after-1'])
})

test('a client that comes back with the id of any event is told exactly what came after that', async () => {
  const { append, get } = gateway()
  append('orders', 'a1', 'a2', 'a3')
  append('bills.eu', 'b1', 'b2')
  const all = (await take(eventsOf(await get('?topic=orders&topic=bills.*&from=earliest')), 8)).slice(1)
  expect(all.at(-1)?.event).toBe('caught-up')
  for (const [index, { id = '' }] of (all.slice(0, -1) as SseEvent[]).entries()) {
    const events = eventsOf(await get('?topic=orders&topic=bills.*&from=latest', { ...sse, 'last-event-id': id }))
    const rest: (string | undefined)[] = []
    for (let event = (await take(events, 3))[2]; event?.event !== 'caught-up'; [event] = await take(events, 1)) {
      rest.push(valueOf(event))
    }
    expect(new Set(rest)).toEqual(new Set(all.slice(index + 1, -1).map(valueOf)))
    expect(rest).toHaveLength(all.length - index - 2)
  }
})

test('without a start it begins now; what comes to match later is read from its beginning', async () => {
  const { append, get } = gateway()
  append('orders', 'before')
  const events = eventsOf(await get('?topic=**'))
  expect((await take(events, 3)).at(-1)).toMatchObject({ event: 'caught-up', id: 'orders:after-1' })
  append('orders', 'after')
  expect((await take(events, 1)).map(valueOf)).toEqual(['after'])
  append('bills', 'first')
  expect((await take(events, 1)).map(valueOf)).toEqual(['first'])
})

test('the position in a topic that is not known here yet is kept, and used once it is', async () => {
  const { append, get } = gateway()
  const events = eventsOf(await get('?topic=orders&topic=bills&from=orders:after-1,bills:after-0'))
  expect((await take(events, 3)).map(setOf).slice(1)).toEqual(Array(2).fill('bills:after-0 orders:after-1'))
  append('orders', 'read before', 'news')
  const [event] = await take(events, 1)
  expect([valueOf(event), setOf(event)]).toEqual(['news', 'bills:after-0 orders:after-2'])
})

test('one topic may be read on from a cursor of its own', async () => {
  const { append, get } = gateway()
  append('orders', 'pears', 'plums')
  expect((await take(eventsOf(await get('?topic=orders&from=after-1')), 3)).map(valueOf)[2]).toBe('plums')
})

test('gaps, splits, deletions and the end are told as to readers of one topic', async () => {
  const { broker, append, get, liveReads } = gateway()
  append('orders', 'pears')
  const lost = { type: 'lost', feed: 'elm-id.00', from: 3, to: 9 } as const
  broker.gaps.push([lost])
  broker.meshChanges(['oak'], ['elm', 'oak'])
  const events = eventsOf(await get('?topic=orders&from=earliest'))
  const told = await take(events, 6)
  expect(told.slice(2)).toEqual([
    { event: 'partition', data: { reachable: ['oak'], known: ['elm', 'oak'] } },
    { event: 'gap', id: 'orders:after-0', data: { ...lost, topic: 'orders' } },
    { id: 'orders:after-1', data: expect.objectContaining({ value: 'pears' }) },
    { event: 'caught-up', id: 'orders:after-1', data: { cursor: 'orders:after-1' } },
  ])
  while (broker.waitingReaders === 0) await turn()
  broker.meshChanges(['elm', 'oak'], ['elm', 'oak'])
  expect(await take(events, 1)).toEqual([{ event: 'healed', data: {} }])
  await broker.deleteTopic(named('orders'))
  expect(await take(events, 1)).toEqual([{ event: 'deleted', id: '', data: { topic: 'orders' } }])
  append('orders', 'another topic')
  expect((await take(events, 1)).map(valueOf)).toEqual(['another topic'])
  liveReads.drain()
  expect(await take(events, 1)).toMatchObject([{ event: 'bye', data: { alternatives: ['http://elm:8400'] } }])
  expect((await events.next()).done).toBe(true)
  expect([liveReads.count, broker.listenerCount]).toEqual([0, 0])
})

test('lines end when all topics have been told to their ends, unless they follow', async () => {
  const { append, get, liveReads, broker } = gateway()
  append('orders', 'pears')
  append('bills', 'plums')
  const answer = await get('?topic=orders&topic=bills', lines)
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
  const told = (await answer.text()).trim().split('\n')
  expect(told.map((line) => JSON.parse(line) as object)).toMatchObject([
    { event: 'cursor', cursor: 'orders:after-0,bills:after-0' },
    { topic: 'orders', value: 'pears' },
    { event: 'cursor', cursor: 'bills:after-0,orders:after-1' },
    { topic: 'bills', value: 'plums' },
    { event: 'cursor', cursor: 'orders:after-1,bills:after-1' },
    { event: 'caught-up', cursor: 'orders:after-1,bills:after-1' },
  ])
  expect([liveReads.count, broker.listenerCount, broker.waitingReaders]).toEqual([0, 0, 0])
})

test('who would rather stop than miss something is told what is lost, and that is the end', async () => {
  const { broker, append, get } = gateway()
  append('orders', 'pears')
  broker.gaps.push([{ type: 'lost', feed: 'elm-id.00', from: 3, to: 9 }])
  const told = await (await get('?topic=orders&from=earliest&strict=true')).text()
  expect(told).toMatch(/event: problem\ndata: \{.*"code":"RECORDS_LOST"/)
  expect(told).not.toContain('pears')
})

test('a client that takes nothing has no more read for it than one read brings, whatever happens', async () => {
  const { broker, append, get, liveReads } = gateway({ config: { streamRecordsPerRead: 2 } })
  append('orders', ...Array.from({ length: 100 }, (_, i) => `${i}`))
  const answer = await get('?topic=**&from=earliest')
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  await turn()
  for (let i = 0; i < 50; i++) {
    broker.meshChanges(['oak'], ['oak', `elm${i}`])
    await turn()
  }
  let size = 0
  for (let i = 0; i < 2; i++) size += (await reader.read()).value?.length ?? 0
  // What one read had brought, and of fifty changes of the mesh the last.
  expect(size).toBeLessThan(2_000)
  await reader.cancel()
  await turn()
  expect([liveReads.count, broker.listenerCount, broker.waitingReaders]).toEqual([0, 0, 0])
})

test('what comes up in the mesh, or becomes of it, costs a stream nothing for each topic that there is', async () => {
  const broker = new FakeBroker()
  const { append, get } = gateway({ broker })
  append('orders', 'pears')
  const events = eventsOf(await get('?topic=orders&topic=bills&from=earliest'))
  await take(events, 4)
  let passes = 0
  const readableTopics = broker.readableTopics.bind(broker)
  broker.readableTopics = () => {
    passes++
    return readableTopics()
  }
  append('other', 'nothing')
  append('bills', 'plums')
  expect((await take(events, 1)).map(valueOf)).toEqual(['plums'])
  broker.meshChanges(['oak'], ['elm', 'oak'])
  expect(await take(events, 1)).toMatchObject([{ event: 'partition' }])
  expect(passes).toBe(0)
})

test('a topic that comes up while the client takes nothing is read once it does', async () => {
  const { append, get } = gateway()
  append('orders', 'pears')
  const events = eventsOf(await get('?topic=orders&topic=bills&from=earliest'))
  await take(events, 1)
  await turn()
  append('bills', 'plums')
  expect((await take(events, 4)).map(valueOf)).toContain('plums')
})

test('a long set of cursors makes reads short: what goes with each event counts as its bytes do', async () => {
  const { append, get } = gateway()
  append('orders', ...Array.from({ length: 50 }, (_, i) => `${i}`))
  const long = `after-${'0'.repeat(limits.socketReadBytesTarget / 4)}`
  const from = `orders:after-0,bills:${long}`
  const answer = await get(`?topic=orders&topic=bills&from=${from}`)
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  const sizes: number[] = []
  for (let count = 0; count < 50;) {
    const text = Buffer.from((await reader.read()).value ?? []).toString()
    sizes.push(text.length)
    count += text.match(/^data: .*"value"/gm)?.length ?? 0
  }
  await reader.cancel()
  expect(Math.max(...sizes)).toBeLessThan(2 * limits.socketReadBytesTarget)
  // Lines are told a set after each read: there a long one is no reason for more of them.
  const told = await (await get(`?topic=orders&topic=bills&from=${from}`, lines)).text()
  expect(told.length).toBeLessThan(2 * limits.socketReadBytesTarget)
})

test('an idle stream says something now and then, and a client that has gone leaves nothing behind', async () => {
  const { broker, get, liveReads } = gateway({ config: { heartbeatMs: 1 } })
  const events = eventsOf(await get('?topic=orders'))
  expect((await take(events, 5)).slice(-2)).toEqual([undefined, undefined])
  expect(liveReads.count).toBe(1)
  await events.return(undefined)
  expect([liveReads.count, broker.listenerCount]).toEqual([0, 0])
})

test('a client that goes before all topics are open leaves nothing behind', async () => {
  const broker = new FakeBroker()
  const { append, get, liveReads } = gateway({ broker })
  append('orders', 'pears')
  const opened = Promise.withResolvers<never>()
  broker.open = () => opened.promise
  const gone = new AbortController()
  const answer = get('?topic=orders', sse, gone.signal)
  while (liveReads.count < 2) await turn()
  gone.abort()
  await (await answer).text()
  expect([liveReads.count, broker.listenerCount]).toEqual([0, 0])
})

test('HEAD says what there would be, and opens nothing', async () => {
  const broker = new FakeBroker()
  const app = createGateway({ broker, config: gatewayDefaults })
  const answer = await app.request('/v1/stream?topic=orders', { method: 'HEAD' })
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  expect(broker.listenerCount).toBe(0)
})

test.each([
  ['', 'BAD_REQUEST'],
  ['?topic=', 'TOPIC_NAME_INVALID'],
  ['?topic=a.**.b', 'TOPIC_NAME_INVALID'],
  [`?${'topic=a&'.repeat(65)}`, 'BAD_REQUEST'],
  ['?topic=orders&form=earliest', 'BAD_REQUEST'],
  ['?topic=orders&from=after-lunch', 'CURSOR_INVALID'],
  ['?topic=orders&from=bills:after-1', 'CURSOR_INVALID'],
  ['?topic=orders&topic=bills&from=after-1', 'CURSOR_INVALID'],
  ['?topic=**&from=after-1', 'CURSOR_INVALID'],
  [`?topic=**&from=${Array.from({ length: 129 }, (_, i) => `t${i}:after-0`).join(',')}`, 'CURSOR_INVALID'],
  ['?topic=bills&from=cGVhcnM', 'CURSOR_INVALID'],
  ['?topic=bills&from=bills:cGVhcnM', 'CURSOR_INVALID'],
  ['?topic=**&from=orders:after-0,bills:after-0%0Adata:%20pears', 'CURSOR_INVALID'],
  ['?topic=orders&strict=yes', 'BAD_REQUEST'],
])('%s is refused before anything is told', async (query, code) => {
  const { append, get, liveReads, broker } = gateway()
  append('orders', 'pears')
  expect(await problemOf(get(query))).toMatchObject({ status: 400, code })
  expect([liveReads.count, broker.listenerCount]).toEqual([0, 0])
})

test('more topics than one stream reads are refused, and so is one more live read than there may be', async () => {
  const { append, get } = gateway()
  for (let i = 0; i <= limits.streamTopicsMax; i++) append(`many.t${i}`, 'x')
  expect(await problemOf(get('?topic=many.*'))).toMatchObject({ status: 400, code: 'BAD_REQUEST' })
  const full = gateway({ config: { readersMax: 1 } })
  full.append('orders', 'pears')
  expect(await problemOf(full.get('?topic=orders'))).toMatchObject({ status: 503, code: 'OVERLOADED' })
  expect(full.liveReads.count).toBe(0)
})

test('cursors that are too long together end the stream, and say so', async () => {
  const broker = new FakeBroker()
  const { append, get } = gateway({ broker })
  append('orders', 'pears')
  const open = broker.open.bind(broker)
  broker.open = async (...asked) => {
    const reader = await open(...asked)
    const long = 'x'.repeat(limits.cursorTextMax)
    return {
      ...reader,
      cursor: long,
      next: reader.next.bind(reader),
      nextBatches: reader.nextBatches.bind(reader),
      more: reader.more.bind(reader),
    }
  }
  expect(await problemOf(get('?topic=orders'))).toMatchObject({ status: 503, code: 'OVERLOADED' })
})

test('a pattern matches no topic of the mesh: those are named', async () => {
  const { append, get } = gateway()
  append('orders', 'pears')
  append('$topics', 'of the mesh')
  const valuesOf = async (query: string) => (await (await get(query, lines)).text()).match(/"value":"[^"]+"/g)
  expect(await valuesOf('?topic=**')).toEqual(['"value":"pears"'])
  expect(await valuesOf('?topic=$topics')).toEqual(['"value":"of the mesh"'])
})
