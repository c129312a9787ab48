// What the API says of itself. That answers are so is checked with every answer in the tests of the gateway.
import { expect, test } from 'vitest'
import { errorCatalogue } from '#protocol/errors'
import { createGateway } from '../app.ts'
import { gatewayDefaults } from '../config.ts'
import { FakeBroker } from '../fake-broker.ts'
import { Sockets } from '../ws/sockets.ts'
import { operations } from './operations.ts'

const metrics = {
  contentType: 'text/plain',
  text: async () => '',
  answered: () => {},
  refused: () => {},
  cut: () => {},
}
const app = createGateway({
  broker: new FakeBroker(),
  config: gatewayDefaults,
  sockets: new Sockets(gatewayDefaults),
  metrics,
  log: { level: 'info', request: () => {} },
})
const get = async (path: string, accept = '*/*') => {
  const answer = await app.request(path, { headers: { accept } })
  return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() }
}

test('every route is described, and nothing else', async () => {
  const { routes } = JSON.parse((await get('/')).text) as { routes: string[] }
  expect(Object.keys(operations).toSorted()).toEqual(['GET /', ...routes].toSorted())
})

interface Document {
  openapi: string
  paths: Record<string, Record<string, { responses: Record<string, object>; parameters?: { name: string }[] }>>
  components: { schemas: Record<string, object> }
}

test('the document is OpenAPI 3.1, whole in itself, and made from the schemas', async () => {
  const { text, type } = await get('/openapi.json')
  expect(type).toBe('application/json')
  const document = JSON.parse(text) as Document
  expect(document.openapi).toBe('3.1.0')
  for (const [, path = ''] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const found = path.split('/').reduce<unknown>((at, part) => (at as Record<string, unknown>)?.[part], document)
    expect(found, path).toBeTypeOf('object')
  }
  const patch = document.paths['/v1/topics/{topic}']?.['patch']
  expect(patch?.parameters?.map(({ name }) => name)).toEqual(['topic', 'If-Match'])
  expect(patch).toMatchObject({
    requestBody: {
      content: { 'application/json': { schema: { additionalProperties: false, properties: { replicas: {} } } } },
    },
    responses: {
      200: { content: { 'application/json': { schema: { $ref: '#/components/schemas/topicView' } } } },
      default: { $ref: '#/components/responses/problem' },
    },
  })
  expect(document.components.schemas['problem']).toMatchObject({
    properties: { code: { enum: Object.keys(errorCatalogue) } },
  })
})

test('the messages of sockets are described, too', async () => {
  const document = JSON.parse((await get('/asyncapi.json')).text) as object
  expect(document).toMatchObject({ asyncapi: '3.0.0', channels: { socket: { address: '/v1/ws' } } })
})

test('each problem has a page that says what to do, to people and to terminals', async () => {
  for (const [code, { status, hint }] of Object.entries(errorCatalogue)) {
    const page = await get(`/problems/${code}`)
    if (status === 0) {
      expect(page.status).toBe(404)
      continue
    }
    expect([page.status, page.type]).toEqual([200, 'text/plain; charset=utf-8'])
    expect(page.text).toContain(`What to do: ${hint}`)
  }
  const html = await get('/problems/RECORD_TOO_LARGE', 'text/html,*/*')
  expect([html.status, html.type]).toEqual([200, 'text/html; charset=utf-8'])
  expect(html.text).toContain('<h1>RECORD_TOO_LARGE</h1>')
  expect((await get('/problems', 'text/html')).text).toContain('<a href="/problems/BAD_JSON">BAD_JSON</a>')
  const unknown = await get('/problems/%3Cscript%3E', 'text/html')
  expect([unknown.status, unknown.type]).toEqual([404, 'application/problem+json'])
})
