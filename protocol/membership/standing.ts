import type { Standing } from './messages.ts'

/**
 * How far a peer that is not merged has come. A mesh is born among peers that have all reached their seeds and know of
 * nobody who has not: a seed still missing may lead to a mesh that is there already, whose registry is the one to count.
 * `others` are the peers that we have a link to or believe alive, with what each has said of itself last, if anything.
 */
export function nextStanding(now: {
  readonly seedsReached: boolean
  readonly others: readonly (Standing | undefined)[]
}): Standing {
  const { seedsReached, others } = now
  if (others.includes('merged')) return 'merged'
  if (!seedsReached) return 'seeking'
  return others.length > 0 && others.every((standing) => standing === 'founding') ? 'merged' : 'founding'
}
