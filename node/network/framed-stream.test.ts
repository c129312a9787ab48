import { afterEach, expect, test } from 'vitest'
import { encodeFrame } from './frame-decoder.ts'
import { FrameReader } from './frame-reader.ts'
import { ControlWriter, DataWriter } from './frame-writers.ts'
import { networkLimits, streamHeldBytesMax } from './network-limits.ts'
import { Flood, testStreams } from './test-streams.ts'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'

// Goal: frames over a real libp2p stream, with back-pressure from the reader to the writer and bounded buffers at both ends.

const streams = testStreams()
afterEach(() => streams.stopAll())

const word = (frame: unknown): string => (frame instanceof Uint8Array ? (textOf(frame) ?? '') : '')

test('small frames of one turn leave as one piece and arrive one by one', async () => {
  const { stream, reader } = await streams.open()
  const pieces: number[] = []
  const send = stream.send.bind(stream)
  stream.send = (data) => {
    pieces.push(data.byteLength)
    return send(data)
  }
  const writer = new ControlWriter(stream, limits.controlBacklogBytesMax)
  for (const text of ['probe', 'ack', 'gossip']) writer.send(utf8(text))
  expect([word(await reader.next()), word(await reader.next()), word(await reader.next())]).toEqual([
    'probe',
    'ack',
    'gossip',
  ])
  expect(pieces).toEqual([5 + 3 + 6 + 3 * 4])
})

test('many small frames are written in one turn, though nothing is encrypted before its end', async () => {
  const { stream } = await streams.open()
  const writer = new DataWriter(stream)
  // Within the first window of a stream.
  let written = 0
  const write = (): void => writer.send([new Uint8Array(1_000)], () => (++written < 200 ? write() : undefined))
  write()
  await new Promise((nextTurn) => setImmediate(nextTurn))
  expect(written).toBe(200)
})

test('a length beyond the limit ends the stream with a reason', async () => {
  const { stream, reader } = await streams.open(1_000)
  stream.send(encodeFrame([new Uint8Array(1_001)]))
  expect(await reader.next()).toEqual({
    cause: 'broken',
    reason: 'a frame of 1001 bytes was announced; 1 to 1000 are taken',
  })
})

test('the reader gets what came before the other side closed, then the end', async () => {
  const { stream, reader } = await streams.open()
  new ControlWriter(stream, limits.controlBacklogBytesMax).send(utf8('last word'))
  await Promise.resolve()
  await stream.close()
  expect(word(await reader.next())).toBe('last word')
  expect(await reader.next()).toEqual({ cause: 'closed', reason: 'closed by the other side' })
})

test('a stream that had ended before anybody read it says so', async () => {
  const { stream, theirs } = await streams.open()
  stream.abort(new Error('changed my mind'))
  await new Promise<void>((resolve) => theirs.addEventListener('close', () => resolve()))
  const late = new FrameReader(theirs, { frameBytesMax: 1_000, readAheadBytes: 1_000 })
  expect(await late.next()).toMatchObject({ cause: 'closed' })
})

test('a reader that stalls stops the writer within a bound, and loses nothing', async () => {
  const opened = await streams.open()
  const { stream, reader, theirs } = opened
  const frameCount = 200
  const flood = new Flood(stream, { frameBytes: 256 * 1024, frameCount })
  flood.start()
  // It reads a little, so that windows have grown and buffers have filled, and stalls, at different fillings.
  for (const some of [20, 1, 7, 2, 15]) {
    for (let n = 0; n < some; n++) flood.check(await reader.next())
    await untilStill(
      () => flood.written,
      () => opened.roundTrip(),
    )
    expect(flood.written).toBeLessThan(frameCount)
    expect(flood.unreadBytes).toBeLessThanOrEqual(streamHeldBytesMax)
    expect(theirs.readBufferLength).toBeLessThanOrEqual(networkLimits.streamWindowBytes)
    expect(stream.writeBufferLength).toBeLessThanOrEqual(flood.frameBytes + 4)
  }
  while (flood.read < frameCount) flood.check(await reader.next())
  await opened.roundTrip()
  expect(flood.written).toBe(frameCount)
})

/** Waits until `count` has stayed the same over ten round trips. */
async function untilStill(count: () => number, roundTripOnce: () => Promise<unknown>): Promise<void> {
  for (let still = 0, last = count(); still < 10;) {
    await roundTripOnce()
    still = count() === last ? still + 1 : 0
    last = count()
  }
}
