import { type Context, Hono } from 'hono'
import { errorCatalogue, type ErrorCode, MeshError } from '#protocol/errors'
import { problemCauses } from '../api/problem-causes.ts'
import type { RouteDeps } from '../deps.ts'
import { queryOf, quoted } from '../parameters.ts'
import { json } from './json-answer.ts'

/** What describes the API to programs, and its problems to people. */
export function documentRoutes({ broker }: RouteDeps): Hono {
  const routes = new Hono()
  const { version } = broker.self
  // Loaded and made once, when somebody asks: peers start without the schemas of all answers.
  let documents: Promise<{ readonly openapi: object; readonly asyncapi: object }> | undefined
  const made = () => (documents ??= documentsOf(version))

  routes.get('/openapi.json', async (c) => {
    queryOf(c, [])
    return json((await made()).openapi)
  })
  routes.get('/asyncapi.json', async (c) => {
    queryOf(c, [])
    return json((await made()).asyncapi)
  })
  routes.get('/problems', (c) => {
    queryOf(c, [])
    return answer(
      c,
      'Problems',
      codes.map((code) => [code, errorCatalogue[code].title]),
    )
  })
  routes.get('/problems/:code', (c) => {
    queryOf(c, [])
    const text = c.req.param('code')
    const code = codes.find((known) => known === text)
    if (code === undefined) throw new MeshError('ROUTE_NOT_FOUND', `There is no problem with the code ${quoted(text)}.`)
    return answer(c, code, pageOf(code))
  })
  return routes
}

async function documentsOf(version: string): Promise<{ readonly openapi: object; readonly asyncapi: object }> {
  const [{ openApi }, { asyncApi }] = await Promise.all([import('../api/openapi.ts'), import('../api/asyncapi.ts')])
  return { openapi: openApi(version), asyncapi: asyncApi(version) }
}

/** Those that leave a process over HTTP. */
const codes = (Object.keys(errorCatalogue) as ErrorCode[]).filter((code) => errorCatalogue[code].status > 0)

type Lines = readonly (readonly [head: string, text: string])[]

function pageOf(code: ErrorCode): Lines {
  const { status, title, hint, retryable } = errorCatalogue[code]
  const why = problemCauses[code]
  return [
    ['What happened', `${title}.`],
    ...(why === undefined ? [] : [['Why', why] as const]),
    ['What to do', hint],
    [
      'Retryable',
      retryable ? 'Yes: the same request may succeed later, unchanged.' : 'No: the same request will fail again.',
    ],
    ['Status', String(status)],
  ]
}

/** Nothing in it comes from a client, and nothing in it may run. */
const headers = { 'content-security-policy': "default-src 'none'", 'x-content-type-options': 'nosniff', vary: 'accept' }

function answer(c: Context, title: string, lines: Lines): Response {
  const wantsHtml = /(^|[,\s])text\/html/i.test(c.req.header('accept') ?? '')
  const text = wantsHtml
    ? htmlOf(title, lines)
    : `${title}\n\n${lines.map(([head, line]) => `${head}: ${line}\n`).join('')}`
  const type = `text/${wantsHtml ? 'html' : 'plain'}; charset=utf-8`
  return new Response(text, { headers: { ...headers, 'content-type': type } })
}

function htmlOf(title: string, lines: Lines): string {
  const rows = lines.map(([head, text]) => {
    const isCode = (codes as readonly string[]).includes(head)
    const name = isCode ? `<a href="/problems/${head}">${head}</a>` : escaped(head)
    return `<dt>${name}</dt><dd>${escaped(text)}</dd>`
  })
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1><dl>${rows.join('')}</dl></html>\n`
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
