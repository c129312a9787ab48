import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { isGranted, isGrantedInPart } from '#protocol/grants'
import type { TopicName, TopicPattern } from '#protocol/topic-name'
import type { Action } from '#protocol/grants'
import { type Credential, untrusted } from './credential.ts'
import type { Principal } from './principal.ts'
import { Revocations } from './revocations.ts'
import type { SignedTokens } from './signed-tokens.ts'
import { StaticTokens } from './static-tokens.ts'
import { Tickets } from './tickets.ts'

/*
 * Who is who (DESIGN §14). Tokens of a file and signed ones are recognized; whether one is good now is asked each time it is
 * shown, and each second for whoever is being served for longer, since a token may expire, be revoked or change meanwhile.
 *
 * 1. One credential is one principal object, as long as nothing about it changes. So nothing is parsed or verified twice.
 * 2. No token is kept: only hashes of them are.
 */

export interface AuthorityDeps {
  readonly digests: Digests
  readonly wallMs: () => number
  readonly signed?: SignedTokens | undefined
}

/** Higher: later, and less work. A fault is to be acted upon within 5 s. */
const watchEveryMs = 1_000

export class Authority {
  readonly tokens: StaticTokens
  readonly tickets: Tickets
  readonly #deps: AuthorityDeps
  readonly #revocations = new Revocations()
  #isInformed = (): boolean => true
  readonly #principals = new WeakMap<Credential, TokenPrincipal>()
  readonly #watches = new Set<Watch>()
  #ticking: ReturnType<typeof setInterval> | undefined

  constructor(deps: AuthorityDeps) {
    const { digests, wallMs } = deps
    this.#deps = deps
    this.tokens = new StaticTokens(digests)
    this.tickets = new Tickets({ digests, nowMs: wallMs })
  }

  /**
   * Whose token that is: at once, unless a signature has to be checked. Throws or rejects with TOKEN_INVALID, TOKEN_EXPIRED,
   * TOKEN_REVOKED, UNAVAILABLE.
   */
  whose(token: string): Principal | Promise<Principal> {
    const known = this.tokens.find(token)
    if (known !== undefined) return this.#good(known)
    const { signed } = this.#deps
    if (signed === undefined) throw untrusted('It is not in the file of tokens of this peer.')
    const found = signed.find(token)
    return found instanceof Promise ? found.then((credential) => this.#good(credential)) : this.#good(found)
  }

  /** The token with that id is good no more, wherever it is in use. False: too many were revoked. */
  revoke(id: string, untilMs = Number.POSITIVE_INFINITY): boolean {
    const done = this.#revocations.add(id, untilMs, this.#deps.wallMs())
    if (done) this.look()
    return done
  }

  isRevoked(id: string): boolean {
    return this.#revocations.has(id)
  }

  get hasRoomToRevoke(): boolean {
    return this.#revocations.hasRoom(this.#deps.wallMs())
  }

  /** No token is good as long as that is false: which were revoked is not known yet. */
  awaitRevocations(isInformed: () => boolean): void {
    this.#isInformed = isInformed
  }

  get isInformed(): boolean {
    return this.#isInformed()
  }

  /** When the token with that id expires, as far as that is known here: of signed ones if they were shown here lately. */
  expiryOf(id: string): number | undefined {
    return this.tokens.now(id)?.expiresMs ?? this.#deps.signed?.expiryOf(id)
  }

  get revocations(): Revocations {
    return this.#revocations
  }

  faultOf(credential: Credential): MeshError | undefined {
    if (!this.#isInformed())
      return new MeshError('UNAVAILABLE', 'Which tokens were revoked could not be read from the disk of this peer yet.')
    if (this.#revocations.has(credential.id)) return new MeshError('TOKEN_REVOKED')
    if (credential.expiresMs <= this.#deps.wallMs()) return new MeshError('TOKEN_EXPIRED')
    if (credential.type === 'signed') {
      if (this.#deps.signed?.trusts(credential.key) === true) return undefined
      return untrusted('The key that it is signed with is trusted no more.')
    }
    const now = this.tokens.now(credential.id)
    if (now === undefined || now.stored.revoked !== undefined) return new MeshError('TOKEN_REVOKED')
    return now === credential ? undefined : new MeshError('GRANTS_CHANGED')
  }

  watch(watch: Watch): () => void {
    this.#watches.add(watch)
    this.#ticking ??= setInterval(() => this.look(), watchEveryMs)
    return () => {
      this.#watches.delete(watch)
      if (this.#watches.size === 0) this.stop()
    }
  }

  /** Tells whoever is served for a token that is good no more. */
  look(): void {
    for (const watch of this.#watches) {
      const fault = this.faultOf(watch.credential)
      if (fault === undefined) continue
      this.#watches.delete(watch)
      watch.onFault(fault)
    }
    if (this.#watches.size === 0) this.stop()
  }

  stop(): void {
    clearInterval(this.#ticking)
    this.#ticking = undefined
  }

  #good(credential: Credential): Principal {
    const fault = this.faultOf(credential)
    if (fault !== undefined) throw fault
    const principal = this.#principals.get(credential) ?? new TokenPrincipal(credential, this)
    this.#principals.set(credential, principal)
    return principal
  }
}

interface Watch {
  readonly credential: Credential
  readonly onFault: (fault: MeshError) => void
}

class TokenPrincipal implements Principal {
  readonly #credential: Credential
  readonly #authority: Authority

  constructor(credential: Credential, authority: Authority) {
    this.#credential = credential
    this.#authority = authority
  }

  get name(): string {
    return this.#credential.principal
  }

  may(action: Action, topic: TopicName): boolean {
    return isGranted(this.#credential.grants, action, topic)
  }

  mayInPart(action: Action, pattern: TopicPattern): boolean {
    return isGrantedInPart(this.#credential.grants, action, pattern)
  }

  fault(): MeshError | undefined {
    return this.#authority.faultOf(this.#credential)
  }

  onFault(onFault: (fault: MeshError) => void): () => void {
    return this.#authority.watch({ credential: this.#credential, onFault })
  }
}
