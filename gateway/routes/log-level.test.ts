import { expect, test } from 'vitest'
import { createGateway } from '../app.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import type { GatewayLog } from '../gateway-log.ts'

function gateway(log?: GatewayLog) {
  const app = createGateway({ broker: new FakeBroker(), config: gatewayDefaults, ...(log && { log }) })
  return async (method: string, body?: string) => {
    const answer = await app.request('/v1/log-level', { method, ...(body !== undefined && { body }) })
    return { status: answer.status, body: (await answer.json()) as unknown }
  }
}

test('the level is shown, and changed', async () => {
  const log: GatewayLog = { level: 'info', request: () => {} }
  const ask = gateway(log)
  expect(await ask('GET')).toEqual({ status: 200, body: { level: 'info' } })
  expect(await ask('PUT', '{"level":"debug"}')).toEqual({ status: 200, body: { level: 'debug' } })
  expect(log.level).toBe('debug')
})

test.each(['{"level":"loud"}', '{}', '{"level":"info","for":"1h"}'])('%s changes nothing', async (body) => {
  const log: GatewayLog = { level: 'warn', request: () => {} }
  expect(await gateway(log)('PUT', body)).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } })
  expect(log.level).toBe('warn')
})

test('where nothing is logged there is nothing to set', async () => {
  expect(await gateway()('GET')).toMatchObject({ status: 404, body: { code: 'ROUTE_NOT_FOUND' } })
})
