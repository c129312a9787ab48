import type { Scenario } from './scenario.ts'

/** Who was apart from whom for how long. */
export interface Apart {
  readonly fromMs: number
  readonly toMs: number
  /** Within a side everybody can reach everybody both ways, by others if need be; of two sides nobody can. */
  readonly sides: readonly (readonly string[])[]
}

/**
 * The times in which a scenario has more than one side, as its steps were really done: `doneAtMs` has one time per step.
 */
export function timesApart(scenario: Scenario, doneAtMs: readonly number[], endMs: number): readonly Apart[] {
  const cuts = new Set<string>()
  const present = [...scenario.peers]
  const apart: Apart[] = []
  let since = { fromMs: 0, sides: [present as readonly string[]] as readonly (readonly string[])[] }
  const close = (toMs: number): void => {
    if (since.sides.length > 1 && toMs > since.fromMs) apart.push({ ...since, toMs })
  }
  for (const [i, { actions }] of scenario.steps.entries()) {
    for (const action of actions) {
      if (action.type === 'heal') cuts.clear()
      if (action.type === 'join') present.push(action.peer)
      if (action.type === 'cut' || (action.type === 'link' && action.loss === 1)) {
        for (const from of [action.from].flat()) for (const to of [action.to].flat()) cuts.add(pair(from, to))
      }
      if (action.type === 'link' && action.loss < 1) cuts.delete(pair(action.from, action.to))
    }
    const sides = sidesOf(present, cuts)
    if (textOf(sides) === textOf(since.sides)) continue
    close(doneAtMs[i] ?? endMs)
    since = { fromMs: doneAtMs[i] ?? endMs, sides }
  }
  close(endMs)
  return apart
}

const pair = (from: string, to: string): string => `${from} ${to}`
const textOf = (sides: readonly (readonly string[])[]): string => sides.map((side) => side.join()).join('/')

/** Peers that hear each other are on one side, and so are those that both hear. */
export function sidesOf(peers: readonly string[], cuts: ReadonlySet<string>): readonly (readonly string[])[] {
  const sides: string[][] = []
  for (const peer of peers) {
    const hears = (other: string): boolean => !cuts.has(pair(peer, other)) && !cuts.has(pair(other, peer))
    const own = sides.filter((side) => side.some(hears))
    const merged = [...own.flat(), peer]
    for (const side of own) sides.splice(sides.indexOf(side), 1)
    sides.push(merged)
  }
  return sides
    .map((side) => peers.filter((peer) => side.includes(peer)))
    .toSorted((a, b) => peers.indexOf(a[0] ?? '') - peers.indexOf(b[0] ?? ''))
}
