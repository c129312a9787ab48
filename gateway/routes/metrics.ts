import { Hono } from 'hono'
import { authorizeMesh } from '../auth/principal.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { queryOf } from '../parameters.ts'

/** For Prometheus, and for people with `curl`. What each figure means: `docs/metrics.md`. */
export function metricsRoutes(metrics: GatewayMetrics): Hono {
  const routes = new Hono()
  routes.get('/metrics', async (c) => {
    authorizeMesh(c, 'subscribe')
    queryOf(c, [])
    return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType })
  })
  return routes
}
