/**
 * What clients and peers say to each other over a WebSocket (DESIGN §11): one JSON object per text frame. Both sides
 * check what they get; these are the shapes that they agree on. With `grapevine.v1.bin` records come and go in binary
 * messages instead (`binary-frame.ts`), and a publish is answered with runs of ids; all the rest is the same.
 */
export const socketProtocol = 'grapevine.v1.json'

export const socketPath = '/v1/ws'

/** Close codes of ours (RFC 6455 §7.4.2): 40xx come back, 41xx get another token first, 45xx do not come back. */
export const closeCodes = {
  /** The peer shuts down. */
  draining: 4000,
  /** Too many bytes were arriving at this peer. */
  overloaded: 4001,
  /** What the token grants has changed: the same is good for another socket. */
  grantsChanged: 4002,
  /** It cannot be found out now who that is. */
  unavailable: 4003,
  tokenExpired: 4100,
  tokenRevoked: 4101,
  /** It is not one that this peer trusts. */
  tokenInvalid: 4102,
  /** The peer asks for a token, and was given none. */
  authRequired: 4103,
  /** The client sent what is no frame. */
  badFrame: 4500,
} as const

export const mayComeBack = (closeCode: number): boolean =>
  // What was sent is of the wrong type, no UTF-8, in too many parts or too large, and would be again (RFC 6455 §7.4.1).
  (closeCode < 4100 || closeCode >= 4600) && ![1003, 1007, 1008, 1009].includes(closeCode)

/** Topic → cursor. A topic without one is read from its earliest record on. */
export type CursorMap = Readonly<Record<string, string>>

export type ClientFrame =
  | SubscribeFrame
  | { readonly type: 'credit'; readonly sub: string; readonly n: number }
  | { readonly type: 'unsubscribe'; readonly sub: string }
  | PublishFrame
  | { readonly type: 'auth'; readonly token: string }

export interface SubscribeFrame {
  readonly type: 'subscribe'
  /** The client's name for it, not in use on this socket. */
  readonly sub: string
  readonly topics: readonly string[]
  /** `earliest`, `latest` (the default), `time:<RFC 3339 or milliseconds>`, a cursor where there is one topic and no pattern, or a cursor for each topic. */
  readonly from?: string | CursorMap
  /** How many records may come before more credit is given. */
  readonly credit: number
}

export interface PublishFrame {
  readonly type: 'publish'
  /** The client's name for it, not in flight on this socket. */
  readonly ref: string
  readonly topic: string
  /** As in the body of a batch over HTTP. */
  readonly records: readonly object[]
  readonly ack?: string
  /** Such as `2s`. */
  readonly wait?: string
  /** By which a retry is recognized: the number of the first record, the others follow; or a key of this frame. */
  readonly producer?: { readonly id: string; readonly epoch?: number; readonly seq: number }
  readonly idempotencyKey?: string
}

/** `Rec` and `Gap` are the records and gaps of the gateway's JSON. */
export type PeerFrame<Rec = object, Gap = object> =
  | WelcomeFrame
  | { readonly type: 'subscribed'; readonly sub: string; readonly cursor: CursorMap }
  | { readonly type: 'record'; readonly sub: string; readonly record: Rec; readonly cursor: string }
  | EventFrame<Gap>
  | PublishedFrame
  | PublishedRunsFrame
  | { readonly type: 'error'; readonly ref?: string; readonly sub?: string; readonly problem: object }
  | ByeFrame

export interface WelcomeFrame {
  readonly type: 'welcome'
  /** Name of the peer. */
  readonly peer: string
  readonly limits: SocketLimits
  /** Gateways of other peers that are alive. */
  readonly servers: readonly string[]
}

export interface SocketLimits {
  readonly frameBytes: number
  readonly subscriptions: number
  /** Of all subscriptions of the socket. */
  readonly topics: number
  /** Of one subscription. */
  readonly credit: number
  readonly publishesInFlight: number
}

export type EventFrame<Gap = object> = { readonly type: 'event'; readonly sub: string } &
  /** `isolated`: of some topic nobody who keeps it can be reached. It comes again without, once that has changed. */
  (
    | { readonly event: 'caught-up'; readonly isolated?: boolean }
    /** `cursor` where no records follow that bring it. */
    | { readonly event: 'gap'; readonly topic: string; readonly gap: Gap; readonly cursor?: string }
    /** Names of members: those of `known` that are believed to live. */
    | { readonly event: 'partition'; readonly reachable: readonly string[]; readonly known: readonly string[] }
    | { readonly event: 'healed' }
    /** One that is made under its name again is another topic, and read from its earliest record. */
    | { readonly event: 'deleted'; readonly topic: string }
  )

export interface PublishedFrame {
  readonly type: 'published'
  readonly ref: string
  readonly results: readonly { readonly status: number; readonly id: string }[]
  readonly cursor: string
  readonly ack: object
}

/** The answer to a publish on a socket of `grapevine.v1.bin`. */
export interface PublishedRunsFrame {
  readonly type: 'published'
  readonly ref: string
  /** Of each record. */
  readonly status: number
  /** In the order of the records; the id of one is `<feed>.<offset>`. */
  readonly runs: readonly RecordRun[]
  readonly cursor: string
  readonly ack: object
}

/** Records that follow each other in a feed, `<writer>.<epoch>`. */
export interface RecordRun {
  readonly feed: string
  readonly from: number
  readonly count: number
}

/** Ids of the records, in order. */
export const idsOfRuns = (runs: readonly RecordRun[]): string[] =>
  runs.flatMap(({ feed, from, count }) => Array.from({ length: count }, (_, i) => `${feed}.${from + i}`))

export interface ByeFrame {
  readonly type: 'bye'
  readonly reason: 'draining'
  /** Gateways of other peers that are alive. */
  readonly servers: readonly string[]
  /** Go at a random moment within this time, so that not all come at once; or come back after it. */
  readonly retryMs: number
}
