import { type FeedKey, feedKeyOf } from '#protocol/log/feed'
import type { FeedDigest } from '#protocol/replication/messages'
import { noRanges, type OffsetRanges, united, within } from '#protocol/log/offset-ranges'
import type { FeedStore } from '#storage/feed-store'
import type { Sabotage } from '../sim-peer.ts'
import { around } from './around.ts'
import { rottenDisks, tinyDisks, youngLinks } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** What is read is passed on as it is, whatever its checksum says. */
const serveWithoutChecking: Sabotage = {
  store: (store, disk): FeedStore => ({
    feeds: () => store.feeds(),
    append: (batches, changes) => store.append(batches, changes),
    read: async (feed, position, bytesMax) => {
      const read = await store.read(feed, position, bytesMax)
      const next = disk.feeds.get(feedKeyOf(feed))?.batches.find(({ head }) => head.nextOffset > position)
      return read.batches.length > 0 || next === undefined ? read : { batches: [next.bytes] }
    },
    getMeta: (key) => store.getMeta(key),
    close: () => store.close(),
  }),
}

function withoutHoles(head: FeedDigest): FeedDigest {
  const { holes: _, ...rest } = head
  return rest
}

/** What is damaged is told as held until it is here again. */
const tellHolesAsHeld: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) =>
      handle(input).map((effect) => {
        if (effect.type !== 'send' || effect.message.type !== 'digest') return effect
        return { ...effect, message: { ...effect.message, feeds: effect.message.feeds.map(withoutHoles) } }
      }),
    )
    return peer
  },
}

/** A copy counts as far as its head goes. */
const countAboveHoles: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'messageReceived' || input.message.type !== 'digest') return handle(input)
      const feeds = input.message.feeds.map(withoutHoles)
      return handle({ ...input, message: { ...input.message, feeds } })
    })
    return peer
  },
}

/** A hole is none any more as soon as somebody was asked for what was there. */
const mendedOnceAsked: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      const effects = handle(input)
      if (input.type !== 'chainFound') return effects
      const local = peer.replication.local.get(feedKeyOf(input.feed))
      if (local !== undefined) local.holes = noRanges
      return effects
    })
    return peer
  },
}

/** What one has lost is taken for lost, whoever else holds it. */
const believeTheFirstLoss: Sabotage = {
  decorate: (peer) => {
    const lost = new Map<FeedKey, OffsetRanges>()
    around(peer.replication, (input, handle) => {
      if (input.type !== 'messageReceived' || input.message.type !== 'digest') return handle(input)
      const feeds = input.message.feeds.map((head): FeedDigest => {
        const key = feedKeyOf(head.feed)
        lost.set(key, united(lost.get(key) ?? noRanges, head.holes ?? noRanges))
        const holes = within(lost.get(key) ?? noRanges, { from: head.floor, to: head.nextOffset })
        return holes.length === 0 ? head : { ...head, holes }
      })
      return handle({ ...input, message: { ...input.message, feeds } })
    })
    return peer
  },
}

/** Publishes are taken while there is no room. */
const publishOnFullDisk: Sabotage = {
  decorate: (peer) => {
    around(peer, (input, handle) => {
      if (input.type !== 'diskChanged') return handle(input)
      return handle({ ...input, full: false })
    })
    return peer
  },
}

/** Only publishes are refused: copies of others are stored as ever. */
const copiesOnFullDisk: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => (input.type === 'diskChanged' ? [] : handle(input)))
    return peer
  },
}

export const damageBugs: PlantedBugs = {
  'serve-without-checking': { sabotage: serveWithoutChecking, checker: 'crash', faults: rottenDisks },
  'tell-holes-as-held': { sabotage: tellHolesAsHeld, checker: 'views', faults: { ...rottenDisks, ...youngLinks } },
  'count-above-holes': { sabotage: countAboveHoles, checker: 'ack-honesty', faults: { ...rottenDisks, ...youngLinks } },
  'mended-once-asked': { sabotage: mendedOnceAsked, checker: 'views', faults: { ...rottenDisks, ...youngLinks } },
  'believe-the-first-loss': {
    sabotage: believeTheFirstLoss,
    checker: 'skips',
    faults: { bitFlips: { everyMs: 300, everywhere: 0, scrubPauseMs: 1_000 } },
    world: { lateJoiners: 1, faultsMs: 40_000 },
  },
  'publish-on-full-disk': { sabotage: publishOnFullDisk, checker: 'full-disk', faults: tinyDisks },
  'copies-on-full-disk': { sabotage: copiesOnFullDisk, checker: 'full-disk', faults: tinyDisks },
}
