import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { socketPath } from '#protocol/wire/socket-frames'
import type { Origins } from './origins.ts'

/** Beside those that any page may read. The last is all others, such as `Record-Header-<Name>`: we ask for no cookies. */
const exposeHeaders = ['Grapevine-Cursor', 'ETag', 'RateLimit', 'RateLimit-Policy', 'Retry-After', '*']

/**
 * Tells browsers that pages of the origins that are listed may read what is answered (Fetch standard §3.2). Others were
 * refused before, and our own need no word. A preflight carries nothing, so it is answered before anybody asks who comes.
 */
export function crossOrigin(origins: Origins): MiddlewareHandler {
  const allow = cors({
    origin: (origin) => origin,
    allowMethods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposeHeaders,
    maxAge: 600,
  })
  return (c, next) => {
    const origin = c.req.header('origin')
    const isAsking = c.req.method !== 'OPTIONS' || c.req.header('access-control-request-method') !== undefined
    if (origin === undefined || !origins.lists(origin) || !isAsking || c.req.path === socketPath) return next()
    return allow(c, next)
  }
}
