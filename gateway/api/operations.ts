import { z } from 'zod'
import { limits } from '#protocol/limits'
import { recordsMediaType } from '#protocol/media-type'
import { ndjsonMediaType } from '../ndjson.ts'
import { cursorBody, labLinksBody, labPartitionBody, logLevelBody, topicBody, topicPatchBody } from '../schemas.ts'
import * as views from './views.ts'

/** One operation of the HTTP API as `/openapi.json` describes it. `{…}` of the path are parameters of it. */
export interface Operation {
  readonly summary: string
  /** Of the query. */
  readonly query?: Readonly<Record<string, z.ZodType>>
  readonly headers?: Readonly<Record<string, z.ZodType>>
  readonly body?: { readonly required: boolean; readonly content: Readonly<Record<string, z.ZodType>> }
  /** By status; of those that are problems there need be no word. Undefined is a body that is no JSON. */
  readonly answers: Readonly<Record<number, Readonly<Record<string, z.ZodType | undefined>>>>
}

const text = z.string()
const flag = z.enum(['true', 'false'])
const json = (schema: z.ZodType) => ({ 'application/json': schema })
const wait = z.string().regex(/^(0|\d{1,6}(ms|s|m))$/)
const limit = z.int().min(1).max(limits.pageRecordsMax)
const from = text.meta({
  description: 'earliest, latest, time:<RFC 3339 or milliseconds>, @<name of a cursor>, or a cursor',
})
const ack = text.meta({ description: 'local, n:K, majority, all, n:K+majority or n:K+all' })
const lastEventId = { 'Last-Event-ID': text }
const stream = 'text/event-stream'
const bytes = 'application/octet-stream'

const recordToPublish = z.strictObject({
  value: z.unknown().optional(),
  valueBase64: z.base64().optional(),
  key: text.optional(),
  keyBase64: z.base64().optional(),
  headers: z.record(text, text).optional(),
  contentType: text.optional(),
  producer: z.strictObject({ id: text, epoch: z.int().min(0).optional(), seq: z.int().min(0) }).optional(),
})
const records = z.strictObject({ records: z.array(recordToPublish).min(1).max(limits.publishRecordsMax) })
const publishHeaders = {
  'Record-Key': text,
  'Idempotency-Key': z.string().min(1).max(limits.producerNameLengthMax),
  'Producer-Id': text,
  'Producer-Epoch': z.int().min(0),
  'Producer-Seq': z.int().min(0),
}

const show = (summary: string, schema: z.ZodType): Operation => ({ summary, answers: { 200: json(schema) } })

/** By method and path, as `GET /` lists them. A test holds that they are the same. */
export const operations: Readonly<Record<string, Operation>> = {
  'GET /': show('Every route, by method and path', views.index),
  'GET /openapi.json': show('This document', views.document),
  'GET /asyncapi.json': show('The messages of WebSockets', views.document),
  'GET /problems': {
    summary: 'Every code of a problem',
    answers: { 200: { 'text/html': undefined, 'text/plain': undefined } },
  },
  'GET /problems/{code}': {
    summary: 'What a code of a problem means, and what to do',
    answers: { 200: { 'text/html': undefined, 'text/plain': undefined } },
  },

  'GET /v1/topics': {
    ...show('Topics that are known here, and what is left of deleted ones', views.topicList),
    query: { match: text },
  },
  'GET /v1/topics/{topic}': show('A topic with its configuration; its ETag', views.topicView),
  'PUT /v1/topics/{topic}': {
    summary: 'Makes a topic, or finds it made as asked',
    body: { required: false, content: json(topicBody) },
    answers: { 200: json(views.topicView), 201: json(views.topicView) },
  },
  'PATCH /v1/topics/{topic}': {
    summary: 'Changes what is asked and nothing else',
    headers: { 'If-Match': text },
    body: { required: true, content: json(topicPatchBody) },
    answers: { 200: json(views.topicView) },
  },
  'DELETE /v1/topics/{topic}': show('Deletes a topic', views.deletedTopic),
  'GET /v1/topics/{topic}/status': show('Heads, hashes, floors and lag of each replica', views.topicStatus),

  'POST /v1/topics/{topic}/records': {
    summary: 'Publishes one record (the body as it is), a batch, or lines',
    query: { ack, wait },
    headers: publishHeaders,
    body: {
      required: true,
      content: { [recordsMediaType]: records, [ndjsonMediaType]: recordToPublish, '*/*': z.unknown() },
    },
    answers: {
      200: { ...json(views.publishedBatch), [ndjsonMediaType]: undefined },
      201: json(views.published),
      202: json(views.published),
    },
  },
  'GET /v1/topics/{topic}/records': {
    summary: 'A page of records, or with order=time of an interval; a stream of events or lines by Accept',
    query: {
      from,
      limit,
      wait,
      strict: flag,
      follow: flag,
      lastEventId: text,
      order: z.literal('time'),
      to: text,
      after: text,
    },
    headers: lastEventId,
    answers: {
      200: {
        'application/json': z.union([views.page, views.interval]),
        [stream]: undefined,
        [ndjsonMediaType]: undefined,
      },
    },
  },
  'GET /v1/topics/{topic}/records/{id}': {
    summary: 'One record; its bytes to who accepts application/octet-stream, under the type that it has',
    answers: { 200: { ...json(views.record), [bytes]: undefined, '*/*': undefined } },
  },
  'GET /v1/topics/{topic}/records/{id}/replication': {
    summary: 'Who holds a record; with a level it waits for the copies',
    query: { level: ack, wait },
    answers: { 200: json(z.union([views.replicationStatus, views.copies])), 202: json(views.copies) },
  },
  'GET /v1/stream': {
    summary: 'Several topics and patterns as one stream of events, or of lines',
    query: { topic: text, from, strict: flag, follow: flag, lastEventId: text },
    headers: lastEventId,
    answers: { 200: { [stream]: undefined, [ndjsonMediaType]: undefined } },
  },
  'GET /v1/ws': { summary: 'A WebSocket: see /asyncapi.json', answers: { 101: {} } },
  'GET /v1/topics/{topic}/cursors/{name}': show('A cursor that was stored under a name', views.namedCursor),
  'PUT /v1/topics/{topic}/cursors/{name}': {
    ...show('Stores a cursor under a name, for all peers', views.namedCursor),
    body: { required: true, content: json(cursorBody) },
  },
  'DELETE /v1/topics/{topic}/cursors/{name}': show('Deletes a named cursor', views.deletedCursor),

  'GET /v1/mesh/self': show('The peer that answers', views.selfView),
  'GET /v1/mesh/members': show('Who belongs to the mesh', views.members),
  'GET /v1/mesh/members/{member}': show('One member, by id or name', views.member),
  'POST /v1/mesh/members/{member}/decommission': show('It hands over what it holds, and is forgotten', views.member),
  'POST /v1/mesh/members/{member}/forget': { ...show('It is gone', views.member), query: { force: flag } },
  'POST /v1/mesh/members/{member}/admit': show('It belongs again', views.member),
  'GET /v1/mesh/gossip': show('What this peer believes of the others, and why', views.gossip),
  'GET /v1/mesh/links': show('Connections to other peers', views.links),
  'GET /v1/mesh/partitions': show('Who can be reached from here, and who cannot', views.partitions),
  'GET /v1/mesh/heals': show('The last cuts that are over', views.heals),
  'GET /v1/mesh/replication': show('Copies that are on their way', views.meshReplication),
  'GET /v1/mesh/events': {
    summary: 'What has happened in the mesh: a page, or a stream by Accept',
    query: { from: z.enum(['earliest', 'latest']), after: text, lastEventId: text, limit, wait },
    headers: lastEventId,
    answers: { 200: { ...json(views.eventPage), [stream]: undefined } },
  },

  'POST /v1/tickets': {
    summary: 'A ticket for the URL of an EventSource or a WebSocket, where tokens are asked for',
    answers: { 201: json(views.ticket) },
  },
  'GET /v1/tokens/revoked': show('Tokens that are good no more', views.revokedTokens),
  'DELETE /v1/tokens/{id}': { ...show('Revokes a token, at every peer', views.revokedToken), query: { until: text } },

  'GET /v1/lab/partition': show('Members that this peer is cut off from', views.dropped),
  'PUT /v1/lab/partition': {
    ...show('Silence with these members, both ways', views.dropped),
    body: { required: true, content: json(labPartitionBody) },
  },
  'DELETE /v1/lab/partition': show('Lets everything through again', views.dropped),
  'GET /v1/lab/links': show('Links that are slow or lossy', views.labLinks),
  'PUT /v1/lab/links': {
    ...show('Makes links slow, lossy, or cut in one direction', views.labLinks),
    body: { required: true, content: json(labLinksBody) },
  },

  'GET /v1/log-level': show('How much this peer says in its log', views.logLevel),
  'PUT /v1/log-level': {
    ...show('Changes how much it says, until it starts again', views.logLevel),
    body: { required: true, content: json(logLevelBody) },
  },

  'GET /healthz': show('200 while the process runs', views.health),
  'GET /readyz': show('Does it take work? A partitioned peer does', views.readiness),
  'GET /version': show('Name and version', views.version),
  'GET /metrics': { summary: 'Figures as Prometheus reads them', answers: { 200: { 'text/plain': undefined } } },
}
