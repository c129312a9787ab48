import { type JWK, SignJWT } from 'jose'
import type { Action } from '#protocol/grants'
import { pureDigests } from '#protocol/log/pure-digests'
import { hexOf, utf8 } from '#protocol/text'
import { parseTokenFile, type StoredToken, tokenFileText, tokenText } from '#protocol/token-file'
import { Authority } from './authority.ts'
import { readKeySet } from './key-set.ts'
import { SignedTokens, type SignedTokensConfig } from './signed-tokens.ts'

/** Noon of a day: what tests say of times is relative to it. */
export const noonMs = Date.UTC(2026, 4, 1, 12)

/** A clock that tests move. */
export class TestClock {
  nowMs = noonMs
  readonly wallMs = (): number => this.nowMs
}

const hashOf = (text: string): string => hexOf(pureDigests.sha256(utf8(text)))

type Lists = Partial<Record<Action, readonly string[]>>

/** A token and its line in the file. */
export function madeToken(
  name: string,
  lists: Lists = {},
  more: Pick<StoredToken, 'expires' | 'revoked'> = {},
): { readonly text: string; readonly stored: StoredToken } {
  const secret = hashOf(`secret of ${name}`)
  const id = hashOf(`id of ${name}`).slice(0, 16)
  const sha256 = hashOf(secret)
  const item = { id, name, sha256, ...lists, ...more } as unknown as StoredToken
  const [stored] = storedOf(item)
  if (stored === undefined) throw new Error('no token')
  return { text: tokenText({ id, secret }), stored }
}

/** As a peer reads them from the file. */
export function storedOf(...items: readonly StoredToken[]): readonly StoredToken[] {
  const tokens = parseTokenFile(tokenFileText(items))
  if (typeof tokens === 'string') throw new Error(tokens)
  return tokens
}

export function authorityOf(tokens: readonly { readonly stored: StoredToken }[], clock = new TestClock()): Authority {
  const authority = new Authority({ digests: pureDigests, wallMs: clock.wallMs })
  authority.tokens.replace(tokens.map(({ stored }) => stored))
  return authority
}

/** What may do everything. */
export const everything: Lists = { publish: ['**'], subscribe: ['**', '$mesh', '$topics'], manage: ['**', '$mesh'] }

export interface SigningKey {
  readonly jwk: JWK
  readonly private: Parameters<SignJWT['sign']>[0]
  readonly alg: string
}

export async function signedTokens(
  keys: readonly SigningKey[],
  {
    clock = new TestClock(),
    refresh = async () => {},
    ...config
  }: Partial<SignedTokensConfig> & {
    readonly clock?: TestClock
    readonly refresh?: () => Promise<void>
  } = {},
): Promise<SignedTokens> {
  const signed = new SignedTokens(
    { audience: 'grapevine', ...config },
    { digests: pureDigests, wallMs: clock.wallMs, refresh },
  )
  const read = await readKeySet(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }), {
    mayHaveSecrets: true,
    known: [],
  })
  if (typeof read === 'string') throw new Error(read)
  signed.replaceKeys(read)
  return signed
}

/** For an hour, with what is said instead or besides. */
export function signedToken(key: SigningKey, claims: object = {}, header: object = {}): Promise<string> {
  const exp = noonMs / 1_000 + 3_600
  const full = { sub: 'shop', aud: 'grapevine', exp, grapevine: { publish: ['orders'] }, ...claims }
  const protectedHeader = { alg: key.alg, ...(key.jwk.kid !== undefined && { kid: key.jwk.kid }), ...header }
  return new SignJWT(full).setProtectedHeader(protectedHeader).sign(key.private)
}
