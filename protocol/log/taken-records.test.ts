// Goal: records that a client encoded are taken exactly when they are sound, and then they are what the peer would have made
// itself. Method: our own encoding as the model; damage, bit by bit; and the limits one by one.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import { decodeRecords, encodeRecords, encodeRecordSets, type LogRecord, type RecordSet } from './record.ts'
import { takeRecords } from './taken-records.ts'

const nobody = { id: new Uint8Array(16), epoch: 0, seq: 0 }
const shop = { id: Uint8Array.from({ length: 16 }, (_, i) => i + 1), epoch: 3, seq: 7 }

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,9}$/)
const record: fc.Arbitrary<LogRecord> = fc.record(
  {
    value: fc.uint8Array({ maxLength: 40 }),
    headers: fc.dictionary(name, fc.string({ unit: 'grapheme', maxLength: 20 }), { maxKeys: 4 }),
    key: fc.uint8Array({ maxLength: 20 }),
    timestampMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  },
  { requiredKeys: ['value', 'headers'] },
)

const concat = (sets: readonly RecordSet[]): Uint8Array => Uint8Array.from(sets.flatMap(({ bytes }) => [...bytes]))
const numbered = (records: readonly LogRecord[]) =>
  records.map((one, index) => ({ ...one, producer: { ...shop, seq: shop.seq + index } }))
const withRoom = (records: readonly LogRecord[]) => records.map((one) => ({ ...one, producer: nobody }))

test('what is taken is what the peer would have encoded, with the number of the frame on each record', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 8 }), (records) => {
      const count = records.length
      expect(takeRecords(encodeRecords(records).bytes, { count })).toEqual([encodeRecords(records)])
      const taken = takeRecords(encodeRecords(withRoom(records)).bytes, { count, producer: shop })
      expect(taken).toEqual([encodeRecords(numbered(records))])
    }),
  )
})

test('what is taken can be read, whatever happened to its bytes; what cannot be read is not taken', () => {
  const change = fc.tuple(fc.nat(1_000), fc.nat(255))
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 3 }),
      fc.array(change, { maxLength: 3 }),
      (records, changes) => {
        const bytes = encodeRecords(records).bytes.slice()
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte
        const count = records.length
        const taken = takeRecords(bytes, { count })
        const read = decodeRecords(bytes, count)
        if (!('index' in taken)) expect(typeof read).toBe('object')
        else if (typeof read === 'object') expect(taken.fault).toMatch(/badHeaderName|producerUnexpected/)
      },
    ),
    { numRuns: 2_000 },
  )
})

test('random bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(10), (bytes, count) => {
      const taken = takeRecords(bytes.slice(), { count, producer: shop })
      if ('index' in taken) expect(taken.index).toBeLessThanOrEqual(count)
      else expect(concat(taken).length).toBe(bytes.length)
    }),
    { numRuns: 1_000 },
  )
})

test('more than fits into a batch is cut where the peer would cut it, and the numbers go on', () => {
  const large = Array.from({ length: 7 }, (_, i) => ({ value: new Uint8Array(300_000).fill(i), headers: {} }))
  const { length: count } = large
  const sets = takeRecords(concat(encodeRecordSets(withRoom(large))), { count, producer: shop })
  expect(sets).toEqual(encodeRecordSets(numbered(large)))
  expect(sets).toHaveLength(3)
})

test('a key, a header and a record have the bounds that they have as JSON', () => {
  const fault = (one: LogRecord, change: (bytes: Uint8Array) => void = () => {}) => {
    const { bytes } = encodeRecords([one])
    change(bytes)
    const taken = takeRecords(bytes, { count: 1 })
    return 'index' in taken ? taken.fault : undefined
  }
  const { recordKeyBytesMax, recordHeaderBytesMax, recordHeadersMax } = limits
  const many = Object.fromEntries(Array.from({ length: recordHeadersMax }, (_, i) => [`h${i}`, '']))
  const plain = { value: utf8('pears'), headers: {} }
  expect(fault({ ...plain, key: new Uint8Array(recordKeyBytesMax) })).toBeUndefined()
  expect(fault({ ...plain, headers: many })).toBeUndefined()
  expect(fault({ ...plain, headers: many }, (bytes) => (bytes[5] = recordHeadersMax + 1))).toBe('badHeaders')
  expect(fault({ ...plain, headers: { a: 'x'.repeat(recordHeaderBytesMax - 5) } })).toBeUndefined()
  expect(fault({ ...plain, headers: { [`x`.repeat(129)]: '' } })).toBe('badHeaderName')
  expect(fault({ ...plain, headers: { 'Trace-Id': 'a1' } })).toBe('badHeaderName')
  expect(fault({ ...plain, headers: { 'trace id': 'a1' } })).toBe('badHeaderName')
  expect(fault({ ...plain, headers: { ab: '1', ac: '2' } }, (bytes) => (bytes[16] = 0x62))).toBe('badHeaders')
  const lastAsFirst = (bytes: Uint8Array): void => bytes.set(utf8('h10'), bytes.indexOf(0x68, bytes.length - 14))
  expect(fault({ ...plain, headers: many }, lastAsFirst)).toBe('badHeaders')
  expect(fault({ ...plain, headers: { ab: 'x' } }, (bytes) => (bytes[12] = 0xff))).toBe('badHeaders')
  expect(fault({ ...plain, producer: shop })).toBe('producerUnexpected')
  expect(takeRecords(encodeRecords([plain]).bytes, { count: 1, producer: shop })).toMatchObject({
    fault: 'producerMissing',
  })
})

test('the key and the headers that nobody may have are told by their names', () => {
  const key = limits.recordKeyBytesMax + 1
  const bytes = Uint8Array.from([0, 0, 0, 0, 1, 0, key >> 8, key & 255, ...new Uint8Array(key)])
  new DataView(bytes.buffer).setUint32(0, bytes.length)
  expect(takeRecords(bytes, { count: 1 })).toEqual({ index: 0, fault: 'badKeyLength' })
  const value = limits.recordHeaderBytesMax - 4
  const headers = Uint8Array.from([0, 0, 0, 0, 0, 1, 0, 1, 0x61, value >> 8, value & 255, ...new Uint8Array(value)])
  new DataView(headers.buffer).setUint32(0, headers.length)
  expect(takeRecords(headers, { count: 1 })).toEqual({ index: 0, fault: 'badHeaders' })
  expect(takeRecords(Uint8Array.of(0xff, 0, 0, 0, 0, 0), { count: 1 })).toMatchObject({ fault: 'badRecordLength' })
})

test('a set says how many records it has', () => {
  const { bytes } = encodeRecords([{ value: utf8('pears'), headers: {} }])
  expect(takeRecords(bytes, { count: 2 })).toEqual({ index: 1, fault: 'truncated' })
  expect(takeRecords(bytes, { count: 0 })).toEqual({ index: 0, fault: 'bytesLeftOver' })
  expect(takeRecords(bytes.subarray(0, -1), { count: 1 })).toEqual({ index: 0, fault: 'truncated' })
})
