import { type Grants, parseGrants } from '#protocol/grants'
import { limits } from '#protocol/limits'
import { parseHash } from '#protocol/ids'

/**
 * Static tokens (DESIGN §14): what a client shows, and the file in which a peer keeps what it needs to recognize them. A token
 * is `gv_<id>_<secret>`. The file has the SHA-256 of the secret and not the secret: 256 random bits need no salt, and
 * cannot be guessed from it.
 */
export interface StoredToken extends Grants {
  /** 16 hex characters: by which it is listed and revoked. */
  readonly id: string
  /** Whom it is for. Tokens of one name are one principal, so that one can take the place of another. */
  readonly name: string
  /** SHA-256 of the secret, in hex. */
  readonly sha256: string
  /** As `Date` reads it, such as `2027-01-31T12:00:00.000Z`; none: it does not expire. */
  readonly expires?: string
  readonly revoked?: string
}

export interface ShownToken {
  readonly id: string
  readonly secret: string
}

/** Undefined for what is no static token. */
export function parseToken(text: string): ShownToken | undefined {
  const [, id, secret] = /^gv_([0-9a-f]{16})_([0-9a-f]{64})$/.exec(text) ?? []
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

export const tokenText = ({ id, secret }: ShownToken): string => `gv_${id}_${secret}`

/** The tokens of a file, or what is wrong with it. `{"tokens": [{"id", "name", "sha256", "publish"?, …, "expires"?, "revoked"?}]}` */
export function parseTokenFile(text: string): readonly StoredToken[] | string {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return 'is not JSON'
  }
  const { tokens, ...rest } = isObject(document) ? document : {}
  if (!Array.isArray(tokens) || Object.keys(rest).length > 0) return 'must be {"tokens": […]}'
  if (tokens.length > limits.tokensMax) return `has more than ${limits.tokensMax} tokens`
  const parsed: StoredToken[] = []
  const ids = new Set<string>()
  for (const [index, item] of tokens.entries()) {
    const token = storedTokenOf(item)
    if (typeof token === 'string') return `tokens[${index}] ${token}`
    if (ids.has(token.id)) return `tokens[${index}] has the id of another one`
    ids.add(token.id)
    parsed.push(token)
  }
  return parsed
}

export const tokenFileText = (tokens: readonly StoredToken[]): string => `${JSON.stringify({ tokens }, undefined, 2)}\n`

/** A name that says something in a list, and is safe in a terminal. */
export const isTokenName = (text: unknown): text is string =>
  typeof text === 'string' && /^[A-Za-z0-9][\w.@:/-]{0,127}$/.test(text)

function storedTokenOf(item: unknown): StoredToken | string {
  if (!isObject(item)) return 'must be an object'
  const { id, name, sha256, expires, revoked, ...lists } = item
  if (typeof id !== 'string' || !/^[0-9a-f]{16}$/.test(id)) return 'must have an id of 16 hex characters'
  if (!isTokenName(name)) return 'must have a name of 1 to 128 letters, digits and ._@:/-'
  const hash = parseHash(sha256)
  if (hash === undefined) return 'must have a sha256 of 64 hex characters'
  const grants = parseGrants(lists)
  if (typeof grants === 'string') return grants
  const expiry = expires === undefined || isTime(expires) ? { ...(expires !== undefined && { expires }) } : undefined
  const end = revoked === undefined || isTime(revoked) ? { ...(revoked !== undefined && { revoked }) } : undefined
  if (expiry === undefined || end === undefined) return 'must have times such as 2027-01-31T12:00:00Z'
  return { id, name, sha256: hash, ...grants, ...expiry, ...end }
}

/** Whatever is one here is one for `Date`, too. */
const isTime = (text: unknown): text is string =>
  typeof text === 'string' &&
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,3})?)?Z$/.test(text)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
