import type { HttpBindings } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { MeshError } from '#protocol/errors'
import { socketPath } from '#protocol/wire/socket-frames'
import type { Rates } from '../intake/rates.ts'
import { rateLimited } from '../overload.ts'
import type { Authority } from './authority.ts'
import { anonymous, nobody, type Principal } from './principal.ts'
import { type AskingHead, type Shown, shownIn } from './shown.ts'

/**
 * Comes before all routes: finds out who asks, or answers 401. Without an authority everybody may do all. What is open to
 * all, and a WebSocket that is to say who it is with its first frame, is for nobody in particular. A principal has a rate of
 * its own, beside that of its address, wherever it asks from.
 */
export function guard(authority: Authority | undefined, rates?: Pick<Rates, 'take'>): MiddlewareHandler {
  if (authority === undefined) {
    return (c, next) => {
      c.set('principal', anonymous)
      return next()
    }
  }
  return (c, next) => {
    const admit = (principal: Principal): Promise<void> => {
      c.set('principal', principal)
      // A word that no address is.
      const waitMs = principal === nobody ? 0 : (rates?.take(`principal ${principal.name}`) ?? 0)
      if (waitMs > 0) throw rateLimited(waitMs)
      return next()
    }
    if (isOpen(c)) return admit(nobody)
    const shown = shownIn(headOf(c))
    if (shown.type === 'ticket') c.set('isByTicket', true)
    const principal = principalFor(shown, c.req.path, authority)
    return principal instanceof Promise ? principal.then(admit) : admit(principal)
  }
}

/** What is known at once to be wrong with what a WebSocket handshake shows; the rest is found when it is answered. */
export function handshakeRefusal(head: AskingHead, authority: Authority | undefined): MeshError | undefined {
  if (authority === undefined) return undefined
  try {
    const shown = shownIn(head)
    // It is taken when it is answered.
    if (shown.type === 'ticket') authority.tickets.look(shown.ticket)
    if (shown.type !== 'token') return undefined
    const principal = authority.whose(shown.token)
    if (principal instanceof Promise) principal.catch(() => {})
    return undefined
  } catch (error) {
    if (error instanceof MeshError) return error
    throw error
  }
}

function principalFor(shown: Shown, path: string, authority: Authority): Principal | Promise<Principal> {
  switch (shown.type) {
    case 'token':
      return authority.whose(shown.token)
    case 'ticket':
      return stillGood(authority.tickets.take(shown.ticket))
    case 'nothing':
      if (path === socketPath) return nobody
      throw new MeshError('AUTH_REQUIRED')
  }
}

function stillGood(principal: Principal): Principal {
  const fault = principal.fault()
  if (fault !== undefined) throw fault
  return principal
}

/** Says nothing of what is published, nor of who is in the mesh. A preflight asks for what comes after it, and carries nothing. */
function isOpen({ req }: Context): boolean {
  return req.method === 'OPTIONS' || openPaths.has(req.path) || req.path.startsWith('/problems/')
}

const openPaths: ReadonlySet<string> = new Set([
  '/',
  '/healthz',
  '/readyz',
  '/version',
  '/openapi.json',
  '/asyncapi.json',
  '/problems',
])

/** From Node's own table where there is one: to make a `Headers` costs more than to look at it. */
function headOf(c: Context): AskingHead {
  const incoming = (c.env as Partial<HttpBindings> | undefined)?.incoming
  const { method, url } = c.req
  if (incoming === undefined) {
    return { method, url, authorization: c.req.header('authorization'), accept: c.req.header('accept') }
  }
  const { authorization, accept } = incoming.headers
  return { method, url, authorization, accept }
}
