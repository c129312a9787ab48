// A data frame from another peer, before it reaches the machine: whole, unchanged, and of the feed that it names.
import { expect, test } from 'vitest'
import { type Epoch, type PeerId, topicIdOf } from '#protocol/ids'
import { encodeBatch, encodeOpeningBatch } from '#protocol/log/batch'
import { encodeRecords } from '#protocol/log/record'
import { utf8 } from '#protocol/text'
import { encodeDataHeader } from '#protocol/wire/data-frame'
import { nodeDigests } from './node-digests.ts'
import { readRange } from './received-range.ts'

const cluster = 'garden'
const opening = { topic: 'orders', generation: 0, writer: 'oak' as PeerId, epoch: '0000000000000001' as Epoch }
const topicId = topicIdOf(nodeDigests, { cluster, name: 'orders', generation: 0 })
const feed = { topicId, writer: opening.writer, epoch: opening.epoch }
const hlc = { ms: 1_000, counter: 0 }
const first = encodeOpeningBatch(opening, hlc, nodeDigests)
const pears = {
  recordSets: [encodeRecords([{ value: utf8('ten pears'), headers: {} }])],
  hlc: { ms: 2_000, counter: 1 },
}
const second = encodeBatch({ baseOffset: 0, previousHash: first.head.hash, ...pears }, nodeDigests)

const frameOf = (parts: readonly Uint8Array[], of = feed, ref = 7) =>
  new Uint8Array(Buffer.concat([encodeDataHeader({ ref, feed: of }), ...parts]))
const read = (frame: Uint8Array) => readRange(frame, cluster, nodeDigests)

test('batches come with what the machine decides by, and with the newest time', () => {
  expect(read(frameOf([first.bytes, second.bytes]))).toMatchObject({
    ref: 7,
    feed,
    hlc: pears.hlc,
    facts: [
      { baseOffset: 0, nextOffset: 0, hash: first.head.hash, opening },
      { baseOffset: 0, nextOffset: 1, hash: second.head.hash, previousHash: first.head.hash },
    ],
  })
})

test('any flipped byte of the batches is noticed', () => {
  const frame = frameOf([first.bytes, second.bytes])
  const headerBytes = frame.length - first.bytes.length - second.bytes.length
  for (let at = headerBytes; at < frame.length; at++) {
    const damaged = frame.slice()
    damaged[at] = (damaged[at] ?? 0) ^ 0x20
    expect(read(damaged), `byte ${at}`).toBeTypeOf('string')
  }
})

test('an opening that speaks for another writer, boot, topic or cluster is refused', () => {
  const stranger = { ...feed, writer: 'elm' as PeerId }
  const otherBoot = { ...feed, epoch: '0000000000000002' as Epoch }
  const otherTopic = { ...feed, topicId: topicIdOf(nodeDigests, { cluster, name: 'bills', generation: 0 }) }
  for (const other of [stranger, otherBoot, otherTopic]) {
    expect(read(frameOf([first.bytes], other))).toBe('openingOfAnotherFeed')
  }
  expect(readRange(frameOf([first.bytes]), 'another-cluster', nodeDigests)).toBe('openingOfAnotherFeed')
})
