import type { PeerId } from '#protocol/ids'
import { Dice } from './dice.ts'
import type { SimNetwork } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimPeer } from './sim-peer.ts'
import type { Fault, FaultOptions } from './swarm.ts'
import type { Trace } from './trace.ts'

export interface FaultDeps {
  readonly seed: number
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly peers: readonly SimPeer[]
  readonly trace: Trace
  readonly options: FaultOptions
}

/** Whatever goes wrong, until it all ends. Each class has dice of its own. */
export class Faults {
  readonly #deps: FaultDeps
  #over = false
  #partitions = 0
  readonly #cuts = new Set<string>()

  constructor(deps: FaultDeps) {
    this.#deps = deps
  }

  start(): void {
    const { partitions, crashes, pauses, resets, leaves } = this.#deps.options
    this.#repeat('partitions', partitions, (dice, fault) => this.#partition(dice, fault))
    this.#repeat('crashes', crashes, (dice, fault) => this.#crash(dice, fault))
    this.#repeat('pauses', pauses, (dice, { forMsMax }) => this.#upPeer(dice)?.pause(dice.between(50, forMsMax)))
    this.#repeat('resets', resets, (dice) => {
      const host = this.#upPeer(dice)?.host
      if (host !== undefined) this.#deps.network.resetOne(host, dice)
    })
    this.#repeat('leaves', leaves, (dice, fault) => {
      const peer = this.#upPeer(dice)
      peer?.leave()
      if (peer !== undefined) this.#bootAfter(peer, 300 + dice.between(0, fault.forMsMax))
    })
  }

  /** The network is whole again and every machine is on; who is down is started. */
  healAll(): void {
    this.#over = true
    this.#deps.trace.line('*', 'heal', 'no more faults')
    for (const cut of this.#cuts) this.#heal(cut)
    for (const peer of this.#deps.peers) void peer.boot()
  }

  #repeat<F extends Fault>(concern: string, fault: F | undefined, strike: (dice: Dice, fault: F) => void): void {
    if (fault === undefined) return
    const dice = new Dice(this.#deps.seed, concern)
    const next = (): void => {
      if (this.#over) return
      strike(dice, fault)
      this.#deps.scheduler.after(dice.exponential(fault.everyMs), next)
    }
    this.#deps.scheduler.after(dice.exponential(fault.everyMs), next)
  }

  #partition(dice: Dice, { forMsMax, oneWay }: NonNullable<FaultOptions['partitions']>): void {
    const peers = this.#deps.peers.map(({ id }) => id)
    const lonely = dice.chance(0.3) ? dice.pick(peers) : undefined
    const side = new Set(peers.filter((peer) => (lonely === undefined ? dice.chance(0.5) : peer === lonely)))
    const directions = dice.chance(oneWay) ? [dice.pick(['out', 'in'])] : ['out', 'in']
    const cut = `partition ${++this.#partitions}`
    this.#cuts.add(cut)
    for (const [from, to] of this.#pairs()) {
      const direction = side.has(from) && !side.has(to) ? 'out' : !side.has(from) && side.has(to) ? 'in' : undefined
      if (direction !== undefined && directions.includes(direction)) this.#deps.network.path(from, to).cut(cut)
    }
    this.#deps.trace.line('*', 'cut', `${cut}: ${[...side].join(' ')} from the others, ${directions.join(' and ')}`)
    this.#deps.scheduler.after(dice.between(200, forMsMax), () => this.#heal(cut))
  }

  #heal(cut: string): void {
    if (!this.#cuts.delete(cut)) return
    this.#deps.trace.line('*', 'heal', cut)
    for (const [from, to] of this.#pairs()) this.#deps.network.path(from, to).heal(cut)
  }

  #crash(dice: Dice, { forMsMax, powerCuts, losses }: NonNullable<FaultOptions['crashes']>): void {
    const victim = this.#upPeer(dice)
    // Once in a while the whole data center goes dark: what was acked everywhere was acked on disks.
    const isBlackout = dice.chance(0.05)
    const how = isBlackout || dice.chance(powerCuts) ? 'powerCut' : 'exit'
    const isDamaged = dice.chance(losses)
    const writes = dice.chance(0.2) ? Number.POSITIVE_INFINITY : dice.whole(1, 10)
    const downForMs = dice.magnitude(50, forMsMax)
    for (const peer of isBlackout ? this.#deps.peers : [victim]) {
      if (peer?.driver === undefined) continue
      peer.crash(how)
      if (isDamaged && peer === victim) peer.loseWrites(writes)
      this.#bootAfter(peer, downForMs)
    }
  }

  #bootAfter(peer: SimPeer, afterMs: number): void {
    this.#deps.scheduler.after(afterMs, () => void peer.boot())
  }

  #upPeer(dice: Dice): SimPeer | undefined {
    const peer = dice.pick(this.#deps.peers)
    return peer.driver === undefined ? undefined : peer
  }

  #pairs(): readonly (readonly [PeerId, PeerId])[] {
    const ids = this.#deps.peers.map(({ id }) => id)
    return ids.flatMap((from) => ids.filter((to) => to !== from).map((to) => [from, to] as const))
  }
}
