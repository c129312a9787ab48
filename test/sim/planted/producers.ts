import { feedKeyOf, parseFeedKey } from '#protocol/log/feed'
import type { ProducerSpan } from '#protocol/log/producer-index'
import type { PeerEffect, SoughtRange } from '#protocol/peer/inputs'
import type { Peer } from '#protocol/peer/peer'
import type { ProducerIndexes } from '#protocol/peer/producer-indexes'
import type { Sabotage } from '../sim-peer.ts'
import { around, sourceWith } from './around.ts'
import { longPartitions, type PlantedBugs, quickCrashes } from './planted-bug.ts'

/** After a restart nothing is known of what producers have published. */
const forgetProducersAtRestart: Sabotage = {
  decorate: (peer) => {
    around(peer, (input, handle) => {
      const effects = handle(input)
      const loads = effects.filter((effect) => effect.type === 'loadProducers')
      const others = effects.filter((effect) => effect.type !== 'loadProducers')
      return [...others, ...loads.flatMap(({ topicId }) => handle({ type: 'producersLoaded', topicId }))]
    })
    return peer
  },
}

/** A retry is answered as soon as its original is known, though that may be on its way to the disk still. */
const dedupeBeforeDurable: Sabotage = {
  decorate: (peer) => {
    around(peer, (input, handle) =>
      handle(input).flatMap((effect) => {
        if (effect.type !== 'findOriginals') return [effect]
        return [...effect.ranges.flatMap((range) => answeredAtOnce(peer, range)), effect]
      }),
    )
    return peer
  },
}

function answeredAtOnce(peer: Peer, { ref, count, places }: SoughtRange): readonly PeerEffect[] {
  const place = places.find((one) => one.count === count)
  const feed = place && parseFeedKey(place.feed)
  if (place === undefined || feed === undefined) return []
  const placed = { ref, runs: [{ feed, firstOffset: place.firstOffset, count }] }
  const { peers: home, registryVersion } = peer.replication.homes.of(feed.topicId)
  const settled = { ref, level: { type: 'local' }, reached: false, peers: [peer.self], registryVersion, home } as const
  return [{ type: 'publishSettled', placed, settled }]
}

/**
 * A reader passes over what its cursor covers in another copy, also when that copy is not here: it takes the word of the
 * index, which may remember from a checkpoint what a crash took.
 */
const skipWithoutHeldCopy: Sabotage = {
  source: (source) =>
    sourceWith(source, {
      producers: async (feed, batch) => {
        const index = await source.producers(feed, batch)
        const heads = new Map(source.feeds(feed.topicId).map(({ feed, head }) => [feedKeyOf(feed), head.nextOffset]))
        const asIfHeld = (place: ProducerSpan): ProducerSpan => {
          const isLost = place.lastOffset >= (heads.get(place.feed) ?? 0)
          return isLost ? { ...place, firstOffset: 0, lastOffset: 0 } : place
        }
        return { doubled: index.doubled, find: (range) => index.find(range).map(asIfHeld) }
      },
    }),
}

/** Epochs of producers mean nothing: whoever has been replaced goes on. */
const ignoreFencing: Sabotage = {
  decorate: (peer) => {
    const { producerIndexes } = peer
    const want: ProducerIndexes['want'] = producerIndexes.want.bind(producerIndexes)
    producerIndexes.want = (topicId) => {
      const index = want(topicId)
      if (index !== undefined) index.latest = () => undefined
      return index
    }
    return peer
  },
}

export const producerBugs: PlantedBugs = {
  'forget-producers-at-restart': { sabotage: forgetProducersAtRestart, checker: 'dedupe', faults: quickCrashes },
  'dedupe-before-durable': { sabotage: dedupeBeforeDurable, checker: 'ack-honesty', faults: {} },
  'ignore-fencing': { sabotage: ignoreFencing, checker: 'dedupe', faults: {} },
  'skip-without-held-copy': {
    sabotage: skipWithoutHeldCopy,
    checker: 'cursors',
    faults: { ...longPartitions, ...quickCrashes },
  },
}
