import { generateKeyPair } from '@libp2p/crypto/keys'
import { listenedAddresses, multiaddrsOf } from './addresses.ts'
import { FrameReader } from './frame-reader.ts'
import { DataWriter } from './frame-writers.ts'
import { createMeshNode } from './libp2p-node.ts'
import { networkLimits } from './network-limits.ts'
import { assert } from '#protocol/assert'
import { limits } from '#protocol/limits'
import type { MeshNode } from './libp2p-node.ts'
import type { Stream } from '@libp2p/interface'

const protocol = '/grapevine/orchard/test/1'
/** Opening a stream of it takes a round trip. */
const echoProtocol = '/grapevine/orchard/echo/1'

/** For tests: a libp2p stream on loopback from one node to another, where a reader listens. */
export interface TestStream {
  readonly stream: Stream
  readonly reader: FrameReader
  readonly theirs: Stream
  /** There and back behind everything that was sent before. */
  roundTrip(): Promise<unknown>
}

export function testStreams(): {
  open(frameBytesMax?: number): Promise<TestStream>
  stopAll(): Promise<void>
} {
  const nodes: MeshNode[] = []
  const startNode = async (): Promise<MeshNode> => {
    const privateKey = await generateKeyPair('Ed25519')
    const node = await createMeshNode({ privateKey, listen: '127.0.0.1:0', refuses: () => false })
    nodes.push(node)
    return node
  }
  return {
    async open(frameBytesMax = limits.dataFrameBytesMax) {
      const [oak, elm] = await Promise.all([startNode(), startNode()])
      const arrived = Promise.withResolvers<{ reader: FrameReader; theirs: Stream }>()
      await elm.handle(protocol, (stream) => {
        const { readAheadBytes } = networkLimits
        arrived.resolve({ reader: new FrameReader(stream, { frameBytesMax, readAheadBytes }), theirs: stream })
      })
      await elm.handle(echoProtocol, () => undefined)
      await Promise.all([oak.start(), elm.start()])
      const connection = await oak.dial(await multiaddrsOf(listenedAddresses(elm)[0] ?? ''))
      const stream = await connection.newStream(protocol)
      const roundTrip = async (): Promise<void> => (await connection.newStream(echoProtocol)).abort(new Error('done'))
      return { stream, roundTrip, ...(await arrived.promise) }
    },
    async stopAll() {
      for (const node of nodes.splice(0)) await node.stop()
    },
  }
}

/** Sends numbered frames as fast as `written` lets it, and checks them at the other end. */
export class Flood {
  readonly frameBytes: number
  readonly #frameCount: number
  readonly #writer: DataWriter
  written = 0
  read = 0
  #sent = 0

  constructor(stream: Stream, config: { readonly frameBytes: number; readonly frameCount: number }) {
    this.frameBytes = config.frameBytes
    this.#frameCount = config.frameCount
    this.#writer = new DataWriter(stream)
  }

  /** The frame that is being written included. */
  get unreadBytes(): number {
    return (this.#sent - this.read) * this.frameBytes
  }

  start(): void {
    if (this.#sent === this.#frameCount) return
    this.#writer.send([new Uint8Array(this.frameBytes).fill(this.#sent++ % 251)], () => {
      this.written += 1
      this.start()
    })
  }

  check(frame: unknown): void {
    assert(frame instanceof Uint8Array, 'a frame came')
    assert(frame.byteLength === this.frameBytes && frame.at(-1) === this.read % 251, 'it is the next one, and whole')
    this.read += 1
  }
}
