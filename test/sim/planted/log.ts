import { hexOf, utf8 } from '#protocol/text'
import type { Opening } from '#protocol/log/feed'
import type { Epoch } from '#protocol/ids'
import type { Sabotage } from '../sim-peer.ts'

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
export const readSuccessorFirst: Sabotage = {
  source: (source) => ({
    feeds: (topicId) => source.feeds(topicId).map((view) => ({ ...view, opening: withoutPredecessor(view.opening) })),
    read: async (...wanted) => (await source.read(...wanted)).map(withTimeReversed),
    onAdvance: (topicId, listener) => source.onAdvance(topicId, listener),
  }),
}

/** A peer takes its last epoch again when it restarts, so that one feed has two histories. */
export const reuseEpoch: Sabotage = { epochOf: (peer) => hexOf(utf8(peer.padEnd(8))) as Epoch }
