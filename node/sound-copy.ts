import type { Digests } from '#protocol/digests'
import { batchHash, readBatchHeader } from '#protocol/log/batch'
import { type FeedId, type Head, NOTHING } from '#protocol/log/feed'
import type { FeedStore } from '#storage/feed-store'
import type { Clock } from './driver-ports.ts'

/** A peer lets go of its copy on our word, which is no matter of seconds: clients' reads and writes go first. */
const bytesPerMs = 32 * 1_024
const readBytes = 1_024 * 1_024

export interface SoundCopyDeps {
  readonly clock: Clock
  readonly digests: Digests
  /** From disk; checks the sum of each batch. */
  readonly read: FeedStore['read']
}

/**
 * Reads a feed from its floor to `head`, at a moderate pace: is every batch there, sound, and chained to the one before it,
 * hash by hash, up to that head? Its opening batch has to be there, too, since a new replica begins with it.
 */
export async function isCopySound(
  { clock, digests, read }: SoundCopyDeps,
  { feed, floor, head }: { readonly feed: FeedId; readonly floor: Head; readonly head: Head },
): Promise<boolean> {
  if (head.nextOffset < floor.nextOffset) return true
  const opening = await read(feed, NOTHING, 1).catch(() => undefined)
  if (opening?.batches.length !== 1) return false
  let { nextOffset, hash } = floor
  while (nextOffset < head.nextOffset) {
    const found = await read(feed, nextOffset, readBytes).catch(() => undefined)
    if (found === undefined || found.batches.length === 0) return false
    let bytesRead = 0
    for (const batch of found.batches) {
      const header = readBatchHeader(batch)
      if (typeof header === 'string' || header.baseOffset !== nextOffset || header.previousHash !== hash) return false
      ;({ nextOffset } = header)
      hash = batchHash(batch, digests)
      bytesRead += batch.length
      if (nextOffset >= head.nextOffset) break
    }
    await new Promise<void>((resolve) => clock.after(Math.ceil(bytesRead / bytesPerMs), resolve))
  }
  return nextOffset === head.nextOffset && hash === head.hash
}
