import { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type { Authority } from '../auth/authority.ts'
import { principalOf } from '../auth/principal.ts'
import { queryOf } from '../parameters.ts'
import { json } from './json-answer.ts'

/** Gives a browser what it may put into the URL of an `EventSource` or a `WebSocket`. */
export function ticketRoutes(authority: Authority | undefined): Hono {
  const routes = new Hono()
  routes.post('/v1/tickets', (c) => {
    queryOf(c, [])
    if (authority === undefined) throw new MeshError('AUTH_DISABLED')
    const ticket = authority.tickets.give(principalOf(c))
    return json({ ticket, expiresInMs: limits.ticketMs }, 201, { 'cache-control': 'no-store' })
  })
  return routes
}
