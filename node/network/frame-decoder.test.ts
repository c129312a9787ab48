import { describe, expect, test } from 'vitest'
import { FrameDecoder, encodeFrame } from './frame-decoder.ts'
import { textOf, utf8 } from '#protocol/text'

// Goal: frames come out as they went in, however the network cut their bytes; bad lengths cost nothing.

const frameBytesMax = 64
const words = ['ping', 'a longer frame than the others', 'x']
const stream = Buffer.concat(words.map((word) => encodeFrame([utf8(word)])))

function decodeAll(chunks: readonly Uint8Array[]): string[] {
  const decoder = new FrameDecoder(frameBytesMax)
  const frames: string[] = []
  for (const chunk of chunks) {
    decoder.push(chunk)
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      if (!(frame instanceof Uint8Array)) throw new Error(frame.refused)
      frames.push(textOf(frame) ?? '')
    }
  }
  return frames
}

describe('frames survive every way of splitting them', () => {
  test.each(Array.from({ length: stream.length + 1 }, (_, at) => at))('cut at byte %i', (at) => {
    expect(decodeAll([stream.subarray(0, at), stream.subarray(at)])).toEqual(words)
  })

  test('byte by byte', () => {
    expect(decodeAll([...stream].map((byte) => Uint8Array.of(byte)))).toEqual(words)
  })
})

test('the parts of a frame arrive as one', () => {
  expect(decodeAll([encodeFrame([utf8('head '), utf8('and '), utf8('batches')])])).toEqual(['head and batches'])
})

test('a frame is a copy: the bytes it came in may be used again', () => {
  const decoder = new FrameDecoder(frameBytesMax)
  const chunk = encodeFrame([utf8('orders')])
  decoder.push(chunk)
  const frame = decoder.next()
  chunk.fill(0)
  expect(textOf(frame as Uint8Array)).toBe('orders')
})

test.each([
  ['none', 0],
  ['one too many', frameBytesMax + 1],
  ['4 GiB', 2 ** 32 - 1],
])('a frame of %s bytes is refused by its length alone, and nothing is decoded after it', (_, length) => {
  const decoder = new FrameDecoder(frameBytesMax)
  const header = Buffer.alloc(4)
  header.writeUInt32BE(length)
  decoder.push(header)
  const refusal = { refused: `a frame of ${length} bytes was announced; 1 to 64 are taken` }
  expect(decoder.next()).toEqual(refusal)
  decoder.push(stream)
  expect(decoder.next()).toEqual(refusal)
})
