import { feedKeyOf } from '#protocol/log/feed'
import { around } from './around.ts'
import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { FeedDigest } from '#protocol/replication/messages'
import type { FeedStore } from '#storage/feed-store'
import type { Sabotage } from '../sim-peer.ts'
import { longPartitions, quickCrashes } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** A batch counts as stored as soon as it is made. */
const ackBeforeFsync: Sabotage = {
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
const countUnsyncedCopy: Sabotage = {
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
const keepOldHead: Sabotage = {
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
const majorityOfTheLinked: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'registryChanged') return handle(input)
      const members = input.members.filter(({ peer: id }) => id === peer.self || peer.linkTo(id) !== undefined)
      return handle({ ...input, members })
    })
    return peer
  },
}

/** What was sent is as good as stored there: an answer does not wait for the other disk. */
const countWhatWasSent: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'rangeSent') return handle(input)
      const key = peer.replication.neighbors.get(input.to)?.link?.sending?.key
      const local = key && peer.replication.local.get(key)
      const effects = handle(input)
      if (local === undefined || local.appended.nextOffset !== input.nextPosition) return effects
      const { feed, floor, keptFrom, appended } = local
      const entry: FeedDigest = { feed, floor: floor.nextOffset, keptFrom, ...appended }
      return [
        ...effects,
        ...handle({ type: 'messageReceived', from: input.to, message: { type: 'digest', feeds: [entry] } }),
      ]
    })
    return peer
  },
}

/** When the time is over, the level counts as reached. */
const alwaysReached: Sabotage = {
  decorate: (peer) => {
    around(peer, (input, handle) =>
      handle(input).map((effect) => {
        if (effect.type !== 'publishSettled') return effect
        return { ...effect, settled: { ...effect.settled, reached: true } }
      }),
    )
    return peer
  },
}

/** An append that failed is taken for done: the kernel says so, when it is asked again (fsyncgate). */
const retryAfterFsyncError: Sabotage = {
  store: (store: FeedStore): FeedStore => ({
    feeds: () => store.feeds(),
    append: (batches, changes) => store.append(batches, changes).catch(() => {}),
    read: (...wanted) => store.read(...wanted),
    getMeta: (key) => store.getMeta(key),
    close: () => store.close(),
  }),
}

export const durabilityBugs: PlantedBugs = {
  'ack-before-fsync': { sabotage: ackBeforeFsync, checker: 'ack-honesty', faults: {} },
  'count-unsynced-copy': { sabotage: countUnsyncedCopy, checker: 'ack-honesty', faults: {} },
  'keep-old-head': { sabotage: keepOldHead, checker: 'views', faults: quickCrashes },
  'count-what-was-sent': { sabotage: countWhatWasSent, checker: 'ack-honesty', faults: {} },
  'always-reached': { sabotage: alwaysReached, checker: 'ack-honesty', faults: longPartitions },
  'retry-after-fsync-error': {
    sabotage: retryAfterFsyncError,
    checker: 'ack-honesty',
    faults: { fsyncErrors: { everyMs: 1_000 } },
  },
  'majority-of-the-linked': { sabotage: majorityOfTheLinked, checker: 'ack-honesty', faults: {} },
}
