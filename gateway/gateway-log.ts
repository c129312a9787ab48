import type { LogLevel } from '#protocol/log-level'

/** One request as it is logged: its path without the query, where credentials might stand. */
export interface RequestLine {
  readonly method: string
  readonly path: string
  /** `aborted`: the client went before it had an answer. */
  readonly status: number | 'aborted'
  /** From its head to the end of the answer, of a stream until it ended. */
  readonly ms: number
}

/** The log of this peer, as far as the gateway is concerned: how much it says, and each request at level `debug`. */
export interface GatewayLog {
  level: LogLevel
  request(line: RequestLine): void
}
