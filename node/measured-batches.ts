import { assert } from '#protocol/assert'
import type { Digests } from '#protocol/digests'
import { batchHash, readBatchHeader } from '#protocol/log/batch'
import type { MeasuredBatch } from '#protocol/replication/feed-sizes'

/** Of contiguous batches that were verified when they were read: each tells the hash of the one before it. */
export function measuredBatches(batches: readonly Uint8Array[], digests: Digests): readonly MeasuredBatch[] {
  const headers = batches.map((bytes) => {
    const header = readBatchHeader(bytes)
    assert(typeof header !== 'string', 'a verified batch has a header')
    return header
  })
  return headers.map(({ baseOffset, nextOffset, hlc }, index) => {
    const bytes = batches[index] as Uint8Array
    const hash = headers[index + 1]?.previousHash ?? batchHash(bytes, digests)
    return { baseOffset, nextOffset, hash, sizeBytes: bytes.length, hlcMs: hlc.ms }
  })
}
