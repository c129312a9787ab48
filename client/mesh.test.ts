// What a program gets from connect(): against fake gateways on free ports, over real sockets.
import { expect, test } from 'vitest'
import { cursorOf, FakeGateway, problem } from '#test/fake-gateway'
import { connect } from './mesh.ts'
import type { ReceivedRecord } from './record.ts'

const backoff = { baseMs: 1, capMs: 2 }

const take = async <T>(items: AsyncIterable<T>, count: number): Promise<T[]> => {
  const taken: T[] = []
  for await (const item of items) if (taken.push(item) === count) break
  return taken
}

const texts = (records: readonly ReceivedRecord[]): string[] => records.map((record) => record.text())

test('what is published is read back as it was: text, JSON and bytes', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const order = { item: 'pears', count: 3 }
  const bytes = Uint8Array.of(0xff, 0x00, 0xfe, 0x80)
  await mesh.publish('orders', '\uFEFFgrüße\r\n')
  await mesh.publish('orders', order, { key: 'k7' })
  await mesh.publish('orders', bytes)
  await mesh.publish('orders', '{ "spaces": 1 }', { contentType: 'application/json' })

  const { records, upToDate } = await mesh.read('orders')
  expect(upToDate).toBe(true)
  expect(records.map((record) => record.contentType)).toEqual([
    'text/plain; charset=utf-8',
    'application/json',
    'application/octet-stream',
    'application/json',
  ])
  expect(records[0]?.bytes()).toEqual(new TextEncoder().encode('\uFEFFgrüße\r\n'))
  expect(records[1]).toMatchObject({ key: 'k7' })
  expect(records[1]?.json()).toEqual(order)
  expect(records[2]?.bytes()).toEqual(bytes)
  expect(records[3]?.text()).toBe('{ "spaces": 1 }')
})

test('a publish says how far it got, also when the level was not reached', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const published = await mesh.publish('orders', 'pears', { ack: 'n:2', wait: 300 })
  expect(published).toMatchObject({ level: 'n:2', reached: false, copies: 1, peers: ['oak'] })
  expect(oak.requests).toContain('POST /v1/topics/orders/records?ack=n%3A2&wait=300ms')
})

test('many records go in one request and keep their order', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const { ids } = await mesh.publishMany('orders', [{ value: 'pears' }, { value: 'figs' }, { value: '' }])
  const { records } = await mesh.read('orders')
  expect(records.map((record) => record.id)).toEqual(ids)
  expect(texts(records)).toEqual(['pears', 'figs', ''])
})

test('a page asks on from its cursor', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears', 'figs', 'plums')
  await using mesh = await connect({ servers: [oak.url] })
  const first = await mesh.read('orders', { limit: 2 })
  expect([texts(first.records), first.upToDate]).toEqual([['pears', 'figs'], false])
  const second = await mesh.read('orders', { from: first.cursor })
  expect([texts(second.records), second.upToDate]).toEqual([['plums'], true])
})

test('a problem becomes the error of its code', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  await expect(mesh.status('nothing')).rejects.toMatchObject({
    name: 'MeshError',
    code: 'TOPIC_NOT_FOUND',
    message: expect.stringContaining('says the fake'),
    facts: { server: oak.url, status: 404 },
  })
})

test('an answer that is no problem document names the server and the status', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  oak.intercept = (_, response) => Boolean(response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>proxy'))
  await expect(mesh.members()).rejects.toMatchObject({ code: 'INTERNAL', message: expect.stringContaining('404') })
})

test('without a server that answers, connect says which were tried and why', async () => {
  const gone = await FakeGateway.start('oak')
  const { url } = gone
  await gone.stop()
  await expect(connect({ servers: [url, `${url}/base`] })).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringMatching(/ECONNREFUSED.*; .*\/base.*ECONNREFUSED/),
  })
})

test.each([[['oak:8400']], [['ftp://oak']], [[]]])('%j is not a list of servers', async (servers) => {
  await expect(connect({ servers })).rejects.toMatchObject({ code: 'BAD_REQUEST' })
})

test('a publish goes to the next server when the first refuses the connection, and stays there', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  await oak.stop()
  expect(await mesh.publish('orders', 'pears')).toMatchObject({ peers: ['elm'] })
  expect(mesh.server).toBe(elm.url)
})

test('a publish whose answer is lost is not repeated anywhere', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  oak.intercept = (request) => {
    if (request.method !== 'POST') return false
    request.socket.destroy()
    return true
  }
  await expect(mesh.publish('orders', 'pears')).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', retryable: false })
  expect(elm.requests).toEqual([])
})

test('a read goes on at the next server when the first is silent, drains or breaks', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  elm.append('orders', 'pears')
  const servers = [oak.url, elm.url]
  for (const failure of ['silent', 'draining', 'broken'] as const) {
    await using mesh = await connect({ servers, answerMsMax: failure === 'silent' ? 100 : 10_000 })
    oak.intercept = (request, response) => {
      if (failure === 'draining') problem(response, 'DRAINING')
      if (failure === 'broken') request.socket.destroy()
      return true
    }
    expect(texts((await mesh.read('orders')).records), failure).toEqual(['pears'])
    oak.intercept = () => false
  }
})

test('a subscription tells what was there, that it has caught up, and what comes', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url] })
  const told: string[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    told.push(item.type === 'record' ? item.record.text() : item.type)
    if (item.type === 'caught-up') oak.append('orders', 'figs')
    if (told.length === 3) break
  }
  expect(told).toEqual(['pears', 'caught-up', 'figs'])
})

test('a subscription that breaks goes on from its cursor at the next server', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  for (const peer of [oak, elm]) peer.append('orders', 'pears', 'figs')
  elm.append('orders', 'plums')
  // A wait before the first try elsewhere would outlast the test.
  const patient = { baseMs: 60_000, capMs: 60_000 }
  await using mesh = await connect({ servers: [oak.url, elm.url], backoff: patient, random: () => 0.9 })
  const told: string[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    if (item.type === 'caught-up' && told.length === 2) oak.breakStreams()
    if (item.type === 'interrupted') expect(item.retryInMs).toBe(0)
    if (item.type === 'record' && told.push(item.record.text()) === 3) break
  }
  expect(told).toEqual(['pears', 'figs', 'plums'])
  expect(elm.requests).toEqual([`GET /v1/topics/orders/records?from=${cursorOf(2)}`])
})

test('a subscription waits for a topic that has not arrived yet, and for servers that are away', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], backoff })
  const codes: string[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    if (item.type === 'record') break
    if (item.type === 'interrupted' && codes.push(item.error.code) === 3) oak.append('orders', 'pears')
  }
  expect(codes).toEqual(['TOPIC_NOT_FOUND', 'TOPIC_NOT_FOUND', 'TOPIC_NOT_FOUND'])
})

test('a stream that falls silent is given up and tried again', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url], backoff, silenceMsMax: 50 })
  const items = await take(mesh.stream('orders', { from: 'earliest' }), 3)
  expect(items.map((item) => item.type)).toEqual(['record', 'caught-up', 'interrupted'])
})

test('what waiting does not cure ends a subscription', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url], backoff })
  await expect(take(mesh.subscribe('orders', { from: 'nonsense' }), 1)).rejects.toMatchObject({
    code: 'CURSOR_INVALID',
  })
})

test('an abort ends a subscription with its reason and frees the connection; so does close', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const mesh = await connect({ servers: [oak.url] })
  const stop = new AbortController()
  const aborted = (async () => {
    for await (const record of mesh.subscribe('orders', { from: 'earliest', signal: stop.signal })) {
      stop.abort(new Error(`enough ${record.text()}`))
    }
  })()
  await expect(aborted).rejects.toThrow('enough pears')
  const closed = (async () => {
    const { signal } = new AbortController()
    for await (const _ of mesh.subscribe('orders', { from: 'earliest', signal })) mesh.close()
  })()
  await expect(closed).rejects.toThrow('closed')
  await expect.poll(() => oak.streamCount).toBe(0)
})

test('leaving the loop frees the connection', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url] })
  await take(mesh.subscribe('orders', { from: 'earliest' }), 1)
  await expect.poll(() => oak.streamCount).toBe(0)
})

test('the lab tells one peer whom to be deaf to', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  await mesh.lab.drop(['elm', 'ash'])
  expect(oak.dropped).toEqual(['elm', 'ash'])
  await mesh.lab.heal()
  expect(oak.dropped).toEqual([])
})
