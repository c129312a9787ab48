import type { DialTarget, LinkId, TransportListener } from './driver-ports.ts'
import type { PeerId } from '#protocol/ids'

/**
 * Peers may connect as soon as we listen, and a peer must listen before it boots, to know the addresses that it tells
 * of itself. What happens in those milliseconds waits here, in order.
 */
export class LateListener implements TransportListener {
  #target: TransportListener | undefined
  #waiting: ((target: TransportListener) => void)[] = []

  attach(target: TransportListener): void {
    this.#target = target
    for (const tell of this.#waiting.splice(0)) tell(target)
  }

  linkUp(link: LinkId, peer: PeerId): void {
    this.#tell((target) => target.linkUp(link, peer))
  }

  linkDown(link: LinkId, cause: 'closed' | 'broken', reason: string): void {
    this.#tell((target) => target.linkDown(link, cause, reason))
  }

  controlFrame(link: LinkId, frame: Uint8Array): void {
    this.#tell((target) => target.controlFrame(link, frame))
  }

  dataFrame(link: LinkId, frame: Uint8Array): void {
    this.#tell((target) => target.dataFrame(link, frame))
  }

  dialFailed(target: DialTarget, reason: string, there?: PeerId): void {
    this.#tell((listener) => listener.dialFailed(target, reason, there))
  }

  #tell(tell: (target: TransportListener) => void): void {
    if (this.#target === undefined) this.#waiting.push(tell)
    else tell(this.#target)
  }
}
