import type { PeerId } from '#protocol/ids'
import type { Sabotage } from '../sim-peer.ts'
import { around } from './around.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** Nobody agrees that a link is closed. */
const neverRest: Sabotage = {
  decorate: (peer) => {
    around(peer.membership, (input, handle) =>
      input.type === 'messageReceived' && input.message.type === 'rest' ? [] : handle(input),
    )
    return peer
  },
}

/** What replication needs is not heard, so that whoever waits for copies waits for the next probe. */
const deafToNeeds: Sabotage = {
  decorate: (peer) => {
    around(peer.membership, (input, handle) =>
      input.type === 'linksNeeded' || input.type === 'linkUsed' ? [] : handle(input),
    )
    return peer
  },
}

/** The end of a link that was to be closed is taken for that of its process, and nothing dialed: so nobody is asked again. */
const restForGood: Sabotage = {
  decorate: (peer) => {
    around(peer.membership, (input, handle) => {
      const effects = handle(input)
      return input.type === 'timerFired' && input.timer.type === 'probeRound'
        ? effects.filter(({ type }) => type !== 'dial')
        : effects
    })
    return peer
  },
}

const peers = ['oak', 'elm', 'ash', 'fir', 'yew', 'bay', 'box', 'fig'] as readonly string[] as readonly PeerId[]
const world = { peers, lateJoiners: 0, links: { linksMax: 1, linkIdleMs: 300 } }

export const linkBugs: PlantedBugs = {
  'never-rest': { sabotage: neverRest, checker: 'links', faults: {}, world },
  'deaf-to-needs': { sabotage: deafToNeeds, checker: 'convergence', faults: {}, world },
  'rest-for-good': { sabotage: restForGood, checker: 'convergence', faults: {}, few: 3, world },
}
