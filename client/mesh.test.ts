// What a program gets from connect(): against fake gateways on free ports, over real sockets.
import { expect, test } from 'vitest'
import { cursorOf, FakeGateway, problem, problemOf } from '#test/fake-gateway'
import { connect, type Mesh } from './mesh.ts'
import type { ReceivedRecord } from './record.ts'

const backoff = { baseMs: 1, capMs: 2 }

const take = async <T>(items: AsyncIterable<T>, count: number): Promise<T[]> => {
  const taken: T[] = []
  for await (const item of items) if (taken.push(item) === count) break
  return taken
}

/** At once, each in a message of its own: those that are to be answered after the same time share one. */
const publishApart = (mesh: Mesh, values: readonly string[]) =>
  values.map((value, n) => mesh.publish('orders', value, { wait: 5_000 + n }))

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
  expect(oak.frames).toMatchObject([{ type: 'publish', topic: 'orders', ack: 'n:2', wait: '300ms' }])
})

test('copies of a record are waited for, whoever published it', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const id = oak.topics.get('orders')?.[0]?.id ?? ''
  await using mesh = await connect({ servers: [oak.url] })
  expect(await mesh.awaitCopies('orders', id, { ack: 'n:1' })).toMatchObject({ id, level: 'n:1', reached: true })
  const unreached = await mesh.awaitCopies('orders', id, { ack: 'n:2', wait: 300 })
  expect(unreached).toMatchObject({ level: 'n:2', reached: false, copies: 1, peers: ['oak'] })
  expect(oak.requests.at(-1)).toContain('level=n%3A2&wait=300ms')
  await expect(mesh.awaitCopies('orders', 'nothing', { ack: 'n:1' })).rejects.toMatchObject({
    code: 'RECORD_NOT_FOUND',
  })
})

test('many records go in one frame and keep their order', async () => {
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
  await expect(mesh.topicStatus('nothing')).rejects.toMatchObject({
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

// Publishing over the WebSocket ---------------------------------------------------------------------------------------------

test('a publish goes to the next server when the first is gone, and stays there', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  await oak.stop()
  expect(await mesh.publish('orders', 'pears')).toMatchObject({ peers: ['elm'] })
  expect(mesh.server).toBe(elm.url)
  expect(await mesh.publish('orders', 'figs')).toMatchObject({ peers: ['elm'] })
  expect(elm.socketCount).toBe(1)
})

test('a publish that no server takes says which were tried and why', async () => {
  const oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url], backoff, offline: 'fail' })
  await oak.stop()
  elm.takesSockets = false
  await expect(mesh.publish('orders', 'pears')).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringMatching(/ECONNREFUSED.*; .*says the fake/),
  })
})

test('a server that answers but opens no WebSocket is named as such', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], backoff, offline: 'fail' })
  oak.takesSockets = false
  oak.intercept = (_, response) => {
    problem(response, 'UPGRADE_REQUIRED')
    return true
  }
  await expect(mesh.publish('orders', 'pears')).rejects.toMatchObject({ message: expect.stringContaining('a proxy') })
})

const published = (gateway: FakeGateway) => gateway.frames.filter((frame) => frame.type === 'publish')
const numbersOf = (gateway: FakeGateway) =>
  published(gateway).map(({ producer, records }) => [producer?.epoch, producer?.seq, records.length])

test('publishes are numbered: in each topic one after the other', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  await mesh.publish('orders', 'pears')
  await mesh.publishMany('orders', [{ value: 'figs' }, { value: 'plums' }])
  await mesh.publish('bills', 'three')
  await mesh.publish('orders', 'grapes')
  await mesh.publish('orders', 'nuts', { idempotencyKey: 'a7' })
  expect(numbersOf(oak)).toEqual([
    [0, 0, 1],
    [0, 1, 2],
    [0, 0, 1],
    [0, 3, 1],
    [undefined, undefined, 1],
  ])
  expect(published(oak).at(-1)).toMatchObject({ idempotencyKey: 'a7' })
  expect(new Set(published(oak).map(({ producer }) => producer?.id)).size).toBe(2)
})

test('publishes whose answers are lost are sent again, the same and in order, before what comes later', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  oak.publishesInFlightMax = 2
  oak.interceptFrame = (_, socket) => {
    if (published(oak).length === 2) socket.terminate()
    return true
  }
  const publishes = publishApart(mesh, ['pears', 'figs', 'plums'])
  for (const each of publishes) expect(await each).toMatchObject({ peers: ['elm'] })
  expect(published(elm).slice(0, 2)).toEqual(published(oak))
  expect(published(elm).flatMap(({ records }) => records)).toMatchObject([
    { value: 'pears' },
    { value: 'figs' },
    { value: 'plums' },
  ])
  expect(numbersOf(elm)).toEqual([
    [0, 0, 1],
    [0, 1, 1],
    [1, 0, 1],
  ])
})

test('a publish whose answer stays away until its time is over may be stored', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], answerMsMax: 200, backoff, offline: 'fail' })
  oak.interceptFrame = (_, socket) => {
    socket.terminate()
    oak.takesSockets = false
    return true
  }
  const lost = mesh.publish('orders', 'pears', { wait: 0 })
  await expect(lost).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN', retryable: false })
})

test('what is refused because one before it was is sent again, in order, in another epoch', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const refusals = ['OVERLOADED', 'PRODUCER_GAP', 'PRODUCER_GAP'] as const
  oak.interceptFrame = (frame, socket) => {
    const code = refusals[published(oak).length - 1]
    if (code === undefined || !('ref' in frame)) return false
    // All of them are in flight by then.
    if (published(oak).length < refusals.length) return true
    for (const [index, { ref }] of published(oak).entries()) {
      socket.send(JSON.stringify({ type: 'error', ref, problem: problemOf(refusals[index] ?? 'INTERNAL') }))
    }
    return true
  }
  const [pears, figs, plums] = publishApart(mesh, ['pears', 'figs', 'plums'])
  await expect(pears).rejects.toMatchObject({ code: 'OVERLOADED' })
  expect([await figs, await plums]).toMatchObject([{ peers: ['oak'] }, { peers: ['oak'] }])
  expect(numbersOf(oak).slice(3)).toEqual([
    [1, 0, 1],
    [1, 1, 1],
  ])
})

test('a publish without an answer is given up after its wait and some more', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], answerMsMax: 50 })
  oak.interceptFrame = () => true
  await expect(mesh.publish('orders', 'pears', { wait: 0 })).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' })
})

test('a publish that a draining peer did not take goes on elsewhere', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  oak.interceptFrame = (frame, socket) => {
    const ref = 'ref' in frame ? frame.ref : ''
    socket.send(JSON.stringify({ type: 'bye', reason: 'draining', servers: [], retryMs: 1 }))
    socket.send(JSON.stringify({ type: 'error', ref, problem: problemOf('DRAINING') }))
    socket.close(4000)
    return true
  }
  expect(await mesh.publish('orders', 'pears')).toMatchObject({ peers: ['elm'] })
})

test.each(['DECOMMISSIONED', 'FORGOTTEN'] as const)(
  'a peer that is %s is left for the next, once it has answered all',
  async (code) => {
    await using oak = await FakeGateway.start('oak')
    await using elm = await FakeGateway.start('elm')
    await using mesh = await connect({ servers: [oak.url, elm.url] })
    const held: (() => void)[] = []
    oak.interceptFrame = (frame, socket) => {
      const ref = 'ref' in frame ? frame.ref : ''
      held.push(() => socket.send(JSON.stringify({ type: 'error', ref, problem: problemOf(code) })))
      return true
    }
    const publishes = publishApart(mesh, ['pears', 'figs', 'plums'])
    await expect.poll(() => held.length).toBe(3)
    held[0]?.()
    await mesh.self()
    expect(elm.frames).toEqual([])
    for (const refuse of held.slice(1)) refuse()
    expect(await Promise.all(publishes)).toMatchObject([{ peers: ['elm'] }, { peers: ['elm'] }, { peers: ['elm'] }])
    expect((await mesh.read('orders')).records.map((record) => record.text())).toEqual(['pears', 'figs', 'plums'])
  },
)

test('where there is no other peer, one that is forgotten is asked a few times', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  oak.interceptFrame = (frame, socket) => {
    socket.send(
      JSON.stringify({ type: 'error', ref: 'ref' in frame ? frame.ref : '', problem: problemOf('FORGOTTEN') }),
    )
    return true
  }
  await expect(mesh.publish('orders', 'pears')).rejects.toMatchObject({ code: 'FORGOTTEN' })
  expect(oak.frames).toHaveLength(4)
})

test('publishes beyond what the peer takes at a time wait for their turn, and keep their order', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.publishesInFlightMax = 2
  const held: (() => void)[] = []
  await using mesh = await connect({ servers: [oak.url] })
  oak.interceptFrame = (frame, socket) => {
    const ref = 'ref' in frame ? frame.ref : ''
    held.push(() => socket.send(JSON.stringify({ type: 'error', ref, problem: problemOf('OVERLOADED') })))
    return true
  }
  const publishes = publishApart(mesh, ['a', 'b', 'c'])
  const ends = Promise.allSettled(publishes)
  await expect.poll(() => held.length).toBe(2)
  held[0]?.()
  await expect(publishes[0]).rejects.toMatchObject({ code: 'OVERLOADED' })
  held[1]?.()
  await expect.poll(() => held.length).toBe(3)
  held[2]?.()
  await ends
  expect(oak.frames.flatMap((frame) => ('records' in frame ? frame.records : []))).toMatchObject([
    { value: 'a' },
    { value: 'b' },
    { value: 'c' },
  ])
})

test('what does not fit into a frame is not sent, for that would close the socket of everybody', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  await expect(mesh.publish('orders', 'x'.repeat(100_000))).rejects.toMatchObject({ code: 'BODY_TOO_LARGE' })
  expect(await mesh.publish('orders', 'x'.repeat(90_000))).toMatchObject({ peers: ['oak'] })
  expect(numbersOf(oak)).toEqual([[0, 0, 1]])
})

test('a publish ends with its signal, whether sent or not', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  oak.interceptFrame = () => true
  const stop = new AbortController()
  const sent = mesh.publish('orders', 'pears', { signal: stop.signal })
  await expect.poll(() => oak.frames.length).toBe(1)
  stop.abort(new Error('enough'))
  await expect(sent).rejects.toThrow('enough')
  await expect(mesh.publish('orders', 'figs', { signal: stop.signal })).rejects.toThrow('enough')
})

// Reading pages ---------------------------------------------------------------------------------------------------------------

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

// Subscribing -------------------------------------------------------------------------------------------------------------------

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

test('several topics and patterns are one subscription, and topics that appear later belong to it', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  oak.append('notes', 'not asked for')
  await using mesh = await connect({ servers: [oak.url] })
  const told: string[] = []
  for await (const item of mesh.stream(['orders', 'bills.**'], { from: 'earliest' })) {
    if (item.type === 'caught-up') oak.append('bills.eu', '3 €')
    if (item.type === 'record' && told.push(`${item.record.topic} ${item.record.text()}`) === 2) break
  }
  expect(told).toEqual(['orders pears', 'bills.eu 3 €'])
})

test('a record that was accepted twice is given once, and costs no credit of its own', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const records = mesh.subscribe('orders')[Symbol.asyncIterator]()
  const first = records.next()
  await expect.poll(() => oak.frames.length).toBe(1)
  const [asked] = oak.frames
  const { sub, credit } = asked?.type === 'subscribe' ? asked : { sub: '', credit: 0 }
  const give = (id: string, seq: number) => {
    const place = { id, topic: 'orders', feed: 'oak', offset: 0, time: '', contentType: 'text/plain' }
    const record = { ...place, value: id, producer: { id: 'shop', epoch: 0, seq } }
    oak.say({ type: 'record', sub, record, cursor: id })
  }
  give('a', 0)
  expect((await first).value?.text()).toBe('a')
  const granted = () => oak.frames.reduce((sum, frame) => sum + (frame.type === 'credit' ? frame.n : 0), credit)
  for (let given = 1; given < 3_000;) {
    await expect.poll(() => granted() - given).toBeGreaterThan(0)
    for (; given < granted(); given++) give(`again ${given}`, 0)
  }
  give('b', 1)
  expect((await records.next()).value).toMatchObject({ id: 'b', cursor: 'b' })
})

test('of a topic that is made again every record is given, whatever its number', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  const items = mesh.stream('orders')
  const first = items.next()
  await expect.poll(() => oak.frames.length).toBe(1)
  const [asked] = oak.frames
  const sub = asked?.type === 'subscribe' ? asked.sub : ''
  const give = (id: string) => {
    const place = { id, topic: 'orders', feed: 'oak', offset: 0, time: '', contentType: 'text/plain' }
    const record = { ...place, value: id, producer: { id: 'shop', epoch: 0, seq: 0 } }
    oak.say({ type: 'record', sub, record, cursor: id })
  }
  expect((await first).value).toMatchObject({ type: 'caught-up' })
  give('before')
  oak.say({ type: 'event', sub, event: 'deleted', topic: 'orders' })
  give('after')
  oak.say({ type: 'event', sub, event: 'healed' })
  expect(await take(items, 4)).toMatchObject([
    { record: { id: 'before' } },
    { type: 'deleted' },
    { record: { id: 'after' } },
    { type: 'healed' },
  ])
})

test('subscriptions and publishes share one WebSocket', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url] })
  const reads = ['orders', '*'].map((topic) => take(mesh.subscribe(topic, { from: 'earliest' }), 2))
  await expect.poll(() => oak.subscriptionCount).toBe(2)
  await mesh.publish('orders', 'figs')
  expect((await Promise.all(reads)).map(texts)).toEqual([
    ['pears', 'figs'],
    ['pears', 'figs'],
  ])
  expect(oak.socketCount).toBe(1)
})

test('a consumer that stops taking is sent no more than its credit, and gets all when it goes on', async () => {
  await using oak = await FakeGateway.start('oak')
  const values = Array.from({ length: 5_000 }, (_, i) => String(i))
  oak.append('orders', ...values)
  await using mesh = await connect({ servers: [oak.url] })
  const stream = mesh.subscribe('orders', { from: 'earliest' })
  const first = await stream.next()
  // Its answer comes after whatever was sent before.
  await mesh.publish('bills', '')
  const creditOf = () =>
    oak.frames.reduce((sum, frame) => sum + ('credit' in frame ? frame.credit : 'n' in frame ? frame.n : 0), 0)
  expect(creditOf()).toBeLessThanOrEqual(1_024 + 1)
  const rest = await take(stream, 4_999)
  expect(texts([first.value as ReceivedRecord, ...rest])).toEqual(values)
  // Small records: more of them at a time.
  expect(oak.frames.filter(({ type }) => type === 'credit').length).toBeLessThan(40)
})

test('with one server, a subscription that breaks is back at once', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  const patient = { baseMs: 60_000, capMs: 60_000 }
  await using mesh = await connect({ servers: [oak.url], backoff: patient, random: () => 0.9 })
  const told: string[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    if (told.push(item.type) === 2) oak.breakSockets()
    if (told.length === 4) break
  }
  expect(told).toEqual(['record', 'caught-up', 'interrupted', 'caught-up'])
})

test('a publish does not wait for the back-off of a subscription', async () => {
  await using oak = await FakeGateway.start('oak')
  const patient = { baseMs: 60_000, capMs: 60_000 }
  await using mesh = await connect({ servers: [oak.url], backoff: patient, random: () => 0.9 })
  oak.takesSockets = false
  const stream = mesh.stream('orders')
  expect((await stream.next()).value).toMatchObject({ type: 'interrupted', retryInMs: 54_000 })
  oak.takesSockets = true
  expect(await mesh.publish('orders', 'pears')).toMatchObject({ peers: ['oak'] })
})

test('a peer that said bye is told nothing new, though it still answers', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url] })
  oak.interceptFrame = () => true
  const first = mesh.publish('orders', 'pears')
  await expect.poll(() => oak.frames.length).toBe(1)
  const stream = mesh.stream('bills')
  const told = stream.next()
  await expect.poll(() => oak.frames.length).toBe(2)
  oak.say({ type: 'bye', reason: 'draining', servers: [], retryMs: 1 })
  const { sub } = oak.frames[1] as { sub: string }
  oak.say({ type: 'event', sub, event: 'healed' })
  await told
  const second = mesh.publish('orders', 'figs')
  const third = take(mesh.stream('notes'), 2)
  const { ref } = oak.frames[0] as { ref: string }
  const ack = { level: 'local', reached: true, copies: 1, peers: ['oak'] }
  oak.say({ type: 'published', ref, results: [{ status: 201, id: 'x' }], cursor: '', ack })
  expect(await first).toMatchObject({ peers: ['oak'] })
  // By the time that another connection is answered, what was said on this one has arrived.
  await mesh.self()
  oak.breakSockets()
  expect(await second).toMatchObject({ peers: ['elm'] })
  expect((await third).map(({ type }) => type)).toEqual(['interrupted', 'caught-up'])
  expect(oak.frames.length).toBe(2)
})

test('a subscription that breaks goes on from its cursors at the next server', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  for (const peer of [oak, elm]) peer.append('orders', 'pears', 'figs')
  elm.append('orders', 'plums')
  elm.append('bills', '3 €')
  // A wait before the first try elsewhere would outlast the test.
  const patient = { baseMs: 60_000, capMs: 60_000 }
  await using mesh = await connect({ servers: [oak.url, elm.url], backoff: patient, random: () => 0.9 })
  const told: string[] = []
  for await (const item of mesh.stream('*', { from: 'earliest' })) {
    if (item.type === 'caught-up' && told.length === 2) oak.breakSockets()
    if (item.type === 'interrupted') expect(item.retryInMs).toBe(0)
    if (item.type === 'record' && told.push(item.record.text()) === 4) break
  }
  expect(told).toEqual(['pears', 'figs', 'plums', '3 €'])
  expect(elm.frames[0]).toMatchObject({ topics: ['*'], from: { orders: cursorOf(2) } })
})

test('a subscription from latest that breaks misses nothing of what came meanwhile', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url], backoff })
  const told: string[] = []
  for await (const item of mesh.stream('**')) {
    if (item.type === 'caught-up' && told.length === 0) {
      oak.breakSockets()
      oak.append('orders', 'figs')
      oak.append('bills', '3 €')
    }
    if (item.type === 'record' && told.push(item.record.text()) === 2) break
  }
  expect(told).toEqual(['figs', '3 €'])
})

test('servers that a peer tells of stand by for those that were named, unless that is not wished', async () => {
  await using elm = await FakeGateway.start('elm')
  elm.append('orders', 'pears', 'figs')
  for (const learnServers of [true, false]) {
    await using oak = await FakeGateway.start('oak')
    oak.append('orders', 'pears')
    oak.servers = [elm.url]
    await using mesh = await connect({ servers: [oak.url], backoff, learnServers })
    const told: string[] = []
    for await (const item of mesh.stream('orders', { from: 'earliest' })) {
      if (item.type === 'caught-up' && told.length === 1) await oak.stop()
      told.push(item.type === 'record' ? item.record.text() : item.type)
      if (told.length === 4) break
    }
    expect(told.slice(0, 3)).toEqual(['pears', 'caught-up', 'interrupted'])
    expect(told[3]).toBe(learnServers ? 'figs' : 'interrupted')
  }
})

test('a bye moves a subscription to a server that it names', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  for (const peer of [oak, elm]) peer.append('orders', 'pears')
  elm.append('orders', 'figs')
  elm.servers = ['http://ash:8400']
  await using mesh = await connect({ servers: [oak.url] })
  const told: string[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    if (item.type === 'caught-up' && told.length === 1) {
      oak.say({ type: 'bye', reason: 'draining', servers: [elm.url], retryMs: 1 })
      oak.breakSockets()
    }
    if (item.type === 'record' && told.push(item.record.text()) === 2) break
  }
  expect(told).toEqual(['pears', 'figs'])
  expect(mesh.server).toBe(elm.url)
})

test('servers that are away are waited for, with back-off', async () => {
  const oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  elm.append('orders', 'pears')
  elm.takesSockets = false
  await using mesh = await connect({ servers: [oak.url, elm.url], backoff })
  await oak.stop()
  const told: string[] = []
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    if (item.type === 'record') break
    if (item.type === 'interrupted') told.push(item.error.message)
    if (told.length === 4) elm.takesSockets = true
  }
  expect(told[0]).toContain('ECONNREFUSED')
  expect(told[1]).toMatch(/ECONNREFUSED.*; .*says the fake/)
})

test('a subscription that is refused for now asks again; one that never will be ends', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url], backoff })
  let refusals = 0
  oak.interceptFrame = (frame, socket) => {
    if (frame.type !== 'subscribe' || refusals++ > 0) return false
    socket.send(JSON.stringify({ type: 'error', sub: frame.sub, problem: problemOf('OVERLOADED') }))
    return true
  }
  const items = await take(mesh.stream('orders', { from: 'earliest' }), 2)
  expect(items).toMatchObject([{ type: 'interrupted', error: { code: 'OVERLOADED' } }, { type: 'record' }])
  await expect(take(mesh.subscribe('orders', { from: 'nonsense' }), 1)).rejects.toMatchObject({
    code: 'CURSOR_INVALID',
  })
})

test('a server that will not have us back is not asked again', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], backoff })
  oak.interceptFrame = (_, socket) => {
    socket.send(JSON.stringify({ type: 'error', problem: problemOf('BAD_JSON') }))
    socket.close(4500, 'BAD_JSON')
    return true
  }
  await expect(take(mesh.subscribe('orders'), 1)).rejects.toMatchObject({ code: 'BAD_JSON' })
  oak.interceptFrame = () => false
  expect(await mesh.publish('orders', 'pears')).toMatchObject({ peers: ['oak'] })
})

test('partitions and gaps of the mesh are told', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url] })
  const told: unknown[] = []
  const gap = { type: 'lost', feed: 'f', from: 1, to: 3 }
  for await (const item of mesh.stream('orders', { from: 'earliest' })) {
    told.push(item)
    if (item.type === 'caught-up') {
      const { sub } = oak.frames[0] as { sub: string }
      const names = { reachable: ['oak'], known: ['elm', 'oak'] }
      oak.say({ type: 'event', sub, event: 'partition', ...names })
      oak.say({ type: 'event', sub, event: 'healed' })
      oak.say({ type: 'event', sub, event: 'gap', topic: 'orders', gap, cursor: cursorOf(3) })
    }
    if (told.length === 5) break
  }
  expect(told.slice(1)).toEqual([
    { type: 'caught-up', cursors: { orders: cursorOf(1) } },
    { type: 'partition', reachable: ['oak'], known: ['elm', 'oak'] },
    { type: 'healed' },
    { type: 'gap', topic: 'orders', gap },
  ])
})

test('of news that nobody takes only the last is kept', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url] })
  const stream = mesh.stream('orders', { from: 'earliest' })
  await stream.next()
  const { sub } = oak.frames[0] as { sub: string }
  for (let n = 0; n < 100; n++) oak.say({ type: 'event', sub, event: 'partition', reachable: [`m${n}`], known: [] })
  await mesh.publish('bills', '')
  expect((await stream.next()).value).toMatchObject({ type: 'caught-up' })
  expect((await stream.next()).value).toMatchObject({ reachable: ['m99'] })
})

test('a WebSocket that falls silent is given up and tried again', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url], backoff, silenceMsMax: 50 })
  const items = await take(mesh.stream('orders', { from: 'earliest' }), 4)
  expect(items.map((item) => item.type)).toEqual(['record', 'caught-up', 'interrupted', 'caught-up'])
})

test('an abort ends a subscription with its reason; close ends all, and the connection', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears', 'never taken')
  const mesh = await connect({ servers: [oak.url] })
  const stop = new AbortController()
  const seen: string[] = []
  const aborted = (async () => {
    for await (const record of mesh.subscribe('orders', { from: 'earliest', signal: stop.signal })) {
      seen.push(record.text())
      stop.abort(new Error('enough'))
    }
  })()
  await expect(aborted).rejects.toThrow('enough')
  expect(seen).toEqual(['pears'])
  await expect.poll(() => oak.subscriptionCount).toBe(0)
  const closed = (async () => {
    for await (const _ of mesh.subscribe('orders', { from: 'earliest' })) mesh.close()
  })()
  await expect(closed).rejects.toThrow('closed')
  await expect.poll(() => oak.socketCount).toBe(0)
  await expect(mesh.publish('orders', 'figs')).rejects.toThrow('closed')
  await expect(take(mesh.subscribe('orders'), 1)).rejects.toThrow('closed')
})

test('leaving the loop ends the subscription and nothing else', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears')
  await using mesh = await connect({ servers: [oak.url] })
  await take(mesh.subscribe('orders', { from: 'earliest' }), 1)
  await expect.poll(() => oak.subscriptionCount).toBe(0)
  expect(oak.socketCount).toBe(1)
})

test('the lab tells one peer whom to be deaf to', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url] })
  await mesh.lab.drop(['elm', 'ash'])
  expect(oak.dropped).toEqual(['elm', 'ash'])
  await mesh.lab.heal()
  expect(oak.dropped).toEqual([])
})
