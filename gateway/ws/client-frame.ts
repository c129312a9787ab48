import { type AckLevel, parseAckLevel } from '#protocol/ack-level'
import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import {
  matchesTopic,
  parseReadableName,
  parseTopicName,
  parseTopicPattern,
  type TopicName,
  type TopicPattern,
} from '#protocol/topic-name'
import { decodeBinaryFrame } from '#protocol/wire/binary-frame'
import type { ClientProducer, EncodedPublish, PublishRequest } from '../broker.ts'
import { parseJson } from '../json-text.ts'
import { quoted, stray, waitMsOf } from '../parameters.ts'
import { invalid } from '../problem.ts'
import { producerOfJson, producerOfKey, refuseTwo } from '../producer.ts'
import { recordOf } from '../publish-body.ts'
import { parsePlainStart, type PlainStart } from '../start.ts'

/** What a client said, checked and built afresh. */
export type ClientInput =
  | SubscribeInput
  | { readonly type: 'credit'; readonly sub: string; readonly n: number }
  | { readonly type: 'unsubscribe'; readonly sub: string }
  | PublishInput
  | { readonly type: 'auth'; readonly token: string }
  | BadFrame

export interface SubscribeInput {
  readonly type: 'subscribe'
  readonly sub: string
  readonly patterns: readonly TopicPattern[]
  readonly from: SubscribeFrom
  readonly credit: number
}

export type SubscribeFrom = PlainStart | { readonly type: 'cursors'; readonly cursors: ReadonlyMap<TopicName, string> }

export type PublishInput = { readonly type: 'publish'; readonly ref: string } & (PublishRequest | EncodedPublish)

export interface BadFrame {
  readonly type: 'bad'
  readonly error: MeshError
  /** What it was about, as far as it said so. */
  readonly ref?: string
  readonly sub?: string
  /** True: it was no frame at all. Who sends such does not speak our protocol. */
  readonly fatal: boolean
}

/** Never throws. */
export const parseClientFrame = (text: string): ClientInput => inputOfText(text, inputOf)

/** The same for a binary message of `grapevine.v1.bin`. The records are copied, and not looked at. */
export function parseBinaryFrame(bytes: Uint8Array): ClientInput {
  const frame = decodeBinaryFrame(bytes)
  if (frame.type === 'fault') return notAFrame(`${frame.fault}: ${frame.where}`)
  if (frame.type !== 'publish') return notAFrame('a client sends publishes')
  return inputOfText(frame.header, (header) => encodedPublishOf(header, frame.payload))
}

const notAFrame = (why: string): BadFrame => ({
  type: 'bad',
  error: invalid('the message', `is not valid (${why})`),
  fatal: true,
})

function inputOfText(text: string, inputOf: (document: JsonObject) => ClientInput): ClientInput {
  let document: unknown
  try {
    document = parseJson(text)
  } catch (error) {
    const detail = error instanceof Error ? `${error.message}.` : undefined
    return { type: 'bad', error: new MeshError('BAD_JSON', detail, { cause: error }), fatal: true }
  }
  if (!isObject(document)) return { type: 'bad', error: invalid('the frame', 'must be an object'), fatal: true }
  try {
    return inputOf(document)
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    const { ref, sub } = document
    return { type: 'bad', error, fatal: false, ...(isName(ref) && { ref }), ...(isName(sub) && { sub }) }
  }
}

export const binaryFrame: BadFrame = {
  type: 'bad',
  error: new MeshError('UNSUPPORTED_MEDIA', 'This socket speaks JSON: send text frames.'),
  fatal: true,
}

function inputOf(frame: JsonObject): ClientInput {
  switch (frame['type']) {
    case 'subscribe':
      onlyFields(frame, ['sub', 'topics', 'from', 'credit'])
      return subscribeOf(frame)
    case 'credit':
      onlyFields(frame, ['sub', 'n'])
      return { type: 'credit', sub: nameOf(frame, 'sub'), n: countOf(frame, 'n', 1) }
    case 'unsubscribe':
      onlyFields(frame, ['sub'])
      return { type: 'unsubscribe', sub: nameOf(frame, 'sub') }
    case 'publish':
      onlyFields(frame, ['ref', 'topic', 'records', 'ack', 'wait', 'producer', 'idempotencyKey'])
      return publishOf(frame)
    case 'auth':
      onlyFields(frame, ['token'])
      return { type: 'auth', token: tokenOf(frame) }
    default:
      throw invalid('type', 'must be subscribe, credit, unsubscribe, publish or auth')
  }
}

/** A misspelled field is refused rather than ignored: `akc` must not become a publish with less than was asked for (P2). */
function onlyFields(frame: JsonObject, names: readonly string[]): void {
  const field = Object.keys(frame).find((name) => name !== 'type' && !names.includes(name))
  if (field !== undefined) throw stray(field, `is not a field of this frame; there are: ${names.join(', ')}`)
}

// Subscribing -----------------------------------------------------------------------------------------------------------

function subscribeOf(frame: JsonObject): SubscribeInput {
  const patterns = patternsOf(frame['topics'])
  const credit = countOf(frame, 'credit', 0)
  return { type: 'subscribe', sub: nameOf(frame, 'sub'), patterns, from: fromOf(frame['from'], patterns), credit }
}

function patternsOf(topics: unknown): TopicPattern[] {
  const max = limits.subscriptionPatternsMax
  if (!Array.isArray(topics) || topics.length < 1 || topics.length > max) {
    throw invalid('topics', `must be an array of 1 to ${max} names or patterns of topics`)
  }
  return topics.map((text: unknown, index) => {
    const pattern = parseTopicPattern(text)
    if (pattern !== undefined) return pattern
    throw new MeshError('TOPIC_NAME_INVALID', `topics[${index}] is neither a topic name nor a pattern.`)
  })
}

function fromOf(from: unknown, patterns: readonly TopicPattern[]): SubscribeFrom {
  if (from === undefined) return { type: 'latest' }
  const start = typeof from === 'string' ? parsePlainStart(from) : undefined
  if (start !== undefined) return start
  if (isObject(from)) return { type: 'cursors', cursors: cursorsOf(from, patterns) }
  if (typeof from !== 'string')
    throw invalid('from', 'must be earliest, latest, a time, a cursor, or a cursor for each topic')
  const [only = ''] = patterns
  const topic = parseReadableName(only)
  if (topic === undefined || patterns.length > 1) {
    throw invalid('from', 'may be a cursor only with one topic and no pattern; say {"<topic>": "<cursor>", …}')
  }
  return { type: 'cursors', cursors: new Map([[topic, from]]) }
}

function cursorsOf(from: JsonObject, patterns: readonly TopicPattern[]): Map<TopicName, string> {
  const entries = Object.entries(from)
  if (entries.length > limits.socketTopicsMax) throw invalid('from', `names more than ${limits.socketTopicsMax} topics`)
  return new Map(
    entries.map(([name, cursor]) => {
      const topic = parseReadableName(name)
      if (topic === undefined || !patterns.some((pattern) => matchesTopic(pattern, topic))) {
        throw invalid('from', `names ${quoted(name)}, which is not among the topics`)
      }
      if (typeof cursor !== 'string') throw invalid(`from.${name}`, 'must be a cursor')
      return [topic, cursor]
    }),
  )
}

// Publishing ------------------------------------------------------------------------------------------------------------

function publishOf(frame: JsonObject): PublishInput {
  const { records } = frame
  const topic = publishTopicOf(frame)
  const max = limits.publishRecordsMax
  if (!Array.isArray(records) || records.length < 1 || records.length > max) {
    throw invalid('records', `must be an array of 1 to ${max} records`)
  }
  const toPublish = records.map((item, index) => recordOf(item, `records[${index}]`))
  const producer = producerOf(frame)
  refuseTwo(producer, toPublish)
  return {
    type: 'publish',
    ref: nameOf(frame, 'ref'),
    topic,
    records: toPublish,
    producer,
    ack: ackOf(frame['ack']),
    waitMs: waitOf(frame['wait']),
  }
}

function encodedPublishOf(header: JsonObject, payload: Uint8Array): PublishInput {
  onlyFields(header, ['ref', 'topic', 'count', 'ack', 'wait', 'producer', 'idempotencyKey'])
  return {
    type: 'publish',
    ref: nameOf(header, 'ref'),
    topic: publishTopicOf(header),
    // Else what waits for the disk would hold the header, too, however long that is.
    encoded: { bytes: payload.slice(), count: countOf(header, 'count', 1, limits.publishRecordsMax) },
    producer: producerOf(header),
    ack: ackOf(header['ack']),
    waitMs: waitOf(header['wait']),
  }
}

function publishTopicOf({ topic: name }: JsonObject): TopicName {
  const topic = parseTopicName(name)
  if (topic === undefined) throw new MeshError('TOPIC_NAME_INVALID', 'topic is not a topic name.')
  return topic
}

function producerOf({ producer, idempotencyKey }: JsonObject): ClientProducer | undefined {
  if (producer !== undefined && idempotencyKey !== undefined) {
    throw invalid('idempotencyKey', 'cannot stand beside producer')
  }
  if (idempotencyKey !== undefined) return producerOfKey(idempotencyKey, 'idempotencyKey')
  return producer === undefined ? undefined : producerOfJson(producer, 'producer')
}

function ackOf(text: unknown = 'local'): AckLevel {
  const ack = typeof text === 'string' ? parseAckLevel(text) : undefined
  if (ack === undefined) throw new MeshError('ACK_LEVEL_INVALID', 'ack must be local, n:K, majority or all.')
  return ack
}

function waitOf(text: unknown): number {
  if (text !== undefined && typeof text !== 'string') throw invalid('wait', 'must be a text such as 300ms, 2s or 1m')
  return waitMsOf(text, limits.waitMsDefault)
}

// Fields ----------------------------------------------------------------------------------------------------------------

function nameOf(frame: JsonObject, field: 'sub' | 'ref'): string {
  const name = frame[field]
  if (!isName(name)) throw invalid(field, `must be a text of 1 to ${limits.socketNameLengthMax} characters`)
  return name
}

const isName = (name: unknown): name is string =>
  typeof name === 'string' && name.length >= 1 && name.length <= limits.socketNameLengthMax

function tokenOf({ token }: JsonObject): string {
  if (typeof token === 'string' && token.length > 0 && token.length <= limits.tokenLengthMax) return token
  throw invalid('token', `must be a text of 1 to ${limits.tokenLengthMax} characters`)
}

function countOf(frame: JsonObject, field: string, min: number, max: number = limits.subscriptionCreditMax): number {
  const count = frame[field]
  if (typeof count === 'number' && Number.isInteger(count) && count >= min && count <= max) return count
  throw invalid(field, `must be a whole number from ${min} to ${max}`)
}

type JsonObject = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
