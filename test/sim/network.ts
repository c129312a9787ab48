import { addressesIn, Host } from './host.ts'
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
  /** Share of dials that get through a second time later, as one does that its dialer has given up on. */
  readonly dialRepeats: number
  readonly dialTimeoutMs: number
  /** How long a connection bears silence to what it sent. */
  readonly tcpTimeoutMs: number
}

/** All machines and the paths between them. A peer keeps its address; a `Host` is one run of its process. */
export class SimNetwork {
  readonly #scheduler: Scheduler
  /** Clones among them, once there are some. */
  readonly #machines: Set<PeerId>
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
    this.#machines = new Set(peers)
    this.#dice = dice
    this.#options = options
    this.#linkDeps = {
      scheduler,
      tap,
      pathOf: (from, to) => this.path(from.machine, to.machine),
      tcpTimeoutMs: options.tcpTimeoutMs,
      openTimeoutMs: options.dialTimeoutMs,
    }
  }

  /** A process of that peer: it can dial, and be dialed once it listens. */
  attach(peer: PeerId, life: Life, machine = peer): Host {
    this.#machines.add(machine)
    for (const path of this.#pathsOf(machine)) path.heal(withoutPower(machine))
    return new Host(this, { peer, machine, address: addressOf(machine), life })
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
    if (how === 'powerCut') for (const path of this.#pathsOf(host.machine)) path.cut(withoutPower(host.machine))
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

  /** Asks without making a path: that would throw dice. */
  isCut(from: PeerId, to: PeerId): boolean {
    return this.#paths.get(`${from}→${to}`)?.isCut === true
  }

  clog(peer: PeerId, extraMs: number, forMs: number): void {
    for (const path of this.#pathsOf(peer)) path.clog(extraMs, forMs)
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
    const address = this.#addressFor(target)
    const machine = machineAt(address)
    const fail = (reason: string, afterMs = 0, there?: PeerId): void =>
      this.#scheduler.after(afterMs, () => host.dialFailed(target, reason, there))
    if (machine === host.machine) return fail('that is ourselves', 0, host.peer)
    const there = this.path(host.machine, machine)
    const back = this.path(machine, host.machine)
    const lastLinkId = host.lastLinkId
    // TCP and TLS: two round trips.
    this.#scheduler.after(2 * (there.delayMs() + back.delayMs()), () => {
      if (host.life.over) return
      const other = this.#running.get(address)
      if (there.isCut || back.isCut) return fail('timed out', this.#options.dialTimeoutMs)
      if (other === undefined) return fail('connection refused')
      if (this.#dice.chance(this.#options.dialFaults)) return fail('connection reset')
      if (other.peer === host.peer) return fail('that is ourselves', 0, host.peer)
      const known = host.linkWith(other.peer)
      if (known?.state === 'up' && known.id <= lastLinkId) fail('there is a link already', 0, other.peer)
      else fail('no streams were opened', this.#options.dialTimeoutMs)
      this.#meet(host, other)
      if (this.#dice.chance(this.#options.dialRepeats)) {
        this.#scheduler.after(this.#dice.magnitude(1, dialRepeatMsMax), () => this.#meet(host, other))
      }
    })
  }

  /** Of several the one where somebody is, as dialing them all would find. */
  #addressFor(target: DialTarget): string {
    const addresses = addressesIn(target)
    const running = addresses.filter((address) => this.#running.has(address))
    return running.length > 1 ? this.#dice.pick(running) : (running[0] ?? addresses[0] ?? '')
  }

  #meet(host: Host, other: Host): void {
    const isCut = this.path(host.machine, other.machine).isCut || this.path(other.machine, host.machine).isCut
    if (isCut || host.life.over || other.life.over) return
    if (host.peer < other.peer) this.#connected(host, other)
    else this.#connected(other, host)
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
        this.path(opener.machine, acceptor.machine).delayMs() + this.path(acceptor.machine, opener.machine).delayMs()
      this.#scheduler.after(roundTripMs, () => {
        const isKnown = opener.partnerOf(acceptor.peer)?.linkWith(opener.peer) !== undefined
        if (known.state !== 'up' || isKnown || acceptor.life.over) return
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

  #pathsOf(machine: PeerId): readonly Path[] {
    return [...this.#machines]
      .filter((other) => other !== machine)
      .flatMap((other) => [this.path(machine, other), this.path(other, machine)])
  }
}

const dialRepeatMsMax = 60_000

const withoutPower = (peer: PeerId): string => `${peer} has no power`

export const addressOf = (peer: PeerId): string => `${peer}:7400`
const machineAt = (address: string): PeerId => address.slice(0, address.indexOf(':')) as PeerId
