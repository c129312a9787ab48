import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { lengthOf, noRanges, within, without } from '#protocol/log/offset-ranges'
import type { PeerId } from '#protocol/ids'
import type { StoreChange } from '#storage/feed-store'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly, Disks } from './anomaly.ts'

/** Who has held something for so long has told it, and who has not been heard for so long is not linked any more. */
const tellingMsMax = 15_000

/**
 * A peer goes on behind a range only if nobody holds it, of all whom that peer knows to belong to the mesh: `registered`. What
 * has come to a disk a moment ago it need not know of.
 */
export function checkSkips(
  { id, disk }: Pick<SimPeer, 'id' | 'disk'>,
  changes: readonly StoreChange[],
  {
    disks,
    registered,
    keptFrom,
    nowMs,
  }: {
    readonly disks: Disks
    readonly registered: readonly PeerId[]
    /** Where what the peer keeps of the feed begins, though its disk may not know yet. */
    readonly keptFrom: (peer: PeerId, key: FeedKey) => number
    readonly nowMs: number
  },
): readonly Anomaly[] {
  return changes.flatMap((change) => {
    if (change.type !== 'skip') return []
    const key = feedKeyOf(change.feed)
    const range = { from: disk.nextOffset(key), to: change.to.nextOffset }
    const holder = registered.find((peer) => {
      const held = disks.get(peer)?.heldSince(key, nowMs - tellingMsMax) ?? noRanges
      const wanted = within([range], { from: keptFrom(peer, key), to: range.to })
      return lengthOf(without(wanted, held)) < lengthOf(wanted)
    })
    if (holder === undefined) return []
    const what = `${change.feed.writer} from ${range.from} to ${range.to}`
    return [{ checker: 'skips', detail: `${id} goes on behind ${what}, of which ${holder} holds some` }]
  })
}
