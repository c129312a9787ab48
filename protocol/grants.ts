import type { Brand } from '#protocol/ids'
import { limits } from '#protocol/limits'
import {
  isInternal,
  matchesTopic,
  parseDeletedName,
  parseTopicPattern,
  type TopicName,
  type TopicPattern,
  topicsTopic,
} from '#protocol/topic-name'

/** `publish` records; `subscribe`: read, and what readers keep, such as cursors; `manage`: make, configure and delete. */
export type Action = 'publish' | 'subscribe' | 'manage'

export const actions: readonly Action[] = ['publish', 'subscribe', 'manage']

/** The mesh itself, to grant by: who may `subscribe` to it sees its members and figures, who may `manage` it decides on them. */
export const meshName = '$mesh' as TopicName

/** A pattern of topics, or a name of the mesh's own: those are granted by their names alone, never by a wildcard. */
export type GrantPattern = Brand<string, 'GrantPattern'>

/** What a token lets its bearer do (DESIGN §14). */
export type Grants = Readonly<Record<Action, readonly GrantPattern[]>>

export const parseGrantPattern = (text: unknown): GrantPattern | undefined => {
  if (text === meshName || text === topicsTopic) return text as string as GrantPattern
  const pattern = parseTopicPattern(text)
  return pattern === undefined || isInternal(pattern as string as TopicName)
    ? undefined
    : (pattern as string as GrantPattern)
}

/**
 * `{"publish": ["orders.**"], …}`, each list left out being empty; or what is wrong with it. What it says beyond that is refused,
 * since a misspelled list would grant less than was meant, and a restriction that is not known more.
 */
export function parseGrants(value: unknown): Grants | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be an object'
  const stray = Object.keys(value).find((key) => !(actions as readonly string[]).includes(key))
  if (stray !== undefined) return `has ${JSON.stringify(stray.slice(0, 80))}, and there are: ${actions.join(', ')}`
  const grants: Record<Action, readonly GrantPattern[]> = { publish: [], subscribe: [], manage: [] }
  for (const action of actions) {
    const list = (value as Partial<Record<Action, unknown>>)[action] ?? []
    if (!Array.isArray(list) || list.length > limits.grantPatternsMax) {
      return `${action} must be an array of at most ${limits.grantPatternsMax} patterns`
    }
    const patterns = list.map(parseGrantPattern)
    const wrong = patterns.indexOf(undefined)
    if (wrong >= 0) return `${action}[${wrong}] is no pattern of topics`
    grants[action] = patterns as GrantPattern[]
  }
  return grants
}

/** What is left of a deleted topic may be read by who may read the topic. */
export function isGranted(grants: Grants, action: Action, topic: TopicName): boolean {
  const deleted = action === 'subscribe' ? parseDeletedName(topic) : undefined
  const name = deleted?.topic ?? topic
  const matches = isInternal(name)
    ? (pattern: GrantPattern) => (pattern as string) === name
    : (pattern: GrantPattern) => !pattern.startsWith('$') && matchesTopic(pattern as string as TopicPattern, name)
  return grants[action].some(matches)
}

/** Whether some topic that the pattern matches may be granted. */
export function isGrantedInPart(grants: Grants, action: Action, pattern: TopicPattern): boolean {
  if (pattern.startsWith('$')) return isGranted(grants, action, pattern as string as TopicName)
  return grants[action].some((granted) => !granted.startsWith('$') && overlap(granted, pattern))
}

/** Is there a name that both match? */
function overlap(one: string, other: string): boolean {
  const [a, b] = [one.split('.'), other.split('.')]
  const [aGoesOn, bGoesOn] = [a.at(-1) === '**', b.at(-1) === '**']
  if (a.length < b.length ? !aGoesOn : a.length > b.length && !bGoesOn) return false
  return a.every((token, i) => {
    const across = b[i]
    return across === undefined || across === token || isWild(token) || isWild(across)
  })
}

const isWild = (token: string): boolean => token === '*' || token === '**'
