import { ackLevelText } from '#protocol/ack-level'
import { parseHash, parsePeerId } from '#protocol/ids'
import type { Head } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import { parseTopicName } from '#protocol/topic-name'
import { parseMinAck, parseReplicas, parseRetention, retentionJson } from '#protocol/topic-config'
import { hasSeen, parseDot, parseRun, type Register, type Seen } from './register.ts'
import type { Tombstone } from './tombstone.ts'
import type { EditedAt, TopicState } from './topic-state.ts'

/*
 * Records of `$topics` (README.md): JSON, so that a person can read what the mesh knows of its topics. A record holds
 * whole states, as their writer knew them, so that they can be joined in any order and any record can go once a later
 * one of its writer says as much.
 */

/** One record of as many states as fit, at least one. Equal states have equal texts. */
export function encodeTopics(states: Iterable<TopicState>): { readonly text: string; readonly count: number } {
  const parts: string[] = []
  let length = 0
  for (const state of states) {
    const part = encodeState(state)
    length += part.length + 1
    if (parts.length > 0 && length > limits.topicRecordLengthTarget) break
    parts.push(part)
  }
  return { text: `{"topics":[${parts.join(',')}]}`, count: parts.length }
}

/** The states of a record, or undefined if it is none; never throws. */
export function decodeTopics(text: string): readonly TopicState[] | undefined {
  const record = parsedJson(text)
  if (!isObject(record) || !Array.isArray(record['topics'])) return undefined
  return every(record['topics'], decodeState)
}

export const encodeState = (state: TopicState): string =>
  JSON.stringify({
    topic: state.topic,
    generation: state.generation,
    seen: tableOf(boundedSeen(state), (n) => n),
    edited: tableOf(state.edited, (edited) => edited),
    replicas: tableOf(state.replicas, (replicas) => replicas),
    retention: tableOf(state.retention, retentionJson),
    minAck: tableOf(state.minAck, ackLevelText),
    deleted: tableOf(state.deleted, ({ by, upTo }) => ({
      by: tableOf(by, (atMs) => atMs),
      upTo: tableOf(upTo, ({ nextOffset, hash }) => [nextOffset, hash]),
    })),
  })

/**
 * Beyond the bound the runs of replaced edits are left out, any of them. If such an edit still turns up somewhere it
 * stands beside the newer ones: then more is protected than was asked for, never less.
 */
function boundedSeen({ seen, ...state }: TopicState): Seen {
  if (seen.size <= limits.topicRunsMax) return seen
  const dots = [state.edited, state.replicas, state.retention, state.minAck].flatMap((register) => [...register.keys()])
  const isNeeded = (run: string): boolean => dots.some((dot) => dot.startsWith(`${run}.`))
  const byNeed = [...seen].toSorted(([a], [b]) => Number(isNeeded(b)) - Number(isNeeded(a)) || (a < b ? -1 : 1))
  return new Map(byNeed.slice(0, limits.topicRunsMax))
}

/** Keys in order, so that equal maps have equal texts; nothing at all if it is empty. */
function tableOf<K extends string | number, T>(map: ReadonlyMap<K, T>, of: (value: T) => unknown): object | undefined {
  if (map.size === 0) return undefined
  const entries = [...map].toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, value]) => [key, of(value)]))
}

// Decoding -------------------------------------------------------------------------------------------------------------

function decodeState(value: unknown): TopicState | undefined {
  if (!isObject(value)) return undefined
  const topic = parseTopicName(value['topic'])
  const generation = parseCount(value['generation'])
  const seen = decodeMap(value['seen'], { key: parseRun, value: parseCount, countMax: limits.topicRunsMax })
  if (topic === undefined || generation === undefined || seen === undefined) return undefined
  const edited = decodeRegister(value['edited'], seen, parseEdited)
  const replicas = decodeRegister(value['replicas'], seen, parseReplicas)
  const retention = decodeRegister(value['retention'], seen, parseRetention)
  const minAck = decodeRegister(value['minAck'], seen, parseMinAck)
  const parseGeneration = (key: string): number | undefined => {
    const deletedGeneration = /^\d{1,10}$/.test(key) ? Number(key) : generation
    return deletedGeneration < generation ? deletedGeneration : undefined
  }
  const tombstones = { key: parseGeneration, value: decodeTombstone, countMax: limits.tombstonesMax }
  const deleted = decodeMap(value['deleted'], tombstones)
  if (edited === undefined || replicas === undefined || retention === undefined) return undefined
  if (minAck === undefined || deleted === undefined) return undefined
  return { topic, generation, seen, edited, replicas, retention, minAck, deleted }
}

function decodeRegister<T>(
  table: unknown,
  seen: Seen,
  value: (value: unknown) => T | undefined,
): Register<T> | undefined {
  const register = decodeMap(table, { key: parseDot, value, countMax: limits.topicRunsMax })
  // A state that has not seen what it says itself could not be joined in any order.
  return register !== undefined && [...register.keys()].every((dot) => hasSeen(seen, dot)) ? register : undefined
}

function decodeTombstone(value: unknown): Tombstone | undefined {
  if (!isObject(value)) return undefined
  const by = decodeMap(value['by'], { key: parsePeerId, value: parseCount, countMax: limits.tombstoneDeletersMax })
  const upTo = decodeMap(value['upTo'], { key: parseRun, value: parseHead, countMax: limits.tombstoneFeedsMax })
  return by === undefined || upTo === undefined ? undefined : { by, upTo }
}

function decodeMap<K, T>(
  table: unknown,
  parse: {
    readonly key: (text: string) => K | undefined
    readonly value: (value: unknown) => T | undefined
    readonly countMax: number
  },
): ReadonlyMap<K, T> | undefined {
  if (table === undefined) return new Map()
  if (!isObject(table)) return undefined
  const entries = Object.entries(table)
  if (entries.length > parse.countMax) return undefined
  const parsed = every(entries, ([text, item]) => {
    const key = parse.key(text)
    const value = parse.value(item)
    return key === undefined || value === undefined ? undefined : ([key, value] as const)
  })
  return parsed && new Map(parsed)
}

function parseHead(value: unknown): Head | undefined {
  const [offset, text, ...rest]: unknown[] = Array.isArray(value) ? value : []
  const nextOffset = parseCount(offset)
  const hash = parseHash(text)
  return nextOffset === undefined || hash === undefined || rest.length > 0 ? undefined : { nextOffset, hash }
}

function parseEdited(value: unknown): EditedAt | undefined {
  if (!isObject(value)) return undefined
  if (value['atMs'] === undefined) return {}
  const atMs = parseCount(value['atMs'])
  return atMs === undefined || atMs > wallMsMax ? undefined : { atMs }
}

/** As in a record: 48 bits, some 8,900 years. */
const wallMsMax = 2 ** 48 - 1

const parseCount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined

function every<T, U>(items: readonly T[], parse: (item: T) => U | undefined): readonly U[] | undefined {
  const parsed: U[] = []
  for (const item of items) {
    const one = parse(item)
    if (one === undefined) return undefined
    parsed.push(one)
  }
  return parsed
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
