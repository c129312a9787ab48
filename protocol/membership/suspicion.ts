import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'

/**
 * How long a suspect has to refute (SWIM 4.2, with memberlist's formula): long enough for the rumor to reach it and for
 * its answer to come back, both of which take a time that grows with log N.
 */
export function suspicionTimeoutMs(config: MembershipConfig, members: number): Millis {
  return config.suspicionMult * Math.max(1, Math.log10(members)) * config.probeIntervalMs
}

export const secondsText = (ms: Millis): string => `${Number((ms / 1_000).toFixed(1))} s`
