import { limits } from '#protocol/limits'
import { Pipe } from './pipe.ts'
import type { LinkId } from '#node/driver-ports'
import type { PeerId } from '#protocol/ids'
import type { Host } from './host.ts'
import type { Path } from './pipe.ts'
import type { Scheduler } from './scheduler.ts'

/** One side of a link: what one of the two processes sees of it. */
export interface End {
  readonly id: LinkId
  readonly host: Host
  readonly control: Pipe
  readonly data: Pipe
  state: 'opening' | 'up' | 'down'
}

/** What goes over the wire, for those who watch. */
export interface WireTap {
  controlSent(from: End, to: PeerId, frame: Uint8Array): void
  dataSent(from: End, frame: Uint8Array): void
  controlHeard(at: End, from: PeerId, frame: Uint8Array, sentAtMs: number): void
  dataHeard(at: End, from: PeerId, frame: Uint8Array): void
  dialFailed(at: PeerId, address: string, reason: string): void
  linkUp(at: End, peer: PeerId): void
  linkDown(at: End, peer: PeerId, reason: string): void
}

export interface LinkDeps {
  readonly tap: WireTap | undefined
  readonly scheduler: Scheduler
  readonly pathOf: (from: Host, to: Host) => Path
  readonly tcpTimeoutMs: number
  /** An opener that has no answer after so long gives up. */
  readonly openTimeoutMs: number
}

/**
 * A control and a data stream between two processes. Its ends live apart: each comes up and goes down in its own time,
 * so that one may be up alone (half-open). Of what was sent an ordered prefix of each stream arrives, then nothing.
 */
export class Link {
  readonly #deps: LinkDeps
  readonly #opener: End
  readonly #acceptor: End

  constructor(deps: LinkDeps, opener: Host, acceptor: Host) {
    this.#deps = deps
    this.#opener = this.#end(opener, acceptor)
    this.#acceptor = this.#end(acceptor, opener)
  }

  /** The acceptor comes up first; the opener may send once its answer is back. */
  open(): void {
    const opener = this.#opener
    const acceptor = this.#acceptor
    this.#deps.scheduler.after(this.#deps.openTimeoutMs, () => {
      if (opener.state === 'opening') this.lose(opener, 'no answer')
    })
    this.#travel(opener, () => {
      if (acceptor.host.life.over) return this.lose(opener, 'reset by the other side')
      acceptor.host.dropLinksWith(opener.host.peer, 'replaced by a newer link')
      const answeredAtMs = this.#travel(acceptor, () => opener.state === 'opening' && this.#up(opener))
      for (const pipe of [acceptor.control, acceptor.data]) pipe.holdUntil(answeredAtMs)
      this.#up(acceptor)
    })
  }

  endOf(host: Host): End {
    return this.#opener.host === host ? this.#opener : this.#acceptor
  }

  otherEnd(end: End): End {
    return end === this.#opener ? this.#acceptor : this.#opener
  }

  sendControl(from: End, frame: Uint8Array): void {
    if (from.state !== 'up') return
    const sentAtMs = this.#deps.scheduler.nowMs
    // Each frame is encoded for one link, and kept by nobody: it needs no copy.
    this.#deps.tap?.controlSent(from, this.otherEnd(from).host.peer, frame)
    this.#send(from, from.control, frame, (to, bytes) => {
      this.#deps.tap?.controlHeard(to, from.host.peer, bytes, sentAtMs)
      to.host.listener.controlFrame(to.id, bytes)
    })
    if (from.control.unreadBytes > limits.controlBacklogBytesMax) this.lose(from, 'control backlog over its bound')
  }

  sendData(from: End, parts: readonly Uint8Array[], written: () => void): void {
    if (from.state !== 'up') return
    const frame = new Uint8Array(Buffer.concat(parts))
    this.#deps.tap?.dataSent(from, frame)
    this.#send(from, from.data, frame, (to, bytes) => {
      this.#deps.tap?.dataHeard(to, from.host.peer, bytes)
      to.host.listener.dataFrame(to.id, bytes)
    })
    from.data.onceWritten(() => from.host.life.do(() => from.state === 'up' && written()))
  }

  /** Closed by the process of this end, or by its kernel after it was killed: the other end hears of it in order. */
  close(end: End, reason: string): void {
    if (end.state === 'down') return
    this.#down(end, 'closed', reason)
    end.control.send(0, () => this.#down(this.otherEnd(end), 'closed', 'closed by the other side'))
  }

  /** An error: both ends are told, unless the path between them is cut. What is under way is overtaken. */
  lose(end: End, reason: string): void {
    if (end.state === 'down') return
    this.#down(end, 'broken', reason)
    this.#travel(end, () => this.lose(this.otherEnd(end), 'reset by the other side'))
  }

  /** The machine of this end is without power: nobody is told anything. */
  vanish(end: End): void {
    end.state = 'down'
    end.control.break()
    end.data.break()
  }

  #end(host: Host, other: Host): End {
    const path = this.#deps.pathOf(host, other)
    const giveUp = { afterMs: this.#deps.tcpTimeoutMs, run: () => this.lose(end, 'timed out') }
    const pipe = (): Pipe => new Pipe(this.#deps.scheduler, path, giveUp)
    const end: End = { id: host.takeLinkId(), host, control: pipe(), data: pipe(), state: 'opening' }
    return end
  }

  #send(from: End, pipe: Pipe, bytes: Uint8Array, arrive: (to: End, bytes: Uint8Array) => void): void {
    const to = this.otherEnd(from)
    pipe.send(bytes.length, () => {
      // TCP tells the sender that nobody listens here any more.
      if (to.state !== 'up') return void this.#travel(to, () => this.lose(from, 'reset by the other side'))
      to.host.life.do(() => {
        if (to.state !== 'up') return
        pipe.taken(bytes.length)
        arrive(to, bytes)
      })
    })
  }

  #up(end: End): void {
    end.state = 'up'
    this.#deps.tap?.linkUp(end, this.otherEnd(end).host.peer)
    end.host.linkUp(this, end)
  }

  #down(end: End, cause: 'closed' | 'broken', reason: string): void {
    if (end.state === 'down') return
    const wasUp = end.state === 'up'
    end.state = 'down'
    if (wasUp) this.#deps.tap?.linkDown(end, this.otherEnd(end).host.peer, reason)
    end.host.linkDown(end, { wasUp, cause, reason })
  }

  /** One packet of the connection itself; on a cut path it is lost. Returns when it arrives. */
  #travel(from: End, arrive: () => void): number {
    const path = this.#deps.pathOf(from.host, this.otherEnd(from).host)
    const arrivesAtMs = this.#deps.scheduler.nowMs + path.delayMs()
    this.#deps.scheduler.at(arrivesAtMs, () => {
      if (!path.isCut) arrive()
    })
    return arrivesAtMs
  }
}
