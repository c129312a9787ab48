import { type Context, Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import { authorizeMesh } from '../auth/principal.ts'
import type { Lab } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { queryOf } from '../parameters.ts'
import { bodyOf, labLinksBody, labPartitionBody } from '../schemas.ts'
import { json } from './json-answer.ts'

/** Cuts this peer off from others, or makes links slow and lossy, for those who want to see what that does. */
export function labRoutes({ broker, bodies }: RouteDeps): Hono {
  const routes = new Hono()
  const lab = (c: Context): Lab => {
    authorizeMesh(c, 'manage')
    if (broker.lab === undefined) throw new MeshError('LAB_DISABLED')
    return broker.lab
  }

  routes.get('/v1/lab/partition', (c) => {
    queryOf(c, [])
    return json({ dropped: lab(c).dropped() })
  })

  routes.put('/v1/lab/partition', async (c) => {
    queryOf(c, [])
    const ours = lab(c)
    const { drop } = await bodyOf(c, bodies, labPartitionBody)
    return json({ dropped: ours.drop(drop) })
  })

  routes.delete('/v1/lab/partition', (c) => {
    queryOf(c, [])
    lab(c).heal()
    return json({ dropped: lab(c).dropped() })
  })

  routes.get('/v1/lab/links', (c) => {
    queryOf(c, [])
    return json({ links: lab(c).links() })
  })

  routes.put('/v1/lab/links', async (c) => {
    queryOf(c, [])
    const ours = lab(c)
    const { links } = await bodyOf(c, bodies, labLinksBody)
    return json({ links: ours.setLinks(links) })
  })

  return routes
}
