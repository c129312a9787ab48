import { around } from './around.ts'
import type { PeerId } from '#protocol/ids'
import type { MembershipEffect } from '#protocol/membership/membership'
import type { MemberUpdate } from '#protocol/membership/messages'
import type { SimOptions } from '../swarm.ts'
import type { Sabotage } from '../sim-peer.ts'
import { longPartitions } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** Who is to hand over is done at once. */
const leaveInAHurry: Sabotage = {
  decorate: (peer) => {
    peer.leftToHandOver = () => ({ feeds: 0, records: 0, waitsFor: [] })
    return peer
  },
}

/** Who is to hand over is done when all have been asked, whatever they said. */
const leaveUnconfirmed: Sabotage = {
  decorate: (peer) => {
    const left = peer.leftToHandOver.bind(peer)
    peer.leftToHandOver = () => {
      const told = left()
      const asked = [...peer.replication.handoffs.all()].filter(({ state }) => state.type === 'asking').length
      return told && asked >= told.feeds ? { ...told, feeds: 0 } : told
    }
    return peer
  },
}

/** What is decided of a peer stays with whoever was told. */
const keepDecisionsToOneself: Sabotage = {
  decorate: (peer) => {
    const silent = (update: MemberUpdate): MemberUpdate => ({ ...update, status: { type: 'member', generation: 0 } })
    around(peer.membership, (input, handle) =>
      handle(input).map((effect): MembershipEffect => {
        if (effect.type !== 'send') return effect
        const { message } = effect
        if (message.type === 'pushPullMore' || message.type === 'pushPullDigest' || message.type === 'rest')
          return effect
        if (message.type === 'pushPull')
          return { ...effect, message: { ...message, members: message.members.map(silent) } }
        return { ...effect, message: { ...message, updates: message.updates.map(silent) } }
      }),
    )
    return peer
  },
}

/** Who was let go of is not listened to. */
const ignoreTheForgotten: Sabotage = {
  decorate: (peer) => {
    const { homes } = peer.replication
    around(peer.replication, (input, handle) => {
      const isFromThem =
        (input.type === 'messageReceived' || input.type === 'rangeReceived') && homes.isForgotten(input.from)
      return isFromThem && input.type === 'messageReceived' ? [] : handle(input)
    })
    return peer
  },
}

/** On its way out, a peer takes what is published to it. */
const publishOnTheWayOut: Sabotage = {
  decorate: (peer) => {
    const { membership } = peer
    const statusOf = membership.statusOf.bind(membership)
    let isAsked = false
    membership.statusOf = (id) => (isAsked && id === peer.self ? { type: 'member', generation: 0 } : statusOf(id))
    around(peer, (input, handle) => {
      isAsked = input.type === 'publishRequested'
      const effects = handle(input)
      isAsked = false
      return effects
    })
    return peer
  },
}

/** Peers go all the time, one after the other. */
const comingAndGoing: Partial<SimOptions> = {
  peers: ['oak', 'elm', 'ash', 'fir', 'yew'] as readonly string[] as readonly PeerId[],
  operators: { everyMs: 1_500, admits: 0.7, forgets: 0.3, retires: true },
}

export const decommissionBugs: PlantedBugs = {
  'leave-in-a-hurry': {
    sabotage: leaveInAHurry,
    checker: 'decommission',
    faults: longPartitions,
    world: comingAndGoing,
  },
  'leave-unconfirmed': {
    sabotage: leaveUnconfirmed,
    checker: 'decommission',
    faults: longPartitions,
    world: comingAndGoing,
  },
  'keep-decisions-to-oneself': {
    sabotage: keepDecisionsToOneself,
    checker: 'membership',
    faults: longPartitions,
    world: comingAndGoing,
  },
  'ignore-the-forgotten': {
    sabotage: ignoreTheForgotten,
    checker: 'convergence',
    faults: longPartitions,
    world: comingAndGoing,
  },
  'publish-on-the-way-out': {
    sabotage: publishOnTheWayOut,
    checker: 'decommission',
    faults: {},
    world: comingAndGoing,
  },
}
