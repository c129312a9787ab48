/**
 * The one closed catalogue of errors that a person or a program meets (DESIGN §11): the same code in HTTP, client, CLI
 * and docs. Codes have no prefix in JSON; the CLI prints `GRAPEVINE_<CODE>: …`.
 */
interface ErrorKind {
  /** HTTP status; 0 = never leaves a process over HTTP (start-up and CLI). */
  readonly status: number
  /** What happened, in general. */
  readonly title: string
  /** May the same request succeed later, unchanged? */
  readonly retryable: boolean
  /** What to do. */
  readonly hint: string
}

const kind = (status: number, title: string, hint: string, retryable = false): ErrorKind => ({
  status,
  title,
  hint,
  retryable,
})

export const errorCatalogue = {
  BAD_REQUEST: kind(400, 'The request is malformed', 'See the detail for the field and what it takes.'),
  BAD_JSON: kind(400, 'The body is not JSON', 'Check that the body is complete and Content-Type fits it.'),
  TOPIC_NAME_INVALID: kind(
    400,
    'The topic name is not valid',
    'Use dot-separated tokens of A–Z a–z 0–9 _ -, at most 64 characters each and 255 in all.',
  ),
  ACK_LEVEL_INVALID: kind(400, 'The ack level is unknown', 'Use local, n:K, majority or all.'),
  ACK_LEVEL_IMPOSSIBLE: kind(
    400,
    'More copies were asked for than this topic can have',
    'Ask for at most as many copies as peers are registered.',
  ),
  CURSOR_INVALID: kind(
    400,
    'The cursor is damaged or belongs to another topic',
    'Use a cursor that this topic gave you, or from=earliest.',
  ),
  RECORD_ID_INVALID: kind(400, 'The record id is not valid', 'A record id is <writer>.<epoch>.<offset>.'),
  RECORD_NOT_FOUND: kind(
    404,
    'This peer does not hold that record',
    'It may not have arrived here yet: try again, or ask another peer.',
    true,
  ),
  TOPIC_NOT_FOUND: kind(
    404,
    'This peer does not know that topic',
    'Publish to it or PUT it first; a topic made elsewhere may not have arrived here yet.',
    true,
  ),
  MEMBER_NOT_FOUND: kind(
    404,
    'No such member',
    'Names and peer ids are listed by "grapevine members" and at /v1/mesh/members.',
  ),
  ROUTE_NOT_FOUND: kind(404, 'No such resource', 'GET / lists what there is; gateway/README.md explains it.'),
  METHOD_NOT_ALLOWED: kind(405, 'That method does not exist for this resource', 'See the Allow header.'),
  AUTH_DISABLED: kind(400, 'This peer takes no tokens', 'Go on without; this version knows no tokens.'),
  UPGRADE_REQUIRED: kind(
    426,
    'This resource speaks WebSocket only',
    'Open a WebSocket with the subprotocol grapevine.v1.json.',
  ),
  LAB_DISABLED: kind(403, 'This peer was started without --lab', 'Start the peer with --lab to cut its links.'),
  REQUEST_TIMEOUT: kind(
    408,
    'The request took too long to arrive',
    'Send less at a time; a stream of lines (application/x-ndjson) may take as long as it likes.',
    true,
  ),
  TOPIC_DIFFERS: kind(409, 'The topic exists with another configuration', 'Leave the configuration out.'),
  RECORD_TOO_LARGE: kind(413, 'A record is too large', 'A record with key and headers is at most 1 MiB − 4 KiB.'),
  BODY_TOO_LARGE: kind(413, 'The request body is too large', 'Send fewer records per request.'),
  HEAD_TOO_LARGE: kind(
    431,
    'The head of the request is too large',
    'Send at most 1,000 headers, and at most 208 KiB of request line and headers.',
  ),
  UNSUPPORTED_MEDIA: kind(
    415,
    'That Content-Type or Accept is not supported here',
    'See the detail for what this resource takes.',
  ),
  TOO_MANY_TOPICS: kind(
    507,
    'This peer holds as many topics as it takes',
    'Use fewer topics: names with a key in each record need no topic of their own.',
  ),
  OVERLOADED: kind(503, 'Too much is waiting for this peer', 'Try again shortly or at another peer.', true),
  DRAINING: kind(503, 'This peer is shutting down', 'Go on at another peer.', true),
  UNAVAILABLE: kind(
    503,
    'No peer answered',
    'Is a peer running there, and is that its port for clients (--http, by default 8400), not the one for peers?',
    true,
  ),
  OUTCOME_UNKNOWN: kind(
    0,
    'The connection broke before the answer to a publish came',
    'The records may be stored: read the topic before publishing them again.',
  ),
  INTERNAL: kind(500, 'The peer made a mistake', 'See the log of the peer; please report it.', true),

  NODE_TOO_OLD: kind(0, 'Node.js is too old', 'Use npm start, npx, or Node 24.'),
  USAGE: kind(0, 'The command line is not valid', 'See --help.'),
  NOT_CONVERGED: kind(
    0,
    'Not all peers hold the same records',
    'While peers are cut off or catching up that is expected: heal, wait, verify again.',
    true,
  ),
  PEER_EXITED: kind(0, 'A peer of the local mesh ended by itself', 'See its peer.log.'),
  CONFIG_INVALID: kind(0, 'The configuration is not valid', 'See --help.'),
  DATA_LOCKED: kind(0, 'The data directory is in use', 'Stop the other process, or pass another --data.'),
  DATA_VERSION: kind(
    0,
    'The data directory is of another version',
    'Use the version that wrote it, or another --data.',
  ),
  DATA_CLUSTER: kind(0, 'The data directory belongs to another cluster', 'Pass its --cluster, or another --data.'),
  DATA_UNUSABLE: kind(0, 'The data directory cannot be used', 'Check that it exists and may be written.'),
  STORAGE_FAILED: kind(
    500,
    'Writing to disk failed',
    'Check the disk, then start the peer again; nothing acked is lost.',
  ),
  PORT_IN_USE: kind(0, 'The port is in use', 'Stop the other process, or choose another port (0 = any free one).'),
  INSECURE_LISTEN: kind(
    0,
    'Refusing to listen beyond loopback without admission',
    'Listen on 127.0.0.1, or say --insecure.',
  ),
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof errorCatalogue

export interface MeshErrorOptions {
  readonly cause?: unknown
  /** Further facts for programs, such as `{ topic: 'orders' }`. */
  readonly facts?: Readonly<Record<string, unknown>>
}

/** An operating error: it has a code of the catalogue, says what happened and why; `hint` says what to do. */
export class MeshError extends Error {
  readonly code: ErrorCode
  readonly facts: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, detail?: string, options: MeshErrorOptions = {}) {
    super(detail ?? errorCatalogue[code].title, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'MeshError'
    this.code = code
    this.facts = options.facts ?? {}
  }

  get status(): number {
    return errorCatalogue[this.code].status
  }

  get retryable(): boolean {
    return errorCatalogue[this.code].retryable
  }

  get title(): string {
    return errorCatalogue[this.code].title
  }

  get hint(): string {
    return errorCatalogue[this.code].hint
  }
}
