import type { Clock, DialTarget, LinkId, Transport, TransportListener } from '../driver-ports.ts'
import { DelayedFrames, type LabWay, transitMs } from './lab-delay.ts'
import type { PeerId } from '#protocol/ids'
import type { Random } from '#protocol/machine'

export interface LabFilterDeps {
  readonly clock: Pick<Clock, 'nowMs' | 'after'>
  readonly random: Random
}

interface FilteredLink {
  readonly peer: PeerId
  /** Came up while its peer was cut off; the listener does not know it. */
  readonly hidden: boolean
  readonly arriving: DelayedFrames
  /** It is down, and its last frames are still on their way: tells the listener. */
  end?: () => void
  lostIn: boolean
  lostOut: boolean
}

/**
 * A cut that one can make by hand (lab mode, DESIGN §11), between the driver and its transport.
 *
 * 1. Frames from and to *dropped* peers vanish while the links stay open, as when packets are lost; dials are refused.
 * 2. A *way* is what frames from one peer suffer before they arrive here: delay, loss, or at loss 1 a cut in that direction
 *    alone. Then dials are refused both ways: no handshake gets through half a wire.
 * 3. A link that lost frames has no ordered prefix any more, so it is reset when they would get through again.
 * 4. What is late arrives in order, the end of its link behind it; a link for which too much waits is closed.
 */
export class LabFilter implements Transport, TransportListener {
  readonly #listener: TransportListener
  readonly #deps: LabFilterDeps
  #transport: Transport | undefined
  #dropped: ReadonlySet<PeerId> = new Set()
  #ways: ReadonlyMap<PeerId, LabWay> = new Map()
  readonly #links = new Map<LinkId, FilteredLink>()

  constructor(listener: TransportListener, deps: LabFilterDeps) {
    this.#listener = listener
    this.#deps = deps
  }

  /** The transport below, which reports to this filter. */
  attach(transport: Transport): void {
    this.#transport = transport
  }

  get dropped(): ReadonlySet<PeerId> {
    return this.#dropped
  }

  get ways(): ReadonlyMap<PeerId, LabWay> {
    return this.#ways
  }

  /** From now on exactly these peers are cut off both ways. */
  drop(peers: Iterable<PeerId>): void {
    this.#dropped = new Set(peers)
    this.#resetPassable()
  }

  /** From now on frames of exactly these peers come that way; those of others come at once. */
  setWays(ways: ReadonlyMap<PeerId, LabWay>): void {
    this.#ways = ways
    this.#resetPassable()
  }

  /** Nothing of it is heard, so it is neither dialed nor let in. */
  refuses(peer: PeerId): boolean {
    return this.#dropped.has(peer) || this.#ways.get(peer)?.loss === 1
  }

  dial(target: DialTarget): void {
    if (target.type === 'member' && this.refuses(target.peer)) {
      queueMicrotask(() => this.#listener.dialFailed(target, 'cut off by lab mode'))
    } else this.#transport?.dial(target)
  }

  sendControl(link: LinkId, frame: Uint8Array): void {
    if (!this.#losesOut(link)) this.#transport?.sendControl(link, frame)
  }

  /** A lost frame is never `written`: behind a real cut the stream would fill up and take nothing either. */
  sendData(link: LinkId, parts: readonly Uint8Array[], written: () => void): void {
    if (!this.#losesOut(link)) this.#transport?.sendData(link, parts, written)
  }

  /** Who closes wants to hear no more of it but its end. */
  close(id: LinkId, reason: string): void {
    const link = this.#links.get(id)
    link?.arriving.clear()
    if (link?.end === undefined) this.#transport?.close(id, reason)
    else link.arriving.push(0, 0, link.end)
  }

  linkUp(id: LinkId, peer: PeerId): void {
    // One link per peer: the one before is over, whatever of it is still on its way.
    for (const old of this.#links.values()) if (old.peer === peer) old.end?.()
    const hidden = this.refuses(peer)
    const arriving = new DelayedFrames(this.#deps.clock)
    this.#links.set(id, { peer, hidden, arriving, lostIn: false, lostOut: false })
    if (hidden) this.#transport?.close(id, 'cut off by lab mode')
    else this.#listener.linkUp(id, peer)
  }

  linkDown(id: LinkId, cause: 'closed' | 'broken', reason: string): void {
    const link = this.#links.get(id)
    if (link === undefined) return
    link.end = () => {
      link.arriving.clear()
      this.#links.delete(id)
      if (!link.hidden) this.#listener.linkDown(id, cause, reason)
    }
    if (link.arriving.isEmpty || !link.arriving.push(0, 0, link.end)) link.end()
  }

  controlFrame(link: LinkId, frame: Uint8Array): void {
    this.#arrive(link, frame.byteLength, () => this.#listener.controlFrame(link, frame))
  }

  dataFrame(link: LinkId, frame: Uint8Array): void {
    this.#arrive(link, frame.byteLength, () => this.#listener.dataFrame(link, frame))
  }

  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.#listener.dialFailed(target, reason, there)
  }

  /** What is still on its way is lost, and the listener hears nothing more. To be called with the stop of the transport. */
  stop(): void {
    for (const { arriving } of this.#links.values()) arriving.clear()
    this.#links.clear()
  }

  #arrive(id: LinkId, bytes: number, deliver: () => void): void {
    const link = this.#links.get(id)
    if (link === undefined) return deliver()
    const pass = (): void => {
      if (link.hidden || this.refuses(link.peer)) link.lostIn = true
      else deliver()
    }
    const way = this.#ways.get(link.peer)
    const ms = way === undefined || way.loss === 1 ? 0 : transitMs(way, this.#deps.random)
    if (ms === 0 && link.arriving.isEmpty) return pass()
    if (!link.arriving.push(bytes, ms, pass)) this.close(id, 'too much waits on the way that lab mode makes')
  }

  #losesOut(id: LinkId): boolean {
    const link = this.#links.get(id)
    if (link === undefined || !(link.hidden || this.#dropped.has(link.peer))) return false
    link.lostOut = true
    return true
  }

  #resetPassable(): void {
    for (const [id, { peer, lostIn, lostOut }] of this.#links) {
      const passes = (lostIn && !this.refuses(peer)) || (lostOut && !this.#dropped.has(peer))
      if (passes) this.close(id, 'reset by the heal of lab mode')
    }
  }
}
