import { Hono, type Context } from 'hono'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { topicToRead } from '../auth/topic-to-read.ts'
import type { StoredRecord } from '../broker.ts'
import type { RouteDeps } from '../deps.ts'
import { isContentType, unknownMediaType } from '#protocol/media-type'
import { ackLevelOf, queryOf, recordIdOf, waitMsOf } from '../parameters.ts'
import { invalid } from '../problem.ts'
import { recordJson } from '../record-json.ts'
import { json } from './json-answer.ts'

export function recordRoutes(deps: RouteDeps): Hono {
  const { broker } = deps
  const routes = new Hono()

  routes.get('/v1/topics/:topic/records/:id', async (c) => {
    queryOf(c, [])
    const record = (await broker.record(topicToRead(c), recordIdOf(c))) ?? notHeld(c)
    if (wantsBytes(c)) return answerBytes(record)
    return c.body(recordJson(record), 200, { 'content-type': 'application/json', vary: 'accept' })
  })

  routes.get('/v1/topics/:topic/records/:id/replication', async (c) => {
    const { level, wait } = queryOf(c, ['level', 'wait'])
    if (level !== undefined) return answerCopies(c, deps, { level, wait })
    if (wait !== undefined) throw invalid('wait', 'is for a level to be reached: say which, as in level=majority')
    return json((await broker.replication(topicToRead(c), recordIdOf(c))) ?? notHeld(c))
  })

  return routes
}

interface AskedCopies {
  readonly level: string
  readonly wait: string | undefined
}

/** As a publish is answered (P2), but for the 201: nothing was made. While it waits it is a live read. */
async function answerCopies(c: Context, { broker, liveReads, draining }: RouteDeps, asked: AskedCopies) {
  const [topic, id, level] = [topicToRead(c), recordIdOf(c), ackLevelOf(asked.level)]
  const waitMs = waitMsOf(asked.wait, limits.waitMsDefault)
  const drain = new AbortController()
  const leave = liveReads.begin(() => drain.abort(), 'longPoll')
  if (draining()) drain.abort()
  try {
    const signal = AbortSignal.any([drain.signal, c.req.raw.signal])
    const ack = (await broker.awaitCopies(topic, id, level, waitMs, signal)) ?? notHeld(c)
    return json({ id: c.req.param('id'), ack }, ack.reached ? 200 : 202)
  } finally {
    leave()
  }
}

const notHeld = (c: Context): never => {
  const id = c.req.param('id')
  throw new MeshError('RECORD_NOT_FOUND', `This peer does not hold the record ${id}.`, { facts: { id } })
}

/** The value itself is given to who asks for bytes, so that a browser's `Accept` never gets it. */
const wantsBytes = (c: Context): boolean => /(^|[,\s])application\/octet-stream/i.test(c.req.header('accept') ?? '')

/** A record is somebody else's content on our origin: no browser may sniff its type, run it or frame it. */
const containment = { 'x-content-type-options': 'nosniff', 'content-security-policy': "sandbox; default-src 'none'" }

function answerBytes({ key, headers, value }: StoredRecord): Response {
  const fields = new Headers({ ...containment, vary: 'accept' })
  const contentType = headers['content-type']
  fields.set('content-type', contentType !== undefined && isContentType(contentType) ? contentType : unknownMediaType)
  if (key !== undefined) setField(fields, 'record-key', key)
  for (const [name, text] of Object.entries(headers)) {
    if (name !== 'content-type') setField(fields, `record-header-${name}`, Buffer.from(text))
  }
  return new Response(new Uint8Array(value), { headers: fields })
}

/** As UTF-8, one byte to a character. What HTTP cannot say in a header is left out here; the JSON form has it. */
function setField(fields: Headers, name: string, bytes: Uint8Array): void {
  const value = Buffer.from(bytes).toString('latin1')
  const sayable =
    /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) &&
    /^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/.test(value)
  if (sayable) fields.set(name, value)
}
