// Loaded before the unit tests of the gateway: every answer of the gateway in them is checked against what `/openapi.json` says.
import { afterEach, expect, vi } from 'vitest'
import type * as gatewayApp from '#gateway/app'
import { type Operation, operations } from '#gateway/api/operations'
import { problem } from '#gateway/api/views'

/** Longer ones are of tests of load, and say nothing else. */
const checkedLengthMax = 256 * 1024

/** Those that do not fit, since the last test. */
const faults: string[] = []

vi.mock('#gateway/app', async (original) => {
  const { createGateway, ...rest } = await original<typeof gatewayApp>()
  return {
    ...rest,
    createGateway: (...args: Parameters<typeof createGateway>) => {
      const app = createGateway(...args)
      const answer = app.fetch
      app.fetch = async (request, ...env) => {
        const response = await answer(request, ...env)
        const isJson = /^application\/(problem\+)?json/.test(response.headers.get('content-type') ?? '')
        const text = isJson && request.method !== 'HEAD' ? await response.text() : undefined
        const fault = faultOf(request, response, text)
        if (fault !== undefined) faults.push(`${request.method} ${request.url}: ${response.status} ${fault}`)
        // Of the kind that the server writes at once, as it was.
        const { status } = response
        return text === undefined
          ? response
          : new Response(text, { status, headers: Object.fromEntries(response.headers) })
      }
      return app
    },
  }
})

afterEach(() => expect(faults.splice(0), 'answers are as /openapi.json says').toEqual([]))

function faultOf(request: Request, response: Response, text: string | undefined): string | undefined {
  const type = (response.headers.get('content-type') ?? '').split(';', 1)[0] ?? ''
  if (response.status >= 400) {
    if (type !== 'application/problem+json') return `is ${type}`
    return text === undefined ? undefined : faultIn(problem, text)
  }
  // An upgrade is answered on the socket; this one nobody sees.
  if (request.headers.has('upgrade')) return undefined
  // A preflight is of whatever comes after it.
  if (request.method === 'OPTIONS') return undefined
  const operation = operationOf(request)
  if (operation === undefined) return 'is of no operation'
  const content = operation.answers[response.status]
  if (content === undefined) return 'is a status that is not said'
  // A ticket is looked at before any operation.
  const names = [...new URL(request.url).searchParams.keys()].filter((name) => name !== 'ticket')
  const query = names.find((name) => operation.query?.[name] === undefined)
  if (query !== undefined) return `took a parameter ${query} that is not said`
  if (Object.keys(content).length === 0) return undefined
  if (!(type in content)) return '*/*' in content ? undefined : `is ${type}`
  const schema = content[type]
  return schema === undefined || text === undefined ? undefined : faultIn(schema, text)
}

function faultIn(schema: NonNullable<Operation['answers'][number][string]>, text: string): string | undefined {
  if (text.length > checkedLengthMax) return undefined
  const { success, error } = schema.safeParse(JSON.parse(text))
  return success ? undefined : JSON.stringify(error.issues).slice(0, 500)
}

function operationOf({ method, url }: Request): Operation | undefined {
  const { pathname } = new URL(url)
  const asked = method === 'HEAD' ? 'GET' : method
  const fitting = Object.keys(operations).filter((key) => {
    const [itsMethod, path = ''] = key.split(' ')
    return itsMethod === asked && new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(pathname)
  })
  // What is said literally goes before parameters.
  const [best] = fitting.toSorted((a, b) => a.split('{').length - b.split('{').length)
  return best === undefined ? undefined : operations[best]
}
