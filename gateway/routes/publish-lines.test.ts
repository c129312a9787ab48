// Publishing a stream of lines: what is stored while it goes on, what is told, and where it stops.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import { createGateway } from '../app.ts'
import { Bodies } from '../body.ts'
import type { PublishRequest, PublishResult } from '../broker.ts'
import { gatewayDefaults, type GatewayConfig } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { LiveReads } from '../live-reads.ts'

/** Its publishes settle one by one when the test says so, and all by themselves once it is released. */
class HeldBroker extends FakeBroker {
  readonly #waiting: (() => void)[] = []
  #asked = Promise.withResolvers<void>()
  #released = false

  override async publish(request: PublishRequest): Promise<PublishResult> {
    const settled = new Promise<void>((resolve) => void this.#waiting.push(resolve))
    this.#asked.resolve()
    if (!this.#released) await settled
    return super.publish(request)
  }

  /** Resolves once a publish waits. */
  async asked(): Promise<void> {
    await this.#asked.promise
  }

  settle(): void {
    this.#asked = Promise.withResolvers()
    this.#waiting.shift()?.()
  }

  release(): void {
    this.#released = true
    for (const settle of this.#waiting.splice(0)) settle()
  }
}

function gateway<B extends FakeBroker>(broker: B, config: Partial<GatewayConfig> = {}) {
  const full = { ...gatewayDefaults, ...config }
  const liveReads = new LiveReads(full.readersMax)
  const bodies = new Bodies(full.arrivingBytesMax)
  const reported: unknown[] = []
  const reportError = (error: unknown) => void reported.push(error)
  const app = createGateway({ broker, config: full, liveReads, bodies, reportError })
  const post = (body: string | Uint8Array<ArrayBuffer> | ReadableStream, { query = '', headers = {} } = {}) => {
    const type = { 'content-type': 'application/x-ndjson' }
    // Node wants half-duplex to be said when a body is a stream; its types do not know the option.
    const init = { method: 'POST', body, headers: { ...type, ...headers }, duplex: 'half' as const }
    return app.request(`/v1/topics/orders/records${query}`, init)
  }
  return { broker, post, liveReads, bodies, reported }
}

/** A body that is sent piece by piece. */
function sending() {
  const { writable, readable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>()
  const writer = writable.getWriter()
  const half = (text: string) => writer.write(utf8(text))
  const send = (line: unknown) => half(`${JSON.stringify(line)}\n`)
  return {
    body: readable,
    send,
    half,
    end: () => writer.close(),
    breakOff: () => writer.abort(new Error('ECONNRESET')),
  }
}

const linesOf = async (answer: Response): Promise<unknown[]> =>
  (await answer.text()).split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as unknown]))

/** The lines of an answer one by one. */
function told(answer: Response) {
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  return async () => {
    const { done, value } = await reader.read()
    return done ? undefined : (JSON.parse(new TextDecoder().decode(value)) as unknown)
  }
}

const valuesOf = (broker: FakeBroker): (string | undefined)[][] =>
  broker.published.map(({ records }) => records.map(({ value }) => textOf(value)))

const id = (offset: number): string => `oak-id.0123456789abcdef.${offset}`

test('each line is a record, with key, headers, type and bytes as in a batch', async () => {
  const { broker, post } = gateway(new FakeBroker())
  const body = [
    '{"key": "eu", "headers": {"Trace": "a1"}, "value": {"pears": 3}}',
    '{"value": "text"}\r',
    '',
    '{"keyBase64": "/w==", "valueBase64": "/w==", "contentType": "image/png"}',
    '',
  ].join('\n')
  const answer = await post(body, { query: '?ack=n:2&wait=300ms' })
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson'])
  const ack = expect.objectContaining({ level: 'n:2', reached: true, peers: ['oak'] }) as unknown
  const ends = { first: id(0), last: id(2), cursor: 'after-3', ack }
  expect(await linesOf(answer)).toEqual([{ lines: [1, 4], records: 3, status: 201, ...ends }])
  expect(broker.published).toMatchObject([{ topic: 'orders', ack: { type: 'count', count: 2 }, waitMs: 300 }])
  expect(broker.published[0]?.records).toEqual([
    { key: utf8('eu'), headers: { 'content-type': 'application/json', trace: 'a1' }, value: utf8('{"pears":3}') },
    { headers: { 'content-type': 'text/plain' }, value: utf8('text') },
    { key: Buffer.from([0xff]), headers: { 'content-type': 'image/png' }, value: Buffer.from([0xff]) },
  ])
})

test('a level that was not reached is a 202, and the stream goes on', async () => {
  const { broker, post } = gateway(new FakeBroker())
  broker.reached = false
  const { body, send, end } = sending()
  const answered = post(body, { query: '?ack=all&wait=0' })
  await send({ value: 'pears' })
  const next = told(await answered)
  expect(await next()).toMatchObject({ lines: [1, 1], status: 202, ack: { level: 'all', reached: false } })
  broker.reached = true
  await send({ value: 'plums' })
  expect(await next()).toMatchObject({ lines: [2, 2], status: 201 })
  await end()
  expect(await next()).toBeUndefined()
})

test('what arrives while a publish is under way is the next one, in order', async () => {
  const { broker, post } = gateway(new HeldBroker())
  const { body, send, end } = sending()
  const answered = post(body)
  await send({ value: 'one' })
  await broker.asked()
  await send({ value: 'two' })
  await send({ value: 'three' })
  broker.settle()
  const next = told(await answered)
  expect(await next()).toMatchObject({ lines: [1, 1] })
  broker.release()
  expect(await next()).toMatchObject({ lines: [2, 3], records: 2, first: id(1), last: id(2), cursor: 'after-3' })
  await end()
  expect(await next()).toBeUndefined()
  expect(valuesOf(broker)).toEqual([['one'], ['two', 'three']])
})

test('a body is read only as fast as its records are stored', async () => {
  const { broker, post, bodies } = gateway(new HeldBroker())
  const line = utf8(`${JSON.stringify({ value: 'x'.repeat(64 * 1024) })}\n`)
  let pieces = 0
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => (pieces++ < 100 ? controller.enqueue(line) : controller.close()),
  })
  const answered = post(body)
  await broker.asked()
  for (let i = 0; i < 50; i++) await turn()
  // One is under way, four are as much as is read ahead, and one or two wait in the stream itself.
  expect(pieces).toBeLessThan(8)
  expect(bodies.arrivingBytes).toBeLessThan(5 * line.length)
  broker.release()
  const outcomes = (await linesOf(await answered)) as { records: number }[]
  expect(outcomes.reduce((sum, { records }) => sum + records, 0)).toBe(100)
  expect(bodies.arrivingBytes).toBe(0)
})

test('when many bodies are arriving a stream does not read ahead', async () => {
  const { broker, post, bodies } = gateway(new HeldBroker(), { arrivingBytesMax: 100 })
  bodies.hold(50)
  const { body, send } = sending()
  void post(body)
  await send({ value: 'one' })
  await broker.asked()
  let isTaken = false
  void send({ value: 'two' })
    .then(() => send({ value: 'three' }))
    .then(() => (isTaken = true))
  for (let i = 0; i < 50; i++) await turn()
  expect(isTaken).toBe(false)
  broker.release()
  while (!isTaken) await turn()
})

test('a client that takes no answers before it has sent everything is told in one line what holds for all', async () => {
  const { broker, post } = gateway(new FakeBroker())
  const { body, send, end } = sending()
  const answered = post(body, { query: '?ack=majority' })
  await send({ value: 0 })
  const answer = await answered
  for (let i = 1; i < 500; i++) {
    broker.reached = i !== 250
    await send({ value: i })
  }
  await end()
  const outcomes = await linesOf(answer)
  const ends = { first: id(1), last: id(499), cursor: 'after-500' }
  expect(outcomes).toMatchObject([
    { lines: [1, 1], status: 201 },
    { lines: [2, 500], records: 499, status: 202, ...ends, ack: { reached: false, copies: 1, peers: ['oak'] } },
  ])
})

const pears = '{"value":"pears"}\n'
const largest = limits.recordBytesMax - 32

test.each([
  ['JSON cut in the middle', '{"value":"plu\n', 400, 'BAD_JSON', 'JSON'],
  ['a line that is no record', '[]\n', 400, 'BAD_REQUEST', 'record must be an object'],
  ['a field that records do not have', '{"value":1,"id":"a"}\n', 400, 'BAD_REQUEST', 'record.id is not a field'],
  ['one byte too much', `{"value":"${'x'.repeat(largest + 1)}"}\n`, 413, 'RECORD_TOO_LARGE', 'this one has 1044481'],
  ['a line without end', 'x'.repeat(limits.lineBytesMax + 1), 413, 'RECORD_TOO_LARGE', 'longer than 2097152 bytes'],
  ['bytes that are no text', Buffer.from([0x22, 0xff, 0x22]), 400, 'BAD_JSON', 'UTF-8'],
])('%s is told with its line; what came before stays accepted, nothing after it is', async (...row) => {
  const [, line, status, code, detail] = row
  const { broker, post, reported, liveReads, bodies } = gateway(new FakeBroker())
  const answer = await post(Buffer.concat([Buffer.from(pears + pears), Buffer.from(line), Buffer.from(`\n${pears}`)]))
  expect(answer.status).toBe(200)
  const outcomes = await linesOf(answer)
  expect(outcomes.slice(0, -1)).toMatchObject([{ lines: [1, 2], records: 2, status: 201 }])
  const problem = { status, code, line: 3, peer: 'oak', detail: expect.stringContaining(detail) as unknown }
  expect(outcomes.at(-1)).toMatchObject({ event: 'problem', line: 3, problem })
  expect((outcomes.at(-1) as { problem: { detail: string } }).problem.detail).toMatch(/^Line 3/)
  expect(valuesOf(broker)).toEqual([['pears', 'pears']])
  expect([reported, liveReads.count, bodies.arrivingBytes]).toEqual([[], 0, 0])
})

test('the largest record fits into a line, also in base64', async () => {
  const { broker, post } = gateway(new FakeBroker())
  const valueBase64 = Buffer.alloc(limits.recordBytesMax - 46).toString('base64')
  const answer = await post(`{"value":"${'x'.repeat(largest)}"}\n{"valueBase64":"${valueBase64}"}`)
  expect((await linesOf(answer)).at(-1)).toMatchObject({ last: id(1), status: 201 })
  const records = broker.published.flatMap((request) => request.records)
  expect(records.map(({ value }) => value.length)).toEqual([largest, limits.recordBytesMax - 46])
})

test('while nothing is accepted an error is an error like any other', async () => {
  const { broker, post, liveReads, bodies } = gateway(new FakeBroker())
  const answer = await post('{"value":\n')
  expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
  expect(await answer.json()).toMatchObject({ code: 'BAD_JSON', line: 1 })
  broker.failure = new MeshError('ACK_LEVEL_IMPOSSIBLE')
  expect(await (await post(pears)).json()).toMatchObject({ status: 400, code: 'ACK_LEVEL_IMPOSSIBLE', line: 1 })
  expect([broker.published, liveReads.count, bodies.arrivingBytes]).toEqual([[], 0, 0])
})

test.each([
  ['record-key', 'BAD_REQUEST', { 'record-key': 'eu' }],
  ['record-header-trace', 'BAD_REQUEST', { 'record-header-trace': 'a1' }],
  ['Content-Encoding', 'UNSUPPORTED_MEDIA', { 'content-encoding': 'gzip' }],
])('a head that says %s is refused', async (detail, code, headers) => {
  const { broker, post } = gateway(new FakeBroker())
  const answer = await post(pears, { headers })
  expect(await answer.json()).toMatchObject({ code, detail: expect.stringContaining(detail) as unknown })
  expect(broker.published).toEqual([])
})

test('no lines are no records', async () => {
  const { broker, post } = gateway(new FakeBroker())
  const answer = await post('\n \r\n')
  expect([answer.status, await answer.text(), broker.published]).toEqual([200, '', []])
})

test('a publish that is refused ends the stream at its first line, also when later ones have arrived', async () => {
  const { broker, post, bodies } = gateway(new HeldBroker())
  const { body, send } = sending()
  const answered = post(body)
  await send({ value: 'one' })
  await broker.asked()
  await send({ value: 'two' })
  await send({ value: 'three' })
  broker.settle()
  const next = told(await answered)
  await next()
  await broker.asked()
  await send({ value: 'four' })
  broker.failure = new MeshError('OVERLOADED')
  broker.settle()
  const problem = { code: 'OVERLOADED', retryable: true, detail: expect.stringMatching(/^Line 2: /) as unknown }
  expect(await next()).toMatchObject({ event: 'problem', line: 2, problem })
  expect(await next()).toBeUndefined()
  expect([valuesOf(broker), bodies.arrivingBytes]).toEqual([[['one']], 0])
})

test('a line that is too much beside all that is arriving is told as such', async () => {
  const { broker, post } = gateway(new FakeBroker(), { arrivingBytesMax: 20 })
  const { body, send, half } = sending()
  const answered = post(body)
  await send({ value: 1 })
  const next = told(await answered)
  expect(await next()).toMatchObject({ lines: [1, 1] })
  await send({ value: 'a whole line does not wait' })
  expect(await next()).toMatchObject({ lines: [2, 2] })
  await half('{"value": "half of one does')
  expect(await next()).toMatchObject({ event: 'problem', line: 3, problem: { code: 'OVERLOADED' } })
  expect(valuesOf(broker)).toEqual([['1'], ['a whole line does not wait']])
})

test('when the peer drains a stream tells what is stored, and where to go on', async () => {
  const { broker, post, liveReads } = gateway(new HeldBroker())
  const { body, send } = sending()
  const answered = post(body)
  await send({ value: 'one' })
  await broker.asked()
  liveReads.drain()
  broker.release()
  const next = told(await answered)
  expect(await next()).toMatchObject({ lines: [1, 1], status: 201 })
  expect(await next()).toMatchObject({ event: 'problem', line: 2, problem: { code: 'DRAINING', retryable: true } })
  expect(await next()).toBeUndefined()
  expect(liveReads.count).toBe(0)
})

test('of a body that breaks off the whole lines are stored, and half a line is not', async () => {
  const { broker, post, liveReads, reported } = gateway(new FakeBroker())
  const { body, send, half, breakOff } = sending()
  const answered = post(body)
  await send({ value: 'one' })
  const next = told(await answered)
  expect(await next()).toMatchObject({ lines: [1, 1] })
  await half('{"value":"two"}')
  await breakOff()
  const problem = { code: 'BAD_REQUEST', detail: 'Line 2: The body ended before it was complete.' }
  expect(await next()).toMatchObject({ event: 'problem', line: 2, problem })
  expect(await next()).toBeUndefined()
  expect([valuesOf(broker), liveReads.count, reported]).toEqual([[['one']], 0, []])
})

test('a client that goes frees its place; what it sent is stored', async () => {
  const { broker, post, liveReads, bodies } = gateway(new HeldBroker())
  const { body, send } = sending()
  const answered = post(body)
  await send({ value: 'one' })
  await broker.asked()
  broker.settle()
  const answer = await answered
  await send({ value: 'two' })
  await broker.asked()
  await send({ value: 'three' })
  expect(liveReads.count).toBe(1)
  await answer.body?.cancel()
  broker.release()
  expect([liveReads.count, bodies.arrivingBytes]).toEqual([0, 0])
  while (broker.published.length < 2) await turn()
  expect(valuesOf(broker)).toEqual([['one'], ['two']])
})

test('streams of lines have the bound of live reads', async () => {
  const { post, broker } = gateway(new FakeBroker(), { readersMax: 0 })
  const answer = await post(pears)
  expect(answer.status).toBe(503)
  expect(await answer.json()).toMatchObject({ code: 'OVERLOADED' })
  expect(broker.published).toEqual([])
})
