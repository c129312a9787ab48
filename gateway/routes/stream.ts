import { Hono, type Context } from 'hono'
import { forbidden, principalOf } from '../auth/principal.ts'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { parseTopicPattern, type TopicName, type TopicPattern } from '#protocol/topic-name'
import { parseCursorSet } from '../cursor-set.ts'
import type { RouteDeps } from '../deps.ts'
import { otherGateways } from '../farewell.ts'
import { ndjsonMediaType, ndjsonRecords } from '../ndjson.ts'
import { flagOf, queryOf, quoted } from '../parameters.ts'
import { invalid } from '../problem.ts'
import { serverSentEvents } from '../sse.ts'
import { parsePlainStart } from '../start.ts'
import { topicsStream } from '../topics-stream.ts'
import type { SubscribeFrom } from '../ws/client-frame.ts'
import { wantsNdjson } from './accept.ts'
import { streamAnswer } from './stream-answer.ts'

/** Several topics and patterns as one stream: server-sent events, or lines for who accepts those and no events. */
export function streamRoutes(deps: RouteDeps): Hono {
  const routes = new Hono()
  routes.get('/v1/stream', (c) => (wantsNdjson(c) ? answerNdjson(c, deps) : answerEvents(c, deps)))
  return routes
}

function answerEvents(c: Context, deps: RouteDeps): Promise<Response> {
  const patterns = patternsOf(c)
  const query = queryOf(c, ['from', 'lastEventId', 'strict'], ['topic'])
  const lastEventId = c.req.header('last-event-id') || query.lastEventId
  const from = startOf(lastEventId || query.from || 'latest', patterns, deps)
  const wanted = { patterns, from, strict: flagOf('strict', query.strict), follow: true }
  return answer(c, deps, { wanted, format: serverSentEvents, mediaType: 'text/event-stream' })
}

function answerNdjson(c: Context, deps: RouteDeps): Promise<Response> {
  const patterns = patternsOf(c)
  const query = queryOf(c, ['from', 'follow', 'strict'], ['topic'])
  const from = startOf(query.from || 'earliest', patterns, deps)
  const wanted = { patterns, from, strict: flagOf('strict', query.strict), follow: flagOf('follow', query.follow) }
  return answer(c, deps, { wanted, format: ndjsonRecords, mediaType: ndjsonMediaType })
}

interface Streaming {
  readonly wanted: Parameters<typeof topicsStream>[1]
  readonly format: typeof serverSentEvents
  readonly mediaType: string
}

async function answer(c: Context, deps: RouteDeps, { wanted, format, mediaType }: Streaming): Promise<Response> {
  // HEAD runs GET and drops the body: a stream would stay open with nobody to end it.
  if (c.req.method === 'HEAD') return new Response(null, { headers: { 'content-type': mediaType } })
  const { broker, liveReads, draining, problems, config } = deps
  const alternatives = (): string[] => otherGateways(broker)
  const problemOf = problems.of.bind(problems)
  const principal = principalOf(c)
  const mayRead = (topic: TopicName): boolean => principal.may('subscribe', topic)
  const shared = { broker, principal, mayRead, liveReads, draining, alternatives, problemOf }
  return streamAnswer(await topicsStream({ ...shared, format }, wanted, config, c.req.raw.signal), mediaType)
}

function patternsOf(c: Context): readonly TopicPattern[] {
  const max = limits.subscriptionPatternsMax
  const texts = c.req.queries('topic') ?? []
  if (texts.length < 1 || texts.length > max) {
    throw invalid('topic', `must be there 1 to ${max} times, each time a name or a pattern of topics`)
  }
  return texts.map((text) => {
    const pattern = parseTopicPattern(text)
    if (pattern === undefined) {
      throw new MeshError('TOPIC_NAME_INVALID', `${quoted(text)} is neither a topic name nor a pattern.`)
    }
    if (!principalOf(c).mayInPart('subscribe', pattern)) throw forbidden('subscribe', pattern)
    return pattern
  })
}

function startOf(text: string, patterns: readonly TopicPattern[], { broker }: RouteDeps): SubscribeFrom {
  const isCursor = broker.isCursor.bind(broker)
  return parsePlainStart(text) ?? { type: 'cursors', cursors: parseCursorSet(text, patterns, isCursor) }
}
