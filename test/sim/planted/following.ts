import { around, sourceWith } from './around.ts'
import { longPartitions, youngLinks } from './planted-bug.ts'
import type { PeerId } from '#protocol/ids'
import type { FeedRead } from '#storage/feed-store'
import type { Sabotage } from '../sim-peer.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** Who follows a topic takes the heads that it is told for where the feeds begin. */
const followFromTheHeads: Sabotage = {
  decorate: (peer) => {
    const { following } = peer.replication
    around(peer.replication, (input, handle) => {
      const effects = handle(input)
      if (input.type !== 'messageReceived' || input.message.type !== 'followed') return effects
      for (const topicId of input.message.topics) {
        for (const feed of following.feeds(topicId)) Object.assign(feed, { floor: feed.head })
      }
      return effects
    })
    return peer
  },
}

/** What was read is kept by its offset, whatever feed it is of. A reader sees by the chain that it is not of its own. */
const mixFeeds: Sabotage = {
  source: (source) => {
    const kept = new Map<number, FeedRead>()
    return sourceWith(source, {
      read: async (feed, position, bytesMax) => {
        const read = kept.get(position) ?? (await source.read(feed, position, bytesMax))
        if (read.batches.length > 0) kept.set(position, read)
        return read
      },
    })
  },
}

/** What is known of a topic is taken for all there is, before anybody was asked. */
const neverAsk: Sabotage = { source: (source) => sourceWith(source, { standing: () => 'current' }) }

/** Who was asked once to tell of a topic is not asked again, over whatever link. */
const askOnce: Sabotage = {
  decorate: (peer) => {
    const asked = new Map<PeerId, Set<string>>()
    around(peer.replication, (input, handle) => {
      const effects = handle(input)
      return effects.flatMap((effect) => {
        if (effect.type !== 'send' || effect.message.type !== 'follow' || !effect.message.on) return [effect]
        const known = asked.get(effect.to) ?? new Set()
        asked.set(effect.to, known)
        const topics = effect.message.topics.filter((topicId) => !known.has(topicId))
        for (const topicId of topics) known.add(topicId)
        return topics.length === 0 ? [] : [{ ...effect, message: { ...effect.message, topics } }]
      })
    })
    return peer
  },
}

export const followingBugs: PlantedBugs = {
  'follow-from-the-heads': { sabotage: followFromTheHeads, checker: 'cursors', faults: {}, few: 1 },
  'mix-feeds-read-from-others': { sabotage: mixFeeds, checker: 'crash', faults: longPartitions },
  'caught-up-before-asking': { sabotage: neverAsk, checker: 'caught-up', faults: {}, few: 1 },
  'ask-once-whatever-the-link': { sabotage: askOnce, checker: 'cursors', faults: youngLinks, few: 1 },
}
