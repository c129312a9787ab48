// Binary messages of clients: the vectors of docs/wire-clients.md byte for byte, round trips, and hostile bytes.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { type BatchHeader, readBatchHeader, recordsOf } from '#protocol/log/batch'
import { encodeRecords } from '#protocol/log/record'
import { takeRecords } from '#protocol/log/taken-records'
import { cursorWithin } from '#protocol/log/cursor-within'
import { pureDigests } from '#protocol/log/pure-digests'
import { batchVector, cursorVector, recordVectors } from '#protocol/log/vectors'
import { bytesOfHex, hexOf, utf8 } from '#protocol/text'
import {
  type BinaryBatchHeader,
  type DeliveredBatch,
  decodeBatchFrame,
  decodeBinaryFrame,
  encodeBinaryHead,
} from './binary-frame.ts'
import { deliveryVector, publishVector } from './binary-vectors.ts'

const bytesOf = (hex: string): Uint8Array => bytesOfHex(hex) as Uint8Array
const batch = bytesOf(batchVector.hex)
const said = deliveryVector.header
const frameOf = (header: object, payload: Uint8Array) => {
  const head = encodeBinaryHead('batch', header as BinaryBatchHeader)
  return Uint8Array.from([...head, ...payload])
}

test('a publish is written and read as the vector has it, and its records are sound', () => {
  const { header, values, hex } = publishVector
  const nobody = { id: new Uint8Array(16), epoch: 0, seq: 0 }
  const { bytes } = encodeRecords(values.map((value) => ({ value: utf8(value), headers: {}, producer: nobody })))
  expect(hexOf(encodeBinaryHead('publish', header)) + hexOf(bytes)).toBe(hex)
  const decoded = decodeBinaryFrame(bytesOf(hex))
  if (decoded.type !== 'publish') throw new Error(decoded.type)
  expect(JSON.parse(decoded.header)).toEqual(header)
  const producer = { ...nobody, seq: 7 }
  expect(takeRecords(decoded.payload.slice(), { count: header.count, producer })).toMatchObject([{ count: 2 }])
})

test('a batch is written and read as the vector has it', () => {
  expect(hexOf(encodeBinaryHead('batch', said)) + batchVector.hex).toBe(deliveryVector.hex)
  const delivered = decodeBatchFrame(bytesOf(deliveryVector.hex))
  expect(delivered).toMatchObject({ ...said, writer: '12D3KooWoak', epoch: '0000000000000001', skip: [] })
  if (!('bytes' in delivered)) throw new Error(delivered.where)
  expect(recordsOf(delivered.bytes, delivered.header)).toEqual(recordVectors.map(({ record }) => record))
})

test('the reference for clients shows these examples, and those of the log', () => {
  const spaces = /\s/g
  const page = readFileSync(new URL('../../docs/wire-clients.md', import.meta.url), 'utf8').replaceAll(spaces, '')
  const headers = [publishVector.header, deliveryVector.header].map((header) => JSON.stringify(header))
  for (const example of [...headers, publishVector.hex, deliveryVector.hex, cursorVector.text]) {
    expect(page).toContain(example.replaceAll(spaces, ''))
  }
  const { epoch, bytes } = decodeBatchFrame(bytesOf(deliveryVector.hex)) as DeliveredBatch
  const { previousHash } = readBatchHeader(bytes) as BatchHeader
  const at = { epoch, nextOffset: 1, hashPrefix: previousHash.slice(0, 8) }
  expect(cursorWithin(said.cursor, at, pureDigests)).toBe(cursorVector.text)
})

test('what is skipped lies in what is delivered', () => {
  const skipping = (from: number, ...skip: [number, number][]) =>
    decodeBatchFrame(frameOf({ ...said, from, skip }, batch))
  expect(skipping(0, [0, 1])).toMatchObject({ skip: [{ from: 0, to: 1 }] })
  expect(skipping(0, [0, 1], [1, 2])).toMatchObject({ from: 0 })
  for (const wrong of [
    [[1, 1]],
    [[0, 3]],
    [
      [1, 2],
      [0, 1],
    ],
    [
      [0, 2],
      [1, 2],
    ],
  ] as [number, number][][]) {
    expect(skipping(0, ...wrong)).toMatchObject({ fault: 'badField', where: '.skip' })
  }
  expect(skipping(1, [0, 1])).toMatchObject({ fault: 'badField', where: '.skip' })
  expect(skipping(2)).toMatchObject({ fault: 'badField', where: '.from' })
})

test.each<[object, string]>([
  [{ sub: 7 }, '.sub'],
  [{ sub: 'x'.repeat(limits.socketNameLengthMax + 1) }, '.sub'],
  [{ topic: '../orders' }, '.topic'],
  [{ feed: '12D3KooWoak' }, '.feed'],
  [{ feed: '12D3KooWoak.1' }, '.feed'],
  [{ feed: '12D3KooWoak.0000000000000001.2' }, '.feed'],
  [{ from: -1 }, '.from'],
  [{ from: 1.5 }, '.from'],
  [{ skip: 1 }, '.skip'],
  [{ skip: [1] }, '.skip'],
  [{ skip: [['a', 2]] }, '.skip'],
  [{ skip: [[0, 1, 2]] }, '.skip'],
  [{ cursor: null }, '.cursor'],
])('a header with %j is a fault', (field, where) => {
  expect(decodeBatchFrame(frameOf({ ...said, ...field }, batch))).toEqual({ type: 'fault', fault: 'badField', where })
})

test('a frame that is cut short, of another type, without JSON or without a whole batch is a fault', () => {
  const frame = bytesOf(deliveryVector.hex)
  for (let length = 0; length < frame.length; length++) {
    expect(decodeBatchFrame(frame.subarray(0, length))).toMatchObject({ type: 'fault' })
  }
  expect(decodeBinaryFrame(frame.subarray(0, 4))).toMatchObject({ fault: 'truncated' })
  expect(decodeBinaryFrame(frame.with(0, 3))).toMatchObject({ fault: 'unknownType', where: '3' })
  expect(decodeBatchFrame(frame.with(0, 1))).toMatchObject({ fault: 'unknownType', where: 'publish' })
  expect(decodeBatchFrame(frame.with(5, 0x5b))).toMatchObject({ fault: 'notJson' })
  expect(decodeBatchFrame(frame.with(5, 0xff))).toMatchObject({ fault: 'notUtf8' })
  expect(decodeBinaryFrame(frame.with(1, 1))).toMatchObject({ fault: 'tooLarge' })
  expect(decodeBatchFrame(Uint8Array.from([...frame, 0]))).toMatchObject({ where: 'batch: badLength' })
})

test('random bytes and mutated frames never throw, and what is accepted is within its batch', () => {
  const valid = bytesOf(deliveryVector.hex)
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => changes.reduce((frame, [position, byte]) => frame.with(position, byte), valid))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (frame) => {
      const decoded = decodeBatchFrame(frame)
      if (!('bytes' in decoded)) return
      const { baseOffset, nextOffset } = readBatchHeader(decoded.bytes) as BatchHeader
      expect(decoded.from).toBeGreaterThanOrEqual(baseOffset)
      expect(decoded.from).toBeLessThan(nextOffset)
    }),
    { numRuns: 2_000 },
  )
})

test('every header and payload come back as they were sent', () => {
  const text = fc.string({ unit: 'binary', maxLength: 30 })
  fc.assert(
    fc.property(text, text, fc.nat(), fc.uint8Array(), (ref, topic, count, payload) => {
      const head = encodeBinaryHead('publish', { ref: ref.toWellFormed(), topic: topic.toWellFormed(), count })
      const decoded = decodeBinaryFrame(Uint8Array.from([...head, ...payload]))
      if (decoded.type === 'fault') throw new Error(decoded.where)
      expect(JSON.parse(decoded.header)).toEqual({ ref: ref.toWellFormed(), topic: topic.toWellFormed(), count })
      expect(decoded.payload).toEqual(payload)
    }),
  )
})
