// What the gateway tells of itself: every request once, every refusal by its code, and what it holds now.
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { MeshError } from '#protocol/errors'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { gatewayDefaults } from './config.ts'
import { FakeBroker } from './fake-broker.ts'
import type { GatewayMetrics } from './metrics.ts'
import { type GatewayServer, startGateway } from './server.ts'

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

class ListedMetrics implements GatewayMetrics {
  readonly contentType = 'text/plain; version=0.0.4'
  readonly seen: string[] = []
  isStarting = false

  text(): Promise<string> {
    if (this.isStarting) return Promise.reject(new MeshError('UNAVAILABLE', 'This peer is starting'))
    return Promise.resolve('grapevine_node_topics 3\n')
  }

  answered(method: string, status: number | 'aborted'): void {
    this.seen.push(`${method} ${status}`)
  }

  readonly cuts: string[] = []

  cut(bound: string): void {
    this.cuts.push(bound)
  }

  refused(code: string): void {
    this.seen.push(code)
  }
}

async function start(metrics: GatewayMetrics | undefined = new ListedMetrics()) {
  const broker = new FakeBroker()
  const config = { ...gatewayDefaults, port: 0, drainMs: 500 }
  const gateway = await startGateway({ broker, config, ...(metrics && { metrics }), reportError: () => {} })
  ends.push(() => gateway.stop())
  return { broker, gateway, seen: (metrics as ListedMetrics).seen }
}

const statusOf = async (gateway: GatewayServer, path: string, init?: RequestInit): Promise<number> => {
  const answer = await fetch(`${gateway.url}${path}`, init)
  await answer.text()
  return answer.status
}

test('the figures of the peer are served as the text they are', async () => {
  const { gateway } = await start()
  const answer = await fetch(`${gateway.url}/metrics`)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4'])
  expect(await answer.text()).toBe('grapevine_node_topics 3\n')
  expect(await statusOf(gateway, '/metrics?format=json')).toBe(400)
})

test('a peer that starts has no figures yet', async () => {
  const metrics = new ListedMetrics()
  metrics.isStarting = true
  expect(await statusOf((await start(metrics)).gateway, '/metrics')).toBe(503)
})

test('every request is told once, by method and status, and a refusal by its code as well', async () => {
  const { gateway, seen } = await start()
  await statusOf(gateway, '/healthz')
  await statusOf(gateway, '/v1/topics/orders/records', { method: 'POST', body: 'ten pears' })
  await statusOf(gateway, '/v1/topics/apples')
  await statusOf(gateway, '/v1/topics/orders/records?ack=most', { method: 'POST', body: 'ten pears' })
  await vi.waitFor(() => expect(seen.filter((text) => text.includes(' '))).toHaveLength(4))
  expect(seen.toSorted()).toEqual(
    ['GET 200', 'POST 201', 'TOPIC_NOT_FOUND', 'GET 404', 'ACK_LEVEL_INVALID', 'POST 400'].toSorted(),
  )
})

test('bytes that are no request are refused by code', async () => {
  const { gateway, seen } = await start()
  const socket = connect(gateway.port, gateway.host)
  socket.end('SAY hello\r\n\r\n')
  await once(socket.resume(), 'close')
  expect(seen).toEqual(['BAD_REQUEST'])
})

test('a client that goes before its answer is told as aborted', async () => {
  const { broker, gateway, seen } = await start()
  await broker.publish({
    topic: 'orders' as TopicName,
    records: [{ headers: {}, value: utf8('pears') }],
    ack: { type: 'local' },
    waitMs: 0,
  })
  const client = new AbortController()
  const poll = fetch(`${gateway.url}/v1/topics/orders/records?from=latest&wait=60s`, { signal: client.signal })
  await vi.waitFor(() => expect(gateway.load().liveReads.longPoll).toBe(1))
  client.abort()
  await expect(poll).rejects.toThrow()
  await vi.waitFor(() => expect(seen).toEqual(['GET aborted']))
})

test('what it holds now can be asked: live reads by kind, sockets, bodies that arrive', async () => {
  const { broker, gateway } = await start()
  await broker.publish({
    topic: 'orders' as TopicName,
    records: [{ headers: {}, value: utf8('pears') }],
    ack: { type: 'local' },
    waitMs: 0,
  })
  expect(gateway.load()).toEqual({
    liveReads: { stream: 0, longPoll: 0, webSocket: 0 },
    connections: 0,
    requests: 0,
    arrivingBytes: 0,
    unsentBytes: 0,
  })
  const client = new AbortController()
  ends.push(() => client.abort())
  // Held to the end: a response that is collected as garbage closes its stream.
  const stream = await fetch(`${gateway.url}/v1/topics/orders/records`, {
    headers: { accept: 'text/event-stream' },
    signal: client.signal,
  })
  const socket = connect(gateway.port, gateway.host)
  ends.push(() => void socket.destroy())
  socket.write(
    `POST /v1/topics/orders/records HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n${'.'.repeat(40)}`,
  )
  await vi.waitFor(() => {
    expect(gateway.load()).toEqual({
      liveReads: { stream: 1, longPoll: 0, webSocket: 0 },
      connections: 2,
      requests: 2,
      arrivingBytes: 40,
      unsentBytes: 0,
    })
  })
  client.abort()
  socket.destroy()
  await vi.waitFor(async () => expect(gateway.load()).toMatchObject({ connections: 0, arrivingBytes: 0 }))
  expect(gateway.load().liveReads.stream).toBe(0)
  await expect(stream.text()).rejects.toThrow()
})
