import type { MiddlewareHandler } from 'hono'
import { anonymous } from './principal.ts'

/** Comes before all routes: finds out who asks. */
export function guard(): MiddlewareHandler {
  return (c, next) => {
    c.set('principal', anonymous)
    return next()
  }
}
