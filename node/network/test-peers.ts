import { createServer, connect } from 'node:net'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdOf } from '../identity.ts'
import { multiaddrsOf } from './addresses.ts'
import { Admission } from './admission.ts'
import { createMeshNode, type MeshNode } from './libp2p-node.ts'
import { networkLimits } from './network-limits.ts'
import { createTransport } from './network.ts'
import { Strangers } from './strangers.ts'
import { utf8, textOf } from '#protocol/text'
import type { Connection, Ed25519PrivateKey } from '@libp2p/interface'
import type { AddressInfo, Socket } from 'node:net'
import type { NetworkConfig, Network } from './network.ts'
import type { DialTarget, LinkId, TransportListener } from '../driver-ports.ts'
import type { PeerId } from '#protocol/ids'

/** For tests: what a listener hears, as values that can be awaited and compared. */
export type Heard =
  | { readonly type: 'linkUp'; readonly link: LinkId; readonly peer: PeerId }
  | { readonly type: 'linkDown'; readonly link: LinkId; readonly cause: 'closed' | 'broken'; readonly reason: string }
  | { readonly type: 'control'; readonly link: LinkId; readonly text: string }
  | { readonly type: 'data'; readonly link: LinkId; readonly frame: Uint8Array }
  | {
      readonly type: 'dialFailed'
      readonly target: DialTarget
      readonly reason: string
      readonly there: PeerId | undefined
    }

export class RecordingListener implements TransportListener {
  readonly heard: Heard[] = []
  readonly #waiters = new Set<() => void>()

  linkUp(link: LinkId, peer: PeerId): void {
    this.#hear({ type: 'linkUp', link, peer })
  }
  linkDown(link: LinkId, cause: 'closed' | 'broken', reason: string): void {
    this.#hear({ type: 'linkDown', link, cause, reason })
  }
  controlFrame(link: LinkId, frame: Uint8Array): void {
    this.#hear({ type: 'control', link, text: textOf(frame) ?? '' })
  }
  dataFrame(link: LinkId, frame: Uint8Array): void {
    this.#hear({ type: 'data', link, frame })
  }
  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.#hear({ type: 'dialFailed', target, reason, there })
  }

  all<T extends Heard['type']>(type: T): Extract<Heard, { type: T }>[] {
    return this.heard.filter((fact): fact is Extract<Heard, { type: T }> => fact.type === type)
  }

  /** Resolves with the `count`th fact of this type; the test's own deadline is the limit. */
  async nth<T extends Heard['type']>(type: T, count = 1): Promise<Extract<Heard, { type: T }>> {
    for (;;) {
      const fact = this.all(type)[count - 1]
      if (fact !== undefined) return fact
      await new Promise<void>((resolve) => this.#waiters.add(resolve))
    }
  }

  #hear(fact: Heard): void {
    this.heard.push(fact)
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const wake of waiters) wake()
  }
}

export interface TestPeer extends Network {
  readonly listener: RecordingListener
  readonly address: string
  /** The link that is up, with its peer. */
  readonly links: () => { readonly link: LinkId; readonly peer: PeerId }[]
  say(link: LinkId, text: string): void
}

/** Starts peers on free loopback ports and stops them in the end (`afterEach(peers.stopAll)`). */
export function testPeers(): {
  start(config?: Partial<NetworkConfig>): Promise<TestPeer>
  stopAll(): Promise<void>
} {
  const running: TestPeer[] = []
  return {
    async start(config = {}) {
      const listener = new RecordingListener()
      const privateKey = await generateKeyPair('Ed25519')
      const defaults = { privateKey, cluster: 'orchard', listen: '127.0.0.1:0', lab: false, log: () => undefined }
      const network = await createTransport({ ...defaults, ...config }, listener)
      const peer: TestPeer = {
        ...network,
        listener,
        address: network.addresses[0] ?? '',
        links: () => {
          const down = new Set(listener.all('linkDown').map((fact) => fact.link))
          return listener.all('linkUp').filter((fact) => !down.has(fact.link))
        },
        say: (link, text) => network.transport.sendControl(link, utf8(text)),
      }
      running.push(peer)
      return peer
    },
    async stopAll() {
      await Promise.all(running.splice(0).map((peer) => peer.stop()))
    },
  }
}

/** A libp2p node that has dialed a peer and was admitted by it, and says what it likes from then on. */
export async function startIntruder(
  address: string,
  { privateKey, cluster, secrets = [] }: Pick<NetworkConfig, 'privateKey' | 'cluster' | 'secrets'>,
): Promise<{ readonly node: MeshNode; readonly connection: Connection; readonly refusal: string | undefined }> {
  const refuses = (): boolean => false
  const node = await createMeshNode({ privateKey, listen: '127.0.0.1:0', refuses })
  await node.start()
  const connection = await node.dial(await multiaddrsOf(address))
  const strangers = new Strangers(() => undefined)
  const timeoutMs = networkLimits.linkSetupMs
  const admission = new Admission(
    { self: peerIdOf(privateKey), cluster, secrets, timeoutMs },
    { node, strangers, refuses },
  )
  return { node, connection, refusal: await admission.ask(connection, timeoutMs) }
}

/** Two keys, that of the smaller peer id first: it opens the streams. */
export async function keysInOrder(): Promise<[Ed25519PrivateKey, Ed25519PrivateKey]> {
  const [a, b] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')])
  return peerIdOf(a) < peerIdOf(b) ? [a, b] : [b, a]
}

/** A wire that a test can cut: TCP connections to `target` pass through it. */
export async function startWire(target: string): Promise<{
  readonly address: string
  readonly reset: () => void
  readonly end: () => void
  /** Nothing more gets through on the connections of now, and nobody is told. */
  readonly swallow: () => void
  /** Resolves when the first connection through it has ended. */
  readonly closed: Promise<void>
  readonly stop: () => void
}> {
  const [host, port] = target.split(':')
  const pairs: [Socket, Socket][] = []
  const closed = Promise.withResolvers<void>()
  const server = createServer((near) => {
    const far = connect({ host: host ?? '', port: Number(port) })
    near.pipe(far).pipe(near)
    for (const socket of [near, far]) socket.on('error', () => undefined)
    near.on('close', () => closed.resolve())
    pairs.push([near, far])
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const each = (action: (socket: Socket) => void): void => pairs.flat().forEach(action)
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    reset: () => each((socket) => socket.resetAndDestroy()),
    end: () => each((socket) => socket.destroy()),
    swallow: () => each((socket) => socket.unpipe().pause()),
    closed: closed.promise,
    stop: () => {
      each((socket) => socket.destroy())
      server.close()
    },
  }
}
