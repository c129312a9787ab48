import { type Context, Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import { deletedName, parseTopicPattern, type TopicName, type TopicPattern } from '#protocol/topic-name'
import { authorize, authorizeAny, maySee, principalOf } from '../auth/principal.ts'
import type { RouteDeps } from '../deps.ts'
import { ifMatchOf, queryOf, quoted, readableTopicOf, topicOf } from '../parameters.ts'
import { bodyOf, topicBody, topicPatchBody } from '../schemas.ts'
import { json } from './json-answer.ts'

export function topicRoutes({ broker, bodies }: RouteDeps): Hono {
  const routes = new Hono()

  routes.get('/v1/topics', (c) => {
    const { match } = queryOf(c, ['match'])
    const pattern = match === undefined ? undefined : patternOf(match)
    const principal = principalOf(c)
    const isSeen = ({ topic }: { readonly topic: string }): boolean => maySee(principal, topic as TopicName)
    const [topics, deleted] = [broker.topics(pattern), broker.deletedTopics(pattern)]
    return json({ topics: topics.filter(isSeen), deleted: deleted.filter(isSeen) })
  })

  routes.put('/v1/topics/:topic', async (c) => {
    const topic = topicToManage(c)
    queryOf(c, [])
    const { created } = await broker.putTopic(topic, await bodyOf(c, bodies, topicBody))
    return answer(topic, created ? 201 : 200)
  })

  routes.patch('/v1/topics/:topic', async (c) => {
    const topic = topicToManage(c)
    queryOf(c, [])
    const version = ifMatchOf(c)
    await broker.patchTopic(topic, await bodyOf(c, bodies, topicPatchBody), version)
    return answer(topic)
  })

  routes.delete('/v1/topics/:topic', async (c) => {
    const topic = topicToManage(c)
    queryOf(c, [])
    const { generation } = await broker.deleteTopic(topic)
    return json({ topic, generation, remains: deletedName(topic, generation) })
  })

  routes.get('/v1/topics/:topic', (c) => {
    queryOf(c, [])
    return answer(topicToSee(c))
  })

  routes.get('/v1/topics/:topic/status', async (c) => {
    const topic = topicToSee(c)
    queryOf(c, [])
    return json((await broker.topicStatus(topic)) ?? notFound(topic))
  })

  const answer = async (topic: TopicName, status = 200): Promise<Response> => {
    const view = (await broker.topic(topic)) ?? notFound(topic)
    return json(view, status, { etag: `"${view.version}"` })
  }

  return routes
}

function topicToManage(c: Context): TopicName {
  const topic = topicOf(c)
  authorize(c, 'manage', topic)
  return topic
}

function topicToSee(c: Context): TopicName {
  const topic = readableTopicOf(c)
  authorizeAny(c, topic)
  return topic
}

function patternOf(match: string): TopicPattern {
  const pattern = parseTopicPattern(match)
  if (pattern === undefined) {
    throw new MeshError('TOPIC_NAME_INVALID', `${quoted(match)} is not a pattern: * is one token, a last ** the rest.`)
  }
  return pattern
}

const notFound = (topic: TopicName): never => {
  throw new MeshError('TOPIC_NOT_FOUND', `This peer does not know the topic ${topic}.`, { facts: { topic } })
}
