/** Why a dial failed, in words for a person: they show in `grapevine members` and in the gossip view. */
export function dialReasonOf(error: unknown): string {
  const reasons = error instanceof AggregateError ? error.errors.map(dialReasonOf) : [reasonOf(error)]
  return [...new Set(reasons)].join('; ')
}

/** Whether one of the addresses led to ourselves. */
export function isDialToSelf(error: unknown): boolean {
  return error instanceof AggregateError ? error.errors.some(isDialToSelf) : reasonOf(error) === ourselves
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, hostname } = error as NodeJS.ErrnoException & { readonly hostname?: string }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `${hostname ?? 'the name'} has no address (${code})`
  const known = knownReasons.find(([pattern]) => pattern.test(`${error.name}: ${error.message}`))
  // libp2p says "connection error <host>: connect ECONNREFUSED <host>".
  return known?.[1] ?? error.message.replace(/^connection error \S+ /, '')
}

const ourselves = 'that is ourselves'

const knownReasons: readonly (readonly [RegExp, string])[] = [
  [/dial self/i, ourselves],
  [/Unexpected Peer|expected (remote identity key|peer)/i, 'a different peer answers there'],
  [/blocked by gater/i, 'cut off by lab mode'],
  [/^(TimeoutError|AbortError)|HandshakeTimeout|aborted due to timeout/i, 'no answer in time'],
  [
    /Missing newline|InvalidDataLength|InvalidMessage|length too long|UnsupportedProtocol|EPROTO/i,
    'it speaks another protocol',
  ],
  [/SSL routines|ERR_SSL/, 'its TLS is damaged'],
  [/ECONNRESET|EPIPE|UnexpectedEOF|closed during opening|stream.*(closed|ended)/i, 'closed by the other side'],
]
