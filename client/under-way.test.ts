// What is published while a mesh is busy or away, and how a program sees and ends that: against fake gateways, over real sockets.
import { expect, test } from 'vitest'
import type { ErrorCode } from '#protocol/errors'
import { FakeGateway, problemOf } from '#test/fake-gateway'
import type { ConnectionStatus } from './connection.ts'
import { connect, type Mesh } from './mesh.ts'

const backoff = { baseMs: 1, capMs: 2 }

const published = (gateway: FakeGateway) => gateway.frames.filter((frame) => frame.type === 'publish')
const sizes = (gateway: FakeGateway) => published(gateway).map(({ records }) => records.length)
const valuesOf = (gateway: FakeGateway) => gateway.topics.get('orders')?.map(({ value }) => value)

async function readyMesh(gateway: FakeGateway, options: object = {}): Promise<Mesh> {
  const mesh = await connect({ servers: [gateway.url], backoff, ...options })
  await mesh.publish('orders', 'warms up')
  gateway.topics.clear()
  gateway.frames.length = 0
  return mesh
}

/** Refuses what a peer does: `bad`, and what leaves out a number of an epoch that it has stored some of. */
function peerRules(): FakeGateway['interceptFrame'] {
  const nextSeq = new Map<string, number>()
  return (frame, socket) => {
    if (frame.type !== 'publish') return false
    const { ref, topic, records, producer: { id, epoch, seq } = { id: '', epoch: 0, seq: 0 } } = frame
    const key = `${topic} ${id} ${epoch}`
    const hasGap = seq > (nextSeq.get(key) ?? seq)
    const code: ErrorCode = hasGap ? 'PRODUCER_GAP' : 'BAD_REQUEST'
    if (hasGap || JSON.stringify(records).includes('bad')) {
      socket.send(JSON.stringify({ type: 'error', ref, problem: problemOf(code) }))
      return true
    }
    nextSeq.set(key, seq + records.length)
    return false
  }
}

/** Sockets are refused until `back` is called. */
async function goAway(gateway: FakeGateway): Promise<() => void> {
  gateway.takesSockets = false
  gateway.breakSockets()
  await expect.poll(() => gateway.socketCount).toBe(0)
  return () => void (gateway.takesSockets = true)
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n))

// Under load ----------------------------------------------------------------------------------------------------------------

test('when nothing is under way a publish is sent at once and alone; under load they share messages, in order', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  const answers = await Promise.all(numbers(500).map((value) => mesh.publish('orders', value)))
  expect(sizes(oak).slice(0, 16)).toEqual(Array.from({ length: 16 }, () => 1))
  expect(sizes(oak).length).toBeLessThan(40)
  expect(valuesOf(oak)).toEqual(numbers(500))
  expect(answers.map(({ id }) => id)).toEqual(oak.topics.get('orders')?.map(({ id }) => id))
})

test('a publish is not held for long when those before it are not answered', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  oak.interceptFrame = (frame) => frame.type === 'publish' && frame.ack === 'all'
  const unanswered = numbers(20).map((value) => mesh.publish('orders', value, { ack: 'all' }))
  expect(await mesh.publish('bills', 'three')).toMatchObject({ peers: ['oak'] })
  mesh.close()
  for (const { status } of await Promise.allSettled(unanswered)) expect(status).toBe('rejected')
})

test('one record that is refused costs others in its message nothing but a second way', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  oak.interceptFrame = (frame, socket) => {
    if (frame.type !== 'publish' || !JSON.stringify(frame.records).includes('bad')) return false
    socket.send(JSON.stringify({ type: 'error', ref: frame.ref, problem: problemOf('RECORD_TOO_LARGE') }))
    return true
  }
  const before = numbers(16).map((value) => mesh.publish('orders', value))
  const [a, bad, b] = ['a', 'bad', 'b'].map((value) => mesh.publish('orders', value))
  await expect(bad).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' })
  await Promise.all([...before, a, b])
  expect(sizes(oak)).toContain(3)
  expect(valuesOf(oak)).toEqual([...numbers(16), 'a', 'b'])
})

test('who gives up a publish takes nothing from those in its message', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], backoff })
  const back = await goAway(oak)
  const stop = new AbortController()
  const given = mesh.publish('orders', 'pears', { signal: stop.signal })
  const kept = mesh.publish('orders', 'figs')
  stop.abort(new Error('enough'))
  await expect(given).rejects.toThrow('enough')
  back()
  expect(await kept).toMatchObject({ peers: ['oak'] })
  expect(valuesOf(oak)).toEqual(['figs'])
})

test('what is refused first on a new connection costs nobody the order', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.interceptFrame = peerRules()
  await using mesh = await connect({ servers: [oak.url], backoff })
  const [a, bad, c, d] = [
    mesh.publish('orders', 'a'),
    mesh.publish('orders', 'bad'),
    mesh.publish('orders', 'c', { wait: 1_000 }),
    mesh.publish('orders', 'd', { wait: 2_000 }),
  ]
  await expect(bad).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  await Promise.all([a, c, d])
  expect(valuesOf(oak)).toEqual(['a', 'c', 'd'])
})

test('what is sent again in another epoch costs nobody the order when it is refused', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.publishesInFlightMax = 2
  const rules = peerRules()
  oak.interceptFrame = rules
  await using mesh = await readyMesh(oak)
  const held: (() => void)[] = []
  oak.interceptFrame = (frame, socket) => {
    const hold = oak.interceptFrame
    held.push(() => {
      oak.interceptFrame = rules
      socket.emit('message', Buffer.from(JSON.stringify(frame)), false)
      if (held.length < 3) oak.interceptFrame = hold
    })
    return true
  }
  const [first, bad, a, alsoBad] = ['first', 'bad', 'a', 'bad'].map((value) => mesh.publish('orders', value))
  const c = mesh.publish('orders', 'c', { wait: 1_000 })
  const refused = Promise.allSettled([bad, alsoBad])
  await expect.poll(() => held.length).toBe(2)
  held[0]?.()
  await expect.poll(() => held.length).toBe(3)
  for (const judge of held.slice(1)) judge()
  await Promise.all([first, a, c])
  expect((await refused).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(valuesOf(oak)).toEqual(['first', 'a', 'c'])
})

// While no server can be reached --------------------------------------------------------------------------------------------

test('while no server can be reached publishes are kept, as they were, and sent when there is one', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  const back = await goAway(oak)
  const order = { pears: 3 }
  const bytes = Uint8Array.of(104, 105)
  const publishes = [mesh.publish('orders', order), mesh.publish('orders', bytes), mesh.publish('orders', 'figs')]
  order.pears = 4
  bytes.fill(0)
  expect(mesh.outbox.publishes).toBe(3)
  back()
  await Promise.all(publishes)
  expect(mesh.outbox).toEqual({ publishes: 0, bytes: 0 })
  const { records } = await mesh.read('orders')
  expect(records.map((record) => record.text())).toEqual(['{"pears":3}', 'hi', 'figs'])
})

test('headers are kept as they were, too', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  const back = await goAway(oak)
  const headers = { trace: 'a1' }
  const waiting = mesh.publish('orders', 'pears', { headers })
  headers.trace = 'b2'
  back()
  await waiting
  expect(published(oak)).toMatchObject([{ records: [{ headers: { trace: 'a1' } }] }])
})

test.each(['before', 'after'])(
  'one that is given up %s the connection breaks takes nothing from those behind it',
  async (when) => {
    await using oak = await FakeGateway.start('oak')
    const rules = peerRules()
    oak.interceptFrame = rules
    await using mesh = await readyMesh(oak)
    oak.interceptFrame = () => true
    const stop = new AbortController()
    // Looked at from the beginning: it may be given up while something else is waited for.
    const given = expect(mesh.publish('orders', 'pears', { signal: stop.signal })).rejects.toThrow('enough')
    const kept = ['figs', 'plums'].map((value) => mesh.publish('orders', value))
    await expect.poll(() => published(oak).length).toBe(3)
    if (when === 'before') stop.abort(new Error('enough'))
    const back = await goAway(oak)
    stop.abort(new Error('enough'))
    await given
    oak.interceptFrame = rules
    back()
    expect(await Promise.all(kept)).toMatchObject([{ peers: ['oak'] }, { peers: ['oak'] }])
    expect(valuesOf(oak)).toEqual(['pears', 'figs', 'plums'])
    expect(mesh.outbox).toEqual({ publishes: 0, bytes: 0 })
  },
)

test('when all are given up nothing is left to be sent', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  oak.interceptFrame = () => true
  const stop = new AbortController()
  const given = mesh.publish('orders', 'pears', { signal: stop.signal })
  await expect.poll(() => published(oak).length).toBe(1)
  const back = await goAway(oak)
  stop.abort(new Error('enough'))
  await expect(given).rejects.toThrow('enough')
  expect(mesh.outbox).toEqual({ publishes: 0, bytes: 0 })
  oak.interceptFrame = () => false
  back()
  await mesh.publish('orders', 'figs')
  expect(valuesOf(oak)).toEqual(['figs'])
})

test('one whose answer is lost is kept as well, however long nobody can be asked', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak, { answerMsMax: 100 })
  let back: (() => void) | undefined
  oak.interceptFrame = () => {
    void goAway(oak).then((done) => (back = done))
    return true
  }
  const startMs = performance.now()
  const lost = mesh.publish('orders', 'pears', { wait: 0 })
  await expect.poll(() => back !== undefined && performance.now() - startMs > 300).toBe(true)
  oak.interceptFrame = () => false
  back?.()
  expect(await lost).toMatchObject({ peers: ['oak'] })
  expect(published(oak)).toHaveLength(2)
  expect(published(oak)[1]).toEqual(published(oak)[0])
})

test('what does not fit beside that which waits is refused, and fits once that is answered', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak, { outboxBytesMax: 10_000 })
  const back = await goAway(oak)
  const kept = [mesh.publish('orders', 'x'.repeat(9_000)), mesh.publish('orders', 'figs')]
  await expect(mesh.publish('orders', 'y'.repeat(1_000))).rejects.toMatchObject({
    code: 'OUTBOX_FULL',
    retryable: true,
    facts: { publishes: 2 },
  })
  back()
  await Promise.all(kept)
  await mesh.publish('orders', 'y'.repeat(50_000))
})

// Seen and ended ------------------------------------------------------------------------------------------------------------

test('the status of the connection is told as it changes, and only as it is to who is slow', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await connect({ servers: [oak.url], backoff: { baseMs: 50, capMs: 50 }, random: () => 0.9 })
  const told: ConnectionStatus[] = []
  const stop = new AbortController()
  const following = (async () => {
    for await (const status of mesh.status({ signal: stop.signal })) told.push(status)
  })()
  const stream = mesh.stream('orders', { from: 'earliest' })
  await stream.next()
  const back = await goAway(oak)
  await expect.poll(() => told.some(({ state }) => state === 'disconnected')).toBe(true)
  back()
  await expect.poll(() => told.at(-1)).toEqual({ state: 'connected', server: oak.url, peer: 'oak' })
  await stream.return()
  await expect.poll(() => told.at(-1)?.state).toBe('connected')
  const states = told.map(({ state }) => state)
  expect(states.slice(0, 3)).toEqual(['idle', 'connecting', 'connected'])
  expect(told.find(({ state }) => state === 'disconnected')).toMatchObject({
    retryInMs: 45,
    error: { code: 'DRAINING' },
  })
  stop.abort(new Error('enough'))
  await expect(following).rejects.toThrow('enough')
})

test('flush waits for what was published before, however it ends', async () => {
  await using oak = await FakeGateway.start('oak')
  await using mesh = await readyMesh(oak)
  const ends: string[] = []
  void mesh.publish('orders', 'pears').then(() => ends.push('pears'))
  void mesh.publish('orders', 'x'.repeat(100_000)).catch(() => ends.push('refused'))
  void mesh.publish('orders', 'plums').then(() => ends.push('plums'))
  await mesh.flush()
  expect(ends.toSorted()).toEqual(['pears', 'plums', 'refused'])
  oak.interceptFrame = () => true
  const unanswered = mesh.publish('orders', 'nuts')
  const stop = new AbortController()
  const flushed = mesh.flush({ signal: stop.signal })
  stop.abort(new Error('enough'))
  await expect(flushed).rejects.toThrow('enough')
  mesh.close()
  await expect(unanswered).rejects.toThrow('closed')
})

test('drain lets subscriptions end with what has come, waits for what they publish, and closes', async () => {
  await using oak = await FakeGateway.start('oak')
  oak.append('orders', 'pears', 'figs', 'plums')
  const mesh = await connect({ servers: [oak.url], backoff })
  const taken: string[] = []
  let drained: Promise<void> | undefined
  for await (const record of mesh.subscribe('orders', { from: 'earliest' })) {
    drained ??= mesh.drain()
    taken.push(record.text())
    void mesh.publish('bills', `for ${record.text()}`)
  }
  expect(taken).toEqual(['pears', 'figs', 'plums'])
  await drained
  expect(oak.topics.get('bills')?.map(({ value }) => value)).toEqual(['for pears', 'for figs', 'for plums'])
  await expect.poll(() => oak.socketCount).toBe(0)
  await expect(mesh.publish('orders', 'nuts')).rejects.toThrow('closed')
})

test('a bye is followed within the time that it says, not by all at once', async () => {
  await using oak = await FakeGateway.start('oak')
  await using elm = await FakeGateway.start('elm')
  await using mesh = await connect({ servers: [oak.url, elm.url], backoff, random: () => 0.5 })
  const stream = mesh.stream('orders')
  await stream.next()
  oak.say({ type: 'bye', reason: 'draining', servers: [], retryMs: 60 })
  oak.breakSockets()
  expect((await stream.next()).value).toMatchObject({ type: 'interrupted', retryInMs: 30 })
  await expect.poll(() => elm.socketCount).toBe(1)
})
