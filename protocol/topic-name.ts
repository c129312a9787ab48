import type { Brand } from '#protocol/ids'
import { limits } from '#protocol/limits'

/**
 * Names of topics (DESIGN §4): dot-separated tokens of `[A-Za-z0-9_-]{1,64}`, at most 255 bytes. A leading `$` is kept
 * for the mesh's own topics. In a pattern `*` stands for one token and a last `**` for the rest, at least one token.
 */
export type TopicName = Brand<string, 'TopicName'>
export type TopicPattern = Brand<string, 'TopicPattern'>

const token = /^[A-Za-z0-9_-]{1,64}$/

/** A name that clients may publish to, or undefined. */
export function parseTopicName(text: unknown): TopicName | undefined {
  if (typeof text !== 'string' || text.length > limits.topicNameBytesMax) return undefined
  return text.split('.').every((part) => token.test(part)) ? (text as TopicName) : undefined
}

/** Like `parseTopicName`, and the mesh's own `$names` too: for what comes from disk and from other peers. */
export function parseAnyTopicName(text: unknown): TopicName | undefined {
  if (typeof text !== 'string' || text.length > limits.topicNameBytesMax) return undefined
  return parseTopicName(text.startsWith('$') ? text.slice(1) : text) === undefined ? undefined : (text as TopicName)
}

/** What the mesh knows of its topics: kept by every member, and read like any other topic. */
export const topicsTopic = '$topics' as TopicName

/** Named cursors of clients, kept as any topic is. Clients ask for them by name, and do not read it. */
export const cursorsTopic = '$cursors' as TopicName

/** Ids of tokens that are good no more: kept by every member, too. */
export const revocationsTopic = '$revocations' as TopicName

/** The mesh's own: clients read it and never publish to it. */
export const isInternal = (name: TopicName): boolean => name.startsWith('$')

const deletedPrefix = '$deleted.'

/** Under this name is read what is left of a deleted generation of a topic. Nothing is stored under it. */
export const deletedName = (topic: TopicName, generation: number): TopicName =>
  `${deletedPrefix}${topic}.${generation}` as TopicName

export function parseDeletedName(text: string): { readonly topic: TopicName; readonly generation: number } | undefined {
  if (!text.startsWith(deletedPrefix)) return undefined
  const at = text.lastIndexOf('.')
  const topic = parseTopicName(text.slice(deletedPrefix.length, Math.max(at, deletedPrefix.length)))
  const digits = text.slice(at + 1)
  return topic !== undefined && /^(0|[1-9]\d{0,8})$/.test(digits) ? { topic, generation: Number(digits) } : undefined
}

/** A name that clients may read: those that they may publish to, and those of the mesh that say something to them. */
export function parseReadableName(text: string): TopicName | undefined {
  if (text === topicsTopic || parseDeletedName(text) !== undefined) return text as TopicName
  return parseTopicName(text)
}

/** Of the mesh's own topics each is named by itself. */
export function parseTopicPattern(text: unknown): TopicPattern | undefined {
  if (typeof text !== 'string') return undefined
  if (text.startsWith('$')) return parseReadableName(text) as string as TopicPattern | undefined
  if (text.length > limits.topicNameBytesMax) return undefined
  const parts = text.split('.')
  const valid = parts.every(
    (part, index) => token.test(part) || part === '*' || (part === '**' && index === parts.length - 1),
  )
  return valid ? (text as TopicPattern) : undefined
}

export function matchesTopic(pattern: TopicPattern, name: TopicName): boolean {
  const wanted = pattern.split('.')
  const tokens = name.split('.')
  if (wanted.at(-1) === '**' ? tokens.length < wanted.length : tokens.length !== wanted.length) return false
  return wanted.every((part, index) => part === '*' || part === '**' || part === tokens[index])
}
