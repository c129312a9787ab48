import type { DriverBuffers } from '../driver.ts'
import type { Commit } from '../timed-appends.ts'
import { type FigureMaker, secondsBuckets } from './figure.ts'

/** What the disk does. */
export function storageFigures(make: FigureMaker) {
  const seconds = make.histogram({
    name: 'grapevine_storage_commit_seconds',
    help: 'One group commit: an atomic write and its fsync. Every ack waits for one. High: the disk is slow or shared.',
    buckets: secondsBuckets(0.000_5, 5),
  })
  const batches = make.histogram({
    name: 'grapevine_storage_commit_batches',
    help: 'Batches that shared one fsync, 256 at most. Always 1: little load. Near 256: the disk is the limit.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
  })
  const bytes = make.counter({
    name: 'grapevine_storage_committed_bytes_total',
    help: 'Bytes of batches on disk since the start.',
  })
  const pendingBatches = make.gauge({
    name: 'grapevine_storage_pending_batches',
    help: 'Batches that wait for their fsync, the one under way included. Rising for long: more arrives than the disk takes.',
  })
  const pendingBytes = make.gauge({ name: 'grapevine_storage_pending_bytes', help: 'Bytes of those batches.' })
  const recentBytes = make.gauge({
    name: 'grapevine_node_recent_batches_bytes',
    help: 'Newest batches in memory, for neighbors and live readers. Above 8 MiB: batches wait for the disk.',
  })
  const free = make.gauge({
    name: 'grapevine_storage_free_bytes',
    help: 'Free bytes where the data directory is. A full disk ends the peer.',
  })
  return {
    committed: (commit: Commit): void => {
      seconds.observe(commit.tookMs / 1_000)
      batches.observe(commit.batches)
      bytes.inc(commit.bytes)
    },
    /** `freeBytes`: NaN where nothing is kept on disk. */
    collect: (buffers: DriverBuffers, freeBytes: number): void => {
      pendingBatches(buffers.commitBatches)
      pendingBytes(buffers.commitBytes)
      recentBytes(buffers.recentBytes)
      free(freeBytes)
    },
  }
}
