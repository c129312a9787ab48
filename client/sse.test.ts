// A stream means the same however the network cuts it.
import { expect, test } from 'vitest'
import { SseParser, type SseEvent } from './sse.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)

const stream = [
  ': the peer says hello\n\n',
  'event: record\nid: gv1.a\ndata: {"value":"grüße 🍇"}\n\n',
  'id: gv1.b\r\ndata: two\r\ndata:  lines\r\n\r\n',
  'event: caught-up\rid: gv1.c\rdata\r\r',
].join('')

const meaning: SseEvent[] = [
  { type: 'record', data: '{"value":"grüße 🍇"}', lastEventId: 'gv1.a' },
  { type: 'message', data: 'two\n lines', lastEventId: 'gv1.b' },
  { type: 'caught-up', data: '', lastEventId: 'gv1.c' },
]

const parse = (pieces: readonly Uint8Array[]): SseEvent[] => {
  const parser = new SseParser(1024)
  return pieces.flatMap((piece) => parser.push(piece))
}

test('comments vanish, line ends may be LF, CRLF or CR, and data lines join', () => {
  expect(parse([bytesOf(stream)])).toEqual(meaning)
})

test('the stream may be cut at any two bytes', () => {
  const bytes = bytesOf(stream)
  for (let first = 0; first <= bytes.length; first++) {
    for (let second = first; second <= bytes.length; second += 7) {
      const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)]
      expect(parse(pieces), `cut at ${first} and ${second}`).toEqual(meaning)
    }
  }
})

test('an event that the stream does not finish is not told', () => {
  expect(parse([bytesOf('data: half a rec')])).toEqual([])
})

test('an id without data is the place where later events stand', () => {
  expect(parse([bytesOf('id: gv1.start\n\ndata: first\n\n')])).toEqual([
    { type: 'message', data: 'first', lastEventId: 'gv1.start' },
  ])
})

test('an event beyond the bound is refused, however many small pieces it comes in', () => {
  const parser = new SseParser(100)
  const piece = bytesOf('data: 0123456789\n')
  expect(() => {
    for (let i = 0; i < 10; i++) parser.push(piece)
  }).toThrow(RangeError)
})

test('the bound is for one event, not for the stream', () => {
  const parser = new SseParser(100)
  const events = Array.from({ length: 50 }, () => parser.push(bytesOf('data: 0123456789\n\n')))
  expect(events.flat()).toHaveLength(50)
})
