// Revoking over HTTP: for how long it is remembered, and what happens when there are too many.
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { pureDigests } from '#protocol/log/pure-digests'
import { createGateway } from '../app.ts'
import { Authority } from '../auth/authority.ts'
import { everything, madeToken, noonMs, signedToken, signedTokens, TestClock } from '../auth/test-authority.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'

const admin = madeToken('admin', everything)
const secret = Buffer.from('a secret of thirty-two characters')
const hmac = { jwk: { kty: 'oct', k: secret.toString('base64url'), alg: 'HS256' }, private: secret, alg: 'HS256' }

async function gateway() {
  const clock = new TestClock()
  const signed = await signedTokens([hmac], { clock })
  const authority = new Authority({ digests: pureDigests, wallMs: clock.wallMs, signed })
  authority.tokens.replace([admin.stored])
  const broker = new FakeBroker()
  const app = createGateway({ broker, config: gatewayDefaults, authority })
  const ask = (method: string, path: string, token = admin.text) =>
    app.request(path, { method, headers: { authorization: `Bearer ${token}` } })
  return { authority, broker, clock, ask }
}

test('a signed token that was shown here is remembered as revoked until it expires', async () => {
  const { ask } = await gateway()
  const token = await signedToken(hmac, { jti: 't-17' })
  expect((await ask('GET', '/v1/topics', token)).status).toBe(200)
  for (const id of ['t-17?until=time:2030-01-01', 'never-seen', 'unseen?until=time:2030-01-01'])
    expect((await ask('DELETE', `/v1/tokens/${id}`)).status).toBe(200)
  expect((await ask('GET', '/v1/topics', token)).status).toBe(401)
  const { revoked } = (await (await ask('GET', '/v1/tokens/revoked')).json()) as { revoked: unknown }
  const until = new Date(noonMs + 3_600_000).toISOString()
  expect(revoked).toEqual([
    { id: 't-17', until },
    { id: 'never-seen' },
    { id: 'unseen', until: '2030-01-01T00:00:00.000Z' },
  ])
  expect((await ask('DELETE', '/v1/tokens/other?until=soon')).status).toBe(400)
})

test('with too many of them another is refused before anything is written, until some have expired', async () => {
  const { authority, broker, clock, ask } = await gateway()
  for (let n = 0; n < limits.revocationsMax; n++) authority.revoke(`t${n}`, noonMs + 1_000)
  for (let n = 0; n < 3; n++)
    expect(await (await ask('DELETE', '/v1/tokens/more')).json()).toMatchObject({ code: 'OVERLOADED' })
  expect(broker.revoked).toEqual([])
  clock.nowMs += 1_500
  expect((await ask('DELETE', '/v1/tokens/more')).status).toBe(200)
  expect(broker.revoked).toEqual(['more'])
})
