import { around } from './around.ts'
import type { PeerId } from '#protocol/ids'
import type { MemberUpdate } from '#protocol/membership/messages'
import { Rejoin } from '#protocol/membership/rejoin'
import type { FeedStore } from '#storage/feed-store'
import type { Sabotage } from '../sim-peer.ts'
import { jumpingClocks, longPartitions, quickCrashes } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

class ForgetfulRejoin extends Rejoin {
  override memberMissing(): void {}
  override dialFailed(...[target, reason, turn]: Parameters<Rejoin['dialFailed']>): void {
    if (target.type === 'seed') super.dialFailed(target, reason, turn)
  }
}

/** A member whose link went down is not dialed again. */
const forgetToRejoin: Sabotage = { wrongRules: { createRejoin: (deps) => new ForgetfulRejoin(deps) } }

/** The last word about a member wins, whatever its incarnation. */
const trustStaleIncarnation: Sabotage = {
  wrongRules: { supersedes: (a, b) => a.state !== b.state || a.incarnation > b.incarnation },
}

/** After a restart a peer knows nobody but its seeds. */
const forgetRegistry: Sabotage = {
  store: (store: FeedStore): FeedStore => ({
    feeds: () => store.feeds(),
    append: (batches, changes) => store.append(batches, changes),
    read: (feed, position, bytesMax) => store.read(feed, position, bytesMax),
    getMeta: async (key) => (key === 'registry' ? undefined : store.getMeta(key)),
    close: () => store.close(),
  }),
}

/** Whoever a full state leaves out belongs no longer. */
const forgetOnMerge: Sabotage = {
  decorate: (peer) => {
    const { membership } = peer
    const view = membership.registryView.bind(membership)
    let last: ReadonlySet<PeerId> | undefined
    membership.registryView = () => {
      const { peers, ...rest } = view()
      return { ...rest, peers: peers.filter((id) => last?.has(id) ?? true) }
    }
    around(membership, (input, handle) => {
      if (input.type === 'messageReceived' && input.message.type === 'pushPull' && !input.message.more) {
        last = new Set([peer.self, ...input.message.members.map((member) => member.peer)])
      }
      return handle(input)
    })
    return peer
  },
}

/** Whoever starts takes what it knows for the whole mesh. */
const mergedAtOnce: Sabotage = {
  decorate: (peer) => {
    const { membership } = peer
    const view = membership.registryView.bind(membership)
    membership.registryView = () => ({ ...view(), merged: true })
    return peer
  },
}

/** A peer does not listen to what is said of it, and so never answers a suspicion. */
const neverRefute: Sabotage = {
  decorate: (peer) => {
    const others = (updates: readonly MemberUpdate[]) => updates.filter((update) => update.peer !== peer.self)
    around(peer.membership, (input, handle) => {
      if (input.type !== 'messageReceived') return handle(input)
      const { message } = input
      if (message.type === 'pushPullMore' || message.type === 'pushPullDigest' || message.type === 'rest')
        return handle(input)
      if (message.type === 'pushPull')
        return handle({ ...input, message: { ...message, members: others(message.members) } })
      return handle({ ...input, message: { ...message, updates: others(message.updates) } })
    })
    return peer
  },
}

/** Whoever asks for all that is believed is taken to have a digest of it, and is told nothing. */
const noStateForOlder: Sabotage = {
  decorate: (peer) => {
    around(peer.membership, (input, handle) => {
      const effects = handle(input)
      const isAsked = input.type === 'messageReceived' && input.message.type === 'pushPull' && input.message.reply
      return isAsked
        ? effects.filter((effect) => effect.type !== 'send' || effect.message.type !== 'pushPull')
        : effects
    })
    return peer
  },
}

/** Timeouts go by the clock on the wall. */
const timeByTheWall: Sabotage = { clock: (clock) => ({ ...clock, nowMs: () => clock.wallMs() }) }

const older = { peers: [1, 3, 5], runs: Number.POSITIVE_INFINITY }

export const membershipBugs: PlantedBugs = {
  'forget-on-merge': { sabotage: forgetOnMerge, checker: 'membership', faults: {} },
  'merged-at-once': { sabotage: mergedAtOnce, checker: 'ack-honesty', faults: {} },
  'no-state-for-older': { sabotage: noStateForOlder, checker: 'convergence', faults: {}, world: { older } },
  'never-refute': { sabotage: neverRefute, checker: 'membership', faults: longPartitions },
  'time-by-the-wall': {
    sabotage: timeByTheWall,
    checker: 'availability',
    faults: { ...longPartitions, ...jumpingClocks },
  },
  'forget-to-rejoin': { sabotage: forgetToRejoin, checker: 'convergence', faults: longPartitions },
  'trust-stale-incarnation': { sabotage: trustStaleIncarnation, checker: 'membership', faults: quickCrashes },
  'forget-registry': { sabotage: forgetRegistry, checker: 'membership', faults: quickCrashes },
}
