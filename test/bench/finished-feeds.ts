import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeDigests } from '#node/node-digests'
import { limits } from '#protocol/limits'
import { openDataDirectory } from '#storage/data-directory'
import type { BatchToStore } from '#storage/feed-store'
import { openLevelStore } from '#storage/open-level-store'
import { SampleFeed } from '#storage/sample-feed'
import { eventually, ProcessPeer } from '../integration/process-peer.ts'
import { type Figure, megabytes, seconds } from './figures.ts'
import { memoryOf } from './process-figures.ts'

const topics = 100
const rounds = 3

/** What it costs a start that the disk has so many feeds of epochs that are over, each with one batch of so many bytes. */
export async function finishedFeeds(feeds: number, batchBytes: number): Promise<readonly Figure[]> {
  await using things = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'grapevine-bench-'))
  things.defer(() => rm(directory, { recursive: true, force: true }))
  const empty = await readyAfter(join(directory, 'empty'))
  await fill(join(directory, 'oak'), feeds, batchBytes)
  const full = await readyAfter(join(directory, 'oak'))
  const what = `${feeds} feeds of finished epochs, last batches of ${batchBytes} B: ready after`
  const against = `an empty directory: ${seconds(empty.ms)}, ${megabytes(empty.memory)} RSS`
  return [{ what, value: `${seconds(full.ms)}, ${megabytes(full.memory)} RSS`, against }]
}

/** The slowest of several starts. */
async function readyAfter(data: string): Promise<{ readonly ms: number; readonly memory: number }> {
  let slowest = { ms: 0, memory: 0 }
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now()
    await using peer = await ProcessPeer.start({ name: 'oak', data })
    await eventually('it is ready', async () => (await fetch(`${peer.http}/readyz`)).ok)
    const ms = performance.now() - startMs
    if (ms > slowest.ms) slowest = { ms, memory: (await memoryOf(peer.pid)).now }
    await peer.end('SIGTERM')
  }
  return slowest
}

async function fill(path: string, feeds: number, batchBytes: number): Promise<void> {
  const directory = await openDataDirectory({ path, cluster: 'grapevine' })
  const store = await openLevelStore({ directory, digests: nodeDigests, onWarning: () => {} })
  const value = new Uint8Array(batchBytes)
  let group: BatchToStore[] = []
  for (let index = 0; index < feeds; index++) {
    const epoch = index.toString(16).padStart(16, '0')
    const feed = new SampleFeed({ topic: `t.${index % topics}`, epoch, digests: nodeDigests })
    group.push(feed.open(), feed.batch(value))
    if (group.length * batchBytes < limits.commitBytesMax && group.length < limits.commitBatchesMax) continue
    await store.append(group)
    group = []
  }
  await store.append(group)
  await store.close()
}
