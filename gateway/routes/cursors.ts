import { type Context, Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import { refuseEnded } from '../auth/principal.ts'
import { topicToRead } from '../auth/topic-to-read.ts'
import type { RouteDeps } from '../deps.ts'
import { queryOf } from '../parameters.ts'
import { notReady } from '../problem.ts'
import { bodyOf, cursorBody } from '../schemas.ts'
import { cursorNameOf } from '../start.ts'
import { json, jsonAnswer } from './json-answer.ts'

/** Cursors that clients store in the mesh under a name. Whoever may read the topic may. */
export function cursorRoutes({ broker, bodies }: RouteDeps): Hono {
  const path = '/v1/topics/:topic/cursors/:name'
  const routes = new Hono()

  routes.get(path, async (c) => {
    const { topic, name } = placeOf(c)
    const cursor = await broker.namedCursor(topic, name)
    refuseEnded(c)
    return answer({ topic, name, cursor: cursor ?? notFound(topic, name) })
  })

  routes.put(path, async (c) => {
    const { topic, name } = placeOf(c)
    refuseUnready()
    const { cursor } = await bodyOf(c, bodies, cursorBody)
    return answer({ topic, name, cursor: await broker.putNamedCursor(topic, name, cursor) })
  })

  routes.delete(path, async (c) => {
    const { topic, name } = placeOf(c)
    refuseUnready()
    if (!(await broker.deleteNamedCursor(topic, name))) notFound(topic, name)
    return json({ topic, name, deleted: true })
  })

  /** A peer on its way out takes nothing that it would have to hand over. */
  function refuseUnready(): void {
    const { ready, reason } = broker.ready()
    if (!ready) throw notReady(reason)
  }

  return routes
}

function placeOf(c: Context) {
  queryOf(c, [])
  return { topic: topicToRead(c), name: cursorNameOf(c.req.param('name') ?? '') }
}

const answer = (named: { topic: string; name: string; cursor: string }): Response =>
  jsonAnswer(JSON.stringify(named), 200, named.cursor)

function notFound(topic: string, name: string): never {
  throw new MeshError('CURSOR_NOT_FOUND', `This peer knows no cursor ${name} of ${topic}.`, { facts: { topic, name } })
}
