// A publish that waits for copies, which may take a minute, holds no bytes: they are in the log by then (docs/limits.md).
import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { PublishRequest, PublishResult } from './broker.ts'
import { gatewayDefaults } from './config.ts'
import { FakeBroker } from './fake-broker.ts'
import { startGateway } from './server.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

class WaitingBroker extends FakeBroker {
  readonly values: WeakRef<Uint8Array>[] = []
  readonly answers: PromiseWithResolvers<PublishResult>[] = []

  override publish({ records }: PublishRequest): Promise<PublishResult> {
    for (const { value } of records) this.values.push(new WeakRef(value))
    // Held, as by a broker that will answer one day: else all of it would be garbage.
    const answer = Promise.withResolvers<PublishResult>()
    this.answers.push(answer)
    return answer.promise
  }
}

async function start() {
  const broker = new WaitingBroker()
  const gateway = await startGateway({ broker, config: { ...gatewayDefaults, port: 0, drainMs: 50 } })
  ends.push(() => gateway.stop())
  return { broker, gateway }
}

/** Resolves once so many are held no more. */
async function areGone(broker: WaitingBroker, count: number): Promise<void> {
  do {
    // What was asked for in a turn lives to its end.
    await turn()
    collectGarbage()
  } while (broker.values.length < count || broker.values.some((value) => value.deref() !== undefined))
}

test.each([
  ['text/plain', 'x'.repeat(500_000), 1],
  ['application/json', JSON.stringify({ records: [{ value: 'x'.repeat(500_000) }, { value: 'pears' }] }), 2],
])('over HTTP, %s', async (contentType, body, count) => {
  const { broker, gateway } = await start()
  const client = new AbortController()
  ends.push(() => client.abort())
  const headers = { 'content-type': contentType }
  const url = `${gateway.url}/v1/topics/orders/records?ack=all&wait=60s`
  void fetch(url, { method: 'POST', body, headers, signal: client.signal }).catch(() => {})
  await areGone(broker, count)
  expect(gateway.load().requests).toBe(1)
})

test('over a WebSocket', async () => {
  const { broker, gateway } = await start()
  const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/ws`, 'grapevine.v1.json')
  ends.push(() => socket.terminate())
  await once(socket, 'open')
  const records = [{ value: 'x'.repeat(500_000) }]
  socket.send(JSON.stringify({ type: 'publish', ref: 'a', topic: 'orders', records, ack: 'all', wait: '60s' }))
  await areGone(broker, 1)
  expect(gateway.load().connections).toBe(1)
})
