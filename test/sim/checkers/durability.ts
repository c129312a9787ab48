import { DiskValues } from './anomaly.ts'
import { placeText } from '../history.ts'
import type { History, Place } from '../history.ts'
import type { PeerId, TopicId } from '#protocol/ids'
import type { LostRange } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'
import type { Written } from './written.ts'

/**
 * P3: what was acked is at its whole home at the end, at the place that the answer named, as long as one disk that the
 * answer counted has not lost it by damage, and as retention has not let go of it. A publish without an answer may be there or not, and owes nothing.
 */
export function checkDurability(
  history: History,
  disks: Disks,
  { homeOf, written }: { readonly homeOf: HomeOf; readonly written: Written },
): readonly Anomaly[] {
  const anomalies: Anomaly[] = []
  const contents = new Map([...disks].map(([peer, disk]) => [peer, new DiskValues(disk)]))
  for (const { at, values, outcome } of history.answered()) {
    outcome.places.forEach((place, index) => {
      const home = homeOf(place.feed.split('/')[0] as TopicId)
      if (written.isTrimmed(place.feed, place.offset) || !isOwed(place, [outcome.copies, home], disks)) return
      for (const peer of home) {
        const found = contents.get(peer)?.at(place.feed, place.offset)
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

/** A copy that its peer has let go of is owed by those who had taken over, but for who came after it was lost. */
function isOwed(
  { feed, offset }: Place,
  [copies, home]: readonly [copies: readonly PeerId[], home: readonly PeerId[]],
  disks: Disks,
): boolean {
  const isIn = ({ feed: key, from, to }: LostRange): boolean => key === feed && from <= offset && offset < to
  const kept = copies.filter((peer) => disks.get(peer)?.letGo.some(isIn) !== true)
  const holders = kept.length === copies.length ? copies : [...kept, ...home]
  return holders.some((peer) => {
    const disk = disks.get(peer)
    return disk?.lostAtMs(feed, offset) === undefined && disk?.noted.some(isIn) !== true
  })
}
