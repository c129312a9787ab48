import { Hono, type Context } from 'hono'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import type { TopicName } from '#protocol/topic-name'
import { principalOf, refuseEnded } from '../auth/principal.ts'
import { topicToRead } from '../auth/topic-to-read.ts'
import type { ReadChunk, Reader, ReadFrom, ReadGap } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { otherGateways } from '../farewell.ts'
import { ndjsonMediaType, ndjsonRecords } from '../ndjson.ts'
import { countOf, flagOf, queryOf, waitMsOf } from '../parameters.ts'
import { recordJson } from '../record-json.ts'
import { recordStream, type StreamFormat } from '../record-stream.ts'
import { serverSentEvents } from '../sse.ts'
import { parseStart } from '../start.ts'
import { StrictReader } from '../strict-reader.ts'
import { wantsEvents, wantsNdjson } from './accept.ts'
import { answerInterval } from './interval.ts'
import { jsonAnswer } from './json-answer.ts'
import { streamAnswer } from './stream-answer.ts'

export function readRoutes(deps: RouteDeps): Hono {
  const routes = new Hono()
  routes.get('/v1/topics/:topic/records', (c) => {
    // HEAD runs GET and drops the body: a stream would stay open with nobody to end it.
    if (c.req.query('order') !== undefined) return answerInterval(c, deps)
    if (c.req.method === 'HEAD') return answerPage(c, deps)
    if (wantsEvents(c)) return answerEvents(c, deps)
    return wantsNdjson(c) ? answerNdjson(c, deps) : answerPage(c, deps)
  })
  return routes
}

/** EventSource sends `Last-Event-ID` when it comes back; it knows better than the URL it was made with. */
async function answerEvents(c: Context, deps: RouteDeps): Promise<Response> {
  const topic = topicToRead(c)
  const query = queryOf(c, ['from', 'lastEventId', 'strict'])
  const strict = flagOf('strict', query.strict)
  const lastEventId = c.req.header('last-event-id') || query.lastEventId
  const from: ReadFrom = lastEventId ? { type: 'cursor', cursor: lastEventId } : fromOf(query.from, 'latest')
  const stream = await streamOf(c, deps, { topic, from, strict, follow: true, format: serverSentEvents })
  return streamAnswer(stream, 'text/event-stream')
}

/** What is held here and the end; with `follow` all that comes after it, too. */
async function answerNdjson(c: Context, deps: RouteDeps): Promise<Response> {
  const topic = topicToRead(c)
  const query = queryOf(c, ['from', 'follow', 'strict'])
  const strict = flagOf('strict', query.strict)
  const follow = flagOf('follow', query.follow)
  const from = fromOf(query.from, 'earliest')
  return streamAnswer(await streamOf(c, deps, { topic, from, strict, follow, format: ndjsonRecords }), ndjsonMediaType)
}

interface Streaming {
  readonly topic: TopicName
  readonly from: ReadFrom
  readonly strict: boolean
  readonly follow: boolean
  readonly format: StreamFormat
}

async function streamOf(c: Context, deps: RouteDeps, { topic, from, strict, follow, format }: Streaming) {
  const { broker, config, liveReads, draining, problems } = deps
  const reader = await openReader(c, deps, { topic, from, strict })
  const alternatives = (): string[] => otherGateways(broker)
  const problemOf = problems.of.bind(problems)
  const principal = principalOf(c)
  const shared = { principal, liveReads, mesh: broker, draining, alternatives, problemOf }
  return recordStream({ ...shared, reader, format }, { ...config, follow })
}

async function openReader(
  c: Context,
  { broker }: Pick<RouteDeps, 'broker'>,
  { topic, from, strict }: Pick<Streaming, 'topic' | 'from' | 'strict'>,
): Promise<Reader> {
  const reader = await broker.open(topic, from)
  refuseEnded(c)
  return strict ? new StrictReader(reader) : reader
}

async function answerPage(c: Context, deps: RouteDeps): Promise<Response> {
  const topic = topicToRead(c)
  const query = queryOf(c, ['from', 'limit', 'wait', 'strict'])
  const strict = flagOf('strict', query.strict)
  const limit = countOf('limit', query.limit, { normal: 100, max: limits.pageRecordsMax })
  const waitMs = waitMsOf(query.wait, 0)
  const reader = await openReader(c, deps, { topic, from: fromOf(query.from, 'earliest'), strict })
  const room = roomOf(deps)
  let page = await readPage(reader, limit, room)
  if (!hasNews(page) && waitMs > 0) page = await pollPage(page, { c, deps, reader, limit, waitMs })
  return jsonAnswer(pageJson(page), 200, page.cursor)
}

function pageJson({ records, cursor, upToDate, isolated, gaps }: Page): string {
  const rest = JSON.stringify({ cursor, upToDate, ...(isolated && { isolated }), ...(gaps.length > 0 && { gaps }) })
  return `{"records":[${records.join(',')}],${rest.slice(1)}`
}

const fromOf = (from: string | undefined, normal: 'earliest' | 'latest'): ReadFrom => parseStart(from ?? normal)

interface Page {
  /** JSON of each. */
  readonly records: readonly string[]
  readonly cursor: string
  readonly upToDate: boolean
  /** Up to date with what can be had here alone. */
  readonly isolated: boolean
  readonly gaps: readonly ReadGap[]
}

/** Is there room for more to wait until clients take it? */
const roomOf =
  ({ intake }: RouteDeps) =>
  (): boolean =>
    intake?.connections.isFull !== true

/**
 * At most `limit` records and, beyond the first, `pageBytesMax`; fewer than both only if this peer has no more now, or no room.
 * `upToDate` says which.
 */
async function readPage(reader: Reader, limit: number, hasRoom: () => boolean, earlier?: Page): Promise<Page> {
  const records: string[] = []
  let gaps = earlier?.gaps ?? []
  let size = 0
  let end = reader.cursor
  for (;;) {
    const chunk = await nextOf(reader, hasRoom() ? limit - records.length : 1, records.length > 0)
    // What was read before records that are lost is given first.
    if (chunk === undefined) return { records, cursor: end, upToDate: false, isolated: false, gaps }
    end = chunk.cursor
    gaps = gapsAfter(gaps, chunk)
    for (const [index, { record }] of chunk.records.entries()) {
      const json = recordJson(record)
      size += json.length
      const before = chunk.records[index - 1]
      if (before !== undefined && size > limits.pageBytesMax)
        return { records, cursor: before.cursor, upToDate: false, isolated: false, gaps }
      records.push(json)
    }
    const { cursor, upToDate, isolated = false } = chunk
    const full = records.length >= limit || size > limits.pageBytesMax || (records.length > 0 && !hasRoom())
    if (full || upToDate || chunk.records.length === 0) return { records, cursor, upToDate, isolated, gaps }
  }
}

/** Undefined: a strict reader has met what is lost, and there is something to give before that. */
async function nextOf(reader: Reader, limit: number, isBegun: boolean): Promise<ReadChunk | undefined> {
  try {
    return await reader.next(limit)
  } catch (error) {
    if (isBegun && error instanceof MeshError && error.code === 'RECORDS_LOST') return undefined
    throw error
  }
}

/** The reader tells once that a feed waits; until that goes on or is told again, it still holds. */
function gapsAfter(before: readonly ReadGap[], { records, gaps = [] }: ReadChunk): readonly ReadGap[] {
  const moved = new Set([...records.map(({ record }) => record.feed), ...gaps.map(({ feed }) => feed)])
  return [...before.filter(({ type, feed }) => type === 'lost' || !moved.has(feed)), ...gaps]
}

/** A feed that waits is no news to wake a client for, over and over; records that are gone are. */
const hasNews = ({ records, gaps }: Page): boolean => records.length > 0 || gaps.some(({ type }) => type === 'lost')

interface Poll {
  readonly c: Context
  readonly deps: RouteDeps
  readonly reader: Reader
  readonly limit: number
  readonly waitMs: number
}

/** Waits until there is something to tell, the time is up, the client has gone or the peer drains. */
async function pollPage(empty: Page, { c, deps, reader, limit, waitMs }: Poll): Promise<Page> {
  let page = empty
  const drain = new AbortController()
  const principal = principalOf(c)
  const ends = [deps.liveReads.begin(() => drain.abort(), 'longPoll'), principal.onFault(() => drain.abort())]
  const signal = AbortSignal.any([drain.signal, c.req.raw.signal, AbortSignal.timeout(waitMs)])
  try {
    for (;;) {
      if (!deps.draining()) await reader.more(signal)
      const fault = principal.fault()
      if (fault !== undefined) throw fault
      page = await readPage(reader, limit, roomOf(deps), page)
      if (hasNews(page) || signal.aborted || deps.draining()) return page
    }
  } finally {
    for (const end of ends) end()
  }
}
