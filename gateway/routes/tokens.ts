import { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import type { Authority } from '../auth/authority.ts'
import { authorizeMesh } from '../auth/principal.ts'
import { isRevocable } from '../auth/credential.ts'
import type { RouteDeps } from '../deps.ts'
import { queryOf, quoted } from '../parameters.ts'
import { timeOf } from '../start.ts'
import { json } from './json-answer.ts'

/** Revokes tokens, everywhere: what one peer is told all others hear. */
export function tokenRoutes({ broker }: RouteDeps, authority: Authority | undefined): Hono {
  const routes = new Hono()

  routes.get('/v1/tokens/revoked', (c) => {
    authorizeMesh(c, 'subscribe')
    queryOf(c, [])
    const revoked = Array.from(authority?.revocations.all() ?? [], ({ id, untilMs }) => ({
      id,
      ...(Number.isFinite(untilMs) && { until: new Date(untilMs).toISOString() }),
    }))
    return json({ revoked })
  })

  routes.delete('/v1/tokens/:id', async (c) => {
    authorizeMesh(c, 'manage')
    const { until } = queryOf(c, ['until'])
    const saidMs = until === undefined ? Number.POSITIVE_INFINITY : timeOf('until', until)
    if (authority === undefined) throw new MeshError('AUTH_DISABLED')
    const id = c.req.param('id')
    if (!isRevocable(id))
      throw new MeshError('BAD_REQUEST', `${quoted(id)} is no id of a token.`, { facts: { field: 'id' } })
    // What is known goes before what is said.
    const untilMs = authority.expiryOf(id) ?? saidMs
    if (!authority.isRevoked(id)) {
      // Before anything is written: who tries again and again fills no disk.
      if (!authority.hasRoomToRevoke) throw tooMany()
      // On this disk first: what is told to be revoked stays so, whatever happens to this process.
      await broker.revokeToken(id, untilMs)
      if (!authority.revoke(id, untilMs)) throw tooMany()
    }
    return json({ id, revoked: true })
  })

  return routes
}

const tooMany = (): MeshError => new MeshError('OVERLOADED', 'Too many tokens are revoked that have not expired.')
