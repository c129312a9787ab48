import { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import type { Authority } from '../auth/authority.ts'
import type { RouteDeps } from '../deps.ts'
import { notReady } from '../problem.ts'
import { json } from './json-answer.ts'

/** For whoever watches the process. A partitioned peer is ready: it goes on publishing (P1). */
export function healthRoutes({ broker, liveReads }: RouteDeps, authority: Authority | undefined): Hono {
  const routes = new Hono()
  routes.get('/healthz', () => json({ status: 'ok' }))
  routes.get('/readyz', () => {
    const { ready, reason } = broker.ready()
    if (liveReads.draining) throw new MeshError('DRAINING')
    if (!ready) throw notReady(reason)
    // Nobody is served yet.
    if (authority?.isInformed === false) throw notReady('starting')
    return json({ status: 'ready' })
  })
  routes.get('/version', () => json({ name: 'grapevine', version: broker.self.version }))
  return routes
}
