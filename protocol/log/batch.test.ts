// Goal: a batch says what its writer said, and damage anywhere in it is noticed before anybody relies on it.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, Hash, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { bytesOfHex, utf8 } from '#protocol/text'
import { type BatchHeader, batchHash, encodeBatch, encodeOpeningBatch } from './batch.ts'
import { openingOf, producerRangesOf, readBatchHeader, recordsOf, splitBatches, verifyBatch } from './batch.ts'
import type { Opening } from './feed.ts'
import { pureDigests } from './pure-digests.ts'
import { encodeRecords, type LogRecord } from './record.ts'
import { batchVector, openingVectors } from './vectors.ts'

const hash = 'ab'.repeat(32) as Hash
const sample = bytesOfHex(batchVector.hex) as Uint8Array<ArrayBuffer>
const openings = openingVectors.map(({ hex }) => bytesOfHex(hex) as Uint8Array<ArrayBuffer>)
const retry = (seq: number): LogRecord => ({
  value: utf8(`v${seq}`),
  headers: {},
  producer: { id: new Uint8Array(16).fill(1), epoch: 0, seq },
})

test('what a batch was made of is read from it', () => {
  const values = fc.array(fc.uint8Array(), { minLength: 1 })
  const hlc = fc.record({ ms: fc.nat(2 ** 48 - 1), counter: fc.nat(0xffff) })
  fc.assert(
    fc.property(fc.array(values, { minLength: 1 }), fc.nat(2 ** 53 - 1e6), hlc, (sets, baseOffset, time) => {
      const recordSets = sets.map((set) => encodeRecords(set.map((value) => ({ value, headers: {} }))))
      const { bytes, head } = encodeBatch({ baseOffset, hlc: time, previousHash: hash, recordSets }, pureDigests)
      const count = sets.flat().length
      expect(verifyBatch(bytes, pureDigests)).toBeUndefined()
      const header = readBatchHeader(bytes) as BatchHeader
      expect(header).toMatchObject({ lengthBytes: bytes.length, opening: false, baseOffset, count, hlc: time })
      expect(header).toMatchObject({ nextOffset: baseOffset + count, previousHash: hash })
      expect(head).toEqual({ nextOffset: baseOffset + count, hash: batchHash(bytes, pureDigests) })
      expect(recordsOf(bytes, header)).toEqual(sets.flat().map((value) => ({ value, headers: {} })))
    }),
  )
})

test('producer ranges of record sets are counted from the start of the batch', () => {
  const recordSets = [encodeRecords([retry(1), retry(2)]), encodeRecords([retry(8)])]
  const { bytes } = encodeBatch(
    { baseOffset: 40, hlc: { ms: 1, counter: 0 }, previousHash: hash, recordSets },
    pureDigests,
  )
  expect(producerRangesOf(bytes, readBatchHeader(bytes) as BatchHeader)).toMatchObject([
    { firstSeq: 1, firstIndex: 0, count: 2 },
    { firstSeq: 8, firstIndex: 2, count: 1 },
  ])
})

test('an opening survives, with and without a predecessor', () => {
  const predecessor = { epoch: '00000000000000aa' as Epoch, nextOffset: 2 ** 53 - 1, hash }
  const base = {
    topic: '$topics',
    generation: 4_294_967_295,
    writer: 'p'.repeat(128) as PeerId,
    epoch: 'ffffffffffffffff' as Epoch,
  }
  for (const opening of [base, { ...base, predecessor }] satisfies Opening[]) {
    const { bytes, head } = encodeOpeningBatch(opening, { ms: 1, counter: 0 }, pureDigests)
    expect(verifyBatch(bytes, pureDigests)).toBeUndefined()
    expect(openingOf(bytes)).toEqual(opening)
    expect(readBatchHeader(bytes)).toMatchObject({ opening: true, count: 0, nextOffset: head.nextOffset })
  }
})

test.each([
  ['with records', sample],
  ['that opens a feed', openings[1]!],
])('every truncation of a batch %s is noticed', (_, bytes) => {
  for (let length = 0; length < bytes.length; length++) {
    expect(verifyBatch(bytes.subarray(0, length), pureDigests), `${length} bytes`).toBe('truncated')
  }
  expect(verifyBatch(Uint8Array.from([...bytes, 0]), pureDigests)).toBe('badLength')
})

test.each([
  ['with records', sample],
  ['that opens a feed', openings[1]!],
])('every flipped bit of a batch %s is noticed', (_, bytes) => {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice()
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
    expect(verifyBatch(damaged, pureDigests), `bit ${bit}`).toBeDefined()
  }
})

const patched = (bytes: Uint8Array<ArrayBuffer>, patch: (view: DataView) => void): Uint8Array => {
  const changed = bytes.slice()
  const view = new DataView(changed.buffer)
  patch(view)
  view.setUint32(0, pureDigests.crc32(changed.subarray(4)))
  return changed
}

// A peer that makes its checksums right can still say nonsense.
test.each<[string, (view: DataView) => void, string]>([
  ['another magic', (view) => view.setUint8(4, 0), 'badMagic'],
  ['a later version', (view) => view.setUint8(6, 2), 'unknownVersion'],
  ['a codec that this version lacks', (view) => view.setUint8(7, 2), 'unknownAttributes'],
  ['a length within its own header', (view) => view.setUint32(8, 65), 'badLength'],
  ['a length beyond any batch', (view) => view.setUint32(8, limits.batchBytesMax + 1), 'badLength'],
  ['an offset above 2^53 − 1', (view) => view.setUint32(12, 0x200000), 'numberTooLarge'],
  ['a count that leads above 2^53 − 1', (view) => view.setBigUint64(12, 2n ** 53n - 2n), 'numberTooLarge'],
  ['no records', (view) => view.setUint32(20, 0), 'badCount'],
  ['more records than a batch may have', (view) => view.setUint32(20, limits.batchRecordsMax + 1), 'badCount'],
  ['records, though it opens a feed', (view) => view.setUint8(7, 1), 'badCount'],
  ['more producer ranges than records', (view) => view.setUint16(64, 3), 'badProducerRanges'],
  ['a producer range of no records', (view) => view.setUint32(98, 0), 'badProducerRanges'],
  ['a producer range beyond the last record', (view) => view.setUint32(94, 2), 'badProducerRanges'],
  ['a producer seq above 2^53 − 1', (view) => view.setUint32(86, 0x200000), 'numberTooLarge'],
])('a batch with a right checksum that says %s is refused', (_, patch, fault) => {
  expect(verifyBatch(patched(sample, patch), pureDigests)).toBe(fault)
})

test.each<[string, (view: DataView) => void]>([
  ['a hash of something else', (view) => view.setUint8(32, 1)],
  ['an offset that is not the link’s', (view) => view.setUint32(16, 3)],
  ['a topic name that is none', (view) => view.setUint8(67, 0x20)],
  ['a topic name that runs into the rest', (view) => view.setUint8(66, 200)],
])('an opening batch with a right checksum that says %s is refused', (_, patch) => {
  expect(verifyBatch(patched(openings[1]!, patch), pureDigests)).toBe('badOpening')
})

test('a batch with records is no opening', () => {
  expect(openingOf(sample)).toBe('badOpening')
})

test('a concatenation is split into its batches; what is cut off at its end is told', () => {
  const all = Uint8Array.from([...openings[0]!, ...sample, ...openings[1]!])
  expect(splitBatches(all)).toEqual([openings[0], sample, openings[1]])
  expect(splitBatches(all.subarray(0, -1))).toBe('truncated')
  expect(splitBatches(new Uint8Array(0))).toEqual([])
})
