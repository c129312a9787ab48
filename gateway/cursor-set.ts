import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { matchesTopic, parseReadableName, type TopicName, type TopicPattern } from '#protocol/topic-name'
import { quoted } from './parameters.ts'

/**
 * Where a reader of several topics stands: `<topic>:<cursor>,…`, in any order. None of its characters has to be escaped in
 * an id of an event, a header or a query. It is as long as it needs to be, up to `limits.cursorTextMax`.
 */
export class CursorSet {
  readonly #cursors: Map<TopicName, string>

  constructor(cursors: ReadonlyMap<TopicName, string> = new Map()) {
    this.#cursors = new Map(cursors)
  }

  set(topic: TopicName, cursor: string): void {
    this.#cursors.set(topic, cursor)
  }

  delete(topic: TopicName): void {
    this.#cursors.delete(topic)
  }

  /** Throws OVERLOADED when it gets too long for anybody to send it back. */
  get text(): string {
    return bounded(this.#textOf([...this.#cursors]))
  }

  /** Texts that differ in the cursor of one topic: the rest is put together once. Throws as `text`. */
  around(topic: TopicName): (cursor: string) => string {
    const others = this.#textOf([...this.#cursors].filter(([name]) => name !== topic))
    const start = `${others}${others === '' ? '' : ','}${topic}:`
    return (cursor) => bounded(start + cursor)
  }

  #textOf(entries: readonly (readonly [TopicName, string])[]): string {
    return entries.map(([topic, cursor]) => `${topic}:${cursor}`).join(',')
  }
}

function bounded(text: string): string {
  if (text.length <= limits.cursorTextMax) return text
  throw new MeshError(
    'OVERLOADED',
    'The cursors of all these topics together are too long: read fewer of them at a time.',
  )
}

/**
 * The cursors in such a text; of one topic that is no pattern its cursor alone will do. Throws CURSOR_INVALID for what is
 * none, or of topics that were not asked for. Each is looked at: those of topics that nobody has made yet are given back
 * with every event.
 */
export function parseCursorSet(
  text: string,
  patterns: readonly TopicPattern[],
  isCursor: (text: string) => boolean,
): ReadonlyMap<TopicName, string> {
  const [only, ...others] = patterns
  const name = only === undefined || others.length > 0 ? undefined : parseReadableName(only)
  if (name !== undefined && !text.includes(':')) {
    if (!isCursor(text)) throw invalidSet('is no cursor that a peer gave')
    return new Map([[name, text]])
  }
  if (text.length > limits.cursorTextMax) throw invalidSet('is longer than any that a peer gives')
  const cursors = new Map<TopicName, string>()
  for (const entry of text.split(',')) {
    const at = entry.indexOf(':')
    const topic = parseReadableName(entry.slice(0, Math.max(at, 0)))
    if (topic === undefined) throw invalidSet('must be earliest, latest, or <topic>:<cursor>,… as a stream gave it')
    if (!patterns.some((pattern) => matchesTopic(pattern, topic)))
      throw invalidSet(`names ${quoted(topic)}, which is not among the topics`)
    const cursor = entry.slice(at + 1)
    if (!isCursor(cursor)) throw invalidSet(`has for ${quoted(topic)} what is no cursor that a peer gave`)
    cursors.set(topic, cursor)
  }
  if (cursors.size > limits.streamTopicsMax) throw invalidSet(`names more than ${limits.streamTopicsMax} topics`)
  return cursors
}

const invalidSet = (problem: string): MeshError => new MeshError('CURSOR_INVALID', `The start ${problem}.`)
