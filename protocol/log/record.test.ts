// Goal: records survive encoding, sets concatenate, limits are told, and no bytes make decoding throw.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import { decodeRecords, encodeRecords, encodeRecordSets, recordSetBytes, recordSetBytesMax } from './record.ts'
import type { LogRecord } from './record.ts'

const producer = fc.record({
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  epoch: fc.nat(0xffffffff),
  seq: fc.maxSafeNat(),
})
const anyRecord: fc.Arbitrary<LogRecord> = fc.record(
  {
    key: fc.uint8Array(),
    value: fc.uint8Array(),
    headers: fc.dictionary(fc.string({ minLength: 1, unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), {
      maxKeys: 5,
    }),
    timestampMs: fc.nat(2 ** 48 - 1),
    producer,
  },
  { requiredKeys: ['value', 'headers'] },
)

const value = utf8('v')
const oak = (seq: number, epoch = 1): LogRecord => ({
  value,
  headers: {},
  producer: { id: new Uint8Array(16).fill(0x0a), epoch, seq },
})
const bare: LogRecord = { value, headers: {} }

test('what was encoded is decoded', () => {
  fc.assert(
    fc.property(fc.array(anyRecord), (records) => {
      const { bytes, count } = encodeRecords(records)
      expect(count).toBe(records.length)
      expect(decodeRecords(bytes, count)).toEqual(
        records.map((record) => ({ ...record, headers: { ...record.headers } })),
      )
    }),
  )
})

test('a header may be called __proto__', () => {
  const headers = Object.fromEntries([['__proto__', 'polluted']])
  const { bytes } = encodeRecords([{ value, headers }])
  const [decoded] = decodeRecords(bytes, 1) as LogRecord[]
  expect(Object.entries(decoded?.headers ?? {})).toEqual([['__proto__', 'polluted']])
})

test('sets concatenate: decoding the bytes of both gives the records of both', () => {
  fc.assert(
    fc.property(fc.array(anyRecord), fc.array(anyRecord), (a, b) => {
      const [first, second] = [encodeRecords(a), encodeRecords(b)]
      const both = Uint8Array.from([...first.bytes, ...second.bytes])
      expect(decodeRecords(both, a.length + b.length)).toEqual(
        decodeRecords(encodeRecords([...a, ...b]).bytes, a.length + b.length),
      )
    }),
  )
})

test('consecutive seqs of one producer are one range', () => {
  const { producerRanges } = encodeRecords([oak(5), oak(6), bare, oak(7), oak(8), oak(10), oak(11, 2)])
  expect(producerRanges).toMatchObject([
    { epoch: 1, firstSeq: 5, firstIndex: 0, count: 2 },
    { epoch: 1, firstSeq: 7, firstIndex: 3, count: 2 },
    { epoch: 1, firstSeq: 10, firstIndex: 5, count: 1 },
    { epoch: 2, firstSeq: 11, firstIndex: 6, count: 1 },
  ])
})

const headersOf = (count: number, length: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${i}`, 'x'.repeat(length)]))

test.each<[string, LogRecord, string]>([
  ['a record', { ...bare, value: new Uint8Array(limits.recordBytesMax - 5) }, 'RECORD_TOO_LARGE'],
  ['a key', { ...bare, key: new Uint8Array(limits.recordKeyBytesMax + 1) }, 'BAD_REQUEST'],
  ['the number of headers', { ...bare, headers: headersOf(limits.recordHeadersMax + 1, 1) }, 'BAD_REQUEST'],
  ['the size of headers', { ...bare, headers: headersOf(1, limits.recordHeaderBytesMax) }, 'BAD_REQUEST'],
  ['a header without a name', { ...bare, headers: { '': 'x' } }, 'BAD_REQUEST'],
  ['half of a surrogate pair', { ...bare, headers: { name: '\ud800' } }, 'BAD_REQUEST'],
  ['a timestamp before 1970', { ...bare, timestampMs: -1 }, 'BAD_REQUEST'],
  ['a timestamp beyond 48 bits', { ...bare, timestampMs: 2 ** 48 }, 'BAD_REQUEST'],
  ['a seq that is not whole', oak(0.5), 'BAD_REQUEST'],
  ['a producer epoch beyond 32 bits', oak(1, 2 ** 32), 'BAD_REQUEST'],
  ['a short producer id', { ...bare, producer: { id: new Uint8Array(15), epoch: 1, seq: 1 } }, 'BAD_REQUEST'],
])('beyond the limits: %s', (_, record, code) => {
  expect(() => encodeRecords([record])).toThrow(expect.objectContaining({ code }))
})

test('the largest record fits into a batch, alone', () => {
  const largest = { ...oak(1), value: new Uint8Array(limits.recordBytesMax - 6 - 28) }
  expect(recordSetBytes(encodeRecords([largest]))).toBeLessThanOrEqual(recordSetBytesMax)
  expect(() => encodeRecords([largest, largest])).toThrow(expect.objectContaining({ code: 'BODY_TOO_LARGE' }))
})

test.each([
  ['many bytes', Array.from({ length: 40 }, (_, seq) => ({ ...oak(seq), value: new Uint8Array(90_000) }))],
  ['many producers', Array.from({ length: 30_000 }, (_, i) => oak(2 * i))],
  ['many records', Array.from({ length: 140_000 }, () => ({ value: new Uint8Array(0), headers: {} }))],
])('%s are cut into sets that each fit into a batch', (_, records) => {
  const sets = encodeRecordSets(records)
  expect(sets.length).toBeGreaterThan(1)
  expect(sets.reduce((sum, { count }) => sum + count, 0)).toBe(records.length)
  for (const set of sets) {
    expect(recordSetBytes(set)).toBeLessThanOrEqual(recordSetBytesMax)
    expect(set.count).toBeLessThanOrEqual(limits.batchRecordsMax)
    expect(set.producerRanges[0]?.firstIndex ?? 0).toBe(0)
  }
})

test.each<[string, number[], string]>([
  ['nothing where a record should be', [], 'truncated'],
  ['a length of more than there is', [0, 0, 0, 9, 0, 0, 1, 2], 'truncated'],
  ['a length that does not cover itself', [0, 0, 0, 3, 0, 0], 'truncated'],
  ['a length beyond any record', [0x7f, 0, 0, 0, 0, 0], 'badRecordLength'],
  ['flags of another version', [0, 0, 0, 6, 8, 0], 'unknownRecordFlags'],
  ['a key that runs beyond its record', [0, 0, 0, 8, 1, 0, 0, 9, 0, 0, 0, 6, 0, 0, 0, 0], 'truncated'],
  ['a header without a name', [0, 0, 0, 10, 0, 1, 0, 0, 0, 0], 'badHeaders'],
  ['a header that is not UTF-8', [0, 0, 0, 11, 0, 1, 0, 1, 0xff, 0, 0], 'badHeaders'],
  ['the same header twice', [0, 0, 0, 16, 0, 2, 0, 1, 65, 0, 0, 0, 1, 65, 0, 0], 'badHeaders'],
  ['a seq above 2^53 − 1', [0, 0, 0, 34, 4, 0, ...Array(20).fill(0), 0, 32, 0, 0, 0, 0, 0, 0], 'numberTooLarge'],
  ['more than the record', [0, 0, 0, 6, 0, 0, 1], 'bytesLeftOver'],
])('decoding tells %s', (_, bytes, fault) => {
  expect(decodeRecords(Uint8Array.from(bytes), 1)).toBe(fault)
})

test('no bytes make decoding throw', () => {
  const { bytes, count } = encodeRecords([oak(1), { ...bare, key: value, headers: { a: 'b' }, timestampMs: 1 }])
  const spots = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1 })
  fc.assert(
    fc.property(spots, fc.nat(bytes.length), fc.nat(5), (changes, length, countSaid) => {
      const damaged = bytes.slice(0, length)
      for (const [at, byte] of changes) if (at < length) damaged[at] = byte
      for (const said of [count, countSaid]) {
        const decoded = decodeRecords(damaged, said)
        expect(typeof decoded === 'string' || decoded.length === said).toBe(true)
      }
    }),
  )
})
