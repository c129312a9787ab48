import { type Context, Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import type { MemberView } from '#protocol/views'
import { authorizeMesh } from '../auth/principal.ts'
import type { MemberDecision } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { flagOf, queryOf, quoted } from '../parameters.ts'
import { json } from './json-answer.ts'

export function meshRoutes({ broker }: RouteDeps): Hono {
  const routes = new Hono().basePath('/v1/mesh')
  const show = (path: string, view: () => object, isForAll = false): void => {
    routes.get(path, (c) => {
      if (!isForAll) authorizeMesh(c, 'subscribe')
      queryOf(c, [])
      return json(view())
    })
  }
  // By this a client sees that it is let in, and by whom.
  show('/self', () => ({ ...broker.self, ...broker.condition() }), true)
  show('/members', () => ({ members: broker.members(), forgotten: broker.forgotten() }))
  show('/gossip', () => broker.gossip())
  show('/links', () => ({ links: broker.links() }))
  show('/partitions', () => broker.partitions())
  show('/heals', () => ({ heals: broker.heals() }))
  show('/replication', () => broker.meshReplication())

  routes.get('/members/:member', (c) => {
    authorizeMesh(c, 'subscribe')
    queryOf(c, [])
    return json(memberOf(broker.members(), c.req.param('member')))
  })

  const decides = (name: MemberDecision['type'], decisionOf: (c: Context) => MemberDecision): void => {
    routes.post(`/members/:member/${name}`, async (c) => {
      authorizeMesh(c, 'manage')
      const decision = decisionOf(c)
      const member = theOnlyOne([...broker.members(), ...broker.forgotten()], c.req.param('member'))
      return json(await broker.decide(member.id, decision))
    })
  }
  const plain = (type: 'decommission' | 'admit') => (c: Context) => {
    queryOf(c, [])
    return { type }
  }
  decides('decommission', plain('decommission'))
  decides('admit', plain('admit'))
  decides('forget', (c) => ({ type: 'forget', force: flagOf('force', queryOf(c, ['force']).force) }))

  return routes
}

/** By id or by name: what is decided of one of two with the same name may be meant for the other. */
function theOnlyOne(members: readonly MemberView[], text: string): MemberView {
  const named = members.filter(({ name }) => name === text)
  if (named.length < 2) return memberOf(members, text)
  throw new MeshError('BAD_REQUEST', `${named.length} peers are called ${quoted(text)}: say which by its id.`)
}

/** By id or by name; of several with one name, a living one. */
function memberOf(members: readonly MemberView[], text: string): MemberView {
  const named = members.filter(({ name }) => name === text)
  const member = members.find(({ id }) => id === text) ?? named.find(({ state }) => state === 'alive') ?? named[0]
  if (member === undefined) throw new MeshError('MEMBER_NOT_FOUND', `No member has the id or name ${quoted(text)}.`)
  return member
}
