// Goal: what a checkpoint says is what was known; whatever else is on the disk in its place is no checkpoint.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { type FeedKey, feedKeyOf } from './feed.ts'
import { decodeProducerCheckpoint, encodeProducerCheckpoint } from './producer-checkpoint.ts'
import type { ProducerId, ProducerSpan } from './producer-index.ts'

const topicId = '00112233445566778899aabbccddeeff' as TopicId
const feedOf = (writer: string, boot = 1): FeedKey =>
  feedKeyOf({ topicId, writer: writer as PeerId, epoch: boot.toString(16).padStart(16, '0') as Epoch })

const spanAt = (offset: number, feed = feedOf('oak')): ProducerSpan => ({
  producer: offset.toString(16).padStart(32, '0') as ProducerId,
  epoch: 7,
  firstSeq: 2 ** 40,
  count: 3,
  feed,
  firstOffset: offset,
  lastOffset: offset + 5,
  hlcMs: 1_700_000_000_000 + offset,
})

const spans = [spanAt(0), spanAt(10, feedOf('elm')), spanAt(20)]
const positions = new Map([
  [feedOf('oak'), 26],
  [feedOf('elm'), 16],
  [feedOf('ash'), 0],
])

test('a checkpoint is read as it was written', () => {
  const read = decodeProducerCheckpoint(encodeProducerCheckpoint({ positions, spans }), topicId)
  expect(read?.spans).toEqual(spans)
  expect(read?.positions).toEqual(positions)
})

test('the largest fits into a value of metadata', () => {
  const many = Array.from({ length: limits.producerCheckpointSpansMax }, (_, i) => spanAt(i))
  const longNames = Array.from(
    { length: limits.producerCheckpointFeedsMax + 10 },
    (_, i) => [feedOf('o'.repeat(128), i), i] as const,
  )
  const bytes = encodeProducerCheckpoint({
    positions: new Map([...longNames, [feedOf('oak'), 9_999_999]]),
    spans: many,
  })
  expect(bytes.length).toBeLessThanOrEqual(1024 * 1024)
  const read = decodeProducerCheckpoint(bytes, topicId)
  expect(read?.spans).toEqual(many)
  expect(read?.positions.size).toBe(limits.producerCheckpointFeedsMax)
  expect(read?.positions.get(feedOf('oak'))).toBe(9_999_999)
})

test('spans of a feed that is not held any more are left out', () => {
  const read = decodeProducerCheckpoint(
    encodeProducerCheckpoint({ positions: new Map([[feedOf('elm'), 16]]), spans }),
    topicId,
  )
  expect(read?.spans).toEqual([spans[1]])
})

test('bytes that are no checkpoint are none, and nothing throws', () => {
  const bytes = encodeProducerCheckpoint({ positions, spans })
  for (let length = 0; length < bytes.length; length++) {
    expect(decodeProducerCheckpoint(bytes.subarray(0, length), topicId)).toBeUndefined()
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => void decodeProducerCheckpoint(noise, topicId)))
})
