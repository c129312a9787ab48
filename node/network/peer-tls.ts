import { TLSSocket, connect, createSecureContext } from 'node:tls'
import type { SecureContext } from 'node:tls'
import { InvalidCryptoExchangeError, UnexpectedPeerError } from '@libp2p/interface'
import type {
  ConnectionEncrypter,
  Ed25519PrivateKey,
  MessageStream,
  PeerId as Libp2pPeerId,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
  Upgrader,
} from '@libp2p/interface'
import { certificateOf, peerOfCertificate } from './certificate.ts'
import { DecryptedStream, nodeStreamOf } from './tls-streams.ts'

/** Of libp2p, which has its parts ready when the first of them is used. */
interface PeerTlsDeps {
  readonly upgrader: Pick<Upgrader, 'getStreamMuxers'>
}

/** What is said in ALPN where no muxer is agreed on. */
const noMuxer = 'libp2p'
const versions = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const

/**
 * TLS between peers, as specified (github.com/libp2p/specs/blob/master/tls/tls.md), with one certificate for all connections of a process.
 * `@libp2p/tls` makes one for each, in JavaScript, and reads that of the other side in JavaScript too: with all that it loads for that it
 * was a third of a peer's start, and most of what a link costs.
 */
export class PeerTls implements ConnectionEncrypter {
  readonly protocol = '/tls/1.0.0'
  readonly #deps: PeerTlsDeps
  readonly #context: Promise<SecureContext>

  constructor(identity: Ed25519PrivateKey, deps: PeerTlsDeps) {
    this.#deps = deps
    this.#context = certificateOf(identity).then((certificate) => createSecureContext({ ...certificate, ...versions }))
    // Whoever secures a connection is told.
    this.#context.catch(() => undefined)
  }

  async secureOutbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    const secureContext = await this.#context
    const ALPNProtocols = [...this.#muxers(options).keys(), noMuxer]
    return secured(stream, options, (socket) => {
      const tls = connect({ socket, secureContext, ...unnamed, ALPNProtocols })
      return { tls, muxer: () => this.#muxers(options).get(tls.alpnProtocol || noMuxer) }
    })
  }

  async secureInbound(stream: MessageStream, options?: SecureConnectionOptions): Promise<SecuredConnection> {
    const secureContext = await this.#context
    const muxers = this.#muxers(options)
    return secured(stream, options, (socket) => {
      let chosen: string | undefined
      const ALPNCallback = ({ protocols }: { protocols: string[] }): string | undefined =>
        (chosen = protocols.find((protocol) => muxers.has(protocol) || protocol === noMuxer))
      const tls = new TLSSocket(socket, { isServer: true, requestCert: true, secureContext, ...unnamed, ALPNCallback })
      return { tls, muxer: () => muxers.get(chosen ?? noMuxer) }
    })
  }

  #muxers(options: SecureConnectionOptions | undefined): ReadonlyMap<string, StreamMuxerFactory> {
    return options?.skipStreamMuxerNegotiation === true ? new Map() : this.#deps.upgrader.getStreamMuxers()
  }
}

/** No authority signs certificates of peers: who that is, we find out ourselves. */
const unnamed = { rejectUnauthorized: false }

type Handshake = (socket: ReturnType<typeof nodeStreamOf>) => {
  readonly tls: TLSSocket
  readonly muxer: () => StreamMuxerFactory | undefined
}

async function secured(
  stream: MessageStream,
  options: SecureConnectionOptions | undefined,
  begin: Handshake,
): Promise<SecuredConnection> {
  options?.signal?.throwIfAborted()
  const socket = nodeStreamOf(stream)
  const { tls, muxer } = begin(socket)
  const done = Promise.withResolvers<void>()
  const fail = (error: Error): void => {
    tls.destroy()
    stream.abort(error)
    done.reject(error)
  }
  // For as long as it lives: what goes wrong later ends the connection, too.
  tls.on('error', fail)
  socket.on('error', fail)
  tls.once('close', () => done.reject(new Error('the connection closed during the handshake')))
  tls.once('secure', () => done.resolve())
  const onAbort = (): void => fail(options?.signal?.reason as Error)
  options?.signal?.addEventListener('abort', onAbort)
  try {
    await done.promise
    const remotePeer = await peerBehind(tls, options?.remotePeer)
    if (tls.destroyed || stream.status !== 'open') throw new Error('the connection closed during the handshake')
    const streamMuxer = muxer()
    const connection = new DecryptedStream(stream, tls)
    return { connection, remotePeer, ...(streamMuxer && { streamMuxer }) }
  } catch (error) {
    fail(error as Error)
    throw error
  } finally {
    options?.signal?.removeEventListener('abort', onAbort)
  }
}

async function peerBehind(tls: TLSSocket, expected: Libp2pPeerId | undefined): Promise<Libp2pPeerId> {
  const certificate = tls.getPeerX509Certificate()
  if (certificate === undefined) throw new InvalidCryptoExchangeError('it showed no certificate')
  const peer = await peerOfCertificate(certificate)
  if (expected?.equals(peer) === false) throw new UnexpectedPeerError()
  return peer
}
