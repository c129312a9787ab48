import type { PeerId } from '#protocol/ids'
import { murmur3 } from '#protocol/murmur3'
import type { Claim } from './member.ts'
import type { MemberFacts, RegistryStatus } from './messages.ts'

/** What two peers have to agree on. Not who says so, nor why, nor who else accuses a suspect: opinions may have several sources. */
export interface Belief {
  readonly peer: PeerId
  readonly claim: Claim | undefined
  readonly facts: MemberFacts | undefined
  readonly status: RegistryStatus | undefined
}

/** Hex digits of a bucket. */
export const bucketLength = 8

/** With one difference about 16 members are told, and a digest stays small: a power of two, 16 … 256. */
export const bucketCountFor = (members: number): number =>
  Math.min(256, Math.max(16, 2 ** Math.ceil(Math.log2(members / 16))))

export const bucketOf = (peer: PeerId, count: number): number => murmur3(peer, 0) % count

export const bucketAt = (digest: string, bucket: number): string =>
  digest.slice(bucket * bucketLength, (bucket + 1) * bucketLength)

/**
 * Per bucket the sum of the hashes of its members, 32 bits as 8 hex digits: in whatever order, equal where the same is believed,
 * but for one in 2^32. It guards against loss, not lies. A counter of facts is no part: facts that were said again are the same.
 */
export function tableDigest(beliefs: readonly Belief[], count: number): string {
  const sums = new Uint32Array(count)
  for (const belief of beliefs) {
    const bucket = bucketOf(belief.peer, count)
    sums[bucket] = (sums[bucket] ?? 0) + murmur3(textOf(belief), 1)
  }
  return Array.from(sums, (sum) => sum.toString(16).padStart(bucketLength, '0')).join('')
}

function textOf({ peer, claim, facts, status }: Belief): string {
  const told = facts && [facts.name, facts.http, facts.zone, ...facts.addresses]
  return [peer, claim?.state, claim?.incarnation, status?.type, status?.generation, told?.join('\n')].join(' ')
}
