import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'

/** memberlist's scale: above 32 members full states grow, so they are exchanged less often. */
export function pushPullIntervalMs(config: MembershipConfig, members: number): Millis {
  if (members <= 32) return config.pushPullIntervalMs
  return config.pushPullIntervalMs * (Math.ceil(Math.log2(members) - Math.log2(32)) + 1)
}
