import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { createConnection, type Socket } from 'node:net'
import { connect } from 'node:tls'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { streamPair } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import fc from 'fast-check'
import { createLibp2p } from 'libp2p'
import { afterEach, describe, expect, test } from 'vitest'
import { listenedAddresses } from './addresses.ts'
import { certificateOf, peerOfCertificate } from './certificate.ts'
import { der, derValuesOf } from './der.ts'
import { createMeshNode } from './libp2p-node.ts'
import { PeerTls } from './peer-tls.ts'
import { nodeStreamOf } from './tls-streams.ts'
import { peerIdOf } from '../identity.ts'
import type { MeshNode } from './libp2p-node.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'

const nodes: MeshNode[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map(async (node) => node.stop()))
})

const started = async (node: MeshNode): Promise<MeshNode> => {
  nodes.push(node)
  await node.start()
  return node
}
const ours = async (): Promise<MeshNode> => {
  const privateKey = await generateKeyPair('Ed25519')
  return started(await createMeshNode({ privateKey, listen: '127.0.0.1:0', refuses: () => false }))
}
type Encrypters = NonNullable<NonNullable<Parameters<typeof createLibp2p>[0]>['connectionEncrypters']>
const plain = async (connectionEncrypters: Encrypters): Promise<MeshNode> =>
  started(
    await createLibp2p({
      start: false,
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters,
      streamMuxers: [yamux()],
    }),
  )

/** Says one word over a new connection, and hears it. */
async function talk(from: MeshNode, to: MeshNode): Promise<{ encryption: string | undefined; heard: string }> {
  const heard = Promise.withResolvers<string>()
  await to.handle('/word', (stream) => {
    stream.addEventListener('message', ({ data }) => heard.resolve(Buffer.from(data.subarray()).toString()))
  })
  const connection = await from.dial(to.getMultiaddrs())
  expect(connection.remotePeer.equals(to.peerId)).toBe(true)
  const stream = await connection.newStream('/word')
  stream.send(Buffer.from('hello'))
  return { encryption: connection.encryption, heard: await heard.promise }
}

describe('a peer is understood by', () => {
  const spoken = { heard: 'hello' }
  test('another', async () => {
    expect(await talk(await ours(), await ours())).toEqual({ ...spoken, encryption: '/tls/1.0.0' })
  })
  test('the TLS of libp2p, which dials it', async () => {
    expect(await talk(await plain([tls()]), await ours())).toEqual({ ...spoken, encryption: '/tls/1.0.0' })
  })
  test('the TLS of libp2p, which it dials', async () => {
    expect(await talk(await ours(), await plain([tls()]))).toEqual({ ...spoken, encryption: '/tls/1.0.0' })
  })
  test('who knows noise alone, and dials it', async () => {
    expect(await talk(await plain([noise()]), await ours())).toEqual({ ...spoken, encryption: '/noise' })
  })
  test('who knows noise alone, and is dialed', async () => {
    expect(await talk(await ours(), await plain([noise()]))).toEqual({ ...spoken, encryption: '/noise' })
  })
})

/** A socket on which TLS with that peer is to begin. */
async function agreedOnTls(peer: MeshNode): Promise<Socket> {
  const [host, port] = (listenedAddresses(peer)[0] ?? '').split(':')
  const socket = createConnection({ host: host ?? '', port: Number(port) })
  const words = '\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n'
  socket.write(words)
  let heard = 0
  while (heard < words.length) heard += ((await once(socket, 'data')) as [Buffer])[0].byteLength
  return socket
}

describe('a connection', () => {
  test('that ends during the handshake leaves nothing behind', async () => {
    const peer = await ours()
    const socket = await agreedOnTls(peer)
    socket.destroy()
    expect((await talk(await ours(), peer)).heard).toBe('hello')
    expect(peer.getConnections()).toHaveLength(1)
  })

  test('of who shows no certificate is refused', async () => {
    const [outbound, inbound] = await streamPair()
    const upgrader = { getStreamMuxers: () => new Map() }
    const secured = new PeerTls(await generateKeyPair('Ed25519'), { upgrader }).secureInbound(inbound)
    const stranger = connect({ socket: nodeStreamOf(outbound), rejectUnauthorized: false, ALPNProtocols: ['libp2p'] })
    stranger.on('error', () => undefined)
    await expect(secured).rejects.toThrow('it showed no certificate')
    expect(inbound.status).toBe('aborted')
  })
})

describe('a certificate', () => {
  const certificate = async (identity: Ed25519PrivateKey): Promise<X509Certificate> =>
    new X509Certificate((await certificateOf(identity)).cert)

  test('names the identity that has signed its key', async () => {
    const identity = await generateKeyPair('Ed25519')
    expect(String(await peerOfCertificate(await certificate(identity)))).toBe(peerIdOf(identity))
  })

  test('in the name of another peer is refused', async () => {
    const [thief, victim] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')])
    const claimed = { publicKey: victim.publicKey, sign: (bytes: Uint8Array) => thief.sign(bytes) }
    const forged = await certificate(claimed as Ed25519PrivateKey)
    await expect(peerOfCertificate(forged)).rejects.toThrow('not signed by its identity')
  })

  test('with the proof of another certificate is refused', async () => {
    const victim = await generateKeyPair('Ed25519')
    let seen: Uint8Array = new Uint8Array()
    const sign = async (bytes: Uint8Array): Promise<Uint8Array> => (seen = await victim.sign(bytes))
    await certificate({ publicKey: victim.publicKey, sign } as Ed25519PrivateKey)
    const copied = await certificate({ publicKey: victim.publicKey, sign: () => seen } as unknown as Ed25519PrivateKey)
    await expect(peerOfCertificate(copied)).rejects.toThrow('not signed by its identity')
  })

  test('that is not valid any more is refused', async () => {
    const good = await certificate(await generateKeyPair('Ed25519'))
    const old = new Proxy(good, { get: (on, key) => (key === 'validToDate' ? new Date(0) : Reflect.get(on, key, on)) })
    await expect(peerOfCertificate(old)).rejects.toThrow('not valid at this time')
  })

  test('that was changed is refused, wherever', async () => {
    const { raw } = await certificate(await generateKeyPair('Ed25519'))
    const outcomes = await Promise.all(
      Array.from({ length: raw.byteLength }, async (_, at) => {
        const bytes = Buffer.from(raw)
        bytes[at] = (bytes[at] as number) ^ 1
        return Promise.resolve()
          .then(() => peerOfCertificate(new X509Certificate(bytes)))
          .then(
            () => 'taken',
            () => 'refused',
          )
      }),
    )
    expect(new Set(outcomes)).toEqual(new Set(['refused']))
  })
})

describe('DER', () => {
  const value = fc.record({ tag: fc.constantFrom(0x02, 0x04, 0x30, 0xa3), content: fc.uint8Array({ maxLength: 700 }) })

  test('is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), (values) => {
        const written = Buffer.concat(values.map(({ tag, content }) => der(tag, content)))
        const read = derValuesOf(written)?.map(({ tag, content }) => ({ tag, content: new Uint8Array(content) }))
        expect(read).toEqual(values)
      }),
    )
  })

  test('that is none is nothing, and no error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const read = derValuesOf(bytes)
        const size = read?.reduce((sum, { tag, content }) => sum + der(tag, content).byteLength, 0) ?? 0
        expect(size).toBeLessThanOrEqual(bytes.byteLength)
      }),
    )
  })
})
