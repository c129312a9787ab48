import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createAdaptorServer, getRequestListener, RequestError } from '@hono/node-server'
import type { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import { isLoopback } from '#protocol/loopback'
import { createGateway } from './app.ts'
import type { Authority } from './auth/authority.ts'
import { Bodies } from './body.ts'
import type { Broker } from './broker.ts'
import { answerClientError, answerFault, answerSocket, type ClientError, headFault, malformed } from './client-error.ts'
import type { GatewayConfig } from './config.ts'
import { Intake } from './intake/intake.ts'
import { LiveReads } from './live-reads.ts'
import type { GatewayLog, RequestLine } from './gateway-log.ts'
import type { GatewayLoad, GatewayMetrics } from './metrics.ts'
import { Origins } from './origins.ts'
import { boundOf } from './overload.ts'
import { Problems, type ReportError } from './problem.ts'
import { Sockets } from './ws/sockets.ts'
import { callerFault, createSocketServer, upgradeFault } from './ws/upgrade.ts'

export interface GatewayServerDeps {
  readonly broker: Broker
  readonly config: GatewayConfig
  /** Told of every error that is our own mistake. */
  readonly reportError?: ReportError
  /** Without it there is no `/metrics`. */
  readonly metrics?: GatewayMetrics
  /** Without it everybody may do everything. */
  readonly authority?: Authority | undefined
  /** Told of every request at level `debug`. */
  readonly log?: GatewayLog
}

export interface GatewayServer {
  readonly host: string
  /** The port listened on: a free one if 0 was asked for. */
  readonly port: number
  /** Such as `http://127.0.0.1:8400`. */
  readonly url: string
  load(): GatewayLoad
  /** Says `bye` to streams, finishes answers, then closes; what is not done after `drainMs` is cut. */
  stop(): Promise<void>
}

/** Resolves once it listens. Rejects with PORT_IN_USE, or CONFIG_INVALID for an address that is not of this machine. */
export async function startGateway({
  broker,
  config,
  reportError = console.error,
  metrics,
  authority,
  log,
}: GatewayServerDeps): Promise<GatewayServer> {
  const liveReads = new LiveReads(config.readersMax)
  const sockets = new Sockets(config)
  const isOpenOnLoopback = authority === undefined && isLoopback(config.host.toLowerCase())
  const origins = new Origins(config, { isOpenOnLoopback })
  const intake = new Intake(config, { onCut: (bound) => metrics?.cut(bound) })
  const bodies = new Bodies(config.arrivingBytesMax, intake)
  const parts = { broker, config, reportError, liveReads, bodies, sockets, origins, intake, authority }
  const app = createGateway({ ...parts, ...(metrics && { metrics }), ...(log && { log }) })
  const problems = new Problems(
    () => broker.self.name,
    reportError,
    (error) => metrics?.refused(error.code, boundOf(error)),
  )
  const answer = getRequestListener(app.fetch, {
    hostname: 'localhost',
    // Met when the target is no URL, before there is a request that the app could answer.
    errorHandler: (error) => problems.response(error instanceof RequestError ? malformed(error.message) : error),
  })
  const server = createHttpServer({
    app,
    config,
    onRefused: ({ message }, socket) => answerSocket(problems, malformed(message), socket as Socket),
    mayUpgrade(request) {
      const known = intake.upgradeFault(request) ?? upgradeFault(request, parts) ?? callerFault(request, authority)
      return (known ?? intake.upgrade(request)) === undefined
    },
    answer(incoming, outgoing) {
      const startedMs = log?.level === 'debug' ? performance.now() : undefined
      outgoing.once('close', () => {
        intake.end(incoming, outgoing)
        metrics?.answered(incoming.method ?? '', statusOf(outgoing))
        if (startedMs !== undefined) log?.request(lineOf(incoming, outgoing, performance.now() - startedMs))
      })
      const fault = intake.take(incoming, outgoing) ?? headFault(incoming) ?? origins.fault(incoming.headers)
      if (fault === undefined) void answer(incoming, outgoing)
      else answerFault(problems, fault, outgoing)
    },
  })
  intake.watch(server)
  server.maxHeadersCount = config.requestHeadersMax
  server.on('clientError', (error: ClientError, stream) => {
    const socket = stream as Socket
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && bodies.mayTakeTime(socket)) return
    answerClientError(problems, error, socket)
  })
  server.on('connect', (_, socket) => answerSocket(problems, malformed('CONNECT is for proxies'), socket as Socket))
  await listen(server, config)
  // Such as no file descriptors left to accept with: this connection is lost, the peer goes on.
  server.on('error', reportError)
  const { port } = server.address() as AddressInfo
  const host = config.host.includes(':') ? `[${config.host}]` : config.host
  let stopped: Promise<void> | undefined
  return {
    host: config.host,
    port,
    url: `http://${host}:${port}`,
    load: () => loadOf({ liveReads, sockets, intake, bodies }),
    stop: () => (stopped ??= stop({ server, liveReads, sockets, intake }, config.drainMs)),
  }
}

interface HttpServerParts {
  readonly app: Hono
  readonly config: GatewayConfig
  /** A request that may not is answered like any other, and the answer says why. */
  readonly mayUpgrade: (request: IncomingMessage) => boolean
  /** A handshake that looked like one. */
  readonly onRefused: Parameters<typeof createSocketServer>[0]
  readonly answer: RequestListener
}

/** The adaptor wires up WebSockets; requests are answered by our own listener, which has a word for malformed ones. */
function createHttpServer({ app, config, mayUpgrade, onRefused, answer }: HttpServerParts): Server {
  const options = { ...serverOptionsOf(config), shouldUpgradeCallback: mayUpgrade }
  const create = (): Server => createServer(options, answer)
  const server = createAdaptorServer({
    fetch: app.fetch,
    websocket: { server: createSocketServer(onRefused) },
    createServer: create as typeof createServer,
  }) as Server
  return server.on('checkExpectation', answer)
}

/** All of Node's limits, said rather than inherited. */
const serverOptionsOf = (config: GatewayConfig): ServerOptions => ({
  maxHeaderSize: config.requestHeadBytesMax,
  // It is required, but with a word.
  requireHostHeader: false,
  headersTimeout: config.headTimeoutMs,
  requestTimeout: config.requestTimeoutMs,
  connectionsCheckingInterval: Math.min(5_000, config.requestTimeoutMs),
  keepAliveTimeout: config.keepAliveMs,
  // TCP_NODELAY: an answer is one write, and the record of a stream must not wait for the next.
  noDelay: true,
  // A client whose machine is gone never closes its socket.
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
})

const statusOf = (outgoing: ServerResponse): number | 'aborted' =>
  outgoing.headersSent ? outgoing.statusCode : 'aborted'

function lineOf({ method = '', url = '' }: IncomingMessage, outgoing: ServerResponse, ms: number): RequestLine {
  const [path = ''] = url.split('?', 1)
  return { method, path, status: statusOf(outgoing), ms: Math.round(ms) }
}

function loadOf({
  liveReads,
  sockets,
  intake,
  bodies,
}: Omit<Serving, 'server'> & { readonly bodies: Bodies }): GatewayLoad {
  const { count, requests, held } = intake.connections
  const arrivingBytes = bodies.arrivingBytes + sockets.arrivingBytes + held.heads
  return { liveReads: liveReads.counts(), connections: count, requests, arrivingBytes, unsentBytes: held.unsent }
}

function listen(server: Server, { host, port }: GatewayConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, `${host}:${port}`)))
    server.listen(port, host, resolve)
  })
}

function listenError(error: NodeJS.ErrnoException, address: string): MeshError {
  const [code, problem] =
    error.code === 'EADDRINUSE'
      ? (['PORT_IN_USE', 'is in use'] as const)
      : (['CONFIG_INVALID', `cannot be listened on (${error.code})`] as const)
  return new MeshError(code, `${address} ${problem}.`, { cause: error, facts: { address } })
}

/** Node closes the connections that are idle when it is told to close; those that become idle later must be asked for. */
const idleCheckMs = 50

interface Serving {
  readonly server: Server
  readonly liveReads: LiveReads
  readonly sockets: Sockets
  readonly intake: Intake
}

async function stop({ server, liveReads, sockets, intake }: Serving, drainMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
  liveReads.drain()
  sockets.drain()
  const idle = setInterval(() => server.closeIdleConnections(), idleCheckMs)
  const deadline = setTimeout(() => {
    server.closeAllConnections()
    sockets.cut()
    intake.connections.cut()
  }, drainMs)
  await closed
  clearInterval(idle)
  clearTimeout(deadline)
  intake.stop()
}
