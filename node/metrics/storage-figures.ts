import type { DriverBuffers } from '../driver.ts'
import { reserveBytes } from '#storage/disk-reserve'
import type { Space } from '../disk-space.ts'
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
  const remoteBytes = make.gauge({
    name: 'grapevine_node_remote_batches_bytes',
    help: 'Batches that readers here read from other members, kept for the next reader; 16 MiB at most.',
  })
  const free = make.gauge({
    name: 'grapevine_storage_free_bytes',
    help: 'Free bytes where the data directory is. Below the reserve nothing is accepted any more.',
  })
  const reserve = make.gauge({
    name: 'grapevine_storage_reserve_bytes',
    help: 'What of that disk is kept free for what was accepted, and for deleting.',
  })
  const full = make.gauge({
    name: 'grapevine_storage_full',
    help: '1 while publishes are refused because there is no room beyond the reserve, else 0.',
  })
  return {
    committed: (commit: Commit): void => {
      seconds.observe(commit.tookMs / 1_000)
      batches.observe(commit.batches)
      bytes.inc(commit.bytes)
    },
    /** `disk`: undefined where nothing is kept on one. */
    collect: (buffers: DriverBuffers, disk: Space | undefined, isFull: boolean): void => {
      pendingBatches(buffers.commitBatches)
      pendingBytes(buffers.commitBytes)
      recentBytes(buffers.recentBytes)
      remoteBytes(buffers.remoteBytes)
      free(disk?.freeBytes ?? Number.NaN)
      reserve(disk === undefined ? Number.NaN : reserveBytes(disk.totalBytes))
      full(isFull ? 1 : 0)
    },
  }
}
