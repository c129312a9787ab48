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

export function parseTopicPattern(text: unknown): TopicPattern | undefined {
  if (typeof text !== 'string' || text.length > limits.topicNameBytesMax) return undefined
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
