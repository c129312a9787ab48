import { Rejoin } from '#protocol/membership/rejoin'
import type { FeedStore } from '#storage/feed-store'
import type { Sabotage } from '../sim-peer.ts'

class ForgetfulRejoin extends Rejoin {
  override memberMissing(): void {}
  override dialFailed(...[target, reason, turn]: Parameters<Rejoin['dialFailed']>): void {
    if (target.type === 'seed') super.dialFailed(target, reason, turn)
  }
}

/** A member whose link went down is not dialed again. */
export const forgetToRejoin: Sabotage = { wrongRules: { createRejoin: (deps) => new ForgetfulRejoin(deps) } }

/** The last word about a member wins, whatever its incarnation. */
export const trustStaleIncarnation: Sabotage = {
  wrongRules: { supersedes: (a, b) => a.state !== b.state || a.incarnation > b.incarnation },
}

/** After a restart a peer knows nobody but its seeds. */
export const forgetRegistry: Sabotage = {
  store: (store: FeedStore): FeedStore => ({
    feeds: () => store.feeds(),
    append: (batches, meta) => store.append(batches, meta),
    read: (feed, position, bytesMax) => store.read(feed, position, bytesMax),
    trim: (feed, floor) => store.trim(feed, floor),
    getMeta: async (key) => (key === 'registry' ? undefined : store.getMeta(key)),
    close: () => store.close(),
  }),
}
