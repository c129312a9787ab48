import { z } from 'zod'
import { errorCatalogue } from '#protocol/errors'
import { problemMediaType } from '../problem.ts'
import { type Operation, operations } from './operations.ts'
import * as views from './views.ts'

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): object => {
  const named = Object.entries(views).find(([, view]) => view === schema)
  return named === undefined ? inline(schema, io) : { $ref: `#/components/schemas/${named[0]}` }
}

function inline(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}

/** OpenAPI 3.1 of the HTTP API, from the schemas that check bodies, and that answers are checked against in tests. */
export function openApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const [key, operation] of Object.entries(operations)) {
    const [method = '', path = ''] = key.split(' ')
    paths[path] = { ...paths[path], [method.toLowerCase()]: operationOf(path, operation) }
  }
  const schemas = Object.fromEntries(Object.entries(views).map(([name, view]) => [name, inline(view, 'output')]))
  return {
    openapi: '3.1.0',
    info: {
      title: 'Grapevine',
      version,
      description: 'One peer of a broker mesh: every peer serves the same. What it promises is in gateway/README.md.',
    },
    paths,
    components: { schemas, responses: { problem: problemAnswer } },
  }
}

function operationOf(path: string, { summary, query = {}, headers = {}, body, answers }: Operation): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  const parameters = [...inPath, ...parametersOf('query', query), ...parametersOf('header', headers)]
  const entries = Object.entries(answers).map(([status, content]) => [
    status,
    {
      description: status === '202' ? 'Durable here; the level was not reached in time' : summary,
      ...contentOf(content),
    },
  ])
  return {
    summary,
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: body.required,
        content: mapValues(body.content, (schema) => ({ schema: schemaOf(schema, 'input') })),
      },
    }),
    responses: { ...Object.fromEntries(entries), default: { $ref: '#/components/responses/problem' } },
  }
}

const parametersOf = (where: string, schemas: Readonly<Record<string, z.ZodType>>): object[] =>
  Object.entries(schemas).map(([name, schema]) => {
    const several = where === 'query' && name === 'topic'
    const one = inline(schema, 'input')
    return { name, in: where, required: several, schema: several ? { type: 'array', items: one } : one }
  })

const contentOf = (content: Readonly<Record<string, z.ZodType | undefined>>): object =>
  Object.keys(content).length === 0
    ? {}
    : { content: mapValues(content, (schema) => (schema === undefined ? {} : { schema: schemaOf(schema, 'output') })) }

const problemAnswer = {
  description: `A problem (RFC 9457). Its code is one of those at /problems: ${Object.keys(errorCatalogue).length} of them, with what to do.`,
  content: { [problemMediaType]: { schema: { $ref: '#/components/schemas/problem' } } },
}

const mapValues = <In, Out>(record: Readonly<Record<string, In>>, of: (value: In) => Out): Record<string, Out> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, of(value)]))
