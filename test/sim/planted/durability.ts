import { feedKeyOf } from '#protocol/log/feed'
import { around } from './around.ts'
import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { FeedDigest } from '#protocol/replication/messages'
import type { Sabotage } from '../sim-peer.ts'

/** A batch counts as stored as soon as it is made. */
export const ackBeforeFsync: Sabotage = {
  decorate: (peer) => {
    around(peer, (input, handle) => {
      if (input.type !== 'batchMade') return handle(input)
      const { feed, head } = input
      return [...handle(input), ...handle({ type: 'rangesStored', runs: [{ feed, head }] })]
    })
    return peer
  },
}

/** A replica tells of batches that it has only handed to its disk. */
export const countUnsyncedCopy: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      const effects = handle(input)
      const runs = effects.flatMap((effect) => {
        return effect.type === 'storeReceived' ? [{ feed: effect.feed, head: effect.head }] : []
      })
      return runs.length === 0 ? effects : [...effects, ...handle({ type: 'rangesStored', runs })]
    })
    return peer
  },
}

/** What a neighbor once said to hold is never taken back, although its disk has lost it. */
export const keepOldHead: Sabotage = {
  decorate: (peer) => {
    const highest = new Map<PeerId, Map<FeedKey, FeedDigest>>()
    around(peer.replication, (input, handle) => {
      if (input.type !== 'messageReceived' || input.message.type !== 'digest') return handle(input)
      const known = highest.get(input.from) ?? new Map<FeedKey, FeedDigest>()
      highest.set(input.from, known)
      const feeds = input.message.feeds.map((entry) => {
        const before = known.get(feedKeyOf(entry.feed))
        return before !== undefined && before.nextOffset > entry.nextOffset ? before : entry
      })
      for (const entry of feeds) known.set(feedKeyOf(entry.feed), entry)
      return handle({ ...input, message: { ...input.message, feeds } })
    })
    return peer
  },
}

/** `majority` and `all` count those who are linked, so each half of a split has a majority of its own. */
export const majorityOfTheLinked: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'homeChanged') return handle(input)
      return handle({ ...input, home: input.home.filter((id) => id === peer.self || peer.linkTo(id) !== undefined) })
    })
    return peer
  },
}
