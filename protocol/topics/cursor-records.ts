import { limits } from '#protocol/limits'
import { parseAnyTopicName } from '#protocol/topic-name'
import { isCursorName, type NamedCursorState } from './named-cursor.ts'
import { type Dot, hasSeen, parseDot, parseRun, type Run } from './register.ts'

/** The first states that fit into a record of `$cursors`: `{"cursors": [{topic, name, seen, values}…]}`. One at least. */
export function encodeCursors(states: readonly NamedCursorState[]): { readonly text: string; readonly count: number } {
  const texts: string[] = []
  let length = 0
  for (const state of states) {
    const { topic, name, seen, values } = bounded(state)
    const text = JSON.stringify({ topic, name, seen: Object.fromEntries(seen), values: Object.fromEntries(values) })
    length += text.length
    if (texts.length > 0 && length > limits.topicRecordLengthTarget) break
    texts.push(text)
  }
  return { text: `{"cursors":[${texts.join(',')}]}`, count: texts.length }
}

/**
 * Beyond the bounds values are left out, and runs of edits that were replaced: if such an edit still turns up somewhere, it
 * stands beside the newer ones.
 */
function bounded({ seen, values, ...state }: NamedCursorState): NamedCursorState {
  const kept = [...values].slice(0, limits.namedCursorValuesMax)
  const needed = new Set(kept.map(([dot]) => dot.slice(0, dot.lastIndexOf('.'))))
  const runs = [...seen].toSorted(([a], [b]) => Number(needed.has(b)) - Number(needed.has(a)))
  return { ...state, seen: new Map(runs.slice(0, limits.topicRunsMax)), values: new Map(kept) }
}

/** Undefined for what says nothing that this version understands. States that are none are left out. */
export function decodeCursors(text: string): readonly NamedCursorState[] | undefined {
  const cursors = objectOf(parsed(text))?.['cursors']
  return Array.isArray(cursors) ? cursors.flatMap((value) => decodeState(value) ?? []) : undefined
}

function decodeState(value: unknown): NamedCursorState | undefined {
  const { topic, name, seen, values } = objectOf(value) ?? {}
  const topicName = parseAnyTopicName(topic)
  if (topicName === undefined || typeof name !== 'string' || !isCursorName(name)) return undefined
  const runs = new Map<Run, number>()
  for (const [text, n] of entriesOf(seen)) {
    const run = parseRun(text)
    if (run === undefined || typeof n !== 'number' || !Number.isSafeInteger(n) || n < 1) return undefined
    runs.set(run, n)
  }
  const texts = new Map<Dot, string | null>()
  for (const [text, cursor] of entriesOf(values)) {
    const dot = parseDot(text)
    const isText = typeof cursor === 'string' && cursor.length <= limits.namedCursorTextMax
    // A state that has not seen what it says itself could not be joined in any order.
    if (dot === undefined || !hasSeen(runs, dot) || !(isText || cursor === null)) return undefined
    texts.set(dot, cursor)
  }
  if (runs.size > limits.topicRunsMax || texts.size > limits.namedCursorValuesMax) return undefined
  return { topic: topicName, name, seen: runs, values: texts }
}

const entriesOf = (value: unknown): [string, unknown][] => Object.entries(objectOf(value) ?? {})

const objectOf = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
