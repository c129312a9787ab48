import { type Figure, quantile, seconds } from '../bench/figures.ts'
import type { ProcessPeer } from '../integration/process-peer.ts'

/** A figure, and whether it is as good as it has to be. */
export type Bound = Figure & { readonly isKept?: boolean }

/**
 * How long after a time of `performance.now()` each of the observers first believed that member to be in one of the states,
 * by their own histories, in milliseconds; those that never did are left out.
 */
export async function believedAfterMs(
  observers: readonly ProcessPeer[],
  of: string,
  states: readonly string[],
  sinceMs: number,
): Promise<readonly number[]> {
  const firsts = observers.map(async (observer) => {
    const { events } = await observer.client.gossip()
    const nowMs = performance.now()
    const times = events
      .filter(({ name, to }) => name === of && states.includes(to))
      .map(({ agoMs }) => nowMs - agoMs - sinceMs)
      .filter((ms) => ms >= 0)
    return times.length === 0 ? [] : [Math.min(...times)]
  })
  return (await Promise.all(firsts)).flat()
}

/** What observers have come to believe of others since that time of `performance.now()`, in words. */
export async function accusationsSince(
  observers: readonly ProcessPeer[],
  sinceMs: number,
  states: readonly string[] = ['suspect', 'dead'],
): Promise<readonly string[]> {
  const accusations = observers.map(async (observer) => {
    const { events } = await observer.client.gossip()
    const nowMs = performance.now()
    return events
      .filter(({ to, agoMs }) => states.includes(to) && nowMs - agoMs >= sinceMs)
      .map(({ name, to, reason }) => `${observer.name} believes ${name} ${to}: ${reason}`)
  })
  return (await Promise.all(accusations)).flat()
}

export const spread = (ms: readonly number[]): string =>
  `p50 ${seconds(quantile(ms, 0.5))}, p99 ${seconds(quantile(ms, 0.99))}, at most ${seconds(Math.max(...ms))}`

export const say = (what: string): void => console.log(what)
