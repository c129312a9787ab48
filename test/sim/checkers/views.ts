import type { PeerId } from '#protocol/ids'
import { NOTHING } from '#protocol/log/feed'
import type { SimPeer } from '../sim-peer.ts'
import type { Tellings } from './ack-honesty.ts'
import type { Anomaly } from './anomaly.ts'

/** P8: what a peer shows of its neighbors' disks is there. It may be more by now, never less. */
export const checkViews = (peers: readonly SimPeer[], tellings: Tellings): readonly Anomaly[] =>
  peers.flatMap((peer) => {
    const neighbors = [...(peer.driver?.peer.replication.neighbors.values() ?? [])]
    return neighbors.flatMap((neighbor) =>
      [...neighbor.heads].flatMap(([feed, { nextOffset }]) => {
        const isTrue = nextOffset <= NOTHING || tellings.isTrue(peer.id, neighbor.peer, feed, nextOffset)
        return isTrue ? [] : [untrue(peer.id, neighbor.peer, `${feed.split('/')[1]} up to ${nextOffset}`)]
      }),
    )
  })

const untrue = (peer: PeerId, neighbor: PeerId, what: string): Anomaly => ({
  checker: 'views',
  detail: `${peer} shows ${neighbor} with the feed of ${what}, which its disk does not have`,
})
