import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'
import type { MembershipMessage, MemberUpdate, Standing } from './messages.ts'

/** memberlist's scale: above 32 members full states grow, so they are exchanged less often. */
export function pushPullIntervalMs(config: MembershipConfig, members: number): Millis {
  if (members <= 32) return config.pushPullIntervalMs
  return config.pushPullIntervalMs * (Math.ceil(Math.log2(members) - Math.log2(32)) + 1)
}

/** Full state as messages: all but the last say that there is more. */
export function pushPullMessages(
  members: readonly MemberUpdate[],
  say: { readonly standing: Standing; readonly reply: boolean },
): readonly MembershipMessage[] {
  const size = limits.membersPerMessageMax
  const count = Math.max(1, Math.ceil(members.length / size))
  return Array.from({ length: count }, (_, index) => ({
    type: 'pushPull',
    members: members.slice(index * size, (index + 1) * size),
    ...say,
    more: index < count - 1,
  }))
}
