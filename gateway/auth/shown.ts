import { MeshError } from '#protocol/errors'
import { socketPath } from '#protocol/wire/socket-frames'

/** What a request shows of who asks. */
export type Shown =
  | { readonly type: 'token'; readonly token: string }
  | { readonly type: 'ticket'; readonly ticket: string }
  | { readonly type: 'nothing' }

export interface AskingHead {
  readonly method: string
  /** Absolute or not, with its query. */
  readonly url: string
  readonly authorization?: string | undefined
  readonly accept?: string | undefined
}

/** Names under which people put tokens into URLs. */
const tokenParameters = /^(access[-_]?token|token|auth|authorization|bearer|jwt|api[-_]?key)$/i

export const isTokenParameter = (name: string): boolean => tokenParameters.test(name)

/** RFC 6750 §2.1. Throws AUTH_REQUIRED for another scheme, TOKEN_IN_URL. */
export function shownIn({ method, url, authorization, accept = '' }: AskingHead): Shown {
  if (authorization !== undefined) {
    const [, token] = /^Bearer +([\w.~+/-]+=*)$/i.exec(authorization) ?? []
    if (token !== undefined) return { type: 'token', token }
    throw new MeshError('AUTH_REQUIRED', 'Authorization must be of the form: Bearer <token>.')
  }
  const [path = '', query] = url.split('?', 2)
  if (query === undefined) return { type: 'nothing' }
  const parameters = new URLSearchParams(query)
  if ([...parameters.keys()].some(isTokenParameter)) throw new MeshError('TOKEN_IN_URL')
  const ticket = parameters.get('ticket')
  if (ticket === null) return { type: 'nothing' }
  const isForStream = method === 'GET' && (path.endsWith(socketPath) || /(^|[,\s])text\/event-stream/i.test(accept))
  if (isForStream && parameters.getAll('ticket').length === 1) return { type: 'ticket', ticket }
  throw new MeshError('TOKEN_IN_URL', 'A ticket is for an EventSource or a WebSocket of a browser, once.')
}
