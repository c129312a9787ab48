import { nodeDigests } from '#node/node-digests'
import { encodeBatch, encodeOpeningBatch } from '#protocol/log/batch'
import { feedKeyOf } from '#protocol/log/feed'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import type { FeedId, Opening } from '#protocol/log/feed'
import type { BatchToStore } from '#storage/feed-store'
import { History } from '../history.ts'
import { SimDisk } from '../sim-disk.ts'
import type { Anomaly } from './anomaly.ts'

// Worlds made by hand, for the tests of checkers: oak writes, elm copies; feed 2 goes on from feed 1.

export const oak = 'oak' as PeerId
export const elm = 'elm' as PeerId
const topicId = 'aa'.repeat(16) as TopicId
export const run = (digit: number): FeedId => ({ topicId, writer: oak, epoch: `${digit}`.repeat(16) as Epoch })

/** One record a batch; the first batch is the opening. Without `ms`, run 1 is dated to millisecond 1, run 2 to 2. */
export function batchesOf(
  feed: FeedId,
  values: readonly string[],
  after?: BatchToStore,
  ms = Number(feed.epoch[0]),
): readonly BatchToStore[] {
  const link = after && { epoch: after.feed.epoch, ...after.head }
  const opening: Opening = {
    topic: 'orders',
    generation: 0,
    writer: oak,
    epoch: feed.epoch,
    ...(link && { predecessor: link }),
  }
  const first = encodeOpeningBatch(opening, { ms, counter: 0 }, nodeDigests)
  const batches: BatchToStore[] = [{ feed, ...first, opening }]
  for (const value of values) {
    const { head } = batches.at(-1) as BatchToStore
    const recordSets = [encodeRecords([{ value: utf8(value), headers: {} }])]
    const place = { baseOffset: head.nextOffset, previousHash: head.hash, hlc: { ms, counter: batches.length } }
    batches.push({ feed, ...encodeBatch({ ...place, recordSets }, nodeDigests) })
  }
  return batches
}

export const before = batchesOf(run(1), ['r1', 'r2'])
export const after = batchesOf(run(2), ['r3'], before.at(-1))
export const all = [...before, ...after]

export function diskWith(batches: readonly BatchToStore[]): SimDisk {
  const disk = new SimDisk()
  for (const batch of batches) disk.apply([batch], [])
  return disk
}

export const disks = (ofOak: readonly BatchToStore[], ofElm: readonly BatchToStore[]) =>
  new Map([
    [oak, diskWith(ofOak)],
    [elm, diskWith(ofElm)],
  ])

export const key = (digit: number) => feedKeyOf(run(digit))
export const details = (anomalies: readonly Anomaly[]): string => anomalies.map(({ detail }) => detail).join('; ')

/** oak acked these, one after the other, with both peers as copies. */
export function acked(...records: readonly (readonly [value: string, digit: number, offset: number])[]): History {
  const history = new History()
  records.forEach(([value, digit, offset], index) => {
    const times = { invokedAtMs: 10 * index, atMs: 10 * index + 5 }
    const answer = { reached: true, places: [{ feed: key(digit), offset }], copies: [oak, elm], home: [oak, elm] }
    const outcome = { type: 'answered' as const, atMs: times.atMs, ...answer }
    const request = { at: oak, machine: oak, topic: 'orders', values: [value], level: { type: 'all' as const } }
    history.publishes.push({ ...request, invokedAtMs: times.invokedAtMs, outcome })
  })
  return history
}
