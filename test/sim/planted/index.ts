import { ackBeforeFsync, countUnsyncedCopy, keepOldHead, majorityOfTheLinked } from './durability.ts'
import { readSuccessorFirst, reuseEpoch } from './log.ts'
import { forgetRegistry, forgetToRejoin, trustStaleIncarnation } from './membership.ts'
import { creditLostOnReconnect, ignoreCredit, skipRangeInRepair } from './replication.ts'
import type { Sabotage } from '../sim-peer.ts'

/** Peers that are wrong in one known way. The simulator is worth what it catches: each of them, within 500 seeds. */
export const planted: Readonly<Record<string, Sabotage>> = {
  'ack-before-fsync': ackBeforeFsync,
  'count-unsynced-copy': countUnsyncedCopy,
  'keep-old-head': keepOldHead,
  'majority-of-the-linked': majorityOfTheLinked,
  'forget-to-rejoin': forgetToRejoin,
  'trust-stale-incarnation': trustStaleIncarnation,
  'forget-registry': forgetRegistry,
  'skip-range-in-repair': skipRangeInRepair,
  'credit-lost-on-reconnect': creditLostOnReconnect,
  'ignore-credit': ignoreCredit,
  'read-successor-first': readSuccessorFirst,
  'reuse-epoch': reuseEpoch,
}
