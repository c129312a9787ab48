import { type Context, Hono } from 'hono'
import { authorizeMesh, principalOf } from '../auth/principal.ts'
import type { RouteDeps } from '../deps.ts'
import { EventReader, type EventsFrom } from '../event-reader.ts'
import { eventStream } from '../event-stream.ts'
import { otherGateways } from '../farewell.ts'
import { countOf, queryOf, waitMsOf } from '../parameters.ts'
import { invalid } from '../problem.ts'
import { wantsEvents } from './accept.ts'
import { json } from './json-answer.ts'
import { streamAnswer } from './stream-answer.ts'

const pageEvents = { normal: 100, max: 1_000 }

/** What happens in the mesh, as this peer sees it: a stream, or a page that may wait for more. */
export function eventRoutes(deps: RouteDeps): Hono {
  const routes = new Hono()
  routes.get('/v1/mesh/events', (c) => {
    authorizeMesh(c, 'subscribe')
    // HEAD runs GET and drops the body: a stream would stay open with nobody to end it.
    return wantsEvents(c) && c.req.method !== 'HEAD' ? answerStream(c, deps) : answerPage(c, deps)
  })
  return routes
}

/** EventSource sends `Last-Event-ID` when it comes back; it knows better than the URL it was made with. */
function answerStream(c: Context, deps: RouteDeps): Response {
  const { broker, liveReads, draining, config, problems } = deps
  const query = queryOf(c, ['from', 'lastEventId'])
  const id = c.req.header('last-event-id') || query.lastEventId
  const reader = new EventReader(broker.events, id ? { type: 'after', id } : fromOf(query.from, 'latest'))
  const { heartbeatMs } = config
  const principal = principalOf(c)
  const problemOf = problems.of.bind(problems)
  const alternatives = (): readonly string[] => otherGateways(broker)
  const stream = eventStream({
    principal,
    problemOf,
    reader,
    log: broker.events,
    liveReads,
    draining,
    alternatives,
    heartbeatMs,
  })
  return streamAnswer(stream, 'text/event-stream')
}

async function answerPage(c: Context, deps: RouteDeps): Promise<Response> {
  const query = queryOf(c, ['from', 'after', 'limit', 'wait'])
  const limit = countOf('limit', query.limit, pageEvents)
  const waitMs = waitMsOf(query.wait, 0)
  const { after: id } = query
  const reader = new EventReader(deps.broker.events, id ? { type: 'after', id } : fromOf(query.from, 'earliest'))
  let chunk = reader.next(limit)
  if (chunk.events.length === 0 && chunk.gap === undefined && waitMs > 0) {
    await nextEvent(c, deps, waitMs)
    chunk = reader.next(limit)
  }
  const { last } = reader
  return json({ ...chunk, ...(last !== undefined && { last }) })
}

function fromOf(text: string | undefined, normal: 'earliest' | 'latest'): EventsFrom {
  const type = text ?? normal
  if (type !== 'earliest' && type !== 'latest') throw invalid('from', 'must be earliest or latest')
  return { type }
}

/** Resolves when there is another event, the time is up, the client has gone or the peer drains. */
async function nextEvent(c: Context, { broker, liveReads, draining }: RouteDeps, waitMs: number): Promise<void> {
  const over = new AbortController()
  const wake = (): void => over.abort()
  const principal = principalOf(c)
  const ends = [liveReads.begin(wake, 'longPoll'), broker.events.onEvent(wake), principal.onFault(wake)]
  const signal = AbortSignal.any([over.signal, c.req.raw.signal, AbortSignal.timeout(waitMs)])
  try {
    if (draining() || signal.aborted) return
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    const fault = principal.fault()
    if (fault !== undefined) throw fault
  } finally {
    for (const end of ends) end()
  }
}
