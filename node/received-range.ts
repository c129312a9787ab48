import type { Digests } from '#protocol/digests'
import { topicIdOf } from '#protocol/ids'
import { batchHash, openingOf, producerRangesOf, readBatchHeader, splitBatches, verifyBatch } from '#protocol/log/batch'
import type { FeedId, Opening } from '#protocol/log/feed'
import type { Hlc } from '#protocol/log/hybrid-clock'
import { indexedRangeOf } from '#protocol/log/producer-index'
import type { BatchFacts } from '#protocol/replication/inputs'
import { decodeDataFrame } from '#protocol/wire/data-frame'

/** A data frame whose batches are whole and belong to the feed that it names. Whether they fit our log is decided later. */
export interface ReceivedRange {
  readonly ref: number
  readonly feed: FeedId
  readonly batches: readonly Uint8Array[]
  readonly facts: readonly BatchFacts[]
  /** Of the newest batch. */
  readonly hlc: Hlc
}

/** Never throws: a text says what is wrong with the frame. The batches are views into it. */
export function readRange(frame: Uint8Array, cluster: string, digests: Digests): ReceivedRange | string {
  const decoded = decodeDataFrame(frame)
  if (decoded.type === 'fault') return `${decoded.fault} ${decoded.where}`
  const batches = splitBatches(decoded.batches)
  if (typeof batches === 'string') return batches
  const facts: BatchFacts[] = []
  let hlc: Hlc = { ms: 0, counter: 0 }
  for (const bytes of batches) {
    const fault = verifyBatch(bytes, digests)
    const header = readBatchHeader(bytes)
    if (fault !== undefined) return fault
    if (typeof header === 'string') return header
    const opening = header.opening ? openingOf(bytes) : undefined
    if (typeof opening === 'string') return opening
    if (opening !== undefined && !isOpeningOf(decoded.feed, opening, cluster, digests)) return 'openingOfAnotherFeed'
    const { baseOffset, nextOffset, previousHash, lengthBytes: sizeBytes } = header
    const hash = batchHash(bytes, digests)
    hlc = header.hlc
    const position = { baseOffset, nextOffset, previousHash, hash }
    const producerRanges = header.producerRangeCount === 0 ? undefined : producerRangesOf(bytes, header)
    if (typeof producerRanges === 'string') return producerRanges
    facts.push({
      ...position,
      sizeBytes,
      hlcMs: hlc.ms,
      ...(opening && { opening }),
      ...(producerRanges && { producerRanges: producerRanges.map(indexedRangeOf) }),
    })
  }
  return { ref: decoded.ref, feed: decoded.feed, batches, facts, hlc }
}

/** The id of a topic is made from its name, so an opening cannot name a topic that is not the feed's. */
function isOpeningOf(feed: FeedId, opening: Opening, cluster: string, digests: Digests): boolean {
  const { topic, generation, writer, epoch } = opening
  return (
    writer === feed.writer &&
    epoch === feed.epoch &&
    topicIdOf(digests, { cluster, name: topic, generation }) === feed.topicId
  )
}
