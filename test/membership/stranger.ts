import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection } from '@libp2p/interface'
import { pause } from '#client/backoff'
import { multiaddrsOf } from '#node/network/addresses'
import { admissionProtocol } from '#node/network/admission'
import { newNonce } from '#node/network/admission-proof'
import { encodeFrame } from '#node/network/frame-decoder'
import { createMeshNode, type MeshNode } from '#node/network/libp2p-node'
import { startIntruder } from '#node/network/test-peers'
import { utf8 } from '#protocol/text'

/** A process of one kind of stranger, which comes to a peer again and again until it is told `enough`. */
export interface Tally {
  readonly visits: number
  /** Of these, by the peer or for want of one, before they were through. */
  readonly brokenOff: number
  /** Heard on streams other than that of admission. */
  readonly bytes: number
}

const cluster = 'grapevine'
const atOnce = 4
const pauseMs = 100
const visitMsMax = 15_000

type Visit = (address: string, secret: string) => Promise<number>

const visits = {
  'knows another secret': (address) => asked(address, cluster, ['w'.repeat(64)]),
  'knows no secret': (address) => asked(address, cluster, []),
  'belongs to another cluster': (address, secret) => asked(address, 'garden', [secret]),
  'opens the streams of a link without asking': (address) => dialed(address, askForStreams),
  'replays a proof': (address) =>
    dialed(address, (connection) => talk(connection, [{ cluster, nonce: newNonce() }, { proofs: ['p'.repeat(43)] }])),
  'stops in the middle of the handshake': (address) =>
    dialed(address, (connection) => talk(connection, [{ cluster, nonce: newNonce() }])),
  'connects and is silent': (address) => raw(address, new Uint8Array()),
  'connects and talks nonsense': (address) => raw(address, randomBytes(4_096)),
} satisfies Readonly<Record<string, Visit>>

export const kinds = Object.keys(visits) as (keyof typeof visits)[]

/** A peer of ours, except for what it knows; then it tries to open the streams all the same. */
async function asked(address: string, itsCluster: string, secrets: readonly string[]): Promise<number> {
  const privateKey = await generateKeyPair('Ed25519')
  const { node, connection, refusal } = await startIntruder(address, { privateKey, cluster: itsCluster, secrets })
  try {
    if (refusal === undefined) throw new Error('a stranger was admitted')
    return await askForStreams(connection).catch(() => 0)
  } finally {
    await node.stop()
  }
}

async function dialed(address: string, visit: (connection: Connection) => Promise<number>): Promise<number> {
  const node: MeshNode = await createMeshNode({
    privateKey: await generateKeyPair('Ed25519'),
    listen: '0.0.0.0:0',
    refuses: () => false,
  })
  await node.start()
  try {
    return await visit(await node.dial(await multiaddrsOf(address)))
  } finally {
    await node.stop()
  }
}

async function askForStreams(connection: Connection): Promise<number> {
  let bytes = 0
  for (const kind of ['control', 'data']) {
    const stream = await connection.newStream(`/grapevine/${cluster}/${kind}/1`)
    stream.addEventListener('message', ({ data }) => (bytes += data.byteLength))
    if (stream.status === 'open') await once(stream as EventTarget, 'close')
  }
  await closed(connection)
  return bytes
}

/** Says these on the stream of admission, and stays until it is closed. */
async function talk(connection: Connection, messages: readonly object[]): Promise<number> {
  const stream = await connection.newStream(admissionProtocol)
  for (const message of messages) stream.send(encodeFrame([utf8(JSON.stringify(message))]))
  await closed(connection)
  return 0
}

async function closed(connection: Connection): Promise<void> {
  if (connection.status === 'open') await once(connection as EventTarget, 'close')
}

/** Without any protocol; until the other side closes. */
async function raw(address: string, bytes: Uint8Array): Promise<number> {
  const [host = '', port] = address.split(':')
  const socket = connect({ host, port: Number(port) })
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(bytes)
  socket.resume()
  await once(socket, 'close', { signal: AbortSignal.timeout(visitMsMax) }).catch(() => socket.destroy())
  return 0
}

if (import.meta.main) {
  const [kind = '', address = '', secret = ''] = process.argv.slice(2)
  const visit: Visit = visits[kind as keyof typeof visits]
  const stop = new AbortController()
  const tally = { visits: 0, brokenOff: 0, bytes: 0 }
  process.once('message', () => stop.abort())
  const come = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        tally.bytes += await visit(address, secret)
      } catch {
        // Being closed in the middle of something is what a stranger has to expect.
        tally.brokenOff++
      }
      tally.visits++
      await pause(pauseMs, stop.signal).catch(() => undefined)
    }
  }
  const comings = Array.from({ length: atOnce }, come)
  await once(stop.signal, 'abort')
  process.send?.(tally, () => process.exit())
  await Promise.all(comings)
}
