import type { Millis } from '#protocol/machine'

/** Names and values follow hashicorp/memberlist; N is the number of registered members. */
export interface MembershipConfig {
  /** One member is probed per interval, round robin. Higher: less traffic, slower detection (expected 1.58 intervals). */
  readonly probeIntervalMs: Millis
  /**
   * How long a direct ping waits before others are asked; the rest of the interval is theirs. At least the 99th
   * percentile of a round trip. Higher: fewer needless indirect probes, less time for them.
   */
  readonly probeTimeoutMs: Millis
  /** Members asked to probe on our behalf. Higher: fewer false suspicions under loss, more traffic per failure. */
  readonly indirectProbes: number
  /**
   * A suspect is dead after suspicionMult · max(1, log10 N) · probeIntervalMs at least: when suspicionMult − 2 others have
   * confirmed the suspicion. Higher: fewer false deaths, slower.
   */
  readonly suspicionMult: number
  /**
   * While nobody else has, it takes suspicionMaxMult times as long. Higher: an accuser that is slow itself does less harm, and
   * a death that only one can see is known later. 1: as in SWIM.
   */
  readonly suspicionMaxMult: number
  /**
   * Probe intervals and timeouts are multiplied by 1 … awarenessMax, as this peer finds itself slow. Higher: a slow observer
   * accuses less, and notices less. 1: as in SWIM.
   */
  readonly awarenessMax: number
  /** Rumors are sent once per interval, while there are any. Higher: less traffic, slower dissemination. */
  readonly gossipIntervalMs: Millis
  /** Members a rumor is sent to per interval. Higher: faster, more traffic. */
  readonly gossipFanout: number
  /** A rumor is sent retransmitMult · ceil(log10(N + 1)) times by each member. Higher: fewer miss it, more traffic. */
  readonly retransmitMult: number
  /**
   * Full state is exchanged with one member per interval, times ceil(log2 N − log2 32) + 1 above 32 members. Higher:
   * less traffic; who missed a rumor learns it later.
   */
  readonly pushPullIntervalMs: Millis
  /** The n-th dial in a row waits min(dialBackoffMsMax, dialBackoffMsMin · 2^(n−1)), of which half is jitter. */
  readonly dialBackoffMsMin: Millis
  /** Higher: fewer vain dials, but a healed split is noticed later. */
  readonly dialBackoffMsMax: Millis
  /** A dial without an end counts as failed; above the transport's own timeout. Higher: a lost answer costs longer. */
  readonly dialTimeoutMs: Millis
  /**
   * Links that are kept, 1 at least: with so many other members all are linked; of more, the links that were not needed for
   * longest are closed, and dialed when they are. What is needed is kept beyond it. Higher: fewer dials (at about one per
   * probeIntervalMs above the limit), for a socket, some 100 KB and the probes' share of gossip for each link.
   */
  readonly linksMax: number
  /** How long nothing but membership has used a link before it may be closed. Higher: more links, fewer dials. */
  readonly linkIdleMs: Millis
  /**
   * Members that are believed to be there, of which so many are dialed at a time; the next as soon as one of them is linked or has failed. Higher:
   * linked sooner with all, but where many start at once on one machine every handshake takes longer than any may, and none succeeds.
   */
  readonly dialsAtOnce: number
  /** A timer later than this tells of ourselves, not of others. Higher: a blocked event loop accuses the innocent. */
  readonly timerLateMs: Millis
  /**
   * A suspicion that is over waits so long for a last word: some others are asked whether they know better, and what has
   * reached our sockets is read (after a blocked event loop timers go first, and one that was due at its end is not late). At
   * least the 99th percentile of a round trip. Higher: deaths are known later. 0: as in SWIM, nobody is asked and no
   * ack corrects.
   */
  readonly lastWordMs: Millis
}

const lan: MembershipConfig = {
  probeIntervalMs: 1_000,
  probeTimeoutMs: 500,
  indirectProbes: 3,
  suspicionMult: 4,
  suspicionMaxMult: 6,
  awarenessMax: 8,
  gossipIntervalMs: 200,
  gossipFanout: 3,
  retransmitMult: 4,
  pushPullIntervalMs: 30_000,
  dialBackoffMsMin: 250,
  dialBackoffMsMax: 5_000,
  dialTimeoutMs: 10_000,
  linksMax: 64,
  dialsAtOnce: 8,
  linkIdleMs: 10_000,
  timerLateMs: 250,
  lastWordMs: 500,
}

const wan: MembershipConfig = {
  ...lan,
  probeIntervalMs: 5_000,
  probeTimeoutMs: 3_000,
  suspicionMult: 6,
  gossipIntervalMs: 500,
  gossipFanout: 4,
  pushPullIntervalMs: 60_000,
  dialBackoffMsMin: 1_000,
  dialBackoffMsMax: 30_000,
  dialTimeoutMs: 30_000,
  linkIdleMs: 30_000,
  lastWordMs: 3_000,
}

/** For one machine, where a round trip is well below a millisecond. */
const local: MembershipConfig = {
  ...lan,
  probeTimeoutMs: 200,
  indirectProbes: 1,
  suspicionMult: 3,
  gossipIntervalMs: 100,
  retransmitMult: 2,
  pushPullIntervalMs: 15_000,
  dialBackoffMsMin: 100,
  dialBackoffMsMax: 2_000,
  linkIdleMs: 2_000,
  lastWordMs: 200,
}

export type MembershipProfile = 'lan' | 'wan' | 'local'
export const membershipProfiles: Readonly<Record<MembershipProfile, MembershipConfig>> = { lan, wan, local }
