import { sourceWith } from './around.ts'
import { hexOf, utf8 } from '#protocol/text'
import type { Opening } from '#protocol/log/feed'
import type { Epoch } from '#protocol/ids'
import type { FeedStore } from '#storage/feed-store'
import type { Sabotage } from '../sim-peer.ts'
import { around } from './around.ts'
import { jumpingClocks, oldBackups, powerCuts, quickCrashes } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

const withoutPredecessor = ({ topic, generation, writer, epoch }: Opening): Opening => ({
  topic,
  generation,
  writer,
  epoch,
})

/** Where a batch says its time; see `protocol/log/README.md`. */
const hlcAt = { from: 24, to: 30 }

function withTimeReversed(batch: Uint8Array): Uint8Array {
  const reversed = batch.slice()
  for (let i = hlcAt.from; i < hlcAt.to; i++) reversed[i] = ~(batch[i] as number)
  return reversed
}

/** A reader does not know which feed goes on from which, and begins with the newest. */
const readSuccessorFirst: Sabotage = {
  source: (source) =>
    sourceWith(source, {
      feeds: (topicId) => source.feeds(topicId).map((view) => ({ ...view, opening: withoutPredecessor(view.opening) })),
      read: async (...wanted) => ({ batches: (await source.read(...wanted)).batches.map(withTimeReversed) }),
    }),
}

/** A peer takes its last epoch again when it restarts, so that one feed has two histories. */
const reuseEpoch: Sabotage = { epochOf: (peer) => hexOf(utf8(peer.padEnd(8))) as Epoch }

/** A peer counts its boots on its disk, and takes the count for the epoch: a backup has an older one. */
const epochFromDisk: Sabotage = {
  epochOf: (peer, _, { feeds }) => {
    const own = [...feeds.values()].filter(({ feed }) => feed.writer === peer)
    const boots = new Set(own.map(({ feed }) => feed.epoch)).size
    return hexOf(utf8(`${boots}`.padStart(8))) as Epoch
  },
}

/** A writer goes on from the longest of its feeds. */
const goOnFromTheLongest: Sabotage = {
  decorate: (peer) => {
    around(peer, (input, handle) =>
      handle(input).map((effect) => {
        if (effect.type !== 'makeBatch' || effect.opening === undefined) return effect
        const own = peer.replication.local.ofTopic(effect.feed.topicId).filter(({ feed }) => feed.writer === peer.self)
        const [longest] = own
          .flatMap(({ feed: { epoch }, durable }) => (durable ? [{ epoch, ...durable }] : []))
          .toSorted((a, b) => b.nextOffset - a.nextOffset)
        return { ...effect, opening: { ...effect.opening, ...(longest && { predecessor: longest }) } }
      }),
    )
    return peer
  },
}

/** Which boot came after which is not noted: the times of their batches shall tell. */
const forgetBoots: Sabotage = {
  store: (store: FeedStore): FeedStore => ({
    feeds: () => store.feeds(),
    append: (batches, changes) => store.append(batches, changes),
    read: (...wanted) => store.read(...wanted),
    getMeta: async (key) => (key === 'boots' ? undefined : store.getMeta(key)),
    close: () => store.close(),
  }),
}

/** Slow disks and many records of one topic: a feed is often with the neighbors before it is on disk. */
const oneTopic = {
  workload: { topics: ['orders'], publishEveryMs: 30, valueBytesMax: 10, readers: 0, sessions: 0 },
  world: { store: { fsyncMsMin: 0.1, fsyncMsMax: 200 }, faultsMs: 15_000, lateJoiners: 0 },
}

export const logBugs: PlantedBugs = {
  'epoch-from-disk': { sabotage: epochFromDisk, checker: 'convergence', faults: oldBackups },
  'go-on-from-the-longest': {
    sabotage: goOnFromTheLongest,
    checker: 'order',
    faults: powerCuts,
    ...oneTopic,
  },
  'forget-boots': { sabotage: forgetBoots, checker: 'order', faults: { ...powerCuts, ...jumpingClocks }, ...oneTopic },
  'read-successor-first': { sabotage: readSuccessorFirst, checker: 'cursors', faults: quickCrashes },
  'reuse-epoch': { sabotage: reuseEpoch, checker: 'crash', faults: quickCrashes },
}
