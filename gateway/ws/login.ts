import { type ErrorCode, MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { closeCodes } from '#protocol/wire/socket-frames'
import type { Authority } from '../auth/authority.ts'
import { nobody, type Principal } from '../auth/principal.ts'
import { invalid } from '../problem.ts'

export interface LoginDeps {
  readonly authority: Authority | undefined
  /** Known from the handshake, or `nobody`. */
  readonly principal: Principal
  /** It is known who that is: once. */
  readonly onAdmitted: () => void
  /** The same principal came with another token, which may grant something else. */
  readonly onRenewed: () => void
  /** A renewal that came to nothing: all goes on as before. */
  readonly onRefused: (error: unknown) => void
  /** The socket has to end. */
  readonly onEnd: (error: unknown, closeCode: number) => void
}

/**
 * Who is at the other end of a WebSocket: known from its handshake, or said by its first frame, since a browser cannot send
 * headers. A token may be renewed with another one of the same principal before it expires; when it is trusted no more, the
 * socket ends.
 */
export class Login {
  readonly #deps: LoginDeps
  #principal: Principal
  #forget: () => void = () => {}
  #hasBegun = false
  #isAsking = false
  #isOver = false

  constructor(deps: LoginDeps) {
    this.#deps = deps
    this.#principal = deps.principal
  }

  begin(): void {
    if (this.isAdmitted) return this.#admit(this.#principal)
    const late = setTimeout(() => this.#end(new MeshError('AUTH_REQUIRED')), limits.socketAuthMsMax)
    this.#forget = () => clearTimeout(late)
  }

  get principal(): Principal {
    return this.#principal
  }

  get isAdmitted(): boolean {
    return this.#principal !== nobody
  }

  /** Something else came before it was said who that is. */
  refuse(): void {
    this.#end(new MeshError('AUTH_REQUIRED', 'The first frame must be auth, and the welcome awaited.'))
  }

  async say(token: string): Promise<void> {
    const { authority, onRefused } = this.#deps
    if (authority === undefined) return onRefused(new MeshError('AUTH_DISABLED'))
    if (this.#isAsking) return this.#refuse(invalid('auth', 'is under way already'))
    this.#isAsking = true
    try {
      const principal = await authority.whose(token)
      if (this.#isOver) return
      if (this.isAdmitted && principal.name !== this.#principal.name) throw otherPrincipal()
      this.#admit(principal)
    } catch (error) {
      this.#refuse(error)
    } finally {
      this.#isAsking = false
    }
  }

  /** The socket has ended. */
  end(): void {
    this.#isOver = true
    this.#forget()
  }

  #admit(principal: Principal): void {
    const isFirst = !this.#hasBegun
    this.#hasBegun = true
    this.#forget()
    this.#principal = principal
    this.#forget = principal.onFault((fault) => this.#end(fault))
    if (isFirst) this.#deps.onAdmitted()
    else this.#deps.onRenewed()
  }

  #refuse(error: unknown): void {
    if (this.#isOver) return
    if (this.isAdmitted) this.#deps.onRefused(error)
    else this.#end(error)
  }

  #end(error: unknown): void {
    if (this.#isOver) return
    this.end()
    this.#deps.onEnd(error, closeCodeOf(error))
  }
}

const otherPrincipal = (): MeshError =>
  new MeshError('TOKEN_INVALID', 'It is for somebody else than this socket. Open another one.')

const closeCodesOf: Partial<Record<ErrorCode, number>> = {
  TOKEN_EXPIRED: closeCodes.tokenExpired,
  TOKEN_REVOKED: closeCodes.tokenRevoked,
  TOKEN_INVALID: closeCodes.tokenInvalid,
  AUTH_REQUIRED: closeCodes.authRequired,
  GRANTS_CHANGED: closeCodes.grantsChanged,
}

/** For anything else, such as keys that cannot be read now, it may come back. */
const closeCodeOf = (error: unknown): number =>
  (error instanceof MeshError ? closeCodesOf[error.code] : undefined) ?? closeCodes.unavailable
