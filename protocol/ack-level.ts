/** What a publish waits for (P2): this peer's fsync, K peers' fsyncs, or those of the topic's home (DESIGN §7). */
export type AckLevel =
  | { readonly type: 'local' }
  | { readonly type: 'count'; readonly count: number }
  | { readonly type: 'majority' }
  | { readonly type: 'all' }

/** `local`, `n:K` with K from 1 to 9999, `majority`, `all`; undefined for anything else. */
export function parseAckLevel(text: string): AckLevel | undefined {
  if (text === 'local' || text === 'majority' || text === 'all') return { type: text }
  const count = /^n:([1-9]\d{0,3})$/.exec(text)?.[1]
  return count === undefined ? undefined : { type: 'count', count: Number(count) }
}

export const ackLevelText = (level: AckLevel): string => (level.type === 'count' ? `n:${level.count}` : level.type)

/**
 * How many copies a level needs, and whether only home members count. `homeCount` includes this peer if it is at home.
 * majority = ⌊n/2⌋ + 1, so two disjoint sides can never both reach it.
 */
export function copiesNeeded(
  level: AckLevel,
  homeCount: number,
): { readonly count: number; readonly homeOnly: boolean } {
  switch (level.type) {
    case 'local':
      return { count: 1, homeOnly: false }
    case 'count':
      return { count: level.count, homeOnly: false }
    case 'majority':
      return { count: Math.floor(homeCount / 2) + 1, homeOnly: true }
    case 'all':
      return { count: homeCount, homeOnly: true }
  }
}
