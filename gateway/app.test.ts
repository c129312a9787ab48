// Everything but publishing and reading: topics, one record, the mesh, the lab, health, and the errors of all routes.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { errorCatalogue, MeshError } from '#protocol/errors'
import { utf8 } from '#protocol/text'
import type { TopicId } from '#protocol/ids'
import type { TopicName } from '#protocol/topic-name'
import { createGateway } from './app.ts'
import { gatewayDefaults } from './config.ts'
import type { LabLink } from './broker.ts'
import { FakeBroker } from './fake-broker.ts'
import { LiveReads } from './live-reads.ts'

function gateway({ lab = false } = {}) {
  const broker = new FakeBroker()
  const dropped: string[] = []
  let links: readonly LabLink[] = []
  if (lab) {
    broker.lab = {
      drop: (names) => {
        const stranger = names.find((name) => name !== 'elm')
        if (stranger !== undefined) throw new MeshError('MEMBER_NOT_FOUND', `${stranger} is no member.`)
        dropped.push(...names)
        return dropped
      },
      setLinks: (asked) => (links = asked),
      heal: () => {
        dropped.splice(0)
        links = []
      },
      dropped: () => dropped,
      links: () => links,
    }
  }
  const liveReads = new LiveReads(8)
  const reported: unknown[] = []
  const reportError = (error: unknown) => void reported.push(error)
  const app = createGateway({ broker, config: gatewayDefaults, liveReads, reportError })
  /** `GET /path`, with what comes back: status, and the body as JSON if it is that. */
  const ask = async (request: string, body?: string, headers: Record<string, string> = {}) => {
    const [method = '', path = ''] = request.split(' ')
    const answer = await app.request(path, { method, headers, ...(body !== undefined && { body }) })
    const type = answer.headers.get('content-type') ?? ''
    return {
      status: answer.status,
      type,
      headers: answer.headers,
      body: type.includes('json') ? ((await answer.json()) as unknown) : await answer.text(),
    }
  }
  return { broker, liveReads, reported, ask }
}

// Topics ------------------------------------------------------------------------------------------------------------------

test('PUT makes a topic known: 201, and 200 when it was', async () => {
  const { ask } = gateway()
  const orders = { topic: 'orders', topicId: 'bb'.repeat(16), records: 0, feeds: 1 }
  expect(await ask('PUT /v1/topics/orders')).toMatchObject({ status: 201, body: orders })
  expect(await ask('PUT /v1/topics/orders', '{}')).toMatchObject({ status: 200, body: orders })
  expect(await ask('GET /v1/topics/orders')).toMatchObject({ status: 200, body: orders })
})

test('PUT with a configuration makes the topic with it; one that asks for something else is told so', async () => {
  const { ask } = gateway()
  const asked = { replicas: 5, retention: { ageMs: 60_000 }, minAck: 'n:2+majority' }
  const made = await ask('PUT /v1/topics/orders', JSON.stringify(asked))
  expect(made).toMatchObject({ status: 201, body: { topic: 'orders', config: asked } })
  expect(await ask('PUT /v1/topics/orders', '{"replicas":5}')).toMatchObject({ status: 200, body: { config: asked } })
  expect(await ask('PUT /v1/topics/orders', '{"replicas":4}')).toMatchObject({
    status: 409,
    body: { code: 'TOPIC_DIFFERS' },
  })
  expect(await ask('PUT /v1/topics/bills')).toMatchObject({
    body: { config: { replicas: 3, retention: {}, minAck: 'local' } },
  })
})

test('PATCH changes what the client has read, and nothing that it does not name', async () => {
  const { ask } = gateway()
  await ask('PUT /v1/topics/orders', '{"replicas":5,"minAck":"all"}')
  const read = await ask('GET /v1/topics/orders')
  const etag = read.headers.get('etag') ?? ''
  expect(etag).toBe(`"${(read.body as { version: string }).version}"`)
  const patch = (body: object, match?: string) =>
    ask('PATCH /v1/topics/orders', JSON.stringify(body), match === undefined ? {} : { 'if-match': match })
  const changed = await patch({ retention: { records: 10 }, minAck: null }, etag)
  expect(changed).toMatchObject({
    status: 200,
    body: { config: { replicas: 5, retention: { records: 10 }, minAck: 'local' } },
  })
  expect(changed.headers.get('etag')).not.toBe(etag)
  expect(await patch({ replicas: 2 }, etag)).toMatchObject({ status: 412, body: { code: 'TOPIC_CHANGED' } })
  expect(await patch({ replicas: 2 })).toMatchObject({ status: 428, body: { code: 'IF_MATCH_MISSING' } })
  expect(await patch({ replicas: 2 }, 'W/"x"')).toMatchObject({ status: 400, body: { code: 'BAD_REQUEST' } })
  expect(await patch({ replicas: 2 }, '*')).toMatchObject({ status: 200, body: { config: { replicas: 2 } } })
})

test('DELETE deletes a topic: its name is free, and what is left of it is listed beside the topics', async () => {
  const { broker, ask } = gateway()
  await ask('PUT /v1/topics/orders')
  const remains = '$deleted.orders.0' as TopicName
  const deleted = { topic: 'orders', generation: 0, remains }
  expect(await ask('DELETE /v1/topics/orders')).toMatchObject({ status: 200, body: deleted })
  expect(await ask('DELETE /v1/topics/orders')).toMatchObject({ status: 404, body: { code: 'TOPIC_NOT_FOUND' } })
  broker.remains = [{ topic: remains, topicId: 'cc'.repeat(16) as TopicId, records: 2, feeds: 1, goesInMs: 9_000 }]
  expect(await ask('GET /v1/topics')).toMatchObject({ body: { topics: [], deleted: [{ topic: remains, records: 2 }] } })
  expect(await ask('PUT /v1/topics/orders')).toMatchObject({ status: 201, body: { generation: 1 } })
})

test('topics are listed by name, all or those that match', async () => {
  const { ask } = gateway()
  for (const topic of ['orders', 'orders.eu', 'orders.eu.paid', 'logs']) await ask(`PUT /v1/topics/${topic}`)
  const names = async (query: string) =>
    ((await ask(`GET /v1/topics${query}`)).body as { topics: { topic: string }[] }).topics.map(({ topic }) => topic)
  expect(await names('')).toEqual(['logs', 'orders', 'orders.eu', 'orders.eu.paid'])
  expect(await names('?match=orders.*')).toEqual(['orders.eu'])
  expect(await names('?match=orders.**')).toEqual(['orders.eu', 'orders.eu.paid'])
  expect(await names('?match=stock')).toEqual([])
})

test('the status of a topic is what each replica holds of it', async () => {
  const { broker, ask } = gateway()
  broker.append('orders' as TopicName, { headers: {}, value: utf8('pears') })
  expect(await ask('GET /v1/topics/orders/status')).toMatchObject({
    status: 200,
    body: {
      topic: 'orders',
      records: 1,
      converged: true,
      replicas: [{ name: 'oak', lag: 0, feeds: [{ nextOffset: 1 }] }],
    },
  })
})

// One record --------------------------------------------------------------------------------------------------------------

const first = '/v1/topics/orders/records/oak-id.0123456789abcdef.0'

test('one record is JSON unless bytes are asked for', async () => {
  const { broker, ask } = gateway()
  const headers = { 'content-type': 'text/html; charset=utf-8', 'trace-id': 'ä1', 'bad name': 'x', 'bad-value': 'a\nb' }
  broker.append('orders' as TopicName, { key: utf8('pears'), headers, value: utf8('<b>pears</b>') })
  const browser = 'text/html,application/xhtml+xml,*/*;q=0.8'
  for (const accept of ['application/json', '*/*', browser, 'text/html']) {
    const { type, body } = await ask(`GET ${first}`, undefined, { accept })
    expect([type, body]).toMatchObject([
      'application/json',
      { key: 'pears', value: '<b>pears</b>', headers: { 'trace-id': 'ä1' } },
    ])
  }
  const raw = await ask(`GET ${first}`, undefined, { accept: 'application/octet-stream' })
  expect(raw).toMatchObject({ status: 200, type: 'text/html; charset=utf-8', body: '<b>pears</b>' })
  expect(raw.headers.get('record-key')).toBe('pears')
  // As UTF-8, one byte to a character; what is no HTTP header is left out.
  expect(raw.headers.get('record-header-trace-id')).toBe('\u00c3\u00a41')
  expect([...raw.headers.keys()].filter((name) => name.startsWith('record-header'))).toEqual(['record-header-trace-id'])
})

test('content of others cannot act as a page of this origin', async () => {
  const { broker, ask } = gateway()
  broker.append('orders' as TopicName, { headers: { 'content-type': 'text/html' }, value: utf8('<script>') })
  const { headers } = await ask(`GET ${first}`, undefined, { accept: 'application/octet-stream' })
  expect(headers.get('content-security-policy')).toMatch(/^sandbox;/)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
})

test('who holds a record is told by name', async () => {
  const { broker, ask } = gateway()
  broker.append('orders' as TopicName, { headers: {}, value: utf8('pears') })
  const oak = { peer: 'oak-id', name: 'oak', holds: true, current: true }
  expect(await ask(`GET ${first}/replication`)).toMatchObject({
    status: 200,
    body: { copies: 1, peers: [oak], home: ['oak'] },
  })
})

test('whoever asks for copies of a record is answered as its publisher: 200, or 202 when the wait was not enough', async () => {
  const { broker, ask } = gateway()
  broker.append('orders' as TopicName, { headers: {}, value: utf8('pears') })
  const ack = { level: 'n:3', reached: true, copies: 1, peers: ['oak'], registryVersion: '1', home: ['oak'] }
  const body = { id: 'oak-id.0123456789abcdef.0', ack }
  expect(await ask(`GET ${first}/replication?level=n:3&wait=300ms`)).toMatchObject({ status: 200, body })
  broker.reached = false
  const unreached = { ...body, ack: { ...ack, level: 'majority', reached: false } }
  expect(await ask(`GET ${first}/replication?level=majority`)).toMatchObject({ status: 202, body: unreached })
  expect(broker.awaited.map(({ waitMs }) => waitMs)).toEqual([300, 5_000])
})

// The mesh, the lab and health ----------------------------------------------------------------------------------------------

test('the mesh shows itself', async () => {
  const { ask } = gateway()
  expect(await ask('GET /v1/mesh/self')).toMatchObject({ status: 200, body: { name: 'oak', cluster: 'grapevine' } })
  const members = [{ name: 'oak' }, { name: 'elm' }, { name: 'ash', state: 'dead' }]
  expect(await ask('GET /v1/mesh/members')).toMatchObject({ status: 200, body: { members } })
  expect(await ask('GET /v1/mesh/members/ash-id')).toMatchObject({ status: 200, body: { name: 'ash' } })
  expect(await ask('GET /v1/mesh/members/elm')).toMatchObject({ status: 200, body: { id: 'elm-id' } })
  expect(await ask('GET /v1/mesh/replication')).toMatchObject({ status: 200, body: { totals: {}, leftOut: {} } })
  expect(await ask('GET /v1/mesh/gossip')).toMatchObject({ status: 200, body: { self: { name: 'oak' }, members } })
  expect(await ask('GET /v1/mesh/self')).toMatchObject({ body: { name: 'oak', now: '2026-01-01T00:01:00.000Z' } })
  expect(await ask('GET /v1/mesh/partitions')).toMatchObject({ body: { split: false, islands: [{ side: 'ours' }] } })
  expect(await ask('GET /v1/mesh/heals')).toMatchObject({ status: 200, body: { heals: [] } })
  expect(await ask('GET /v1/mesh/heals?last=3')).toMatchObject({ status: 400 })
  expect(await ask('GET /v1/mesh/links')).toMatchObject({
    status: 200,
    body: { links: [{ name: 'elm', state: 'up' }] },
  })
})

test('of members with one name the living one is meant', async () => {
  const { broker, ask } = gateway()
  const [oak, elm, ash] = broker.members()
  broker.members = () => [{ ...ash, name: 'elm' }, elm, oak] as ReturnType<FakeBroker['members']>
  expect(await ask('GET /v1/mesh/members/elm')).toMatchObject({ body: { id: 'elm-id', state: 'alive' } })
})

test('the lab cuts, tells and heals', async () => {
  const { ask } = gateway({ lab: true })
  expect(await ask('GET /v1/lab/partition')).toMatchObject({ status: 200, body: { dropped: [] } })
  expect(await ask('PUT /v1/lab/partition', '{"drop":["elm"]}')).toMatchObject({
    status: 200,
    body: { dropped: ['elm'] },
  })
  expect(await ask('GET /v1/lab/partition')).toMatchObject({ status: 200, body: { dropped: ['elm'] } })
  expect(await ask('DELETE /v1/lab/partition')).toMatchObject({ status: 200, body: { dropped: [] } })
})

test('the lab makes links slow and lossy, until it heals', async () => {
  const { ask } = gateway({ lab: true })
  const links = [{ from: 'elm', loss: 0.3, delayMs: 200 }, { from: 'ash', delayMs: 1 }, { from: 'fir' }]
  const told = [
    { from: 'elm', loss: 0.3, delayMs: 200 },
    { from: 'ash', loss: 0, delayMs: 1 },
    { from: 'fir', loss: 0, delayMs: 0 },
  ]
  expect(await ask('PUT /v1/lab/links', JSON.stringify({ links }))).toMatchObject({
    status: 200,
    body: { links: told },
  })
  expect(await ask('GET /v1/lab/links')).toMatchObject({ body: { links: told } })
  expect(await ask('DELETE /v1/lab/partition')).toMatchObject({ status: 200 })
  expect(await ask('GET /v1/lab/links')).toMatchObject({ body: { links: [] } })
})

test('without --lab there is no lab', async () => {
  const { ask } = gateway()
  for (const method of ['GET', 'PUT', 'DELETE']) {
    expect(await ask(`${method} /v1/lab/partition`, method === 'PUT' ? '{"drop":["elm"]}' : undefined)).toMatchObject({
      status: 403,
      body: { code: 'LAB_DISABLED' },
    })
  }
})

test('a peer is healthy while it runs and ready until it drains', async () => {
  const { liveReads, ask } = gateway()
  expect(await ask('GET /healthz')).toMatchObject({ status: 200, body: { status: 'ok' } })
  expect(await ask('GET /readyz')).toMatchObject({ status: 200, body: { status: 'ready' } })
  expect(await ask('GET /version')).toMatchObject({ status: 200, body: { name: 'grapevine', version: '0.1.0' } })
  liveReads.drain()
  expect(await ask('GET /healthz')).toMatchObject({ status: 200 })
  expect(await ask('GET /readyz')).toMatchObject({ status: 503, body: { code: 'DRAINING' } })
})

test.each([
  ['starting', 'UNAVAILABLE'],
  ['draining', 'DRAINING'],
  ['decommissioned', 'DECOMMISSIONED'],
  ['forgotten', 'FORGOTTEN'],
] as const)('a broker that is %s is not ready: %s', async (reason, code) => {
  const { broker, ask } = gateway()
  broker.ready = () => ({ ready: false, reason })
  expect(await ask('GET /readyz')).toMatchObject({ status: 503, body: { code, detail: `This peer is ${reason}.` } })
})

// Errors --------------------------------------------------------------------------------------------------------------------

test.each([
  ['TOPIC_NAME_INVALID', '%zz', 'PUT /v1/topics/%zz'],
  ['TOPIC_NAME_INVALID', 'order s', 'GET /v1/topics?match=order%20s'],
  ['TOPIC_NAME_INVALID', 'a.**.b', 'GET /v1/topics?match=a.**.b'],
  ['BAD_REQUEST', 'matches', 'GET /v1/topics?matches=a'],
  ['TOPIC_NAME_INVALID', 'belongs to the mesh', 'PUT /v1/topics/$topics'],
  ['TOPIC_NAME_INVALID', 'belongs to the mesh', 'PATCH /v1/topics/$deleted.orders.0'],
  ['TOPIC_NAME_INVALID', 'belongs to the mesh', 'DELETE /v1/topics/$topics'],
  ['TOPIC_NAME_INVALID', 'belongs to the mesh', 'POST /v1/topics/$topics/records'],
  ['TOPIC_NAME_INVALID', '$others', 'GET /v1/topics/$others/records'],
  ['BAD_REQUEST', 'replica is not known', 'PUT /v1/topics/orders', '{"replica":3}'],
  ['BAD_REQUEST', 'replicas is not valid', 'PUT /v1/topics/orders', '{"replicas":0}'],
  ['BAD_REQUEST', 'replicas is not valid', 'PUT /v1/topics/orders', '{"replicas":null}'],
  ['BAD_REQUEST', 'retention.ageMs is not valid', 'PUT /v1/topics/orders', '{"retention":{"ageMs":"7d"}}'],
  ['BAD_REQUEST', 'minAck is not valid', 'PUT /v1/topics/orders', '{"minAck":"quorum"}'],
  ['BAD_REQUEST', 'the body is not valid', 'PUT /v1/topics/orders', '[]'],
  ['BAD_JSON', 'JSON', 'PUT /v1/topics/orders', '{'],
  ['BODY_TOO_LARGE', '1048576', 'PUT /v1/topics/orders', ' '.repeat(1024 * 1024 + 1)],
  ['TOPIC_NOT_FOUND', 'orders', 'GET /v1/topics/orders'],
  ['TOPIC_NOT_FOUND', 'orders', 'GET /v1/topics/orders/status'],
  ['RECORD_ID_INVALID', 'oak', 'GET /v1/topics/orders/records/oak'],
  ['RECORD_ID_INVALID', '0', 'GET /v1/topics/orders/records/oak.0123456789abcdef.-1'],
  ['RECORD_ID_INVALID', '0', 'GET /v1/topics/orders/records/oak.0123456789abcdef.01'],
  ['RECORD_ID_INVALID', '0', 'GET /v1/topics/orders/records/oak.0123456789abcdef.9007199254740992'],
  ['RECORD_ID_INVALID', '0', 'GET /v1/topics/orders/records/oak.0123456789ABCDEF.0'],
  ['RECORD_ID_INVALID', '0', 'GET /v1/topics/orders/records/oak.0123456789abcdef.0.0/replication'],
  ['RECORD_NOT_FOUND', 'oak-id.0123456789abcdef.0', `GET ${first}`],
  ['RECORD_NOT_FOUND', 'oak-id.0123456789abcdef.0', `GET ${first}/replication`],
  ['RECORD_NOT_FOUND', 'oak-id.0123456789abcdef.0', `GET ${first}/replication?level=local`],
  ['ACK_LEVEL_INVALID', 'most', `GET ${first}/replication?level=most`],
  ['ACK_LEVEL_INVALID', '""', `GET ${first}/replication?level=`],
  ['BAD_REQUEST', 'level=majority', `GET ${first}/replication?wait=5s`],
  ['BAD_REQUEST', 'at most 60s', `GET ${first}/replication?level=all&wait=2m`],
  ['BAD_REQUEST', 'ack', `GET ${first}/replication?ack=all`],
  ['MEMBER_NOT_FOUND', 'yew', 'GET /v1/mesh/members/yew'],
  ['MEMBER_NOT_FOUND', 'yew', 'PUT /v1/lab/partition', '{"drop":["yew"]}'],
  ['BAD_REQUEST', 'drop', 'PUT /v1/lab/partition', '{}'],
  ['BAD_REQUEST', 'drop', 'PUT /v1/lab/partition', '{"drop":[]}'],
  ['BAD_REQUEST', 'drop.0', 'PUT /v1/lab/partition', '{"drop":[7]}'],
  ['BAD_REQUEST', 'links', 'PUT /v1/lab/links', '{}'],
  ['BAD_REQUEST', 'links.0.from', 'PUT /v1/lab/links', '{"links":[{"loss":1}]}'],
  ['BAD_REQUEST', 'links.0.loss', 'PUT /v1/lab/links', '{"links":[{"from":"elm","loss":1.1}]}'],
  ['BAD_REQUEST', 'links.0.delayMs', 'PUT /v1/lab/links', '{"links":[{"from":"elm","delayMs":60001}]}'],
  ['BAD_REQUEST', 'cut', 'PUT /v1/lab/partition', '{"drop":["elm"],"cut":1}'],
  ['ROUTE_NOT_FOUND', '/v2/topics', 'GET /v2/topics'],
  ['ROUTE_NOT_FOUND', '/v1/topics/', 'GET /v1/topics/'],
  ['ROUTE_NOT_FOUND', '//', 'GET //'],
] as const)('%s, about %s: %s', async (code, detail, request, body?: string) => {
  const { ask } = gateway({ lab: true })
  const { status, title, retryable, hint } = errorCatalogue[code]
  const answer = await ask(request, body)
  expect(answer).toMatchObject({ status, type: 'application/problem+json' })
  expect(answer.body).toMatchObject({
    type: `/problems/${code}`,
    title,
    status,
    code,
    retryable,
    hint,
    peer: 'oak',
    detail: expect.stringContaining(detail),
  })
})

test('a method that a resource does not have is a 405 which lists those it has', async () => {
  const { ask } = gateway()
  const answer = await ask('PATCH /v1/topics/orders/records')
  expect(answer).toMatchObject({ status: 405, type: 'application/problem+json', body: { code: 'METHOD_NOT_ALLOWED' } })
  expect(answer.headers.get('allow')).toBe('HEAD, GET, POST')
  expect((await ask('POST /healthz')).headers.get('allow')).toBe('HEAD, GET')
})

test('a surprise is told to the operator in full and to the client not at all', async () => {
  const { broker, reported, ask } = gateway()
  broker.failure = new TypeError('cannot read properties of undefined (reading secrets)')
  const answer = await ask('GET /v1/mesh/members')
  expect(answer).toMatchObject({ status: 500, body: { code: 'INTERNAL', detail: 'The peer made a mistake' } })
  expect(JSON.stringify(answer.body)).not.toMatch(/secrets|\.ts/)
  expect(reported).toEqual([broker.failure])
})

test('an error that only start-up should meet is a surprise in an answer', async () => {
  const { broker, reported, ask } = gateway()
  broker.failure = new MeshError('DATA_LOCKED')
  expect(await ask('GET /v1/mesh/members')).toMatchObject({ status: 500, body: { code: 'INTERNAL' } })
  expect(reported).toEqual([broker.failure])
})

test('facts of an error stand beside the fields of a problem and cannot take their place', async () => {
  const { broker, ask } = gateway()
  broker.failure = new MeshError('OVERLOADED', 'Full.', { facts: { pendingBytes: 7, status: 200, code: 'FINE' } })
  expect(await ask('GET /v1/mesh/members')).toMatchObject({
    status: 503,
    body: { pendingBytes: 7, status: 503, code: 'OVERLOADED' },
  })
})

test('the README lists each code that HTTP can answer with, and says of it what the catalogue says', () => {
  const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8')
  const rows = Object.entries(errorCatalogue)
    .filter(([, { status }]) => status !== 0)
    .toSorted(([a, { status: one }], [b, { status: other }]) => one - other || (a < b ? -1 : 1))
    .map(([code, { status, retryable, title }]) => `| ${status} | \`${code}\` | ${retryable ? 'yes' : ''} | ${title} |`)
  expect(readme.split('\n').filter((line) => /^\| \d{3} \|/.test(line))).toEqual(rows)
})

test('GET / lists the routes, each of which the README explains', async () => {
  const { ask } = gateway()
  const { status, body } = await ask('GET /')
  const { routes, ...about } = body as { routes: string[] }
  expect(status).toBe(200)
  expect(about).toEqual({ name: 'grapevine', version: expect.any(String), peer: 'oak', docs: 'gateway/README.md' })
  const readme = readFileSync(new URL('README.md', import.meta.url), 'utf8')
  const paths = routes.map((route) => route.split(' ')[1]?.replace('{member}', '{id or name}') ?? '')
  expect(paths.filter((path) => !readme.includes(path))).toEqual([])
  expect(routes).toContain('POST /v1/topics/{topic}/records')
})

describe('who belongs', () => {
  test('is decided of one member, by name or id, also of one that is forgotten', async () => {
    const { broker, ask } = gateway()
    expect(await ask('POST /v1/mesh/members/elm/decommission')).toMatchObject({ status: 200, body: { name: 'elm' } })
    await ask('POST /v1/mesh/members/elm-id/forget')
    await ask('POST /v1/mesh/members/elm/forget?force=true')
    expect(await ask('POST /v1/mesh/members/yew/admit')).toMatchObject({ status: 200, body: { status: 'forgotten' } })
    expect(broker.decisions).toEqual([
      ['elm-id', { type: 'decommission' }],
      ['elm-id', { type: 'forget', force: false }],
      ['elm-id', { type: 'forget', force: true }],
      ['yew-id', { type: 'admit' }],
    ])
    expect(await ask('GET /v1/mesh/members')).toMatchObject({ body: { forgotten: [{ name: 'yew' }] } })
  })

  test('is not decided of nobody, of two, or by a misspelled word', async () => {
    const { broker, ask } = gateway()
    expect(await ask('POST /v1/mesh/members/nobody/forget')).toMatchObject({ status: 404 })
    expect(await ask('POST /v1/mesh/members/elm/forget?forse=true')).toMatchObject({ status: 400 })
    expect(await ask('POST /v1/mesh/members/elm/decommission?force=true')).toMatchObject({ status: 400 })
    const [one] = broker.forgotten()
    broker.forgotten = () => (one === undefined ? [] : [one, { ...one, id: 'yew2-id' }])
    const detail = '2 peers are called "yew": say which by its id.'
    expect(await ask('POST /v1/mesh/members/yew/admit')).toMatchObject({ status: 400, body: { detail } })
    expect(broker.decisions).toEqual([])
  })
})

test('answers and problems end their line, and a stray parameter is named as it came', async () => {
  const app = createGateway({ broker: new FakeBroker(), config: gatewayDefaults })
  for (const path of ['/', '/v1/topics', '/v1/topics?akc=all']) {
    expect(await (await app.request(path)).text()).toMatch(/^\{.*\}\n$/)
  }
  const stray = await app.request('/v1/topics?akc=all')
  expect(await stray.json()).toMatchObject({
    field: 'akc',
    detail: expect.stringContaining('"akc" is not a parameter'),
  })
})
