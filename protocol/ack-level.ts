/**
 * What a publish waits for (P2): this peer's fsync, K peers' fsyncs, or those of the topic's home (DESIGN §7). `both` is
 * `n:K+majority`: neither of the two implies the other, and a topic may ask for one while its publisher asks for the other.
 */
export type AckLevel =
  | { readonly type: 'local' }
  | { readonly type: 'count'; readonly count: number }
  | { readonly type: HomeShare }
  | { readonly type: 'both'; readonly count: number; readonly home: HomeShare }

type HomeShare = 'majority' | 'all'

/** `local`, `n:K` with K from 1 to 9999, `majority`, `all`, `n:K+majority`, `n:K+all`; undefined for anything else. */
export function parseAckLevel(text: string): AckLevel | undefined {
  if (text === 'local') return { type: text }
  if (isHomeShare(text)) return { type: text }
  const [, digits, , home] = /^n:([1-9]\d{0,3})(\+(majority|all))?$/.exec(text) ?? []
  if (digits === undefined) return undefined
  const count = Number(digits)
  return isHomeShare(home) ? { type: 'both', count, home } : { type: 'count', count }
}

export function ackLevelText(level: AckLevel): string {
  switch (level.type) {
    case 'count':
      return `n:${level.count}`
    case 'both':
      return `n:${level.count}+${level.home}`
    case 'local':
    case 'majority':
    case 'all':
      return level.type
  }
}

export interface CopiesNeeded {
  readonly count: number
  /** Whether only home members count. */
  readonly homeOnly: boolean
}

/**
 * What a level needs, all of it. `homeCount` includes this peer if it is at home. majority = ⌊n/2⌋ + 1, so two disjoint
 * sides can never both reach it.
 */
export function copiesNeeded(level: AckLevel, homeCount: number): readonly CopiesNeeded[] {
  switch (level.type) {
    case 'local':
      return [{ count: 1, homeOnly: false }]
    case 'count':
      return [{ count: level.count, homeOnly: false }]
    case 'majority':
      return [{ count: Math.floor(homeCount / 2) + 1, homeOnly: true }]
    case 'all':
      // Where nobody is at home, nobody has a copy.
      return [{ count: Math.max(1, homeCount), homeOnly: true }]
    case 'both':
      return [{ count: level.count, homeOnly: false }, ...copiesNeeded({ type: level.home }, homeCount)]
  }
}

/** The least level that asks for all that both ask for: what a topic demands is never taken from what its publisher asks. */
export function strictest(a: AckLevel, b: AckLevel): AckLevel {
  const [partsA, partsB] = [partsOf(a), partsOf(b)]
  const count = Math.max(partsA.count, partsB.count)
  const home = [partsA.home, partsB.home].includes('all') ? 'all' : (partsA.home ?? partsB.home)
  if (home === undefined) return count === 1 ? { type: 'local' } : { type: 'count', count }
  return count === 1 ? { type: home } : { type: 'both', count, home }
}

interface Parts {
  /** Copies anywhere; every level has the one of the peer that accepted. */
  readonly count: number
  readonly home?: HomeShare
}

function partsOf(level: AckLevel): Parts {
  switch (level.type) {
    case 'local':
      return { count: 1 }
    case 'count':
      return { count: level.count }
    case 'majority':
    case 'all':
      return { count: 1, home: level.type }
    case 'both':
      return level
  }
}

const isHomeShare = (text: string | undefined): text is HomeShare => text === 'majority' || text === 'all'
