import type { PeerId } from '#protocol/ids'
import { NOTHING } from '#protocol/log/feed'
import { copyEnd } from '#protocol/replication/holding'
import type { Neighbor } from '#protocol/replication/neighbor'
import type { SimPeer } from '../sim-peer.ts'
import type { Tellings } from './ack-honesty.ts'
import type { Anomaly } from './anomaly.ts'

/** P8: what a peer shows of its neighbors' disks is there. It may be more by now, never less. */
export const checkViews = (peers: readonly SimPeer[], tellings: Tellings): readonly Anomaly[] =>
  peers.flatMap((peer) => {
    const neighbors = [...(peer.driver?.peer.replication.neighbors.values() ?? [])]
    return neighbors.flatMap((neighbor) => checkView(peer.id, neighbor, tellings))
  })

/** A loop: there are many of them, hardly ever anything is wrong, and they are looked at twice a second. */
function checkView(id: PeerId, { peer, heads }: Neighbor, tellings: Tellings): readonly Anomaly[] {
  const anomalies: Anomaly[] = []
  for (const [feed, { keptFrom, nextOffset, holes }] of heads) {
    const whole = holes === undefined ? nextOffset : copyEnd({ nextOffset, holes })
    // What lies below is let go of before that is on disk, with its holes.
    const isThere = nextOffset <= NOTHING || tellings.isTrue(id, peer, feed, nextOffset, Number.POSITIVE_INFINITY)
    const isWhole = whole <= NOTHING || tellings.isTrue(id, peer, feed, whole, keptFrom)
    if (isThere && isWhole) continue
    anomalies.push(untrue(id, peer, `${feed.split('/')[1]} up to ${nextOffset}, whole up to ${whole}`))
  }
  return anomalies
}

const untrue = (peer: PeerId, neighbor: PeerId, what: string): Anomaly => ({
  checker: 'views',
  detail: `${peer} shows ${neighbor} with the feed of ${what}, which its disk does not have`,
})
