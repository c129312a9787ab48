import type { Digests } from '#protocol/digests'
import type { Hash } from '#protocol/ids'
import { batchHash, readBatchHeader } from '#protocol/log/batch'
import type { FeedId, OffsetRange } from '#protocol/log/feed'
import type { FeedStore } from '#storage/feed-store'

/** Hashes of the chain at both ends of a range; undefined where what is next to it is not here, or damaged itself. */
export interface ChainEnds {
  readonly before: Hash | undefined
  readonly after: Hash | undefined
}

/** What the batches before and after a range say that it has to be. */
export async function findChainEnds(
  { store, digests }: { readonly store: Pick<FeedStore, 'read'>; readonly digests: Digests },
  feed: FeedId,
  { from, to }: OffsetRange,
): Promise<ChainEnds> {
  const [last, next] = await Promise.all([store.read(feed, from - 1, 1), store.read(feed, to, 1)])
  const [before, after] = [last.batches[0], next.batches[0]]
  return {
    before: before && headerOf(before)?.nextOffset === from ? batchHash(before, digests) : undefined,
    after: after && headerOf(after)?.baseOffset === to ? headerOf(after)?.previousHash : undefined,
  }
}

function headerOf(bytes: Uint8Array) {
  const header = readBatchHeader(bytes)
  return typeof header === 'string' ? undefined : header
}
