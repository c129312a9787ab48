import type { AckLevel } from '#protocol/ack-level'
import type { Digests } from '#protocol/digests'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { hexOf, utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import {
  type AskedConfig,
  joinMinAck,
  joinReplicas,
  longest,
  type Retention,
  type TopicConfig,
  topicConfigDefaults,
} from '#protocol/topic-config'
import {
  type Dot,
  dotOf,
  joinMaps,
  joinRegisters,
  joinSeen,
  peerOfRun,
  type Register,
  type Run,
  sameKeys,
  sameMaps,
  type Seen,
} from './register.ts'
import { joinTombstones, largestKeys, sameTombstones, type Tombstone } from './tombstone.ts'

/**
 * What is known of one name. States are joined, in whatever order they come and however often (a state-based CRDT):
 *
 * 1. The later generation wins: a deletion is not undone by edits that did not see it.
 * 2. Within a generation an edit replaces the values that it saw; those that it did not see stay beside its own.
 * 3. Values that stand side by side hold all together: the larger number of replicas, the longer retention, the
 *    stricter ack.
 * 4. Deleted generations are remembered, the newest with what was seen of them.
 */
export interface TopicState {
  readonly topic: TopicName
  /** How often this name was deleted. */
  readonly generation: number
  /** Edits of this generation. */
  readonly seen: Seen
  /** The last edits; there is one of each generation that exists. */
  readonly edited: Register<EditedAt>
  readonly replicas: Register<number>
  readonly retention: Register<Retention>
  readonly minAck: Register<AckLevel>
  /** By generation: the newest `tombstonesMax`. */
  readonly deleted: ReadonlyMap<number, Tombstone>
}

export interface EditedAt {
  /** Wall milliseconds at the peer that took the edit; none for a topic that came to be by a publish. */
  readonly atMs?: number
}

export interface Edit {
  readonly run: Run
  readonly atMs?: number
  readonly asked: AskedConfig
}

export const unknownTopic = (topic: TopicName): TopicState => ({ topic, ...nothingIn(0), deleted: new Map() })

/** Somebody made it, by a publish or a PUT, and nobody has deleted it since. */
export const exists = (state: TopicState): boolean => state.edited.size > 0

export function configOf(state: TopicState): TopicConfig {
  return {
    replicas: joined(state.replicas, joinReplicas) ?? topicConfigDefaults.replicas,
    retention: joined(state.retention, longest) ?? topicConfigDefaults.retention,
    minAck: joined(state.minAck, joinMinAck) ?? topicConfigDefaults.minAck,
  }
}

/** The peers that keep what is said here in their feeds: all that is left of the words of others is in theirs. */
export const keepersOf = ({ edited, replicas, retention, minAck, deleted }: TopicState): ReadonlySet<PeerId> =>
  new Set([
    ...[edited, replicas, retention, minAck].flatMap((register) => [...register.keys()].map(peerOfRun)),
    ...[...deleted.values()].flatMap(({ by }) => [...by.keys()]),
  ])

/** Names this configuration: equal at two peers if they hold the same edits. 16 hex characters. */
export function versionOf({ generation, edited, replicas, retention, minAck }: TopicState, digests: Digests): string {
  const dots = [edited, replicas, retention, minAck].map((register) => [...register.keys()].toSorted())
  return hexOf(digests.sha256(utf8(JSON.stringify([generation, ...dots]))).subarray(0, 8))
}

export function joinStates(a: TopicState, b: TopicState): TopicState {
  const deleted = largestKeys(joinMaps(a.deleted, b.deleted, joinTombstones), limits.tombstonesMax)
  if (a.generation !== b.generation) return { ...(a.generation > b.generation ? a : b), deleted }
  const joinedOf = <T>(field: (state: TopicState) => Register<T>, joinValues: (a: T, b: T) => T): Register<T> =>
    joinRegisters({ seen: a.seen, values: field(a) }, { seen: b.seen, values: field(b) }, joinValues)
  return {
    topic: a.topic,
    generation: a.generation,
    seen: joinSeen(a.seen, b.seen),
    edited: joinedOf((state) => state.edited, latest),
    replicas: joinedOf((state) => state.replicas, joinReplicas),
    retention: joinedOf((state) => state.retention, longest),
    minAck: joinedOf((state) => state.minAck, joinMinAck),
    deleted,
  }
}

/** Do both say the same? An edit has one value, so of registers the dots are compared. */
export const isSameState = (a: TopicState, b: TopicState): boolean =>
  a === b ||
  (a.generation === b.generation &&
    sameMaps(a.seen, b.seen) &&
    [a.edited, a.replicas, a.retention, a.minAck].every((register, i) => {
      return sameKeys(register, [b.edited, b.replicas, b.retention, b.minAck][i] ?? new Map())
    }) &&
    sameMaps(a.deleted, b.deleted, sameTombstones))

/** The state after an edit that has seen all of it. */
export function editState(state: TopicState, { run, atMs, asked }: Edit): TopicState {
  const n = (state.seen.get(run) ?? 0) + 1
  const set = <T>(before: Register<T>, value: T | undefined): Register<T> =>
    value === undefined ? before : new Map<Dot, T>([[dotOf(run, n), value]])
  return {
    ...state,
    seen: new Map(state.seen).set(run, n),
    edited: set(state.edited, atMs === undefined ? {} : { atMs }),
    replicas: set(state.replicas, asked.replicas),
    retention: set(state.retention, asked.retention),
    minAck: set(state.minAck, asked.minAck),
  }
}

/** The state after its generation was deleted by somebody who has seen all of it. */
export function deleteState(state: TopicState, tombstone: Tombstone): TopicState {
  const { topic, generation } = state
  const deleted = new Map([[generation, joinTombstones(tombstone, tombstone)]])
  return joinStates({ topic, ...nothingIn(generation + 1), deleted }, state)
}

const nothingIn = (generation: number) => ({
  generation,
  seen: new Map(),
  edited: new Map(),
  replicas: new Map(),
  retention: new Map(),
  minAck: new Map(),
})

const joined = <T>(register: Register<T>, joinValues: (a: T, b: T) => T): T | undefined => {
  const [first, ...others] = register.values()
  return first === undefined ? undefined : others.reduce(joinValues, first)
}

const latest = (a: EditedAt, b: EditedAt): EditedAt => ((a.atMs ?? 0) >= (b.atMs ?? 0) ? a : b)
