import { importJWK, type JWK } from 'jose'
import { limits } from '#protocol/limits'

/** A key that tokens may be signed with. Its algorithm is a matter of the key, never of the token (RFC 8725 §3.1). */
export interface TokenKey {
  readonly kid: string | undefined
  readonly alg: Algorithm
  readonly key: Awaited<ReturnType<typeof importJWK>>
  /** Of its source: what it is recognized by when the set is read again. */
  readonly text: string
}

type Algorithm = 'HS256' | 'EdDSA' | 'Ed25519' | 'RS256' | 'ES256'

/** RFC 7518 §3.2: a key is as long as the hash at least. */
const secretBytesMin = 32

export interface KeySetOptions {
  /** May it have secrets (HS256)? In a file that only the peer reads, not at a URL that others read, too. */
  readonly mayHaveSecrets: boolean
  /** Keys that are there already stay the same objects. */
  readonly known: readonly TokenKey[]
}

/**
 * The keys of a JSON Web Key Set (RFC 7517) that tokens can be signed with, or what is wrong with it. Keys for encryption and
 * of kinds that are not used here are passed over.
 */
export async function readKeySet(text: string, options: KeySetOptions): Promise<readonly TokenKey[] | string> {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    return 'is not JSON'
  }
  const items = (document as { readonly keys?: unknown } | null)?.keys
  if (!Array.isArray(items)) return 'must be {"keys": […]}, a JSON Web Key Set'
  if (items.length > limits.tokenKeysMax) return `has more than ${limits.tokenKeysMax} keys`
  const keys: TokenKey[] = []
  for (const [index, item] of items.entries()) {
    const key = await keyOf(item as JWK, options)
    if (typeof key === 'string') return `keys[${index}] ${key}`
    if (key === undefined) continue
    if (keys.some(({ kid }) => kid === key.kid)) return `keys[${index}] has the kid of another key, or none as that`
    keys.push(key)
  }
  return keys.length > 0 ? keys : 'has no key that tokens can be signed with'
}

async function keyOf(
  jwk: JWK | null,
  { mayHaveSecrets, known }: KeySetOptions,
): Promise<TokenKey | string | undefined> {
  if (typeof jwk !== 'object' || jwk === null) return 'must be an object'
  const { kid } = jwk
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > 128)) return 'has a kid that is no short text'
  const kind = kindOf(jwk)
  if (kind === undefined || jwk.use === 'enc') return undefined
  if (kind.alg === 'HS256' && !mayHaveSecrets) return 'is a secret: whoever reads that URL could make tokens'
  const text = JSON.stringify([kid, kind])
  const same = known.find((key) => key.text === text)
  if (same !== undefined) return same
  try {
    const key = await importJWK(kind.jwk, kind.alg)
    if (key instanceof Uint8Array && key.length < secretBytesMin) return `must have ${secretBytesMin} bytes at least`
    return { kid, alg: kind.alg, key, text }
  } catch {
    return `is no ${kind.alg} key`
  }
}

/** The public part of it: with a private one nothing could be verified. */
function kindOf({ kty, crv, alg, k, x, y, n, e }: JWK): { readonly alg: Algorithm; readonly jwk: JWK } | undefined {
  const is = (...names: readonly string[]): boolean => alg === undefined || names.includes(alg)
  if (kty === 'oct' && is('HS256')) return { alg: 'HS256', jwk: { kty, k: k ?? '' } }
  if (kty === 'OKP' && crv === 'Ed25519' && is('EdDSA', 'Ed25519')) {
    return { alg: alg === 'Ed25519' ? 'Ed25519' : 'EdDSA', jwk: { kty, crv, x: x ?? '' } }
  }
  if (kty === 'RSA' && is('RS256')) return { alg: 'RS256', jwk: { kty, n: n ?? '', e: e ?? '' } }
  if (kty === 'EC' && crv === 'P-256' && is('ES256')) {
    return { alg: 'ES256', jwk: { kty, crv, x: x ?? '', y: y ?? '' } }
  }
  return undefined
}
