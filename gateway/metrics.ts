import type { ErrorCode } from '#protocol/errors'
import type { GatewayBound } from './overload.ts'

/**
 * Where the figures of this peer are kept: the gateway tells what it sees, once per request, and serves the whole at
 * `GET /metrics`. `node/` implements it.
 */
export interface GatewayMetrics {
  /** Media type of `text`. */
  readonly contentType: string
  /** All figures of the peer, as Prometheus reads them. Rejects with UNAVAILABLE while the peer starts. */
  text(): Promise<string>
  /** A request is over, a stream when it has ended. `aborted`: the client went before it had an answer. */
  answered(method: string, status: number | 'aborted'): void
  /** An error was told to a client; with the bound that it met, if it was one of the gateway's. */
  refused(code: ErrorCode, bound?: GatewayBound): void
  /** A connection was cut because of that bound, or not even accepted. */
  cut(bound: GatewayBound): void
}

/** What the gateway holds now, read when somebody asks. */
export interface GatewayLoad {
  readonly liveReads: Readonly<Record<LiveReadKind, number>>
  /** Sockets of clients. */
  readonly connections: number
  /** Bytes of bodies and of frames that are arriving. */
  readonly arrivingBytes: number
  /** Bytes of answers, streams and frames that clients have not taken yet. */
  readonly unsentBytes: number
  /** Requests without a whole answer. */
  readonly requests: number
}

/** How a client waits for records to come: over HTTP (server-sent events, NDJSON), by asking again, or as a subscription. */
export type LiveReadKind = 'stream' | 'longPoll' | 'webSocket'
