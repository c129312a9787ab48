import type { Digests } from '#protocol/digests'
import { hexOf, utf8 } from '#protocol/text'
import { parseToken, type StoredToken } from '#protocol/token-file'
import type { StaticCredential } from './credential.ts'

/** The tokens of a file, found by their ids. */
export class StaticTokens {
  readonly #digests: Digests
  #credentials: ReadonlyMap<string, StaticCredential> = new Map()

  constructor(digests: Digests) {
    this.#digests = digests
  }

  get count(): number {
    return this.#credentials.size
  }

  /** In place of those before. What has not changed stays the same object, and so do those who are served by it. */
  replace(tokens: readonly StoredToken[]): void {
    const before = this.#credentials
    this.#credentials = new Map(
      tokens.map((token) => {
        const known = before.get(token.id)
        return [token.id, known !== undefined && isSame(known.stored, token) ? known : credentialOf(token)]
      }),
    )
  }

  /** Undefined: it is none of them. Not yet looked at: whether it is good now. */
  find(text: string): StaticCredential | undefined {
    const shown = parseToken(text)
    const credential = shown && this.#credentials.get(shown.id)
    if (shown === undefined || credential === undefined) return undefined
    const hash = hexOf(this.#digests.sha256(utf8(shown.secret)))
    return isEqual(hash, credential.stored.sha256) ? credential : undefined
  }

  /** Is it still in the file as it was? Undefined if it is gone. */
  now(id: string): StaticCredential | undefined {
    return this.#credentials.get(id)
  }
}

const credentialOf = (stored: StoredToken): StaticCredential => ({
  type: 'static',
  id: stored.id,
  principal: `token:${stored.name}`,
  grants: { publish: stored.publish, subscribe: stored.subscribe, manage: stored.manage },
  expiresMs: stored.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(stored.expires),
  stored,
})

const isSame = (one: StoredToken, other: StoredToken): boolean => JSON.stringify(one) === JSON.stringify(other)

/** In a time that does not tell where two texts of one length differ. */
function isEqual(one: string, other: string): boolean {
  let difference = one.length ^ other.length
  for (let i = 0; i < other.length; i++) difference |= one.charCodeAt(i) ^ other.charCodeAt(i)
  return difference === 0
}
