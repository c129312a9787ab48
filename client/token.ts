import type { Fetch } from './servers.ts'

/**
 * Who this is: a token, or what gives one. A function is asked before each request and each connection, so it should remember
 * its token for as long as that is good.
 */
export type Token = string | (() => string | Promise<string>)

export const currentToken = async (token: Token | undefined): Promise<string | undefined> =>
  typeof token === 'function' ? token() : token

/** Requests that say who this is. Where nobody is asked, that does no harm. */
export function fetchWith(token: Token | undefined, ask: Fetch): Fetch {
  if (token === undefined) return ask
  return async (url, init) => {
    const authorization = `Bearer ${await currentToken(token)}`
    return ask(url, { ...init, headers: { ...(init.headers as Record<string, string>), authorization } })
  }
}
