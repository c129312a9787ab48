import { topicFeedText } from '../history.ts'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import type { PeerId } from '#protocol/ids'
import type { DiskFeed, SimDisk } from '../sim-disk.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'
import { isEmpty } from './floors.ts'

export interface ForgottenView {
  readonly homeOf: HomeOf
  /** Its writer runs that boot. A clone may have gone on from it long ago. */
  readonly isRunning: (feed: FeedId) => boolean
}

/**
 * When all is over and everybody is there, the home of a topic has forgotten the feeds that are finished and that retention
 * has emptied, the oldest first.
 */
export function checkForgotten(disks: Disks, { homeOf, isRunning }: ForgottenView): readonly Anomaly[] {
  return [...disks].flatMap(([peer, disk]) =>
    [...disk.feeds].flatMap(([key, stored]) => {
      if (!homeOf(stored.feed.topicId).includes(peer) || isRunning(stored.feed) || !isDue(peer, disk, stored)) return []
      const isLeft = [...disks.values()].some(({ feeds }) => {
        const held = feeds.get(key)
        return held !== undefined && !isEmpty(held)
      })
      return isLeft
        ? []
        : [{ checker: 'forgotten', detail: `${peer} still knows ${topicFeedText(key)}, of which nothing is left` }]
    }),
  )
}

function isDue(peer: PeerId, disk: SimDisk, stored: DiskFeed): boolean {
  const { feed, opening, state } = stored
  const before = opening.predecessor && feedKeyOf({ ...feed, epoch: opening.predecessor.epoch })
  if (!isEmpty(stored) || (before !== undefined && disk.feeds.has(before))) return false
  return [...disk.feeds.values()].some(({ feed: other, opening: { predecessor } }) => {
    const isNext = predecessor?.epoch === feed.epoch && other.topicId === feed.topicId && other.writer === feed.writer
    // Its writer keeps the end of what it wrote until it has gone on from there.
    return isNext && (feed.writer !== peer || predecessor.nextOffset === state.head.nextOffset)
  })
}
