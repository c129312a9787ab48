import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from 'jose'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { parseGrants } from '#protocol/grants'
import { limits } from '#protocol/limits'
import { hexOf, utf8 } from '#protocol/text'
import { isRevocable, type SignedCredential, untrusted } from './credential.ts'
import type { TokenKey } from './key-set.ts'

export interface SignedTokensConfig {
  /** What `aud` must name: so a token for somebody else is none here. */
  readonly audience: string
  /** What `iss` must be; anything, unless said. */
  readonly issuer?: string | undefined
}

export interface SignedTokensDeps {
  readonly digests: Digests
  readonly wallMs: () => number
  /** Reads the keys again, if that was not done a moment ago: a token names one that is not known. */
  readonly refresh: () => Promise<void>
}

/** Clocks of others may be ahead by so much when a token begins. Its end is its end. */
const leewaySeconds = 30

/**
 * JSON web tokens (RFC 7519, RFC 8725): `sub`, `exp` and `aud` are required, grants are the claim `grapevine`. A signature is
 * checked once for a token; what it said is kept by its hash, up to a bound.
 */
export class SignedTokens {
  readonly #config: SignedTokensConfig
  readonly #deps: SignedTokensDeps
  readonly #verified = new Map<string, SignedCredential>()
  /** Undefined until they could be read. */
  #keys: readonly TokenKey[] | undefined

  constructor(config: SignedTokensConfig, deps: SignedTokensDeps) {
    this.#config = config
    this.#deps = deps
  }

  get keys(): readonly TokenKey[] {
    return this.#keys ?? []
  }

  replaceKeys(keys: readonly TokenKey[]): void {
    this.#keys = keys
    for (const [hash, { key }] of this.#verified) if (!this.trusts(key)) this.#verified.delete(hash)
  }

  trusts(key: object): boolean {
    return this.keys.some((one) => one === key)
  }

  /** At once for one that was seen before. Rejects with TOKEN_INVALID, TOKEN_EXPIRED, UNAVAILABLE. */
  find(token: string): SignedCredential | Promise<SignedCredential> {
    if (token.length > limits.tokenLengthMax) throw untrusted(`It is longer than ${limits.tokenLengthMax} characters.`)
    const hash = hexOf(this.#deps.digests.sha256(utf8(token)))
    return this.#verified.get(hash) ?? this.#verify(token, hash)
  }

  /** When the last token with that id expires, of those that were found lately. */
  expiryOf(id: string): number | undefined {
    const ends = [...this.#verified.values()].filter((one) => one.id === id).map(({ expiresMs }) => expiresMs)
    return ends.length === 0 ? undefined : Math.max(...ends)
  }

  async #verify(token: string, hash: string): Promise<SignedCredential> {
    const { alg, kid } = headerOf(token)
    const key = this.#keyOf(kid) ?? (await this.#deps.refresh(), this.#keyOf(kid))
    if (this.#keys === undefined)
      throw new MeshError('UNAVAILABLE', 'The keys that tokens are signed with could not be read yet.')
    if (key === undefined) throw untrusted('It is signed with a key that is not known here.')
    if (alg !== key.alg) throw untrusted(`Its key signs with ${key.alg}, and it says otherwise.`)
    const claims = await this.#claimsOf(token, key)
    const credential = this.#credentialOf(claims, key, hash)
    this.#keep(hash, credential)
    return credential
  }

  /** Without a kid only a key without one is meant, or the only one. */
  #keyOf(kid: string | undefined): TokenKey | undefined {
    const { keys } = this
    return keys.find((key) => key.kid === kid) ?? (kid === undefined && keys.length === 1 ? keys[0] : undefined)
  }

  async #claimsOf(token: string, { key, alg }: TokenKey): Promise<JWTPayload> {
    const { audience, issuer } = this.#config
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [alg],
        audience,
        ...(issuer !== undefined && { issuer }),
        requiredClaims: ['exp', 'sub'],
        clockTolerance: leewaySeconds,
        currentDate: new Date(this.#deps.wallMs()),
      })
      return payload
    } catch (error) {
      throw refusalOf(error)
    }
  }

  #credentialOf({ sub, iss, exp, jti, ...claims }: JWTPayload, key: TokenKey, hash: string): SignedCredential {
    if (typeof sub !== 'string' || sub.length < 1 || sub.length > limits.producerNameLengthMax) {
      throw untrusted(`Its sub must be a text of 1 to ${limits.producerNameLengthMax} characters.`)
    }
    const expiresMs = (exp ?? 0) * 1_000
    if (expiresMs <= this.#deps.wallMs()) throw new MeshError('TOKEN_EXPIRED')
    const grants = parseGrants(claims['grapevine'] ?? {})
    if (typeof grants === 'string') throw untrusted(`Its claim grapevine ${grants}.`)
    const id = typeof jti === 'string' && isRevocable(jti) ? jti : hash.slice(0, 32)
    return { type: 'signed', id, principal: `jwt:${JSON.stringify([iss ?? '', sub])}`, grants, expiresMs, key }
  }

  #keep(hash: string, credential: SignedCredential): void {
    const [first] = this.#verified.keys()
    if (this.#verified.size >= limits.verifiedTokensMax && first !== undefined) this.#verified.delete(first)
    this.#verified.set(hash, credential)
  }
}

function headerOf(token: string): { readonly alg: unknown; readonly kid: string | undefined } {
  try {
    const { alg, kid } = decodeProtectedHeader(token)
    return { alg, kid }
  } catch {
    throw untrusted('It is neither a token of a file here nor a JSON web token.')
  }
}

/** What jose found, without a word of the token. */
function refusalOf(error: unknown): MeshError {
  if (error instanceof errors.JWTExpired) return new MeshError('TOKEN_EXPIRED')
  if (error instanceof errors.JWTClaimValidationFailed)
    return untrusted(`Its claim ${error.claim} is missing or wrong.`)
  if (error instanceof errors.JWSSignatureVerificationFailed) return untrusted('Its signature is wrong.')
  return untrusted('It is no valid JSON web token.')
}
