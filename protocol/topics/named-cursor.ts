import type { Digests } from '#protocol/digests'
import type { PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { type CursorEntry, type CursorState, encodeCursor, parseCursor } from '#protocol/log/cursor'
import { compareHlc } from '#protocol/log/hybrid-clock'
import { vectorKeyOf } from '#protocol/log/version-vector'
import type { TopicName } from '#protocol/topic-name'
import {
  type Dot,
  dotOf,
  joinRegisters,
  joinSeen,
  peerOfRun,
  type Register,
  type Run,
  sameKeys,
  sameMaps,
  type Seen,
} from './register.ts'

/**
 * What is known of one named cursor (DESIGN §10): of each position that was stored and not replaced, by whom. States are
 * joined as those of topics are, in any order and any number of times. A later edit replaces what it saw, also by a cursor
 * further back; only what was stored without seeing each other stands side by side, and is read as one (`valueOf`).
 */
export interface NamedCursorState {
  readonly topic: TopicName
  readonly name: string
  readonly seen: Seen
  /** Texts of cursors; null is a deletion. */
  readonly values: Register<string | null>
}

export const unknownCursor = (topic: TopicName, name: string): NamedCursorState => {
  return { topic, name, seen: new Map(), values: new Map() }
}

/** A name as a client gives it: one token of a topic name. */
export const isCursorName = (text: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(text)

export const keyOfCursor = ({ topic, name }: Pick<NamedCursorState, 'topic' | 'name'>): string => `${topic} ${name}`

export function joinCursors(a: NamedCursorState, b: NamedCursorState): NamedCursorState {
  const values = joinRegisters({ seen: a.seen, values: a.values }, { seen: b.seen, values: b.values }, laterText)
  return { ...a, seen: joinSeen(a.seen, b.seen), values }
}

/** Of one edit there is one value; this decides if somebody lies. */
const laterText = (a: string | null, b: string | null): string | null => ((a ?? '') >= (b ?? '') ? a : b)

/** The state after an edit that has seen all of it; null deletes. */
export function editCursor(state: NamedCursorState, run: Run, value: string | null): NamedCursorState {
  const n = (state.seen.get(run) ?? 0) + 1
  const values = new Map<Dot, string | null>([[dotOf(run, n), value]])
  return { ...state, seen: new Map(state.seen).set(run, n), values }
}

export const isSameCursor = (a: NamedCursorState, b: NamedCursorState): boolean =>
  sameMaps(a.seen, b.seen) && sameKeys(a.values, b.values)

/** Does the peer keep what is said here in its own feed? All that is left of the words of others is in theirs. */
export const isKeeperOf = (peer: PeerId, { values }: NamedCursorState): boolean =>
  [...values.keys()].some((dot) => peerOfRun(dot) === peer)

/**
 * The cursor as a client reads it, or undefined where there is none. Several that were stored on two sides of a split, or at
 * once, pass over nothing together that none of them has read (`nearest`). One that was stored while another was deleted
 * stays. Cursors of the topic that has the name now go before those of a deleted one.
 */
export function valueOf({ values }: NamedCursorState, topicId: TopicId, digests: Digests): string | undefined {
  const texts = [...values].toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, text]) => text ?? [])
  if (texts.length < 2) return texts[0]
  const states = texts.map((text) => parseCursor(text, digests)).filter((state) => typeof state !== 'string')
  const current = states.filter((state) => state.topicId === topicId)
  const of = current[0]?.topicId ?? states[0]?.topicId
  const [first, ...others] = states.filter((state) => state.topicId === of)
  return first === undefined ? undefined : encodeCursor(others.reduce(nearest, first), digests)
}

/**
 * Of each feed the nearer position, and the earlier start. A feed that only one lists was read from that one's start on, so its
 * position counts if the other did not start earlier; otherwise it is read again from the earlier start. What comes again can be
 * recognized, what was passed over cannot.
 */
function nearest(a: CursorState, b: CursorState): CursorState {
  const order = compareHlc(a.sinceHlc, b.sinceHlc)
  const [ofA, ofB] = [entriesOf(a), entriesOf(b)]
  const entries = [...new Map([...ofA, ...ofB]).keys()].flatMap((key) => {
    const [one, other] = [ofA.get(key), ofB.get(key)]
    if (one !== undefined && other !== undefined) return one.nextOffset <= other.nextOffset ? one : other
    return (order <= 0 ? one : undefined) ?? (order >= 0 ? other : undefined) ?? []
  })
  const sinceHlc = order <= 0 ? a.sinceHlc : b.sinceHlc
  return { ...a, sinceHlc, entries: entries.slice(0, limits.cursorEntriesMax) }
}

const entriesOf = ({ entries }: CursorState): ReadonlyMap<string, CursorEntry> =>
  new Map(entries.map((entry) => [vectorKeyOf(entry.writer, entry.epoch), entry]))
