import { clockBugs } from './clocks.ts'
import { decommissionBugs } from './decommission.ts'
import { damageBugs } from './damage.ts'
import { durabilityBugs } from './durability.ts'
import { followingBugs } from './following.ts'
import { forgettingBugs } from './forgetting.ts'
import { linkBugs } from './links.ts'
import { logBugs } from './log.ts'
import { membershipBugs } from './membership.ts'
import { placementBugs } from './placement.ts'
import { producerBugs } from './producers.ts'
import { replicationBugs } from './replication.ts'
import { retentionBugs } from './retention.ts'
import { sessionBugs } from './sessions.ts'
import { sideBugs } from './sides.ts'
import { topicBugs } from './topics.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** Peers that are wrong in one known way. The simulator is worth what it catches: each of them, within 2,000 seeds. */
export const planted: PlantedBugs = {
  ...durabilityBugs,
  ...membershipBugs,
  ...replicationBugs,
  ...placementBugs,
  ...decommissionBugs,
  ...followingBugs,
  ...linkBugs,
  ...logBugs,
  ...clockBugs,
  ...sessionBugs,
  ...topicBugs,
  ...producerBugs,
  ...damageBugs,
  ...retentionBugs,
  ...forgettingBugs,
  ...sideBugs,
}
