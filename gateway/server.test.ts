// What only a real socket shows: ports, pacing, resuming, draining, and requests that are none.
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import type { BatchReader, PublishResult, ReadChunk } from './broker.ts'
import { gatewayDefaults, type GatewayConfig } from './config.ts'
import { FakeBroker } from './fake-broker.ts'
import type { GatewayLog, RequestLine } from './gateway-log.ts'
import { startGateway, type GatewayServer } from './server.ts'

const orders = 'orders' as TopicName
const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

async function start(config: Partial<GatewayConfig> = {}, broker = new FakeBroker(), log?: GatewayLog) {
  const reported: unknown[] = []
  const reportError = (error: unknown) => void reported.push(error)
  const gateway = await startGateway({
    broker,
    config: { ...gatewayDefaults, port: 0, drainMs: 500, ...config },
    reportError,
    ...(log && { log }),
  })
  ends.push(() => gateway.stop())
  return { broker, gateway, reported, records: `${gateway.url}/v1/topics/orders/records` }
}

function publish(broker: FakeBroker, ...values: string[]) {
  const records = values.map((value) => ({ headers: { 'content-type': 'text/plain' }, value: utf8(value) }))
  return broker.publish({ topic: orders, records, ack: { type: 'local' }, waitMs: 0 })
}

/** Opens a stream; `until` reads on until its text matches. */
async function stream(url: string, headers: Record<string, string> = {}) {
  const client = new AbortController()
  ends.push(() => client.abort())
  const answer = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: client.signal })
  const reader = (answer.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const until = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(text)) {
      const { done, value } = await reader.read()
      if (done) throw new Error(`the stream ended before ${pattern}: ${text}`)
      text += value
    }
    return text
  }
  const ended = async (): Promise<boolean> => {
    while (!(await reader.read()).done);
    return true
  }
  return { client, until, ended }
}

// Listening ----------------------------------------------------------------------------------------------------------------

test('port 0 is a free port, and the address that clients need is told', async () => {
  const { gateway } = await start()
  expect(gateway.port).toBeGreaterThan(0)
  expect(gateway.url).toBe(`http://127.0.0.1:${gateway.port}`)
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200)
})

test('a port in use is named', async () => {
  const { gateway } = await start()
  await expect(start({ port: gateway.port })).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: `127.0.0.1:${gateway.port} is in use.`,
  })
})

test('an address of another machine is a mistake in the configuration', async () => {
  // RFC 5737: for documentation, so nobody has it.
  await expect(start({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})

test('at level debug each request is said, without its query; at others none', async () => {
  const lines = new Map<string, RequestLine>()
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const log: GatewayLog = {
    level: 'info',
    request(line) {
      lines.set(line.path, line)
      if (line.path === '/nowhere') resolve()
    },
  }
  const { gateway } = await start({}, new FakeBroker(), log)
  await (await fetch(`${gateway.url}/version`)).text()
  log.level = 'debug'
  await (await fetch(`${gateway.url}/healthz?ticket=secret`)).text()
  await (await fetch(`${gateway.url}/nowhere`)).text()
  await ended
  expect([...lines.keys()]).toEqual(['/healthz', '/nowhere'])
  expect(lines.get('/healthz')).toMatchObject({ method: 'GET', status: 200 })
  expect(lines.get('/nowhere')?.status).toBe(404)
})

// Publishing and streaming --------------------------------------------------------------------------------------------------

test('key, headers and content type of a record travel as HTTP headers, both ways', async () => {
  const { gateway, records } = await start()
  const headers = { 'content-type': 'text/csv', 'record-key': 'pears', 'record-header-trace': 'a1' }
  const published = await fetch(records, { method: 'POST', body: '3,crates', headers })
  expect(published.status).toBe(201)
  const { id } = (await published.json()) as { id: string }
  const raw = await fetch(`${records}/${id}`, { headers: { accept: 'application/octet-stream' } })
  expect(Object.fromEntries(raw.headers)).toMatchObject(headers)
  expect(await raw.text()).toBe('3,crates')
  expect(gateway.port).toBeGreaterThan(0)
})

test('a chunked body without end is refused at the bound, and a client that goes on sending is cut off', async () => {
  const { gateway, broker } = await start()
  const socket = connect(gateway.port)
  socket.on('error', () => {})
  socket.write('POST /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n')
  const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
  const writing = setInterval(() => socket.write(chunk), 0)
  const closed = once(socket, 'close')
  const [answer] = (await once(socket, 'data')) as [Buffer]
  await closed
  clearInterval(writing)
  expect(answer.toString()).toMatch(/^HTTP\/1.1 413 /)
  expect(broker.published).toEqual([])
})

test('a client that comes back with Last-Event-ID misses nothing and sees nothing twice', async () => {
  const { broker, records } = await start()
  await publish(broker, 'pears', 'plums')
  const first = await stream(`${records}?from=earliest`)
  expect(await first.until(/after-2/)).toMatch(/pears.*plums/s)
  first.client.abort()
  await publish(broker, 'figs')
  const second = await stream(`${records}?from=earliest`, { 'last-event-id': 'after-2' })
  const text = await second.until(/event: caught-up/)
  expect(text).toContain('figs')
  expect(text).not.toMatch(/pears|plums/)
})

test('a cursor as long as cursors get fits into the head of a request', async () => {
  const { broker, records } = await start()
  await publish(broker, 'pears')
  const cursor = 'x'.repeat(190_000)
  const answer = await fetch(`${records}?from=${cursor}`)
  // Read, and found to be no cursor of the fake.
  expect(await answer.json()).toMatchObject({ code: 'CURSOR_INVALID' })
})

/** Has always more to tell, and counts how much was asked of it. */
class EndlessBroker extends FakeBroker {
  recordsRead = 0

  override async open(): Promise<BatchReader> {
    const record = this.append(orders, {
      headers: { 'content-type': 'text/plain' },
      value: utf8('x'.repeat(16 * 1024)),
    })
    const next = async (limit: number): Promise<ReadChunk> => {
      this.recordsRead += limit
      const records = Array.from({ length: limit }, () => ({ record, cursor: 'after-1' }))
      return { records, cursor: 'after-1', upToDate: false }
    }
    const nextBatches = async () => ({ batches: [], cursor: 'after-1', upToDate: true })
    return { cursor: 'after-0', next, nextBatches, more: () => Promise.resolve() }
  }
}

test('a client that does not read stops its reader, and goes on when it does', async () => {
  const { broker, gateway } = await start({ streamRecordsPerRead: 4 }, new EndlessBroker())
  const socket = connect(gateway.port)
  ends.push(() => void socket.destroy())
  await publish(broker, 'pears')
  socket.write('GET /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n')
  await once(socket, 'readable')
  const endless = broker as EndlessBroker
  // As long as the reader runs, each answer to another client finds it further on.
  let before = -1
  for (let same = 0; same < 20; same = endless.recordsRead === before ? same + 1 : 0) {
    before = endless.recordsRead
    await fetch(`${gateway.url}/healthz`)
  }
  // What the two sockets' kernel buffers take, plus one read.
  expect(endless.recordsRead * 16 * 1024).toBeLessThan(32 * 1024 * 1024)
  socket.resume()
  while (endless.recordsRead === before) await once(socket, 'data')
})

test('a client that goes away ends its read', async () => {
  const { broker, records } = await start()
  await publish(broker, 'pears')
  const { client, until } = await stream(records)
  await until(/caught-up/)
  expect(broker.waitingReaders).toBe(1)
  client.abort()
  while (broker.waitingReaders > 0) await fetch(records)
})

// Streams of lines ----------------------------------------------------------------------------------------------------------

/** A request whose body is written piece by piece; `until` reads on until what came back matches. */
async function slowPost({ port }: GatewayServer, contentType: string) {
  const socket = connect(port)
  ends.push(() => void socket.destroy())
  socket.setNoDelay()
  let text = ''
  socket.on('data', (bytes) => (text += bytes.toString()))
  socket.on('error', () => {})
  const head = ['POST /v1/topics/orders/records HTTP/1.1', 'host: localhost', `content-type: ${contentType}`]
  socket.write(`${[...head, 'transfer-encoding: chunked'].join('\r\n')}\r\n\r\n`)
  const until = async (pattern: RegExp): Promise<string> => {
    while (!pattern.test(text)) await once(socket, 'data')
    return text
  }
  const send = (piece: string): void => void socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`)
  return { socket, send, until, end: () => socket.write('0\r\n\r\n') }
}

test('a stream of lines may take its time, and is answered while it goes on; another body is given up', async () => {
  const { gateway, broker } = await start({ requestTimeoutMs: 50, headTimeoutMs: 50 })
  const lines = await slowPost(gateway, 'application/x-ndjson')
  lines.send('{"value":"pears"}\n')
  expect(await lines.until(/"lines":\[1,1\]/)).toMatch(/^HTTP\/1.1 200 .*\r\ncontent-type: application\/x-ndjson\r\n/is)
  // Begun later, so that the stream has met its time, too, when this one has.
  const slow = await slowPost(gateway, 'text/plain')
  slow.send('pea')
  const refused = await slow.until(/"code"/)
  expect(refused).toMatch(/^HTTP\/1.1 408 .*"code":"REQUEST_TIMEOUT"/s)
  lines.send('{"value":"plums"}\n')
  await lines.until(/"lines":\[2,2\]/)
  lines.end()
  await lines.until(/\r\n0\r\n\r\n$/)
  expect(broker.published).toHaveLength(2)
  // The connection is an ordinary one again.
  lines.socket.write('POST /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\npea')
  await once(lines.socket, 'close')
})

test('a stream of lines that is refused in the middle is told so, and a client that goes on sending is cut off', async () => {
  const { gateway, broker } = await start()
  const { socket, send, until } = await slowPost(gateway, 'application/x-ndjson')
  send('{"value":"pears"}\n')
  await until(/"lines":\[1,1\]/)
  send('{"value":\n')
  expect(await until(/"event":"problem"/)).toMatch(/"line":2,.*"code":"BAD_JSON"/)
  const sending = setInterval(() => send('{"value":"plums"}\n'), 1)
  await once(socket, 'close')
  clearInterval(sending)
  expect(broker.published).toHaveLength(1)
})

/** Its answers are so long that few of them fill all buffers on the way. */
class WordyBroker extends FakeBroker {
  override async publish(...request: Parameters<FakeBroker['publish']>): Promise<PublishResult> {
    return { ...(await super.publish(...request)), cursor: 'x'.repeat(100_000) }
  }
}

test('a client that reads no answers before it has sent everything is not locked up', async () => {
  const { gateway, broker } = await start({}, new WordyBroker())
  const { socket, send, until, end } = await slowPost(gateway, 'application/x-ndjson')
  socket.pause()
  const count = 300
  for (let sent = 1; sent <= count; sent++) {
    send('{"value":"pears"}\n')
    while (broker.published.length < sent) await fetch(`${gateway.url}/healthz`)
  }
  end()
  socket.resume()
  const text = await until(/\r\n0\r\n\r\n$/)
  const outcomes = [...text.matchAll(/"lines":\[(\d+),(\d+)\],"records":(\d+)/g)].map((match) =>
    match.slice(1).map(Number),
  )
  expect(outcomes.reduce((sum, [, , records = 0]) => sum + records, 0)).toBe(count)
  expect(outcomes.at(-1)?.[1]).toBe(count)
  expect(outcomes.length).toBeLessThan(count)
})

// Stopping ----------------------------------------------------------------------------------------------------------------

class SlowBroker extends FakeBroker {
  readonly asked = Promise.withResolvers<void>()
  readonly settled = Promise.withResolvers<void>()

  override async publish(...request: Parameters<FakeBroker['publish']>): Promise<PublishResult> {
    this.asked.resolve()
    await this.settled.promise
    return super.publish(...request)
  }
}

test('a stop says bye to streams, lets a publish finish and takes no new connection', async () => {
  const broker = new SlowBroker()
  const { gateway, records } = await start({ drainMs: 10_000 }, broker)
  await broker.putTopic(orders, {})
  const { until, ended } = await stream(records)
  await until(/caught-up/)
  const published = fetch(records, { method: 'POST', body: 'pears' })
  await broker.asked.promise
  const stopped = gateway.stop()
  expect(await until(/\n\nevent: bye\n.*\n\n/s)).toMatch(/"reason":"draining","alternatives":\["http:\/\/elm:8400"\]/)
  expect(await ended()).toBe(true)
  await expect(fetch(records)).rejects.toThrow()
  broker.settled.resolve()
  expect((await published).status).toBe(201)
  expect(gateway.stop()).toBe(stopped)
  await stopped
})

test('a stop cuts what is not done when its time is up', async () => {
  const broker = new SlowBroker()
  const { gateway, records } = await start({ drainMs: 20 }, broker)
  const published = fetch(records, { method: 'POST', body: 'pears' })
  const cut = expect(published).rejects.toThrow()
  await broker.asked.promise
  await gateway.stop()
  await cut
})

test('a stop does not wait for a client that does not read', async () => {
  const { broker, gateway } = await start({ drainMs: 20 }, new EndlessBroker())
  await publish(broker, 'pears')
  const socket = connect(gateway.port)
  ends.push(() => void socket.destroy())
  socket.write('GET /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n')
  await once(socket, 'readable')
  await gateway.stop()
})

// Requests that are none ------------------------------------------------------------------------------------------------------

/** Everything that comes back on one connection until it is closed or silent for good (`connection: close`). */
async function exchange({ port }: GatewayServer, request: string): Promise<string> {
  const socket: Socket = connect(port)
  let text = ''
  socket.on('data', (bytes) => (text += bytes.toString()))
  socket.on('error', () => {})
  socket.write(request)
  await once(socket, 'close')
  return text
}

const close = 'host: localhost\r\nconnection: close'

const handshakeOf = (protocols = 'grapevine.v1.json'): string =>
  [
    'GET /v1/ws HTTP/1.1',
    'host: localhost',
    'connection: upgrade, close',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    `sec-websocket-protocol: ${protocols}`,
    '\r\n',
  ].join('\r\n')

test.each([
  ['an empty path segment', `GET // HTTP/1.1\r\n${close}\r\n\r\n`, 404, 'ROUTE_NOT_FOUND'],
  ['a target that is no URL', `GET http://[ HTTP/1.1\r\n${close}\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a target without a slash', `GET pears HTTP/1.1\r\n${close}\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a backslash', `GET /v1\\topics HTTP/1.1\r\n${close}\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a host that is none', 'GET / HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n', 400, 'BAD_REQUEST'],
  ['no host', 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'BAD_REQUEST'],
  ['an expectation', `GET /healthz HTTP/1.1\r\n${close}\r\nexpect: pears\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['a handshake for a host that is none', handshakeOf().replace('host: localhost', 'host: oa\\'), 400, 'BAD_REQUEST'],
  ['a subprotocol that is offered twice', handshakeOf('grapevine.v1.json, grapevine.v1.json'), 400, 'BAD_REQUEST'],
  ['CONNECT', `CONNECT oak:7400 HTTP/1.1\r\n${close}\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['an asterisk', `OPTIONS * HTTP/1.1\r\n${close}\r\n\r\n`, 400, 'BAD_REQUEST'],
  ['no HTTP at all', 'pears\r\n\r\n', 400, 'BAD_REQUEST'],
  ['a TLS hello', '\u0016\u0003\u0001\u0000\u00a5\u0001', 400, 'BAD_REQUEST'],
  ['an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 400, 'BAD_REQUEST'],
  ['an endless head', `GET / HTTP/1.1\r\nx: ${'x'.repeat(300_000)}`, 431, 'HEAD_TOO_LARGE'],
  ['10,000 headers', `GET / HTTP/1.1\r\n${close}\r\n${'x: y\r\n'.repeat(10_000)}\r\n`, 431, 'HEAD_TOO_LARGE'],
  [
    'two lengths',
    `POST /v1/topics/orders/records HTTP/1.1\r\n${close}\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx`,
    400,
    'BAD_REQUEST',
  ],
  [
    'a length and chunks',
    `POST /v1/topics/orders/records HTTP/1.1\r\n${close}\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
    'BAD_REQUEST',
  ],
  [
    'an upgrade to nowhere',
    'GET /v1/nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n',
    404,
    'ROUTE_NOT_FOUND',
  ],
] as const)('%s is answered with a problem', async (_, request, status, code) => {
  const { gateway, broker, reported } = await start()
  const answer = await exchange(gateway, request)
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} .*content-type: application/problem\\+json`, 'is'))
  expect(JSON.parse(body)).toMatchObject({ status, code, peer: 'oak' })
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200)
  expect([broker.published, reported]).toEqual([[], []])
})

test('a client that resets its connection before it is answered harms nobody', async () => {
  const { gateway, reported } = await start()
  const requests = [
    `CONNECT oak:7400 HTTP/1.1\r\n${close}\r\n\r\n`,
    'pears\r\n\r\n',
    'GET /healthz HTTP/1.1\r\n\r\n',
    `GET /v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`,
  ]
  for (const request of requests) {
    const gone = Array.from({ length: 50 }, async () => {
      const socket = connect(gateway.port)
      await once(socket, 'connect')
      socket.write(request)
      socket.resetAndDestroy()
    })
    await Promise.all(gone)
    expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200)
  }
  expect(reported).toEqual([])
})

test('a client that resets its connection in the middle of anything harms nobody', async () => {
  const { gateway, broker, reported } = await start()
  await publish(broker, 'pears')
  const beginnings = [
    'POST /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\nhalf',
    'POST /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'GET /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n',
    'GET /v1/topics/orders/records?from=latest&wait=60s HTTP/1.1\r\nhost: localhost\r\n\r\n',
    'GET /v1/nowhere HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
  ]
  for (const beginning of beginnings) {
    const socket = connect(gateway.port)
    await new Promise<void>((resolve) => void socket.write(beginning, () => resolve()))
    // An answer to another client proves that the beginning has been read.
    await fetch(`${gateway.url}/healthz`)
    socket.resetAndDestroy()
  }
  while (broker.waitingReaders > 0) await fetch(`${gateway.url}/healthz`)
  expect([broker.published.length, reported]).toEqual([1, []])
})
