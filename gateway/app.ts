import { Hono } from 'hono'
import { METHODS } from 'hono/router'
import { MeshError } from '#protocol/errors'
import type { Authority } from './auth/authority.ts'
import { guard } from './auth/guard.ts'
import { Bodies } from './body.ts'
import type { Broker } from './broker.ts'
import type { GatewayConfig } from './config.ts'
import { crossOrigin } from './cors.ts'
import type { RouteDeps } from './deps.ts'
import type { Intake } from './intake/intake.ts'
import { LiveReads } from './live-reads.ts'
import type { GatewayLog } from './gateway-log.ts'
import type { GatewayMetrics } from './metrics.ts'
import { Origins } from './origins.ts'
import { boundOf } from './overload.ts'
import { isServing, Problems, type ReportError } from './problem.ts'
import { cursorRoutes } from './routes/cursors.ts'
import { documentRoutes } from './routes/documents.ts'
import { eventRoutes } from './routes/events.ts'
import { healthRoutes } from './routes/health.ts'
import { indexOf } from './routes/index.ts'
import { labRoutes } from './routes/lab.ts'
import { logLevelRoutes } from './routes/log-level.ts'
import { meshRoutes } from './routes/mesh.ts'
import { metricsRoutes } from './routes/metrics.ts'
import { publishRoutes } from './routes/publish.ts'
import { readRoutes } from './routes/read.ts'
import { recordRoutes } from './routes/record.ts'
import { streamRoutes } from './routes/stream.ts'
import { ticketRoutes } from './routes/tickets.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { topicRoutes } from './routes/topics.ts'
import type { Sockets } from './ws/sockets.ts'
import { socketRoutes } from './ws/upgrade.ts'

export interface GatewayDeps {
  readonly broker: Broker
  readonly config: GatewayConfig
  /** Told of every error that is our own mistake. */
  readonly reportError?: ReportError
  /** Without it there is no `/metrics`. */
  readonly metrics?: GatewayMetrics
  /** The server's, so that it can end them, and say how much there is. */
  readonly liveReads?: LiveReads
  readonly bodies?: Bodies
  readonly intake?: Intake
  /** Without it there are no WebSockets. */
  readonly sockets?: Sockets
  /** Without it there is no `/v1/log-level`. */
  readonly log?: GatewayLog
  readonly origins?: Origins
  /** Without it everybody may do everything. */
  readonly authority?: Authority | undefined
}

/** The HTTP API of one peer (DESIGN §11), as a function from requests to responses. */
export function createGateway({ broker, config, reportError = console.error, metrics, ...deps }: GatewayDeps): Hono {
  const liveReads = deps.liveReads ?? new LiveReads(config.readersMax)
  const problems = new Problems(
    () => broker.self.name,
    reportError,
    (error) => metrics?.refused(error.code, boundOf(error)),
  )
  const draining = (): boolean => liveReads.draining || !isServing(broker.ready())
  const bodies = deps.bodies ?? new Bodies(config.arrivingBytesMax)
  const origins = deps.origins ?? new Origins(config)
  const { intake } = deps
  const shared: RouteDeps = {
    broker,
    config,
    bodies,
    liveReads,
    problems,
    origins,
    draining,
    ...(intake && { intake }),
  }

  const app = new Hono()
  app.use(everywhere, crossOrigin(origins))
  app.use(everywhere, guard(deps.authority, deps.intake?.rates))
  const areas = [
    publishRoutes,
    readRoutes,
    recordRoutes,
    cursorRoutes,
    streamRoutes,
    topicRoutes,
    meshRoutes,
    eventRoutes,
    labRoutes,
    documentRoutes,
  ]
  for (const routesOf of areas) {
    app.route('/', routesOf(shared))
  }
  if (deps.sockets !== undefined)
    app.route('/', socketRoutes({ ...shared, sockets: deps.sockets, authority: deps.authority }, reportError))
  app.route('/', healthRoutes(shared, deps.authority))
  app.route('/', ticketRoutes(deps.authority))
  app.route('/', tokenRoutes(shared, deps.authority))
  if (metrics !== undefined) app.route('/', metricsRoutes(metrics))
  if (deps.log !== undefined) app.route('/', logLevelRoutes(shared, deps.log))
  const routes = app.routes.filter(({ path }) => path !== everywhere)
  app.get('/', indexOf(broker.self, routes))
  app.onError((error) => problems.response(error))
  app.notFound((c) => {
    const allow = methodsOf(app, c.req.path)
    if (allow.length === 0)
      return problems.response(new MeshError('ROUTE_NOT_FOUND', `There is nothing at ${c.req.path}.`))
    const error = new MeshError('METHOD_NOT_ALLOWED', `${c.req.path} takes ${allow.join(', ')}, not ${c.req.method}.`)
    return problems.response(error, { allow: allow.join(', ') })
  })
  return app
}

/** The path of what comes before all routes. */
const everywhere = '/*'

function methodsOf(app: Hono, path: string): string[] {
  const methods = METHODS.map((method) => method.toUpperCase()).filter(
    // What stands before all routes answers nothing by itself.
    (method) => app.router.match(method, path)[0].some(([[, route]]) => route.path !== everywhere),
  )
  return methods.includes('GET') ? ['HEAD', ...methods] : methods
}
