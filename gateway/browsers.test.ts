// What pages of others can do to a gateway through somebody's browser: nothing, by HTTP or as a WebSocket.
import { once } from 'node:events'
import { afterEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { socketProtocol } from '#protocol/wire/socket-frames'
import { gatewayDefaults, type GatewayConfig } from './config.ts'
import { FakeBroker } from './fake-broker.ts'
import { startGateway } from './server.ts'

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

async function start(config: Partial<GatewayConfig> = {}) {
  const broker = new FakeBroker()
  const gateway = await startGateway({ broker, config: { ...gatewayDefaults, port: 0, ...config } })
  ends.push(() => gateway.stop())
  /** What a handshake is answered with: 101, or why not. */
  const upgrade = async (origin: string): Promise<number | undefined> => {
    const socket = new WebSocket(`${gateway.url.replace('http', 'ws')}/v1/ws`, socketProtocol, { origin })
    ends.push(() => socket.terminate())
    socket.on('error', () => {})
    const opened = once(socket, 'open').then(() => 101)
    const refused = once(socket, 'unexpected-response').then(([, { statusCode }]) => statusCode as number)
    return Promise.race([opened, refused])
  }
  return { broker, url: gateway.url, upgrade }
}

test('a page of another origin publishes nothing, although its request needs no preflight', async () => {
  const { broker, url } = await start()
  const headers = { origin: 'https://evil.example', 'content-type': 'text/plain' }
  const answer = await fetch(`${url}/v1/topics/orders/records`, { method: 'POST', headers, body: 'pears' })
  expect(answer.status).toBe(403)
  expect(await answer.json()).toMatchObject({ code: 'ORIGIN_REFUSED', detail: expect.stringContaining('evil.example') })
  expect(broker.published).toEqual([])
})

test('a page of another origin opens no WebSocket; our own and those that are listed do', async () => {
  const { url, upgrade } = await start({ allowOrigins: ['https://shop.example'] })
  expect(await upgrade('https://evil.example')).toBe(403)
  expect(await upgrade('https://shop.example')).toBe(101)
  expect(await upgrade(url)).toBe(101)
})
