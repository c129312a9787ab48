import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import { idsOfRuns } from '#protocol/wire/socket-frames'
import { authorize, principalOf, refuseEnded } from '../auth/principal.ts'
import type { BodyLimit } from '../body.ts'
import type { Broker, ClientProducer, PublishRequest, PublishResult } from '../broker.ts'
import { cloudEventPrefix, cloudEventsMediaType } from '../cloud-events.ts'
import type { RouteDeps } from '../deps.ts'
import { isContentType, mediaTypeOf, recordsMediaType } from '#protocol/media-type'
import { isNdjson } from '../ndjson.ts'
import { ackLevelOf, queryOf, topicOf, waitMsOf } from '../parameters.ts'
import { invalid } from '../problem.ts'
import { producerOfTexts, type ProducerTexts, refuseTwo } from '../producer.ts'
import { isHeaderName, type PublishBody, publishBodyOf, refuseRecordHead, type RecordHead } from '../publish-body.ts'
import { jsonAnswer } from './json-answer.ts'
import { publishLines } from './publish-lines.ts'

export function publishRoutes(deps: RouteDeps): Hono {
  const { broker, bodies } = deps
  const routes = new Hono()

  routes.post('/v1/topics/:topic/records', async (c) => {
    const topic = topicOf(c)
    authorize(c, 'publish', topic)
    const query = queryOf(c, ['ack', 'wait'])
    const ack = ackLevelOf(query.ack ?? 'local')
    const waitMs = waitMsOf(query.wait, limits.waitMsDefault)
    const { head, producer } = headOf(c)
    const principal = principalOf(c).name
    if (isNdjson(mediaTypeOf(head.headers['content-type'] ?? ''))) {
      refuseRecordHead(head)
      return publishLines(c, deps, { topic, principal, ack, waitMs, producer })
    }
    const terms = { topic, principal, ack, waitMs, producer }
    const bytes = await bodies.read(c, limitOf(head))
    refuseEnded(c)
    return publish(broker, terms, publishBodyOf(bytes, head))
  })

  return routes
}

/** Whatever waits for copies, maybe for a minute, holds nothing of the body. */
function publish(broker: Broker, terms: Omit<PublishRequest, 'records'>, body: PublishBody): Promise<Response> {
  const records = body.type === 'one' ? [body.record] : body.records
  refuseTwo(terms.producer, records)
  return broker.publish({ ...terms, records }).then(body.type === 'one' ? answerOne : answerBatch)
}

const recordHeaderPrefix = 'record-header-'

/** Fields that say who publishes, and the part of that they say. */
const producerFields: Readonly<Record<string, keyof ProducerTexts>> = {
  'idempotency-key': 'idempotencyKey',
  'producer-id': 'id',
  'producer-epoch': 'epoch',
  'producer-seq': 'seq',
}

function headOf(c: Context): { readonly head: RecordHead; readonly producer: ClientProducer | undefined } {
  let key: Uint8Array | undefined
  const headers = new Map<string, string>()
  const producer: ProducerTexts = {}
  for (const [name, value] of headerFields(c)) {
    if (name === 'content-type') headers.set(name, contentTypeOf(value))
    else if (name === 'record-key') key = utf8(headerText(value))
    else if (name.startsWith(cloudEventPrefix)) headers.set(name, headerText(value))
    else if (name.startsWith(recordHeaderPrefix)) headers.set(recordHeaderName(name), headerText(value))
    else if (name in producerFields) producer[producerFields[name] as keyof ProducerTexts] = headerText(value)
  }
  const head = { ...(key !== undefined && { key }), headers: Object.fromEntries(headers) }
  return { head, producer: producerOfTexts(producer) }
}

/** Node's own table where there is one: to list a `Headers` costs as much as all the rest of a publish. */
function headerFields(c: Context): Iterable<[string, string]> {
  const incoming = (c.env as Partial<HttpBindings> | undefined)?.incoming
  return incoming === undefined ? c.req.raw.headers : (Object.entries(incoming.headers) as [string, string][])
}

function contentTypeOf(value: string): string {
  if (!isContentType(value)) throw invalid('content-type', 'must be a media type such as text/plain')
  return value
}

function recordHeaderName(name: string): string {
  const own = name.slice(recordHeaderPrefix.length)
  if (own === 'content-type') throw invalid(name, 'is what Content-Type is for')
  if (!isHeaderName(own)) throw invalid(name, 'does not name a header of the record')
  return own
}

/** HTTP hands us bytes one to a character. Most senders mean UTF-8 by them; what is not UTF-8 is ISO 8859-1, as RFC 9110 §5.5 has it. */
function headerText(value: string): string {
  if (/^[\x20-\x7e\t]*$/.test(value)) return value
  return textOf(Buffer.from(value, 'latin1')) ?? value
}

const recordLimit: BodyLimit = { bytesMax: limits.recordBytesMax, tooLarge: 'RECORD_TOO_LARGE' }
const batchLimit: BodyLimit = { bytesMax: limits.requestBytesMax, tooLarge: 'BODY_TOO_LARGE' }

/** A batch may be larger than a record; which of both `application/json` is can be told only from its text. */
function limitOf({ headers }: RecordHead): BodyLimit {
  const mediaType = mediaTypeOf(headers['content-type'] ?? '')
  const mayBeMany =
    mediaType === 'application/json' || mediaType === recordsMediaType || mediaType === cloudEventsMediaType
  return mayBeMany ? batchLimit : recordLimit
}

/** 201: the level was reached. 202: durable here, but not on as many peers as asked within `wait` (P2). */
const statusOf = ({ ack }: PublishResult): 201 | 202 => (ack.reached ? 201 : 202)

function answerOne(result: PublishResult): Response {
  const { runs, cursor, ack } = result
  const [id] = idsOfRuns(runs)
  return jsonAnswer(JSON.stringify({ id, cursor, ack }), statusOf(result), cursor)
}

/** Every record of a batch has the same fate; each has its own status all the same, for records may differ in it one day. */
function answerBatch(result: PublishResult): Response {
  const { runs, cursor, ack } = result
  const status = statusOf(result)
  return jsonAnswer(
    JSON.stringify({ results: idsOfRuns(runs).map((id) => ({ status, id })), cursor, ack }),
    200,
    cursor,
  )
}
