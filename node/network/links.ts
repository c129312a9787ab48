import type { Admission } from './admission.ts'
import { dialReasonOf } from './dial-reason.ts'
import { Dialer } from './dialer.ts'
import { Link, closeConnection, linkStreamOf, peerOf } from './link.ts'
import { networkLimits } from './network-limits.ts'
import type { LinkTable } from './dialer.ts'
import type { LinkStream, StreamKind } from './link.ts'
import type { MeshNode } from './libp2p-node.ts'
import type { DialTarget, LinkId, Transport, TransportListener } from '../driver-ports.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { PeerId } from '#protocol/ids'

export type NetworkLog = (event: string, fields: Readonly<Record<string, unknown>>) => void

export interface LinksConfig {
  readonly self: PeerId
  /** Part of each protocol id: peers of another cluster find nothing to talk about. */
  readonly cluster: string
  /** A connection that carries no link so long after it opened is closed. */
  readonly linkSetupMs: number
}

export interface LinksDeps {
  readonly node: MeshNode
  readonly admission: Admission
  readonly listener: TransportListener
  readonly refuses: (peer: PeerId) => boolean
  readonly log: NetworkLog
}

/**
 * One link per remote peer, over libp2p connections.
 *
 * Actors: for each connection, whichever side dialed, the peer with the smaller id is the *opener*: it opens the control
 * and the data stream. The other one waits for both. A link is up when both are there.
 *
 * 1. Two peers that dial each other at once get two connections. The opener uses the one it sees first; the spare one
 *    carries nothing and is closed `linkSetupMs` after it opened, like any other connection without a link.
 * 2. The opener opens streams only if it has no link. So when new ones come, the waiting side's old link is dead.
 * 3. When a peer that we have a link with dials again, it may have lost that link without our noticing (a cut). The
 *    opener asks over the old connection, and replaces it if nobody answers.
 * 4. The listener is told of every link up once and down once, never from within a call of ours.
 */
export class Links implements Transport, LinkTable {
  readonly #config: LinksConfig
  readonly #deps: LinksDeps
  readonly #dialer: Dialer
  readonly #links = new Map<LinkId, Link>()
  readonly #linkOf = new Map<PeerId, Link>()
  readonly #opening = new Map<PeerId, Connection>()
  readonly #failed = new WeakSet<Connection>()
  readonly #arrived = new WeakMap<Connection, Partial<Record<StreamKind, LinkStream>>>()
  readonly #asked = new WeakMap<Connection, Promise<boolean>>()
  readonly #dialing = new Set<string>()
  readonly #linkWaiters = new Set<{ readonly peer: PeerId; readonly run: () => void }>()
  #newestLinkId = 0
  #stopped = false

  constructor(config: LinksConfig, deps: LinksDeps) {
    this.#config = config
    this.#deps = deps
    this.#dialer = new Dialer(config, { ...deps, links: this })
  }

  /** To be called before the node starts. */
  async start(): Promise<void> {
    const { node } = this.#deps
    const options = {
      maxInboundStreams: networkLimits.streamsPerProtocolMax,
      maxOutboundStreams: networkLimits.streamsPerProtocolMax,
    }
    for (const kind of ['control', 'data'] as const) {
      await node.handle(this.#protocol(kind), (stream, over) => void this.#streamArrived(kind, stream, over), options)
    }
    node.addEventListener('connection:open', (event) => this.#connectionOpened(event.detail))
    // Addresses are membership's to remember.
    node.addEventListener('peer:disconnect', (event) => void node.peerStore.delete(event.detail).catch(() => undefined))
  }

  /** Passes on what was sent, closes all links and tells nobody any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    const links = [...this.#links.values()]
    for (const link of links) link.down({ cause: 'closed', reason: 'this peer stops' })
    await Promise.all(links.map((link) => link.closed))
    await Promise.all(this.#deps.node.getConnections().map(closeConnection))
  }

  dial(target: DialTarget): void {
    const key = target.type === 'seed' ? target.address : target.peer
    if (this.#stopped || this.#dialing.has(key)) return
    if (target.type === 'member' && this.#linkOf.has(target.peer)) return
    this.#dialing.add(key)
    void this.#dialer.dial(target).then((failure) => {
      this.#dialing.delete(key)
      if (failure === undefined) return
      const { reason, there } = failure
      this.#deps.log('dial failed', { target, reason })
      this.#tell((listener) => listener.dialFailed(target, reason, there))
    })
  }

  sendControl(link: LinkId, frame: Uint8Array): void {
    this.#links.get(link)?.sendControl(frame)
  }

  sendData(link: LinkId, parts: readonly Uint8Array[], written: () => void): void {
    this.#links.get(link)?.sendData(parts, written)
  }

  close(link: LinkId, reason: string): void {
    this.#links.get(link)?.down({ cause: 'closed', reason })
  }

  get newestLinkId(): LinkId {
    return this.#newestLinkId
  }

  linkIdOf(peer: PeerId): LinkId | undefined {
    return this.#linkOf.get(peer)?.id
  }

  onLinked(peer: PeerId, run: () => void): () => void {
    const waiter = { peer, run }
    this.#linkWaiters.add(waiter)
    return () => this.#linkWaiters.delete(waiter)
  }

  #connectionOpened(connection: Connection): void {
    setTimeout(() => this.#closeIfSpare(connection), this.#config.linkSetupMs).unref()
    this.#deps.admission.opened(connection)
    if (this.#config.self < peerOf(connection)) void this.#openStreams(connection)
  }

  #closeIfSpare(connection: Connection): void {
    const peer = peerOf(connection)
    if (connection.status !== 'open' || this.#linkOf.get(peer)?.connection === connection) return
    this.#deps.admission.overdue(connection)
    this.#deps.log('close spare connection', { peer })
    void closeConnection(connection)
  }

  async #openStreams(connection: Connection): Promise<void> {
    const peer = peerOf(connection)
    if ((await this.#deps.admission.verdict(connection)) !== undefined) return
    if (this.#deps.refuses(peer) || !(await this.#lacksLink(peer)) || this.#opening.has(peer)) return
    this.#opening.set(peer, connection)
    try {
      const [control, data] = await Promise.all([
        this.#openStream('control', connection),
        this.#openStream('data', connection),
      ])
      this.#up(connection, { control, data })
    } catch (error) {
      this.#failed.add(connection)
      this.#deps.log('streams not opened', { peer, reason: dialReasonOf(error) })
    } finally {
      this.#opening.delete(peer)
    }
    if (!this.#linkOf.has(peer)) this.#tryAnotherConnection(connection)
  }

  /** No link, or one that the other side has forgotten (3). */
  async #lacksLink(peer: PeerId): Promise<boolean> {
    const link = this.#linkOf.get(peer)
    if (link === undefined) return true
    if (await this.#answers(link.connection)) return false
    link.down({ cause: 'broken', reason: 'no answer over it, while the other side dialed again' })
    return !this.#linkOf.has(peer)
  }

  /** Asked once at a time, however many connections come that make one doubt it. */
  #answers(connection: Connection): Promise<boolean> {
    const asked = this.#asked.get(connection)
    if (asked !== undefined) return asked
    const answer = this.#deps.admission.ask(connection, networkLimits.answerMs).then((refusal) => {
      this.#asked.delete(connection)
      return refusal === undefined
    })
    this.#asked.set(connection, answer)
    return answer
  }

  async #openStream(kind: StreamKind, connection: Connection): Promise<LinkStream> {
    const signal = AbortSignal.timeout(this.#config.linkSetupMs)
    return linkStreamOf(kind, await connection.newStream(this.#protocol(kind), { signal }))
  }

  // The connection that we chose may be the one that breaks while its spare lives.
  #tryAnotherConnection(failed: Connection): void {
    const others = this.#deps.node.getConnections(failed.remotePeer)
    const other = others.find((connection) => connection.status === 'open' && !this.#failed.has(connection))
    if (other !== undefined) void this.#openStreams(other)
  }

  async #streamArrived(kind: StreamKind, stream: Stream, connection: Connection): Promise<void> {
    const peer = peerOf(connection)
    const { admission } = this.#deps
    // Who dialed opens nothing before we have admitted it.
    const isEarly = connection.direction === 'inbound' && !admission.isAdmitted(connection)
    if (isEarly || !this.#expects(peer)) return stream.abort(new Error('no stream was expected'))
    // What comes on it has to be heard from now on, though nobody listens before we, who dialed, have admitted the other side.
    const arrived = linkStreamOf(kind, stream)
    if ((await admission.verdict(connection)) !== undefined || connection.status !== 'open' || !this.#expects(peer)) {
      return stream.abort(new Error('no stream was expected'))
    }
    const streams = { ...this.#arrived.get(connection), [kind]: arrived }
    this.#arrived.set(connection, streams)
    if (streams.control === undefined || streams.data === undefined) return
    this.#linkOf.get(peer)?.down({ cause: 'closed', reason: 'the other side opened a new link' })
    this.#up(connection, { control: streams.control, data: streams.data })
  }

  /** The one with the smaller id opens streams. */
  #expects(peer: PeerId): boolean {
    return !this.#stopped && !this.#deps.refuses(peer) && peer < this.#config.self
  }

  #up(connection: Connection, streams: Record<StreamKind, LinkStream>): void {
    if (this.#stopped) return
    const id = ++this.#newestLinkId
    const peer = peerOf(connection)
    const link: Link = new Link({ id, peer, connection, ...streams }, (end) => {
      this.#links.delete(id)
      if (this.#linkOf.get(peer) === link) this.#linkOf.delete(peer)
      this.#tell((listener) => listener.linkDown(id, end.cause, end.reason))
    })
    this.#links.set(id, link)
    this.#linkOf.set(peer, link)
    for (const waiter of this.#linkWaiters) if (waiter.peer === peer) waiter.run()
    this.#tell((listener) => {
      listener.linkUp(id, peer)
      link.startReading(listener)
    })
  }

  // Later than the promises of the dial that led to it: when the listener hears of a link, its dial is over.
  #tell(fact: (listener: TransportListener) => void): void {
    setImmediate(() => {
      if (!this.#stopped) fact(this.#deps.listener)
    })
  }

  #protocol(kind: StreamKind): string {
    return `/grapevine/${this.#config.cluster}/${kind}/1`
  }
}
