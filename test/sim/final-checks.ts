import type { PeerId } from '#protocol/ids'
import { topicHeads } from '#protocol/replication/status'
import { checkConvergence, isConverged } from './checkers/convergence.ts'
import { checkCursors } from './checkers/cursors.ts'
import { checkDurability } from './checkers/durability.ts'
import { checkAgreement } from './checkers/membership.ts'
import { checkAcceptedOrder, checkChains } from './checkers/order.ts'
import type { Anomaly, Disks } from './checkers/anomaly.ts'
import type { History, Publish } from './history.ts'
import type { SimPeer } from './sim-peer.ts'

export interface EndOfWorld {
  readonly peers: readonly SimPeer[]
  readonly disks: Disks
  readonly history: History
}

/** Same bytes on all disks, everybody alive for everybody, and every peer says itself that it has converged. */
export const isHealed = ({ peers, disks }: EndOfWorld): boolean =>
  isConverged(disks) && checkAgreement(peers).length === 0 && checkStatus(peers).length === 0

/** What can be judged only when all is over. Later checks rest on earlier ones. */
export function finalAnomalies(world: EndOfWorld): readonly Anomaly[] {
  const { peers, disks, history } = world
  const apart = [...checkConvergence(disks), ...checkStatus(peers), ...checkAgreement(peers)]
  const broken = [
    ...apart,
    ...checkChains(disks),
    ...checkAcceptedOrder(history, disks),
    ...checkDurability(history, disks),
  ]
  return broken.length > 0 ? broken : checkCursors(history, disks)
}

/** In a healed mesh a record reaches every disk, from whichever peer. */
export const checkLastWords = (lastWords: readonly Publish[], peers: readonly PeerId[]): readonly Anomaly[] =>
  lastWords.flatMap(({ at, topic, outcome }) => {
    const copies = outcome.type === 'answered' ? outcome.copies : []
    const missing = peers.filter((peer) => !copies.includes(peer))
    if (missing.length === 0) return []
    return [
      { checker: 'convergence', detail: `after the heal, ${at} gets no copy of ${topic} onto ${missing.join(', ')}` },
    ]
  })

function checkStatus(peers: readonly SimPeer[]): readonly Anomaly[] {
  return peers.flatMap(({ id, driver }) => {
    if (driver === undefined) return [{ checker: 'convergence', detail: `${id} is not up` }]
    const { replication } = driver.peer
    const apart = [...replication.local.topics()].filter((topicId) => !topicHeads(replication, id, topicId).converged)
    return apart.map((topicId) => {
      return { checker: 'convergence', detail: `${id} does not say that ${topicId.slice(0, 4)} has converged` }
    })
  })
}
