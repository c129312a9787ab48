import { DiskValues } from './anomaly.ts'
import { placeText } from '../history.ts'
import type { History, Place } from '../history.ts'
import type { PeerId } from '#protocol/ids'
import type { Anomaly, Disks } from './anomaly.ts'

/**
 * P3: what was acked is on every replica at the end, at the place that the answer named, as long as one disk that the
 * answer counted has not lost it by damage. A publish without an answer may be there or not, and owes nothing.
 */
export function checkDurability(history: History, disks: Disks): readonly Anomaly[] {
  const anomalies: Anomaly[] = []
  const contents = [...disks].map(([peer, disk]) => ({ peer, values: new DiskValues(disk) }))
  for (const { at, values, outcome } of history.answered()) {
    outcome.places.forEach((place, index) => {
      if (!isOwed(place, outcome.copies, disks)) return
      for (const { peer, values: held } of contents) {
        const found = held.at(place.feed, place.offset)
        if (found === values[index]) continue
        const what = found === undefined ? 'is missing' : `is ${found}`
        anomalies.push({
          checker: 'durability',
          detail: `${values[index]}, acked by ${at} at ${placeText(place)} with copies ${outcome.copies.join(', ')}, ${what} at ${peer}`,
        })
      }
    })
  }
  return anomalies
}

const isOwed = ({ feed, offset }: Place, copies: readonly PeerId[], disks: Disks): boolean =>
  copies.some((peer) => disks.get(peer)?.lostAtMs(feed, offset) === undefined)
