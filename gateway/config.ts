import { limits } from '#protocol/limits'
import type { RatesConfig } from './intake/rates.ts'

export interface GatewayConfig {
  /** Address to listen on: a name or an IP address without brackets. */
  readonly host: string
  /** 0 picks a free port. */
  readonly port: number
  /** Origins of web pages that may use this gateway, beside its own: see `origins.ts`. */
  readonly allowOrigins: readonly string[]
  /** Names of hosts under which browsers know it, beside addresses and `localhost`. */
  readonly ownHosts: readonly string[]
  /** Live reads (SSE and waiting long-polls) at a time; one more is refused as OVERLOADED. Higher: more sockets and memory. */
  readonly readersMax: number
  /** An idle SSE stream says something this often, so that proxies keep it and dead clients are noticed. */
  readonly heartbeatMs: number
  /** Records that an SSE stream takes from the log at a time; at least one socket write each. Higher: fewer, larger writes. */
  readonly streamRecordsPerRead: number
  /** Connections at a time, WebSockets among them, and requests under way; half of it for one address. Higher: more memory. */
  readonly connectionsMax: number
  /** Bytes of answers, streams and frames that clients have not taken yet: beyond it the slowest connections are cut. */
  readonly unsentBytesMax: number
  /** Bytes of heads of requests that are not whole yet: beyond it the largest are cut. */
  readonly arrivingHeadBytesMax: number
  /** How often both are looked at. Higher: more can come to wait in the meantime. */
  readonly lookEveryMs: number
  /** Of one client, by its token or else its address: more are refused as RATE_LIMITED, and a WebSocket is read more slowly. */
  readonly rates: RatesConfig
  /** Addresses and subnets of proxies, whose `X-Forwarded-For` says who the client is. */
  readonly trustedProxies: readonly string[]
  /** WebSockets at a time; one more is refused as OVERLOADED. */
  readonly socketsMax: number
  /** Bytes of bodies, and again of frames of WebSockets, that are arriving at a time; more are refused as OVERLOADED. What has arrived is the broker's to bound. */
  readonly arrivingBytesMax: number
  /** Request line and headers. A cursor may come as `Last-Event-ID` or in `?from=`, percent-encoded or not. */
  readonly requestHeadBytesMax: number
  /** Headers of a request; none is left out in silence. */
  readonly requestHeadersMax: number
  /** The head of a request must arrive within this time: against clients that trickle (slowloris). */
  readonly headTimeoutMs: number
  /** The whole request must arrive within this time, unless it is a stream of lines. Lower: large bodies fail on slow links. */
  readonly requestTimeoutMs: number
  /** An idle connection is kept this long; longer than the 60 s of common load balancers, so that they close first. */
  readonly keepAliveMs: number
  /** At the stop, answers under way get this long before their sockets are cut. */
  readonly drainMs: number
}

export const gatewayDefaults: GatewayConfig = {
  host: '127.0.0.1',
  port: 8400,
  allowOrigins: [],
  ownHosts: [],
  readersMax: limits.readersMax,
  heartbeatMs: 15_000,
  streamRecordsPerRead: 256,
  connectionsMax: limits.connectionsMax,
  unsentBytesMax: limits.unsentBytesMax,
  arrivingHeadBytesMax: limits.arrivingHeadBytesMax,
  lookEveryMs: 250,
  rates: { requestsPerSecond: 25_000, bytesPerSecond: 256 * 1024 * 1024 },
  trustedProxies: [],
  socketsMax: limits.socketsMax,
  arrivingBytesMax: limits.pendingPublishBytesMax,
  requestHeadBytesMax: limits.cursorTextMax + 16 * 1024,
  requestHeadersMax: 1_000,
  headTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  keepAliveMs: 65_000,
  drainMs: 5_000,
}
