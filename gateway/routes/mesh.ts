import { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import type { MemberView } from '#protocol/views'
import type { RouteDeps } from '../deps.ts'
import { queryOf, quoted } from '../parameters.ts'
import { json } from './json-answer.ts'

export function meshRoutes({ broker }: RouteDeps): Hono {
  const routes = new Hono().basePath('/v1/mesh')
  const show = (path: string, view: () => object): void => {
    routes.get(path, (c) => {
      queryOf(c, [])
      return json(view())
    })
  }
  show('/self', () => broker.self)
  show('/members', () => ({ members: broker.members() }))
  show('/gossip', () => broker.gossip())
  show('/links', () => ({ links: broker.links() }))

  routes.get('/members/:member', (c) => {
    queryOf(c, [])
    return json(memberOf(broker.members(), c.req.param('member')))
  })

  return routes
}

/** By id or by name; of several with one name, a living one. */
function memberOf(members: readonly MemberView[], text: string): MemberView {
  const named = members.filter(({ name }) => name === text)
  const member = members.find(({ id }) => id === text) ?? named.find(({ state }) => state === 'alive') ?? named[0]
  if (member === undefined) throw new MeshError('MEMBER_NOT_FOUND', `No member has the id or name ${quoted(text)}.`)
  return member
}
