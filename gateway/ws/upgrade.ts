import { type HttpBindings, upgradeWebSocket, type WebSocketServerLike } from '@hono/node-server'
import { Hono } from 'hono'
import { type WebSocket, WebSocketServer } from 'ws'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { binarySocketProtocol } from '#protocol/wire/binary-frame'
import { socketPath, socketProtocol } from '#protocol/wire/socket-frames'
import type { Authority } from '../auth/authority.ts'
import { handshakeRefusal } from '../auth/guard.ts'
import { principalOf } from '../auth/principal.ts'
import { type AskingHead, isTokenParameter } from '../auth/shown.ts'
import type { Broker } from '../broker.ts'
import type { Origins } from '../origins.ts'
import { queryOf } from '../parameters.ts'
import { invalid, isServing, notReady, type ReportError } from '../problem.ts'
import { ServedSocket, type ServedSocketDeps } from './served-socket.ts'
import type { Sockets } from './sockets.ts'

const socketProtocols: readonly string[] = [binarySocketProtocol, socketProtocol]

type Handshake = Pick<HttpBindings['incoming'], 'method' | 'url' | 'headers'>

/**
 * Why a request does not become a WebSocket, or undefined. Asked before the upgrade, so that a refusal is an answer of
 * HTTP with its problem: once upgraded, a connection can only be given a status.
 */
export function upgradeFault(
  handshake: Handshake,
  { broker, sockets, origins, authority }: UpgradeDeps,
): MeshError | undefined {
  const readiness = broker.ready()
  return isServing(readiness)
    ? (handshakeFault(handshake, authority !== undefined) ?? origins.fault(handshake.headers) ?? sockets.refusal)
    : notReady(readiness.reason)
}

export interface UpgradeDeps {
  readonly broker: Broker
  readonly sockets: Sockets
  readonly origins: Origins
  readonly authority?: Authority | undefined
}

/**
 * What is known at once to be wrong with who asks, likewise before the upgrade. What takes longer to find out, such as a
 * signature that is wrong, is answered with a status alone.
 */
export const callerFault = (handshake: Handshake, authority: Authority | undefined): MeshError | undefined =>
  handshakeRefusal(askingHeadOf(handshake), authority)

const isWithTicket = (url: string): boolean => url.startsWith(`${socketPath}?ticket=`) && !url.includes('&')

function targetFault(url: string): MeshError {
  const parameters = new URLSearchParams(url.split('?', 2)[1])
  if ([...parameters.keys()].some(isTokenParameter)) return new MeshError('TOKEN_IN_URL')
  return invalid('the target', `must be ${socketPath}`)
}

const askingHeadOf = ({ method = '', url = '', headers }: Handshake): AskingHead => ({
  method,
  url,
  authorization: headers.authorization,
  accept: headers.accept,
})

function handshakeFault({ method, url = '/', headers }: Handshake, takesTickets: boolean): MeshError | undefined {
  if (method !== 'GET') return new MeshError('METHOD_NOT_ALLOWED')
  const { connection = '', upgrade = '', host = '' } = headers
  if (!/(^|[\s,])upgrade($|[\s,])/i.test(connection) || upgrade.toLowerCase() !== 'websocket') {
    return new MeshError('UPGRADE_REQUIRED')
  }
  if (url !== socketPath && !(takesTickets && isWithTicket(url))) return targetFault(url)
  if (!isHost(host)) return invalid('host', 'is not valid (RFC 9112 §3.2)')
  if (headers['sec-websocket-version'] !== '13') return invalid('sec-websocket-version', 'must be 13 (RFC 6455)')
  if (!/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) {
    return invalid('sec-websocket-key', 'must be 16 bytes in base64 (RFC 6455)')
  }
  if (offered(headers).some((name) => socketProtocols.includes(name))) return undefined
  return invalid('sec-websocket-protocol', `must offer ${socketProtocols.join(' or ')}`)
}

const isHost = (text: string): boolean =>
  URL.canParse(`http://${text}`) && new URL(`http://${text}`).hostname === text.replace(/:\d+$/, '').toLowerCase()

const offered = (headers: Handshake['headers']): string[] =>
  (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())

/** A client that does not answer our close in time is cut. */
const closeTimeoutMs = 5_000

/** The limits of ws, said rather than inherited. */
const socketServerOptions = {
  noServer: true,
  clientTracking: false,
  // Compression costs memory per socket, and unpacks to sizes that are not known before.
  perMessageDeflate: false,
  // Answered by the session, which looks at what waits to be sent.
  autoPong: false,
  maxPayload: limits.socketFrameBytesMax,
  maxFragments: limits.socketFragmentsMax,
  closeTimeout: closeTimeoutMs,
  // Of those that are offered, the client's favorite (RFC 6455 §4.1).
  handleProtocols: (offers: Set<string>) => [...offers].find((name) => socketProtocols.includes(name)) ?? false,
}

/**
 * `onRefused` has the last word on a handshake that ws takes for none. Its type and that of Hono differ in how they
 * write an option that is absent.
 */
export const createSocketServer = (onRefused: (error: Error, socket: Duplex) => void): WebSocketServerLike =>
  new WebSocketServer(socketServerOptions).on('wsClientError', onRefused) as unknown as WebSocketServerLike

type Duplex = Parameters<WebSocketServer['handleUpgrade']>[1]

export function socketRoutes(deps: ServedSocketDeps, reportError: ReportError): Hono {
  const routes = new Hono<{ Bindings: Partial<HttpBindings> }>()
  const upgrade = upgradeWebSocket(
    (c) => {
      const { incoming } = c.env as HttpBindings
      const principal = principalOf(c)
      let served: ServedSocket | undefined
      return {
        onOpen(_, { raw }) {
          served = new ServedSocket(deps, { socket: raw as unknown as WebSocket, handshake: incoming, principal })
          served.begin()
        },
        onMessage: ({ data }) => served?.onMessage(data),
        onClose: () => served?.onClose(),
        // What broke is told to the client by its close code, and the close follows.
        onError() {},
      }
    },
    { onError: reportError },
  )
  routes.get(socketPath, (c, next) => {
    queryOf(c, [])
    const { incoming } = c.env
    const fault = incoming === undefined ? new MeshError('UPGRADE_REQUIRED') : upgradeFault(incoming, deps)
    if (fault !== undefined) throw fault
    return upgrade(c, next)
  })
  return routes as unknown as Hono
}
