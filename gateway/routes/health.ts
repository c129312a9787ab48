import { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import type { RouteDeps } from '../deps.ts'

/** For whoever watches the process. A partitioned peer is ready: it goes on publishing (P1). */
export function healthRoutes({ broker, liveReads }: RouteDeps): Hono {
  const routes = new Hono()
  routes.get('/healthz', (c) => c.json({ status: 'ok' }))
  routes.get('/readyz', (c) => {
    const { ready, reason } = broker.ready()
    if (liveReads.draining) throw new MeshError('DRAINING')
    if (!ready) throw new MeshError(reason === 'draining' ? 'DRAINING' : 'UNAVAILABLE', `This peer is ${reason}.`)
    return c.json({ status: 'ready' })
  })
  routes.get('/version', (c) => c.json({ name: 'grapevine', version: broker.self.version }))
  return routes
}
