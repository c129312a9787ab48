// Data frames: the vector of README.md byte for byte, round trips, and hostile bytes.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { bytesOfHex, hexOf } from '#protocol/text'
import { decodeDataFrame, encodeDataHeader } from './data-frame.ts'
import type { DataHeader } from './data-frame.ts'

const topicId = '000102030405060708090a0b0c0d0e0f' as TopicId
const epoch = '00000000000000a1' as Epoch
const ordersOfOak = { topicId, writer: '12D3oak' as PeerId, epoch }

const vector =
  '01' + // type: batches
  '0000000c' + // ref: the want 12
  '000102030405060708090a0b0c0d0e0f' + // topicId
  '00000000000000a1' + // epoch
  '07' + // length of the writer's id
  '313244336f616b' // 12D3oak

const frameOf = (header: DataHeader, batches: Uint8Array) => Uint8Array.from([...encodeDataHeader(header), ...batches])

test('the header of README.md, byte for byte', () => {
  const header = { ref: 12, feed: ordersOfOak }
  expect(hexOf(encodeDataHeader(header))).toBe(vector)
  const frame = bytesOfHex(`${vector}cafe`) ?? new Uint8Array()
  expect(decodeDataFrame(frame)).toEqual({ type: 'batches', ...header, batches: Uint8Array.of(0xca, 0xfe) })
})

test('batches are a view into the frame, also when the frame is a view itself', () => {
  const buffer = Uint8Array.from([0xff, ...frameOf({ ref: 0, feed: ordersOfOak }, Uint8Array.of(1, 2, 3)), 0xff])
  const decoded = decodeDataFrame(buffer.subarray(1, -1))
  if (decoded.type === 'fault') throw new Error(decoded.fault)
  expect(decoded.batches.buffer).toBe(buffer.buffer)
  expect([...decoded.batches]).toEqual([1, 2, 3])
})

test('a frame cut short anywhere before its first byte of batches is a fault', () => {
  const frame = frameOf({ ref: 1, feed: ordersOfOak }, Uint8Array.of(1))
  for (let length = 0; length < frame.length; length++) {
    expect(decodeDataFrame(frame.subarray(0, length))).toMatchObject({ fault: 'truncated' })
  }
})

test('a frame of another type, with a bad writer, or too large is a fault', () => {
  const frame = frameOf({ ref: 1, feed: ordersOfOak }, Uint8Array.of(1))
  expect(decodeDataFrame(frame.with(0, 2))).toEqual({ type: 'fault', fault: 'unknownType', where: '2' })
  expect(decodeDataFrame(Uint8Array.of(2))).toMatchObject({ fault: 'unknownType' })
  expect(decodeDataFrame(frame.with(31, 0x2f))).toMatchObject({ fault: 'badField', where: '.writer' })
  expect(decodeDataFrame(frame.with(31, 0xff))).toMatchObject({ fault: 'badField', where: '.writer' })
  expect(decodeDataFrame(new Uint8Array(limits.dataFrameBytesMax + 1))).toMatchObject({ fault: 'tooLarge' })
})

test('every header and batch comes back as it was sent', () => {
  const writer = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/) as fc.Arbitrary<PeerId>
  const ref = fc.integer({ min: 0, max: 0xffff_ffff })
  fc.assert(
    fc.property(writer, ref, fc.uint8Array({ minLength: 1 }), (id, want, batches) => {
      const header = { ref: want, feed: { ...ordersOfOak, writer: id } }
      expect(decodeDataFrame(frameOf(header, batches))).toEqual({ type: 'batches', ...header, batches })
    }),
  )
})

test('random bytes and mutated frames never throw, and what is accepted is within bounds', () => {
  const valid = frameOf({ ref: 7, feed: ordersOfOak }, Uint8Array.of(1, 2, 3, 4))
  const mutated = fc
    .array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => changes.reduce((frame, [position, byte]) => frame.with(position, byte), valid))
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), (frame) => {
      const decoded = decodeDataFrame(frame)
      if (decoded.type === 'fault') return
      expect(frameOf(decoded, decoded.batches)).toEqual(frame)
    }),
    { numRuns: 1000 },
  )
})
