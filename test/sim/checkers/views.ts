import type { PeerId } from '#protocol/ids'
import { NOTHING } from '#protocol/log/feed'
import { copyEnd } from '#protocol/replication/holding'
import type { SimPeer } from '../sim-peer.ts'
import type { Tellings } from './ack-honesty.ts'
import type { Anomaly } from './anomaly.ts'

/** P8: what a peer shows of its neighbors' disks is there. It may be more by now, never less. */
export const checkViews = (peers: readonly SimPeer[], tellings: Tellings): readonly Anomaly[] =>
  peers.flatMap((peer) => {
    const neighbors = [...(peer.driver?.peer.replication.neighbors.values() ?? [])]
    return neighbors.flatMap((neighbor) =>
      [...neighbor.heads].flatMap(([feed, { keptFrom, nextOffset, holes }]) => {
        const whole = copyEnd({ nextOffset, ...(holes && { holes }) })
        const isTrue = (end: number, wholeFrom: number) =>
          end <= NOTHING || tellings.isTrue(peer.id, neighbor.peer, feed, end, wholeFrom)
        // What lies below is let go of before that is on disk, with its holes.
        if (isTrue(nextOffset, Number.POSITIVE_INFINITY) && isTrue(whole, keptFrom)) return []
        return [untrue(peer.id, neighbor.peer, `${feed.split('/')[1]} up to ${nextOffset}, whole up to ${whole}`)]
      }),
    )
  })

const untrue = (peer: PeerId, neighbor: PeerId, what: string): Anomaly => ({
  checker: 'views',
  detail: `${peer} shows ${neighbor} with the feed of ${what}, which its disk does not have`,
})
