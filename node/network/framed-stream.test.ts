import { afterEach, expect, test } from 'vitest'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { encodeFrame } from './frame-decoder.ts'
import { ControlWriter, DataWriter, FrameReader } from './framed-stream.ts'
import { addressesOf, createMeshNode, multiaddrsOf, networkLimits } from './libp2p-node.ts'
import { limits } from '#protocol/limits'
import { textOf, utf8 } from '#protocol/text'
import type { MeshNode } from './libp2p-node.ts'
import type { Connection, Stream } from '@libp2p/interface'

// Goal: frames over a real libp2p stream, with back-pressure from the reader to the writer and bounded buffers at both ends.

const protocol = '/grapevine/orchard/test/1'
const nodes: MeshNode[] = []
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop()
})

async function startNode(): Promise<MeshNode> {
  const privateKey = await generateKeyPair('Ed25519')
  const node = await createMeshNode({ privateKey, listen: '127.0.0.1:0', refuses: () => false })
  nodes.push(node)
  return node
}

/** A stream from oak to elm, with a reader at elm. */
async function openStream(frameBytesMax = limits.dataFrameBytesMax) {
  const [oak, elm] = await Promise.all([startNode(), startNode()])
  const arrived = Promise.withResolvers<{ reader: FrameReader; theirs: Stream }>()
  await elm.handle(protocol, (stream) => {
    const { readAheadBytes } = networkLimits
    arrived.resolve({ reader: new FrameReader(stream, { frameBytesMax, readAheadBytes }), theirs: stream })
  })
  await Promise.all([oak.start(), elm.start()])
  const connection = await oak.dial(await multiaddrsOf(addressesOf(elm)[0] ?? ''))
  const stream = await connection.newStream(protocol)
  return { oak, connection, stream, ...(await arrived.promise) }
}

/** A round trip behind everything that oak has sent over this connection. */
const roundTrip = (node: MeshNode, connection: Connection) => node.services.identify.identify(connection)

const word = (frame: unknown): string => (frame instanceof Uint8Array ? (textOf(frame) ?? '') : '')

test('small frames of one turn leave as one piece and arrive one by one', async () => {
  const { stream, reader } = await openStream()
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

test('a length beyond the limit ends the stream with a reason', async () => {
  const { stream, reader } = await openStream(1_000)
  stream.send(encodeFrame([new Uint8Array(1_001)]))
  expect(await reader.next()).toEqual({
    cause: 'broken',
    reason: 'a frame of 1001 bytes was announced; 1 to 1000 are taken',
  })
})

test('the reader gets what came before the other side closed, then the end', async () => {
  const { stream, reader } = await openStream()
  new ControlWriter(stream, limits.controlBacklogBytesMax).send(utf8('last word'))
  await Promise.resolve()
  await stream.close()
  expect(word(await reader.next())).toBe('last word')
  expect(await reader.next()).toEqual({ cause: 'closed', reason: 'closed by the other side' })
})

test('a stream that had ended before anybody read it says so', async () => {
  const { stream, theirs } = await openStream()
  stream.abort(new Error('changed my mind'))
  await new Promise<void>((resolve) => theirs.addEventListener('close', () => resolve()))
  const late = new FrameReader(theirs, { frameBytesMax: 1_000, readAheadBytes: 1_000 })
  expect(await late.next()).toMatchObject({ cause: 'closed' })
})

// One frame here, a window flushed out by resuming, a window in the stream, and at the sender one frame in the stream
// and one below it.
const unreadBytesMax =
  limits.dataFrameBytesMax + 2 * networkLimits.streamWindowBytes + networkLimits.readAheadBytes + 2 * 256 * 1024

test('a reader that stalls stops the writer within a bound, and loses nothing', async () => {
  const { oak, connection, stream, reader, theirs } = await openStream()
  const frameBytes = 256 * 1024
  const frameCount = 200
  const writer = new DataWriter(stream)
  let accepted = 0
  const pump = (): void => {
    if (accepted === frameCount) return
    const frame = new Uint8Array(frameBytes).fill(accepted % 251)
    writer.send([frame], () => {
      accepted += 1
      pump()
    })
  }
  pump()

  let read = 0
  const readOne = async (): Promise<void> => {
    const frame = await reader.next()
    expect(frame).toBeInstanceOf(Uint8Array)
    expect((frame as Uint8Array)[frameBytes - 1]).toBe(read % 251)
    read += 1
  }
  // It reads a little, so that windows have grown and buffers have filled, and stalls: thrice.
  for (let stall = 0; stall < 3; stall++) {
    for (let n = 0; n < 20; n++) await readOne()
    await untilStill(
      () => accepted,
      () => roundTrip(oak, connection),
    )
    expect(accepted).toBeLessThan(frameCount)
    expect((accepted - read) * frameBytes).toBeLessThanOrEqual(unreadBytesMax)
    expect(theirs.readBufferLength).toBeLessThanOrEqual(networkLimits.streamWindowBytes)
    expect(stream.writeBufferLength).toBeLessThanOrEqual(frameBytes + 4)
  }
  while (read < frameCount) await readOne()
  await roundTrip(oak, connection)
  expect(accepted).toBe(frameCount)
})

/** Waits until `count` has stayed the same over ten round trips. */
async function untilStill(count: () => number, roundTripOnce: () => Promise<unknown>): Promise<void> {
  for (let still = 0, last = count(); still < 10;) {
    await roundTripOnce()
    still = count() === last ? still + 1 : 0
    last = count()
  }
}
