// Readers of one peer share what they decode, and what is kept for it is bounded.
import { expect, test } from 'vitest'
import type { Hash } from '#protocol/ids'
import { encodeBatch, readBatchHeader } from '#protocol/log/batch'
import { encodeRecordSets } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import { nodeDigests } from './node-digests.ts'
import { type BatchOfTopic, SharedRecords } from './shared-records.ts'

const topic = 'orders' as TopicName

/** A batch of `count` records of `bytes` each, from `baseOffset` on. */
function batchOf({
  count,
  bytes = 1,
  baseOffset = 0,
}: {
  count: number
  bytes?: number
  baseOffset?: number
}): BatchOfTopic {
  const records = Array.from({ length: count }, () => ({ value: utf8('x'.repeat(bytes)), headers: {} }))
  const recordSets = encodeRecordSets(records)
  const previousHash = '00'.repeat(32) as Hash
  const batch = encodeBatch({ baseOffset, hlc: { ms: 5, counter: 0 }, previousHash, recordSets }, nodeDigests)
  const header = readBatchHeader(batch.bytes)
  if (typeof header === 'string') throw new Error(header)
  return { bytes: batch.bytes, header, topic, feed: 'oak.01' }
}

test('a batch is decoded once, and its records say where they stand', () => {
  const shared = new SharedRecords()
  const batch = batchOf({ count: 2, baseOffset: 40 })
  const records = shared.of(batch)
  expect(records).toMatchObject([
    { id: 'oak.01.40', topic: 'orders', feed: 'oak.01', offset: 40, timeMs: 5 },
    { id: 'oak.01.41', offset: 41 },
  ])
  expect(shared.of(batch)).toBe(records)
})

test.each([
  ['many small records', { count: 1_000 }],
  ['a few large ones', { count: 1, bytes: 1_000_000 }],
])('of %s the oldest batches are let go', (_, size) => {
  const shared = new SharedRecords()
  const batches = Array.from({ length: 12 }, () => batchOf(size))
  const first = batches.map((batch) => shared.of(batch))
  expect(shared.of(batches[11] as BatchOfTopic)).toBe(first[11])
  expect(shared.of(batches[9] as BatchOfTopic)).toBe(first[9])
  expect(shared.of(batches[0] as BatchOfTopic)).not.toBe(first[0])
})

test('a batch that cannot be decoded is told as such', () => {
  const batch = batchOf({ count: 2 })
  expect(new SharedRecords().of({ ...batch, header: { ...batch.header, count: 3 } })).toBeTypeOf('string')
})
