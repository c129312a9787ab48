import { topicHeads } from '#protocol/replication/status'
import { checkTimes } from './checkers/clocks.ts'
import { checkConvergence, type HomeOf, isConverged } from './checkers/convergence.ts'
import { checkCursors } from './checkers/cursors.ts'
import { checkDurability } from './checkers/durability.ts'
import { checkAgreement } from './checkers/membership.ts'
import { checkAcceptedOrder, checkChains } from './checkers/order.ts'
import { checkTopics, isRegistryConverged } from './checkers/topics.ts'
import type { Written } from './checkers/written.ts'
import type { Administration } from './administrators.ts'
import type { Anomaly, Disks } from './checkers/anomaly.ts'
import type { History, Publish } from './history.ts'
import type { SimHomes } from './homes.ts'
import type { SimDisk } from './sim-disk.ts'
import type { SimPeer } from './sim-peer.ts'

export interface EndOfWorld {
  readonly peers: readonly SimPeer[]
  readonly disks: Disks
  readonly history: History
  readonly homes: SimHomes
  readonly administration: Administration
  readonly keepsRemains: boolean
  readonly written: Written
}

/** Same bytes throughout each home, everybody alive for everybody, and every peer says itself that it has converged. */
export function isHealed({ peers, disks, homes, keepsRemains }: EndOfWorld): boolean {
  const staying = homes.staying()
  return (
    isRegistryConverged(staying) &&
    (keepsRemains || staying.every(({ driver }) => driver?.peer.remainingTopics().length === 0)) &&
    staying.every(({ driver }) => driver?.isDiskFull !== true) &&
    isConverged(disks, (topicId) => homes.of(topicId), disksOf(staying)) &&
    checkAgreement(staying, peers).length === 0 &&
    checkStatus(staying).length === 0
  )
}

export const disksOf = (peers: readonly SimPeer[]): Disks => new Map(peers.map(({ id, disk }) => [id, disk]))

/** What can be judged only when all is over. Later checks rest on earlier ones. */
export function finalAnomalies(world: EndOfWorld): readonly Anomaly[] {
  const { peers, disks, history, homes, written } = world
  const staying = homes.staying()
  const homeOf: HomeOf = (topicId) => homes.of(topicId)
  const apart = [...checkConvergence(disks, homeOf), ...checkStatus(staying), ...checkAgreement(staying, peers)]
  const broken = [
    ...apart,
    ...checkChains(disks, homeOf),
    ...checkAcceptedOrder(history, wholeDisks(world), homeOf),
    ...checkTimes(disks),
    ...checkDurability(history, disks, { homeOf, written }),
    ...checkTopics({ ...world, peers: staying, homeOf }),
  ]
  return broken.length > 0 ? broken : [...homes.topics.values()].flatMap((topic) => cursorAnomalies(world, topic))
}

/** What there is to read of a topic is what its home has: the disk of one of these comes first. */
function cursorAnomalies(world: EndOfWorld, topic: string): readonly Anomaly[] {
  const { history, homes, written } = world
  const disks = wholeDisks(world)
  const home = homes.ofTopic(topic).map((peer) => [peer, disks.get(peer) as SimDisk] as const)
  return checkCursors(history.ofTopic(topic), new Map([...home, ...disks]), written)
}

/** With all that retention has let go of. */
const wholeDisks = ({ disks, written }: EndOfWorld): Disks =>
  written.floors.size === 0 ? disks : new Map([...disks].map(([peer, disk]) => [peer, written.whole(disk)]))

/** In a healed mesh a record reaches the whole home of its topic, from whichever peer, unless retention is faster. */
export const checkLastWords = (
  lastWords: readonly Publish[],
  { homes, disks, written }: Pick<EndOfWorld, 'homes' | 'disks' | 'written'>,
): readonly Anomaly[] =>
  lastWords.flatMap(({ at, topic, outcome }) => {
    const [copies, places] = outcome.type === 'answered' ? [outcome.copies, outcome.places] : [[], []]
    // A copy ends at its first hole, also at one that nobody can fill any more.
    const hasHole = [...disks.values()].some(({ feeds }) =>
      [...feeds.values()].some(({ feed, opening, state }) => {
        return feed.writer === at && opening.topic === topic && state.holes.length > 0
      }),
    )
    if (hasHole) return []
    const missing = homes.ofTopic(topic).filter((peer) => !copies.includes(peer))
    if (missing.length === 0 || places.some(({ feed, offset }) => written.isTrimmed(feed, offset))) return []
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
