import { Host } from './host.ts'
import { Link } from './link.ts'
import { Path } from './pipe.ts'
import type { DialTarget } from '#node/driver-ports'
import type { PeerId } from '#protocol/ids'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { LinkDeps } from './link.ts'
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

  constructor(scheduler: Scheduler, peers: readonly PeerId[], dice: Dice, options: NetworkOptions) {
    this.#scheduler = scheduler
    this.#peers = peers
    this.#dice = dice
    this.#options = options
    this.#linkDeps = {
      scheduler,
      pathOf: (from, to) => this.path(from.peer, to.peer),
      tcpTimeoutMs: options.tcpTimeoutMs,
      openTimeoutMs: options.dialTimeoutMs,
    }
  }

  /** A process starts to listen at its peer's address. */
  boot(peer: PeerId, life: Life): Host {
    const address = addressOf(peer)
    const host = new Host(this, { peer, address, life })
    this.#running.set(address, host)
    for (const path of this.#pathsOf(peer)) path.heal(withoutPower(peer))
    return host
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

  dial(host: Host, target: DialTarget): void {
    const address = target.type === 'seed' ? target.address : (target.addresses[0] ?? '')
    const peer = peerAt(address)
    if (peer === host.peer) return this.soon(() => host.dialFailed(target, 'that is this peer itself'))
    const there = this.path(host.peer, peer)
    const back = this.path(peer, host.peer)
    this.#scheduler.after(2 * (there.delayMs() + back.delayMs()), () => {
      const other = this.#running.get(address)
      const fail = (reason: string, afterMs = 0): void =>
        this.#scheduler.after(afterMs, () => host.dialFailed(target, reason))
      if (host.life.over) return
      if (there.isCut || back.isCut) fail('timed out', this.#options.dialTimeoutMs)
      else if (other === undefined) fail('connection refused')
      else if (this.#dice.chance(this.#options.dialFaults)) fail('connection reset')
      else this.#connected(host, other, target)
    })
  }

  soon(run: () => void): void {
    this.#scheduler.after(0, run)
  }

  /** Both sides may have dialed: the peer with the smaller id opens the streams, on one connection. */
  #connected(dialer: Host, other: Host, target: DialTarget): void {
    const [opener, acceptor] = dialer.peer < other.peer ? [dialer, other] : [other, dialer]
    opener.life.do(() => {
      if (opener.linkWith(acceptor.peer) !== undefined) return
      const link = new Link(this.#linkDeps, opener, acceptor)
      opener.add(link)
      link.open()
    })
    this.#scheduler.after(this.#options.dialTimeoutMs, () => {
      if (dialer.linkWith(other.peer)?.state !== 'up') dialer.dialFailed(target, 'no streams were opened')
    })
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
