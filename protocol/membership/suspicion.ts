import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'

/**
 * How long a suspect has to refute at least (SWIM 4.2, with memberlist's formula): long enough for the rumor to reach it and
 * for its answer to come back, both of which take a time that grows with log N.
 */
export function suspicionTimeoutMs(config: MembershipConfig, members: number): Millis {
  return config.suspicionMult * Math.max(1, Math.log10(members)) * config.probeIntervalMs
}

/** Accusers beside the first that count: none in a mesh that has not so many others. */
export function confirmationsMax(config: MembershipConfig, members: number): number {
  const wanted = config.suspicionMult - 2
  return members - 2 < wanted ? 0 : Math.max(0, wanted)
}

/**
 * Lifeguard 3.2: one accuser may be the one who is slow, so its suspicion lasts long, and each that accuses independently
 * brings it down, logarithmically, to what SWIM has.
 */
export function confirmedTimeoutMs(config: MembershipConfig, members: number, confirmations: number): Millis {
  const leastMs = suspicionTimeoutMs(config, members)
  const wanted = confirmationsMax(config, members)
  if (confirmations >= wanted) return leastMs
  const mostMs = config.suspicionMaxMult * leastMs
  return mostMs - ((mostMs - leastMs) * Math.log(confirmations + 1)) / Math.log(wanted + 1)
}

export const secondsText = (ms: Millis): string => `${Number((ms / 1_000).toFixed(1))} s`
