import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdOf } from '#node/identity'
import { startIntruder } from '#node/network/test-peers'
import { nodeDigests } from '#node/node-digests'
import { topicIdOf } from '#protocol/ids'
import { SeededRandom } from '#protocol/random'
import { encodeControl } from '#protocol/wire/control-frame'
import { encodeDataHeader } from '#protocol/wire/data-frame'
import { SampleFeed } from '#storage/sample-feed'
import { eventually, ProcessPeer } from '../process-peer.ts'
import { type BadInput, connectTo, logged } from './bad-input.ts'

const dice = new SeededRandom(2026)
const randomBytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(dice.next() * 256))

function withBitFlipped(bytes: Uint8Array, at: number): Uint8Array {
  const damaged = bytes.slice()
  damaged[at] = (damaged[at] ?? 0) ^ 4
  return damaged
}

/** As it goes over a stream: four bytes of length, then the frame. */
function framed(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + frame.length)
  new DataView(bytes.buffer).setUint32(0, frame.length)
  bytes.set(frame, 4)
  return bytes
}

/** A stranger with a link: it speaks the protocols of the mesh up to here, and then sends these bytes. */
async function sendOverLink(oak: ProcessPeer, kind: 'control' | 'data', bytes: Uint8Array): Promise<void> {
  const privateKey = await keyBelow(oak)
  const { node: intruder, connection } = await startIntruder(oak.listen, { privateKey, cluster: 'grapevine' })
  const open = (protocol: string) => connection.newStream(`/grapevine/grapevine/${protocol}/1`)
  const [control, data] = await Promise.all([open('control'), open('data')])
  const stream = kind === 'control' ? control : data
  stream.send(bytes)
  await stream.close()
  if (connection.status === 'open') await once(connection as EventTarget, 'close')
  await intruder.stop()
}

/** The smaller id opens the streams. */
async function keyBelow({ peerId }: ProcessPeer) {
  for (;;) {
    const key = await generateKeyPair('Ed25519')
    if (peerIdOf(key) < peerId) return key
  }
}

const overLink = (input: string, named: RegExp, kind: 'control' | 'data', bytes: Uint8Array): BadInput => ({
  input,
  named,
  give: (oak) => logged(oak, /"link down"/, () => sendOverLink(oak, kind, bytes)),
})

const overTcp = (input: string, named: RegExp, bytes: Uint8Array): BadInput => ({
  input,
  named,
  give: (oak) =>
    logged(oak, /"stranger refused"/, async () => {
      const socket = await connectTo(oak.listen)
      const closed = new Promise<void>((resolve) => void socket.on('close', () => resolve()))
      socket.write(bytes)
      await closed
    }),
})

const ping = encodeControl({ type: 'ping', ref: 7, updates: [] })

const topicId = topicIdOf(nodeDigests, { cluster: 'grapevine', name: 'orders', generation: 0 })
const feed = new SampleFeed({ digests: nodeDigests })
const range = Buffer.concat([
  encodeDataHeader({ ref: 0, feed: { ...feed.id, topicId } }),
  feed.open().bytes,
  feed.batch('one', 'two').bytes,
])

export const badPeers: readonly BadInput[] = [
  overTcp(
    'random bytes on the peer port',
    /^stranger refused: it speaks another protocol/,
    Uint8Array.of(3, ...randomBytes(5_000)),
  ),
  overLink(
    'random bytes as a control frame',
    /a frame that is not understood: notUtf8|notJson/,
    'control',
    framed(randomBytes(512)),
  ),
  overLink(
    'half a control frame',
    /^link down: closed by the other side, in the middle of a frame/,
    'control',
    framed(ping).subarray(0, 20),
  ),
  overLink(
    'a control frame with a bit flipped',
    /a frame that is not understood: /,
    'control',
    framed(withBitFlipped(ping, 2)),
  ),
  overLink(
    'a control frame of 4 GiB',
    /a frame of 4294967295 bytes was announced; 1 to 262144/,
    'control',
    Uint8Array.of(255, 255, 255, 255),
  ),
  overLink(
    'random bytes as a data frame',
    /a frame that is not understood: /,
    'data',
    // Any other type may be one of a newer version.
    framed(Uint8Array.of(1, ...randomBytes(511))),
  ),
  overLink(
    'a data frame cut in the middle of a batch',
    /a frame that is not understood: truncated/,
    'data',
    framed(range.subarray(0, -5)),
  ),
  overLink(
    'a data frame with a bit flipped',
    /a frame that is not understood: /,
    'data',
    framed(withBitFlipped(range, range.length - 5)),
  ),
  {
    input: 'a bit flipped on the wire between two peers',
    named: /^link down: its TLS is damaged; linked again$/,
    give: async (oak, { directory }) => {
      const wire = await startWire(oak.listen)
      await using ash = await ProcessPeer.start({ name: 'ash', data: `${directory}/flipped`, join: [wire.address] })
      await eventually('they are linked', async () => isLinked(ash, oak))
      const said = await logged(ash, /"link down"/, () => wire.flipOneBit())
      await eventually('they are linked again', async () => isLinked(ash, oak))
      await ash.end('SIGTERM')
      wire.stop()
      return `${said}; linked again`
    },
  },
  {
    input: 'a peer of another cluster',
    named: /^that peer belongs to cluster grapevine, not to garden; strangers among the members: 0$/,
    give: async (oak, { directory }) => {
      const options = { name: 'fig', data: `${directory}/fig`, join: [oak.listen], flags: ['--cluster', 'garden'] }
      await using fig = await ProcessPeer.start(options)
      let told: string | undefined
      await eventually('it is told', async () => {
        const { links } = (await (await fetch(`${fig.http}/v1/mesh/links`)).json()) as {
          links: { lastError?: string }[]
        }
        told = links[0]?.lastError
        return told !== undefined
      })
      const members = await oak.client.members()
      return `${told}; strangers among the members: ${members.filter(({ name }) => name === 'fig').length}`
    },
  },
]

async function isLinked(peer: ProcessPeer, other: ProcessPeer): Promise<boolean> {
  const members = await peer.client.members()
  return members.some(({ id, linked }) => id === other.peerId && linked)
}

/** TCP to `target`, of which one bit can be flipped. */
async function startWire(target: string) {
  const sockets: Socket[] = []
  let flips = 0
  const server = createServer((near) => {
    const [host = '', port] = target.split(':')
    const far = connect({ host, port: Number(port) })
    sockets.push(near, far)
    for (const socket of [near, far]) socket.on('error', () => undefined)
    near.pipe(far)
    far.on('data', (bytes) => near.write(flips-- > 0 ? withBitFlipped(bytes, bytes.length - 1) : bytes))
    far.on('close', () => near.destroy())
    near.on('close', () => far.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    flipOneBit: () => void (flips = 1),
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
