import type { Context } from 'hono'
import { type AckLevel, parseAckLevel } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import { parseEpoch, parsePeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { parseReadableName, parseTopicName, type TopicName } from '#protocol/topic-name'
import { isTokenParameter } from './auth/shown.ts'
import type { RecordId } from './broker.ts'
import { invalid } from './problem.ts'

/** The `{topic}` of the path, to publish to or to administer. Throws TOPIC_NAME_INVALID, for the mesh's own topics, too. */
export function topicOf(c: Context): TopicName {
  const text = c.req.param('topic') ?? ''
  const topic = parseTopicName(text)
  if (topic !== undefined) return topic
  const isOfMesh = parseReadableName(text) !== undefined
  const problem = isOfMesh ? 'belongs to the mesh: it can be read, and nothing else' : 'is not a topic name'
  throw new MeshError('TOPIC_NAME_INVALID', `${quoted(text)} ${problem}.`)
}

/** The `{topic}` of the path, to read. Throws TOPIC_NAME_INVALID. */
export function readableTopicOf(c: Context): TopicName {
  return parseReadableName(c.req.param('topic') ?? '') ?? topicOf(c)
}

/** The version in `If-Match`; undefined for `*`, any. Throws IF_MATCH_MISSING, and BAD_REQUEST for what is no strong ETag. */
export function ifMatchOf(c: Context): string | undefined {
  const text = c.req.header('if-match')?.trim()
  if (text === undefined) throw new MeshError('IF_MATCH_MISSING')
  if (text === '*') return undefined
  const version = /^"([\x21\x23-\x7e]+)"$/.exec(text)?.[1]
  if (version === undefined) throw invalid('if-match', 'must be the ETag of the topic, such as "4f…", or *')
  return version
}

/** The `{id}` of the path: `<writer>.<epoch>.<offset>`. Throws RECORD_ID_INVALID. */
export function recordIdOf(c: Context): RecordId {
  const text = c.req.param('id') ?? ''
  const id = parseRecordId(text)
  if (id === undefined) throw new MeshError('RECORD_ID_INVALID', `${quoted(text)} is not a record id.`)
  return id
}

function parseRecordId(text: string): RecordId | undefined {
  const [peer, boot, digits, ...rest] = text.split('.')
  const writer = parsePeerId(peer)
  const epoch = parseEpoch(boot)
  if (writer === undefined || epoch === undefined || rest.length > 0) return undefined
  if (digits === undefined || !/^(0|[1-9]\d{0,15})$/.test(digits)) return undefined
  const offset = Number(digits)
  return Number.isSafeInteger(offset) ? { writer, epoch, offset } : undefined
}

/**
 * The query parameters, each at most once but for those that are said to `repeat`. A misspelled one is refused rather than ignored: `?akc=all` must not become
 * a publish with less than was asked for (P2).
 */
export function queryOf<Name extends string>(
  c: Context,
  names: readonly Name[],
  repeat: readonly string[] = [],
): Partial<Record<Name, string>> {
  const found: Partial<Record<string, string>> = {}
  const { url } = c.req.raw
  const start = url.indexOf('?')
  if (start < 0) return found as Partial<Record<Name, string>>
  for (const [name, values] of plainQuery(url.slice(start + 1)) ?? Object.entries(c.req.queries())) {
    if (repeat.includes(name)) continue
    // It has been looked at, and is no matter of the route.
    if (name === 'ticket' && c.get('isByTicket') === true) continue
    if (isTokenParameter(name)) throw new MeshError('TOKEN_IN_URL')
    if (!(names as readonly string[]).includes(name)) {
      throw stray(
        name,
        `is not a parameter here; there ${names.length + repeat.length > 0 ? `are: ${[...repeat, ...names].join(', ')}` : 'is none'}`,
      )
    }
    if (values.length > 1) throw invalid(name, 'was given more than once')
    found[name] = values[0] ?? ''
  }
  return found as Partial<Record<Name, string>>
}

/** What nothing has to be decoded of, once each: as Hono reads it, at a tenth of the cost. Undefined for any other query. */
function plainQuery(text: string): [string, string[]][] | undefined {
  if (!/^[\w.:-]+=[\w.:-]*(?:&[\w.:-]+=[\w.:-]*){0,3}$/.test(text)) return undefined
  const pairs = text.split('&').map((pair): [string, string[]] => {
    const equals = pair.indexOf('=')
    return [pair.slice(0, equals), [pair.slice(equals + 1)]]
  })
  return new Set(pairs.map(([name]) => name)).size === pairs.length ? pairs : undefined
}

/** Throws ACK_LEVEL_INVALID. */
export function ackLevelOf(text: string): AckLevel {
  const level = parseAckLevel(text)
  if (level === undefined) throw new MeshError('ACK_LEVEL_INVALID', `${quoted(text)} is not an ack level.`)
  return level
}

/** Milliseconds of `300ms`, `2s`, `1m` or `0`, at most 60 s. */
export function waitMsOf(text: string | undefined, defaultMs: number): number {
  if (text === undefined) return defaultMs
  const [, digits, unit] = /^(\d{1,6})(ms|s|m)$/.exec(text === '0' ? '0ms' : text) ?? []
  if (digits === undefined) throw invalid('wait', 'must be a duration such as 300ms, 2s or 1m')
  const ms = Number(digits) * (unit === 'ms' ? 1 : unit === 's' ? 1_000 : 60_000)
  if (ms > limits.waitMsMax) throw invalid('wait', `must be at most ${limits.waitMsMax / 1_000}s`)
  return ms
}

/** A whole number from 1 to `max`. */
export function countOf(
  name: string,
  text: string | undefined,
  { normal, max }: { normal: number; max: number },
): number {
  if (text === undefined) return normal
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > max) throw invalid(name, `must be a whole number from 1 to ${max}`)
  return count
}

export function flagOf(name: string, text = 'false'): boolean {
  if (text !== 'true' && text !== 'false') throw invalid(name, 'must be true or false')
  return text === 'true'
}

/** The client named a field that is not known here: quoted for people, and for programs as it came. */
export const stray = (field: string, problem: string): MeshError =>
  new MeshError('BAD_REQUEST', `${quoted(field)} ${problem}.`, { facts: { field: short(field) } })

/** What a client sent, short enough for an error message. */
export const quoted = (text: string): string => JSON.stringify(short(text))

const short = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text)
