import { MeshError } from '#protocol/errors'
import type { Grants } from '#protocol/grants'
import type { StoredToken } from '#protocol/token-file'

/** What a token says that has been recognized, whether it is good now or not. */
export type Credential = StaticCredential | SignedCredential

interface CredentialBase {
  /** By which it is revoked. */
  readonly id: string
  /** Name of the principal. */
  readonly principal: string
  readonly grants: Grants
  /** Wall milliseconds, maybe infinite. */
  readonly expiresMs: number
}

export interface StaticCredential extends CredentialBase {
  readonly type: 'static'
  readonly stored: StoredToken
}

export interface SignedCredential extends CredentialBase {
  readonly type: 'signed'
  /** The key that it was signed with, as `KeySet` knows it. */
  readonly key: object
}

/** Ids of tokens, for people to type and files to hold. */
export const isRevocable = (id: string): boolean => /^[\w.:-]{1,128}$/.test(id)

export const untrusted = (detail: string): MeshError => new MeshError('TOKEN_INVALID', detail)
