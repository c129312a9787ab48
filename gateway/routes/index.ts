import type { Handler } from 'hono'
import type { Broker } from '../broker.ts'
import { queryOf } from '../parameters.ts'
import { json } from './json-answer.ts'

interface Route {
  readonly method: string
  readonly path: string
}

/** `GET /`: what there is, for whoever comes with nothing but an address. */
export function indexOf({ name, version }: Broker['self'], routes: readonly Route[]): Handler {
  const listed = routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  const index = {
    name: 'grapevine',
    version,
    peer: name,
    docs: 'gateway/README.md',
    routes: [...new Set(listed)].toSorted(),
  }
  return (c) => {
    queryOf(c, [])
    return json(index)
  }
}
