import { addressIn, Host } from './host.ts'
import { Link } from './link.ts'
import { Path } from './pipe.ts'
import type { DialTarget } from '#node/driver-ports'
import type { PeerId } from '#protocol/ids'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { LinkDeps, WireTap } from './link.ts'
import type { Scheduler } from './scheduler.ts'

export interface NetworkOptions {
  /** One-way delay of the fastest and of the slowest path; single packets take up to twice as long. */
  readonly latencyMsMin: number
  readonly latencyMsMax: number
  readonly bytesPerMs: number
  /** Share of paths that have a hundredth of the bandwidth. */
  readonly slowPaths: number
  /** Share of dials that break during the handshake. */
  readonly dialFaults: number
  readonly dialTimeoutMs: number
  /** How long a connection bears silence to what it sent. */
  readonly tcpTimeoutMs: number
}

/** All machines and the paths between them. A peer keeps its address; a `Host` is one run of its process. */
export class SimNetwork {
  readonly #scheduler: Scheduler
  readonly #peers: readonly PeerId[]
  readonly #dice: Dice
  readonly #options: NetworkOptions
  readonly #running = new Map<string, Host>()
  readonly #paths = new Map<string, Path>()
  readonly #linkDeps: LinkDeps
  readonly tap: WireTap | undefined

  constructor(
    peers: readonly PeerId[],
    dice: Dice,
    options: NetworkOptions,
    deps: { readonly scheduler: Scheduler; readonly tap?: WireTap },
  ) {
    const { scheduler, tap } = deps
    this.#scheduler = scheduler
    this.tap = tap
    this.#peers = peers
    this.#dice = dice
    this.#options = options
    this.#linkDeps = {
      scheduler,
      tap,
      pathOf: (from, to) => this.path(from.peer, to.peer),
      tcpTimeoutMs: options.tcpTimeoutMs,
      openTimeoutMs: options.dialTimeoutMs,
    }
  }

  /** A process of that peer: it can dial, and be dialed once it listens. */
  attach(peer: PeerId, life: Life): Host {
    for (const path of this.#pathsOf(peer)) path.heal(withoutPower(peer))
    return new Host(this, { peer, address: addressOf(peer), life })
  }

  listening(host: Host): void {
    this.#running.set(host.address, host)
  }

  /** `exit`: its kernel closes the connections. `powerCut`: silence until the machine is back. */
  stop(host: Host, how: 'exit' | 'powerCut'): void {
    this.#running.delete(host.address)
    for (const { link, end } of host.links()) {
      if (how === 'powerCut') link.vanish(end)
      else link.close(end, 'process ended')
    }
    if (how === 'powerCut') for (const path of this.#pathsOf(host.peer)) path.cut(withoutPower(host.peer))
  }

  /** The path from one peer to another; the way back is another path. */
  path(from: PeerId, to: PeerId): Path {
    const key = `${from}→${to}`
    let path = this.#paths.get(key)
    if (path === undefined) {
      path = this.#newPath()
      this.#paths.set(key, path)
    }
    return path
  }

  /** Breaks one connection of the process, as a middlebox does. */
  resetOne(host: Host, dice: Dice): void {
    const links = host.links()
    if (links.length === 0) return
    const { link, end } = dice.pick(links)
    link.lose(end, 'reset by the network')
  }

  /** As `node/network`: ends in a new link or in `dialFailed`, once; the host forgets the second end. */
  dial(host: Host, target: DialTarget): void {
    const address = addressIn(target)
    const peer = peerAt(address)
    const fail = (reason: string, afterMs = 0, there?: PeerId): void =>
      this.#scheduler.after(afterMs, () => host.dialFailed(target, reason, there))
    if (peer === host.peer) return fail('that is ourselves', 0, peer)
    const there = this.path(host.peer, peer)
    const back = this.path(peer, host.peer)
    const lastLinkId = host.lastLinkId
    // TCP and TLS: two round trips.
    this.#scheduler.after(2 * (there.delayMs() + back.delayMs()), () => {
      if (host.life.over) return
      const other = this.#running.get(address)
      if (there.isCut || back.isCut) return fail('timed out', this.#options.dialTimeoutMs)
      if (other === undefined) return fail('connection refused')
      if (this.#dice.chance(this.#options.dialFaults)) return fail('connection reset')
      const known = host.linkWith(peer)
      if (known?.state === 'up' && known.id <= lastLinkId) fail('there is a link already', 0, peer)
      else fail('no streams were opened', this.#options.dialTimeoutMs)
      if (host.peer < peer) this.#connected(host, other)
      else this.#connected(other, host)
    })
  }

  soon(run: () => void): void {
    this.#scheduler.after(0, run)
  }

  /**
   * Whoever dialed, the peer with the smaller id opens the streams, on one connection. When it has a link already, it
   * asks over that one whether the other side still knows it, and replaces it if not.
   */
  #connected(opener: Host, acceptor: Host): void {
    opener.life.do(() => {
      const known = opener.linkWith(acceptor.peer)
      if (known === undefined) return this.#open(opener, acceptor)
      const roundTripMs =
        this.path(opener.peer, acceptor.peer).delayMs() + this.path(acceptor.peer, opener.peer).delayMs()
      this.#scheduler.after(roundTripMs, () => {
        if (known.state !== 'up' || acceptor.linkWith(opener.peer) !== undefined || acceptor.life.over) return
        opener.dropLinksWith(acceptor.peer, 'no answer over it')
        opener.life.do(() => this.#open(opener, acceptor))
      })
    })
  }

  #open(opener: Host, acceptor: Host): void {
    const link = new Link(this.#linkDeps, opener, acceptor)
    opener.add(link)
    link.open()
  }

  #newPath(): Path {
    const { latencyMsMin, latencyMsMax, bytesPerMs, slowPaths } = this.#options
    return new Path(this.#scheduler, this.#dice, {
      latencyMs: this.#dice.magnitude(latencyMsMin * 100, latencyMsMax * 100) / 100,
      bytesPerMs: this.#dice.chance(slowPaths) ? bytesPerMs / 100 : bytesPerMs,
    })
  }

  #pathsOf(peer: PeerId): readonly Path[] {
    return this.#peers
      .filter((other) => other !== peer)
      .flatMap((other) => [this.path(peer, other), this.path(other, peer)])
  }
}

const withoutPower = (peer: PeerId): string => `${peer} has no power`

export const addressOf = (peer: PeerId): string => `${peer}:7400`
const peerAt = (address: string): PeerId => address.slice(0, address.indexOf(':')) as PeerId
