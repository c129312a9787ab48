import type { DialTarget, LinkId, Transport, TransportListener } from '../driver-ports.ts'
import type { PeerId } from '#protocol/ids'

/**
 * A cut that one can make by hand (lab mode, DESIGN §11). Between the driver and its transport: frames from and to
 * dropped peers vanish in both directions while the links stay open, as when packets are lost; dials are refused. A link
 * that lost frames has no ordered prefix any more, so it is reset when its peer is no longer dropped.
 */
export class LabFilter implements Transport, TransportListener {
  readonly #listener: TransportListener
  #transport: Transport | undefined
  #dropped: ReadonlySet<PeerId> = new Set()
  /** `hidden`: came up while its peer was dropped; the listener does not know it. */
  readonly #links = new Map<LinkId, { readonly peer: PeerId; readonly hidden: boolean; lostFrames: boolean }>()

  constructor(listener: TransportListener) {
    this.#listener = listener
  }

  /** The transport below, which reports to this filter. */
  attach(transport: Transport): void {
    this.#transport = transport
  }

  get dropped(): ReadonlySet<PeerId> {
    return this.#dropped
  }

  /** From now on exactly these peers are cut off; the empty set heals everything. */
  drop(peers: Iterable<PeerId>): void {
    this.#dropped = new Set(peers)
    for (const [id, link] of this.#links) {
      if (link.lostFrames && !this.#dropped.has(link.peer)) this.#transport?.close(id, 'reset by the heal of lab mode')
    }
  }

  dial(target: DialTarget): void {
    if (target.type === 'member' && this.#dropped.has(target.peer)) {
      queueMicrotask(() => this.#listener.dialFailed(target, 'cut off by lab mode'))
    } else this.#transport?.dial(target)
  }

  sendControl(link: LinkId, frame: Uint8Array): void {
    if (!this.#loses(link)) this.#transport?.sendControl(link, frame)
  }

  /** A lost frame is never `written`: behind a real cut the stream would fill up and take nothing either. */
  sendData(link: LinkId, parts: readonly Uint8Array[], written: () => void): void {
    if (!this.#loses(link)) this.#transport?.sendData(link, parts, written)
  }

  close(link: LinkId, reason: string): void {
    this.#transport?.close(link, reason)
  }

  linkUp(link: LinkId, peer: PeerId): void {
    const hidden = this.#dropped.has(peer)
    this.#links.set(link, { peer, hidden, lostFrames: false })
    if (hidden) this.#transport?.close(link, 'cut off by lab mode')
    else this.#listener.linkUp(link, peer)
  }

  linkDown(link: LinkId, cause: 'closed' | 'broken', reason: string): void {
    const known = this.#links.get(link)
    this.#links.delete(link)
    if (known?.hidden === false) this.#listener.linkDown(link, cause, reason)
  }

  controlFrame(link: LinkId, frame: Uint8Array): void {
    if (!this.#loses(link)) this.#listener.controlFrame(link, frame)
  }

  dataFrame(link: LinkId, frame: Uint8Array): void {
    if (!this.#loses(link)) this.#listener.dataFrame(link, frame)
  }

  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.#listener.dialFailed(target, reason, there)
  }

  #loses(id: LinkId): boolean {
    const link = this.#links.get(id)
    if (link === undefined || !(link.hidden || this.#dropped.has(link.peer))) return false
    link.lostFrames = true
    return true
  }
}
