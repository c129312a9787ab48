import { Hono } from 'hono'
import { MeshError } from '#protocol/errors'
import { parseTopicPattern, type TopicName, type TopicPattern } from '#protocol/topic-name'
import type { Broker, TopicSummary } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { queryOf, quoted, topicOf } from '../parameters.ts'
import { bodyOf, topicBody } from '../schemas.ts'
import { json } from './json-answer.ts'

export function topicRoutes({ broker, bodies }: RouteDeps): Hono {
  const routes = new Hono()

  routes.get('/v1/topics', (c) => {
    const { match } = queryOf(c, ['match'])
    return json({ topics: broker.topics(match === undefined ? undefined : patternOf(match)) })
  })

  routes.put('/v1/topics/:topic', async (c) => {
    const topic = topicOf(c)
    queryOf(c, [])
    await bodyOf(c, bodies, topicBody)
    const { created } = await broker.createTopic(topic)
    return json(summaryOf(broker, topic), created ? 201 : 200)
  })

  routes.get('/v1/topics/:topic', (c) => {
    queryOf(c, [])
    return json(summaryOf(broker, topicOf(c)))
  })

  routes.get('/v1/topics/:topic/status', (c) => {
    const topic = topicOf(c)
    queryOf(c, [])
    return json(broker.topicStatus(topic) ?? fail(topic))
  })

  return routes
}

function patternOf(match: string): TopicPattern {
  const pattern = parseTopicPattern(match)
  if (pattern === undefined) {
    throw new MeshError('TOPIC_NAME_INVALID', `${quoted(match)} is not a pattern: * is one token, a last ** the rest.`)
  }
  return pattern
}

/** A name is a pattern that matches itself alone. */
const summaryOf = (broker: Broker, topic: TopicName): TopicSummary =>
  broker.topics(parseTopicPattern(topic))[0] ?? fail(topic)

const fail = (topic: TopicName): never => {
  throw new MeshError('TOPIC_NOT_FOUND', `This peer does not know the topic ${topic}.`, { facts: { topic } })
}
