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
    'Ask for at most one copy more than the topic has replicas, and for no more than peers are registered.',
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
  CURSOR_NOT_FOUND: kind(
    404,
    'This peer knows no cursor of that name',
    'PUT it first; one that was stored elsewhere may not have arrived here yet.',
    true,
  ),
  MEMBER_NOT_FOUND: kind(
    404,
    'No such member',
    'Names and peer ids are listed by "grapevine members" and at /v1/mesh/members.',
  ),
  ROUTE_NOT_FOUND: kind(404, 'No such resource', 'GET / lists what there is; gateway/README.md explains it.'),
  METHOD_NOT_ALLOWED: kind(405, 'That method does not exist for this resource', 'See the Allow header.'),
  TOKEN_IN_URL: kind(
    400,
    'A token does not belong into a URL',
    'Send it as Authorization: Bearer; a browser asks for a ticket first: POST /v1/tickets, then ?ticket=.',
  ),
  AUTH_REQUIRED: kind(
    401,
    'This peer wants to know who asks',
    'Send a token as Authorization: Bearer, or as the first frame of a WebSocket. "grapevine token create" makes one.',
  ),
  TOKEN_INVALID: kind(
    401,
    'The token is not one that this peer trusts',
    'Use another: one that is in its --tokens-file, or signed by a key of its --jwt-keys for its audience.',
  ),
  TOKEN_EXPIRED: kind(401, 'The token has expired', 'Get another.'),
  TOKEN_REVOKED: kind(401, 'The token was revoked', 'Get another, from whoever gives them.'),
  TICKET_INVALID: kind(
    401,
    'The ticket is not good any more, or never was',
    'Ask for another: POST /v1/tickets. It is good once, for 30 s, at the peer that gave it.',
  ),
  GRANTS_CHANGED: kind(401, 'What the token grants has changed', 'Come again with the same token.', true),
  FORBIDDEN: kind(
    403,
    'The token does not grant that',
    'Use a token whose grants cover it: see the detail, and "grapevine token".',
  ),
  ORIGIN_REFUSED: kind(
    403,
    'Web pages of that origin may not use this peer',
    'Start the peer with --allow-origin and that origin, or with --advertise-http if the page is its own.',
  ),
  AUTH_DISABLED: kind(400, 'This peer asks nobody for a token', 'Go on without.'),
  UPGRADE_REQUIRED: kind(
    426,
    'This resource speaks WebSocket only',
    'Open a WebSocket with the subprotocol grapevine.v1.json or grapevine.v1.bin: docs/wire-clients.md.',
  ),
  LAB_DISABLED: kind(403, 'This peer was started without --lab', 'Start the peer with --lab to cut its links.'),
  REQUEST_TIMEOUT: kind(
    408,
    'The request took too long to arrive',
    'Send less at a time; a stream of lines (application/x-ndjson) may take as long as it likes.',
    true,
  ),
  TOPIC_DIFFERS: kind(
    409,
    'The topic exists with another configuration',
    'Leave the configuration out, or change it with PATCH.',
  ),
  TOPIC_DELETED: kind(
    410,
    'The topic was deleted',
    'Start again, from earliest or latest: a topic that is made under this name again is another one.',
  ),
  RECORDS_LOST: kind(
    410,
    'Records that come next are not kept any more',
    'Go on from this cursor without strict: what is gone is told as a gap, and what is left is read.',
  ),
  TOPIC_CHANGED: kind(412, 'The topic was changed since it was read', 'Read it again, and send its ETag as If-Match.'),
  PRODUCER_FENCED: kind(
    409,
    'A later epoch of this producer has published',
    'Another instance has taken over: stop, or begin a new epoch above that one.',
  ),
  PRODUCER_GAP: kind(
    409,
    'Records of this producer are missing before these',
    'Send what is missing first, or begin a new Producer-Epoch.',
    true,
  ),
  RETRY_DIFFERS: kind(
    422,
    'This key or sequence number was used for another record',
    'A retry repeats its request exactly; for another record use another key, or the next number.',
  ),
  IF_MATCH_MISSING: kind(
    428,
    'A change must say what it is a change of',
    'Send the ETag of the topic as If-Match, or * to change whatever it is now.',
  ),
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
  DISK_FULL: kind(
    507,
    'The disk of this peer is nearly full',
    'Publish at another peer. Reading and deleting go on here; once there is room, so does publishing, without a restart.',
    true,
  ),
  TOO_MANY_TOPICS: kind(
    507,
    'This peer holds as many topics as it takes',
    'Use fewer topics: names with a key in each record need no topic of their own.',
  ),
  RATE_LIMITED: kind(
    429,
    'This client asks for more than its share',
    'Wait as long as Retry-After says. Many records in one request, or a WebSocket, need fewer requests.',
    true,
  ),
  TOO_MANY_CURSORS: kind(
    507,
    'The mesh holds as many named cursors as it takes',
    'Store fewer of them: a deleted name counts, too, so use names again.',
  ),
  OVERLOADED: kind(503, 'Too much is waiting for this peer', 'Try again shortly or at another peer.', true),
  DRAINING: kind(503, 'This peer is shutting down', 'Go on at another peer.', true),
  DECOMMISSIONED: kind(
    503,
    'This peer is on its way out of the mesh',
    'Publish at another peer. Reading goes on here until it is stopped.',
    true,
  ),
  FORGOTTEN: kind(
    503,
    'This peer does not belong to the mesh any more',
    'Publish at another peer. If it is to belong again, "grapevine admit" it.',
    true,
  ),
  MEMBER_ALIVE: kind(
    409,
    'A member that is alive is forgotten by force only',
    'Decommission it, so that it hands over first what only it holds; or stop it; or say --force.',
  ),
  LAST_MEMBER: kind(
    409,
    'A mesh has at least one member',
    'Let another peer join, or admit one again, before this one goes.',
  ),
  UNAVAILABLE: kind(
    503,
    'No peer answered',
    'Is a peer running there, and is that its port for clients (--http, by default 8400), not the one for peers?',
    true,
  ),
  OUTCOME_UNKNOWN: kind(
    0,
    'No answer to a publish came in time',
    'The records may be stored. Publish them again only with the idempotency key that they had, or after reading the topic.',
  ),
  OUTBOX_FULL: kind(
    0,
    'Too many publishes wait for an answer',
    'Await publishes, or fewer at a time; "outboxBytesMax" of connect() is the bound.',
    true,
  ),
  INTERNAL: kind(500, 'The peer made a mistake', 'See the log of the peer; please report it.', true),

  NODE_TOO_OLD: kind(0, 'Node.js is too old', 'Use npm start, npx, or Node 24.'),
  USAGE: kind(0, 'The command line is not valid', 'See --help.'),
  SCENARIO_INVALID: kind(0, 'The scenario of the lab is not valid', 'docs/lab.md says what one may hold.'),
  LAB_UNSUPPORTED: kind(0, 'This back-end of the lab cannot do that', 'docs/lab.md says what each can do, and needs.'),
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
    'Refusing to listen beyond loopback where not all that connect are checked',
    'Listen on 127.0.0.1; or give a --secret-file for peers, and a --tokens-file or --jwt-keys for clients; or say --insecure, in a network that you trust.',
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
    return this.#told('title') ?? errorCatalogue[this.code].title
  }

  get hint(): string {
    return this.#told('hint') ?? errorCatalogue[this.code].hint
  }

  /** In the words of the peer that has answered so: maybe another version, and more to the point. */
  #told(name: string): string | undefined {
    const text = this.facts[name]
    return typeof text === 'string' ? text : undefined
  }
}
