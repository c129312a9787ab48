import type { PeerId } from '#protocol/ids'
import type { ReplicationEffect } from '#protocol/replication/inputs'
import { around } from './around.ts'
import { longPartitions } from './planted-bug.ts'
import type { Sabotage } from '../sim-peer.ts'
import type { SimOptions } from '../swarm.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** Topics are placed among the living, so that each side of a split has homes of its own. */
const homeOfTheAlive: Sabotage = {
  decorate: (peer) => {
    const present = new Set<PeerId>([peer.self])
    around(peer.replication, (input, handle) => {
      if (input.type !== 'presenceChanged' && input.type !== 'registryChanged') return handle(input)
      if (input.type === 'presenceChanged' && input.present) present.add(input.peer)
      else if (input.type === 'presenceChanged') present.delete(input.peer)
      const { version, merged, peers } = peer.membership.registryView()
      const members = peers
        .filter((id) => present.has(id))
        .map((id) => ({ peer: id, zone: peer.membership.zoneOf(id) }))
      return [...handle(input), ...handle({ type: 'registryChanged', version, merged, members })]
    })
    return peer
  },
}

/** Who stands in for a home member counts as one. */
const countStandIns: Sabotage = {
  decorate: (peer) => {
    const { homes } = peer.replication
    const of = homes.of.bind(homes)
    homes.of = (topicId) => {
      const home = of(topicId)
      return { ...home, peers: [...home.peers, ...home.standIns] }
    }
    return peer
  },
}

/** Who finds something left over lets go of it, whoever else has it. */
const dropBeforeHandoff: Sabotage = {
  decorate: (peer) => {
    const { replication } = peer
    around(replication, (input, handle) => {
      const effects = handle(input)
      if (input.type !== 'timerFired' || input.timer.type !== 'sweep') return effects
      const leftOver = [...replication.local.all()].filter(({ feed, appended, durable }) => {
        const isSettled = appended.nextOffset === durable?.nextOffset
        return isSettled && feed.writer !== peer.self && !replication.homes.isOurs(feed.topicId)
      })
      return leftOver.reduce<readonly ReplicationEffect[]>((all, local) => {
        replication.local.forget(local)
        return [...all, { type: 'changeFeed', change: { type: 'forget', feed: local.feed, rooted: [] } }]
      }, effects)
    })
    return peer
  },
}

/** Who lets go of something itself confirms to others that it keeps it. */
const confirmWhileHandingOff: Sabotage = {
  decorate: (peer) => {
    peer.replication.homes.isAtHome = () => true
    return peer
  },
}

/** Peers join one after the other, and the others hear of it long after each other. */
const newsTravelsSlowly: Partial<SimOptions> = {
  peers: ['oak', 'elm', 'ash', 'fir', 'yew', 'bay', 'box'] as readonly string[] as readonly PeerId[],
  lateJoiners: 5,
  network: {
    latencyMsMin: 200,
    latencyMsMax: 1_500,
    bytesPerMs: 100_000,
    slowPaths: 0,
    dialFaults: 0,
    dialRepeats: 0,
    dialTimeoutMs: 3_000,
    tcpTimeoutMs: 60_000,
  },
  placement: { replicas: 1, replaceAfterMs: 3_600_000, handoffGraceMs: 500, zones: [''] },
}

export const placementBugs: PlantedBugs = {
  'home-of-the-alive': { sabotage: homeOfTheAlive, checker: 'ack-honesty', faults: longPartitions },
  'count-a-stand-in-for-majority': { sabotage: countStandIns, checker: 'ack-honesty', faults: longPartitions },
  'drop-before-handoff': { sabotage: dropBeforeHandoff, checker: 'handoff', faults: longPartitions },
  'confirm-while-handing-off': {
    sabotage: confirmWhileHandingOff,
    checker: 'handoff',
    faults: {},
    world: newsTravelsSlowly,
  },
}
