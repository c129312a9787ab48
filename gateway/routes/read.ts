import { Hono, type Context } from 'hono'
import { limits } from '#protocol/limits'
import type { Broker, Reader, ReadFrom } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { countOf, queryOf, topicOf, waitMsOf } from '../parameters.ts'
import { recordJson } from '../record-json.ts'
import { recordEvents } from '../sse.ts'
import { cursorHeader } from './cursor-header.ts'

export function readRoutes(deps: RouteDeps): Hono {
  const routes = new Hono()
  // HEAD runs GET and drops the body: a stream would stay open with nobody to end it.
  routes.get('/v1/topics/:topic/records', (c) =>
    wantsEvents(c) && c.req.method !== 'HEAD' ? answerEvents(c, deps) : answerPage(c, deps),
  )
  return routes
}

const wantsEvents = (c: Context): boolean => /(^|[,\s])text\/event-stream/i.test(c.req.header('accept') ?? '')

/** EventSource sends `Last-Event-ID` when it comes back; it knows better than the URL it was made with. */
async function answerEvents(c: Context, deps: RouteDeps): Promise<Response> {
  const { broker, config, liveReads, draining, problems } = deps
  const topic = topicOf(c)
  const query = queryOf(c, ['from', 'lastEventId'])
  const lastEventId = c.req.header('last-event-id') || query.lastEventId
  const reader = await broker.open(
    topic,
    lastEventId ? { type: 'cursor', cursor: lastEventId } : fromOf(query.from, 'latest'),
  )
  const alternatives = (): string[] => otherGateways(broker)
  const problemOf = problems.of.bind(problems)
  return c.body(recordEvents({ reader, liveReads, draining, alternatives, problemOf }, config), 200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    // nginx would hold events back in its buffers.
    'x-accel-buffering': 'no',
  })
}

const otherGateways = (broker: Broker): string[] =>
  broker
    .members()
    .filter(({ self, state, http }) => !self && state === 'alive' && http !== '')
    .map(({ http }) => http)

async function answerPage(c: Context, deps: RouteDeps): Promise<Response> {
  const topic = topicOf(c)
  const query = queryOf(c, ['from', 'limit', 'wait'])
  const limit = countOf('limit', query.limit, { normal: 100, max: limits.pageRecordsMax })
  const waitMs = waitMsOf(query.wait, 0)
  const reader = await deps.broker.open(topic, fromOf(query.from, 'earliest'))
  let page = await readPage(reader, limit)
  if (page.records.length === 0 && waitMs > 0) page = await pollPage({ c, deps, reader, limit, waitMs })
  const body = `{"records":[${page.records.join(',')}],"cursor":${JSON.stringify(page.cursor)},"upToDate":${page.upToDate}}`
  return c.body(body, 200, { 'content-type': 'application/json', ...cursorHeader(page.cursor) })
}

/** `from=latest` is the time of now. */
function fromOf(from: string | undefined, normal: 'earliest' | 'latest'): ReadFrom {
  const start = from ?? normal
  return start === 'earliest' || start === 'latest' ? { type: start } : { type: 'cursor', cursor: start }
}

interface Page {
  /** JSON of each. */
  readonly records: readonly string[]
  readonly cursor: string
  readonly upToDate: boolean
}

/** At most `limit` records and, beyond the first, `pageBytesMax`; fewer than both only if this peer has no more now. */
async function readPage(reader: Reader, limit: number): Promise<Page> {
  const records: string[] = []
  let { cursor } = reader
  let size = 0
  for (;;) {
    const chunk = await reader.next(limit - records.length)
    for (const entry of chunk.records) {
      const json = recordJson(entry.record)
      size += json.length
      if (records.length > 0 && size > limits.pageBytesMax) return { records, cursor, upToDate: false }
      records.push(json)
      cursor = entry.cursor
    }
    cursor = chunk.cursor
    if (chunk.upToDate || records.length >= limit) return { records, cursor, upToDate: chunk.upToDate }
  }
}

interface Poll {
  readonly c: Context
  readonly deps: RouteDeps
  readonly reader: Reader
  readonly limit: number
  readonly waitMs: number
}

/** Waits until there is something to tell, the time is up, the client has gone or the peer drains. */
async function pollPage({ c, deps, reader, limit, waitMs }: Poll): Promise<Page> {
  const drain = new AbortController()
  const leave = deps.liveReads.begin(() => drain.abort())
  const signal = AbortSignal.any([drain.signal, c.req.raw.signal, AbortSignal.timeout(waitMs)])
  try {
    for (;;) {
      if (!deps.draining()) await reader.more(signal)
      const page = await readPage(reader, limit)
      if (page.records.length > 0 || signal.aborted || deps.draining()) return page
    }
  } finally {
    leave()
  }
}
