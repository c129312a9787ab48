// Waiting for the copies of a record over HTTP: a live read like others. What is answered is tested with the application.
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createGateway } from '../app.ts'
import type { Broker } from '../broker.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { LiveReads } from '../live-reads.ts'

/** Nothing is heard of any record. */
class DeafBroker extends FakeBroker {
  override awaitCopies(...[, , , , signal]: Parameters<Broker['awaitCopies']>): Promise<undefined> {
    return new Promise((resolve) => signal?.addEventListener('abort', () => resolve(undefined)))
  }
}

function gateway() {
  const broker = new DeafBroker()
  const config = { ...gatewayDefaults, readersMax: 2 }
  const liveReads = new LiveReads(config.readersMax)
  const app = createGateway({ broker, config, liveReads })
  const url = '/v1/topics/orders/records/oak-id.0123456789abcdef.0/replication?level=all&wait=60s'
  const ask = async (signal?: AbortSignal) => {
    const answer = await app.request(url, signal && { signal })
    return [answer.status, ((await answer.json()) as { code: string }).code]
  }
  return { liveReads, ask }
}

test('those who wait for copies are bounded; one whose client goes makes room', async () => {
  const { ask, liveReads } = gateway()
  const gone = new AbortController()
  const waiting = [ask(gone.signal), ask()]
  await turn()
  expect(liveReads.counts()).toMatchObject({ longPoll: 2 })
  expect(await ask()).toEqual([503, 'OVERLOADED'])
  gone.abort()
  await waiting[0]
  expect(liveReads.count).toBe(1)
  liveReads.drain()
  expect(await waiting[1]).toEqual([404, 'RECORD_NOT_FOUND'])
  expect(liveReads.count).toBe(0)
})
