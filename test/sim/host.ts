import type { DialTarget, LinkId, Transport, TransportListener } from '#node/driver-ports'
import type { PeerId } from '#protocol/ids'
import type { Life } from './life.ts'
import type { End, Link } from './link.ts'
import type { SimNetwork } from './network.ts'

/** The network of one process: its side of every link, and the port through which it sees them. */
export class Host implements Transport {
  readonly peer: PeerId
  /** A machine is called as the peer that runs on it; the clone of one has a name of its own. */
  readonly machine: PeerId
  readonly address: string
  readonly life: Life
  readonly #network: SimNetwork
  readonly #links = new Map<LinkId, { readonly link: Link; readonly end: End }>()
  /** Addresses of seeds, and members. Each dial ends once, in a link or in a failure. */
  readonly #dialing = new Set<string>()
  #listener: TransportListener | undefined
  #lastLinkId = 0

  constructor(
    network: SimNetwork,
    self: { readonly peer: PeerId; readonly machine: PeerId; readonly address: string; readonly life: Life },
  ) {
    this.#network = network
    this.peer = self.peer
    this.machine = self.machine
    this.address = self.address
    this.life = self.life
  }

  get listener(): TransportListener {
    if (this.#listener === undefined) throw new Error(`${this.peer} listens before it is started`)
    return this.#listener
  }

  listen(listener: TransportListener): void {
    this.#listener = listener
    this.#network.listening(this)
  }

  dial(target: DialTarget): void {
    if (this.#dialing.has(keyOf(target))) return
    if (target.type === 'member' && this.linkWith(target.peer)?.state === 'up') return
    this.#dialing.add(keyOf(target))
    this.#network.dial(this, target)
  }

  sendControl(id: LinkId, frame: Uint8Array): void {
    const at = this.#links.get(id)
    at?.link.sendControl(at.end, frame)
  }

  sendData(id: LinkId, parts: readonly Uint8Array[], written: () => void): void {
    const at = this.#links.get(id)
    at?.link.sendData(at.end, parts, written)
  }

  close(id: LinkId, reason: string): void {
    const at = this.#links.get(id)
    at?.link.close(at.end, reason)
  }

  get lastLinkId(): LinkId {
    return this.#lastLinkId
  }

  takeLinkId(): LinkId {
    return ++this.#lastLinkId
  }

  /** An opening link is a link: it keeps a second one from being opened. */
  add(link: Link): void {
    const end = link.endOf(this)
    this.#links.set(end.id, { link, end })
  }

  linkWith(peer: PeerId): End | undefined {
    for (const { link, end } of this.#links.values()) {
      if (link.otherEnd(end).host.peer === peer) return end
    }
    return undefined
  }

  /** Who is at the other end of the link with that peer. */
  partnerOf(peer: PeerId): Host | undefined {
    for (const { link, end } of this.#links.values()) {
      const { host } = link.otherEnd(end)
      if (host.peer === peer) return host
    }
    return undefined
  }

  dropLinksWith(peer: PeerId, reason: string): void {
    for (const { link, end } of this.#links.values()) {
      if (link.otherEnd(end).host.peer === peer) link.lose(end, reason)
    }
  }

  links(): readonly { readonly link: Link; readonly end: End }[] {
    return [...this.#links.values()]
  }

  linkUp(link: Link, end: End): void {
    this.add(link)
    const other = link.otherEnd(end).host
    for (const key of [other.address, other.peer]) this.#dialing.delete(key)
    this.life.do(() => this.listener.linkUp(end.id, link.otherEnd(end).host.peer))
  }

  /** Told in a turn of its own: `close` does not call back into its caller. */
  linkDown(
    end: End,
    how: { readonly wasUp: boolean; readonly cause: 'closed' | 'broken'; readonly reason: string },
  ): void {
    this.#links.delete(end.id)
    if (!how.wasUp) return
    this.#network.soon(() => this.life.do(() => this.listener.linkDown(end.id, how.cause, how.reason)))
  }

  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.life.do(() => {
      if (!this.#dialing.delete(keyOf(target))) return
      this.#network.tap?.dialFailed(this.machine, addressesIn(target)[0] ?? '', reason)
      this.listener.dialFailed(target, reason, there)
    })
  }
}

const keyOf = (target: DialTarget): string => (target.type === 'seed' ? target.address : target.peer)

/** A machine has one address; a peer with a clone has two. */
export const addressesIn = (target: DialTarget): readonly string[] =>
  target.type === 'seed' ? [target.address] : target.addresses
