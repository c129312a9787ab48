import type { Millis } from '#protocol/machine'

export interface ReplicationConfig {
  /** Copies of a topic that has no number of its own. All peers of a mesh must have the same: it says who is at home. */
  readonly replicas: number
  /** For so long a home member is away before another stands in for it. Lower: a long reboot moves whole topics. */
  readonly replaceAfterMs: Millis
  /**
   * Who need not keep a copy keeps it for so long after everybody at home has confirmed theirs, and asks again. Lower: less
   * space for old copies, and less time in which a mistake of ours, or of a disk, comes to light.
   */
  readonly handoffGraceMs: Millis
  /** How often topics that have a retention are looked at. Lower: records go closer to when they may, for more work. */
  readonly retentionEveryMs: Millis
  /** How often neighbors are told what this peer's clock shows: a wrong one is noticed as much later. */
  readonly clockEveryMs: Millis
  /** `linksMax` of membership: with more members than that, this peer says whom it needs a link with. */
  readonly linksMax: number
}

export const replicationDefaults: ReplicationConfig = {
  replicas: 3,
  replaceAfterMs: 60 * 60 * 1_000,
  handoffGraceMs: 60 * 60 * 1_000,
  retentionEveryMs: 10_000,
  clockEveryMs: 60_000,
  linksMax: Number.POSITIVE_INFINITY,
}
