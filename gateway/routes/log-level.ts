import { Hono } from 'hono'
import { authorizeMesh } from '../auth/principal.ts'
import type { RouteDeps } from '../deps.ts'
import type { GatewayLog } from '../gateway-log.ts'
import { queryOf } from '../parameters.ts'
import { bodyOf, logLevelBody } from '../schemas.ts'
import { json } from './json-answer.ts'

/** How much this peer says in its log, until it is told otherwise or starts again. */
export function logLevelRoutes({ bodies }: RouteDeps, log: GatewayLog): Hono {
  const routes = new Hono()
  routes.get('/v1/log-level', (c) => {
    authorizeMesh(c, 'subscribe')
    queryOf(c, [])
    return json({ level: log.level })
  })
  routes.put('/v1/log-level', async (c) => {
    authorizeMesh(c, 'manage')
    queryOf(c, [])
    log.level = (await bodyOf(c, bodies, logLevelBody)).level
    return json({ level: log.level })
  })
  return routes
}
