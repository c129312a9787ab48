import { feedKeyOf } from '#protocol/log/feed'
import { shuffled } from '#protocol/random'
import { topicsTopic } from '#protocol/topic-name'
import { Dice } from './dice.ts'
import { Partitions } from './partitions.ts'
import type { SimNetwork } from './network.ts'
import type { Scheduler } from './scheduler.ts'
import { soundBatches } from './sim-disk.ts'
import type { SimPeer } from './sim-peer.ts'
import type { BitFlipFault, CrashFault, Fault, FaultOptions, PartitionFault } from './swarm.ts'
import type { Trace } from './trace.ts'

export interface FaultDeps {
  /** See `PartitionDeps`. */
  readonly onHealed: () => void
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
  readonly #partitions: Partitions
  readonly #appendDice: Dice
  readonly #bootDice: Dice
  #twins = 0
  #over = false

  constructor(deps: FaultDeps) {
    this.#deps = deps
    this.#partitions = new Partitions({ ...deps, peers: deps.peers.map(({ id }) => id) })
    this.#appendDice = new Dice(deps.seed, 'crashes in appends')
    this.#bootDice = new Dice(deps.seed, 'crashes in boots')
  }

  start(): void {
    const { options, network, peers } = this.#deps
    this.#repeat('partitions', options.partitions, (dice, fault) => this.#partition(dice, fault))
    this.#repeat('crashes', options.crashes, (dice, fault) => this.#crash(dice, fault))
    this.#repeat('pauses', options.pauses, (dice, { forMsMax }) =>
      this.#upPeer(dice)?.pause(dice.magnitude(50, forMsMax)),
    )
    this.#repeat('clogs', options.clogs, (dice, { forMsMax }) => {
      network.clog(dice.pick(peers).id, dice.magnitude(10, clogMsMax), dice.between(100, forMsMax))
    })
    this.#repeat('resets', options.resets, (dice) => {
      const host = this.#upPeer(dice)?.host
      if (host !== undefined) network.resetOne(host, dice)
    })
    this.#repeat('leaves', options.leaves, (dice, { forMsMax }) => {
      const peer = this.#upPeer(dice)
      peer?.leave()
      if (peer !== undefined) this.#bootAfter(peer, 300 + dice.between(0, forMsMax))
    })
    this.#repeat('slow disks', options.slowDisks, (dice, { forMsMax, factor }) => {
      dice.pick(peers).slowDisk(factor, dice.magnitude(100, forMsMax))
    })
    this.#repeat('fsync errors', options.fsyncErrors, (dice) => {
      dice.pick(peers).disk.failsNext = true
    })
    this.#repeat('bit flips', options.bitFlips, (dice, fault) => this.#flipBits(dice, fault))
    this.#repeat('full disks', options.fullDisks, (dice, { forMsMax, roomBytesMax }) => {
      const peer = dice.pick(peers)
      if (peer.disk.capacity !== undefined) return
      peer.fillDisk(dice.whole(0, roomBytesMax))
      this.#deps.scheduler.after(dice.magnitude(2_000, forMsMax), () => {
        peer.disk.capacity = undefined
      })
    })
    this.#repeat('backups', options.backups, (dice, fault) => this.#restoreBackup(dice, fault))
    this.#repeat('clones', options.clones, (dice, { forMsMax }) => {
      const peer = dice.pick(peers)
      if (peer.boots === 0 || peer.twin !== undefined) return
      const concern = `${this.#deps.seed} twin ${++this.#twins}`
      peer.startTwin({ random: new Dice(0, concern), storeDice: new Dice(1, concern) })
      this.#deps.scheduler.after(dice.between(500, forMsMax), () => peer.endTwin())
    })
    this.#repeat('clock jumps', options.clocks?.jumps, (dice, { byMs }) => {
      dice.pick(peers).setClock(dice.pick([-byMs, byMs]))
    })
  }

  /** The network is whole again and every machine is on; who is down is started. */
  healAll(): void {
    this.#over = true
    this.#deps.trace.line('*', 'heal', 'no more faults')
    this.#partitions.healAll()
    for (const peer of this.#deps.peers) {
      peer.disk.failsNext = false
      peer.disk.slow = undefined
      peer.disk.capacity = undefined
      peer.goOn()
      peer.endTwin()
      void peer.boot()
    }
  }

  /** The peer hands something to its disk: that may be the moment. */
  appending(peer: SimPeer): void {
    const { crashes } = this.#deps.options
    if (this.#over || crashes === undefined || !this.#appendDice.chance(crashes.inAppend)) return
    this.#deps.scheduler.after(this.#appendDice.magnitude(0.01, 30), () => {
      peer.crash('powerCut')
      this.#bootAfter(peer, this.#appendDice.magnitude(50, crashes.forMsMax))
    })
  }

  /** Its process has ended by itself, and is started again. */
  died(peer: SimPeer): void {
    this.#bootAfter(peer, 500)
  }

  #repeat<F extends Pick<Fault, 'everyMs'>>(
    concern: string,
    fault: F | undefined,
    strike: (dice: Dice, fault: F) => void,
  ): void {
    if (fault === undefined) return
    const dice = new Dice(this.#deps.seed, concern)
    const next = (): void => {
      if (this.#over) return
      strike(dice, fault)
      this.#deps.scheduler.after(dice.exponential(fault.everyMs), next)
    }
    this.#deps.scheduler.after(dice.exponential(fault.everyMs), next)
  }

  /** On each side somebody may join who was never there, so that each side has a registry of its own. */
  #partition(dice: Dice, fault: PartitionFault): void {
    const sides = this.#partitions.strike(dice, fault)
    for (const side of sides) {
      const joiner = this.#deps.peers.find(({ id, boots }) => boots === 0 && side.has(id))
      if (joiner !== undefined && dice.chance(0.5)) this.#bootAfter(joiner, dice.between(0, fault.forMsMax / 2))
    }
  }

  #crash(dice: Dice, { forMsMax, powerCuts, losses }: CrashFault): void {
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

  /** In one batch, at some of the disks that have it whole, or at all. What the mesh knows of its topics it never loses. */
  #flipBits(dice: Dice, { everywhere }: BitFlipFault): void {
    const { peers, trace, scheduler } = this.#deps
    const stored = [...dice.pick(peers).disk.feeds.values()]
    if (stored.length === 0) return
    const { feed, batches, opening } = dice.pick(stored)
    const { head } = dice.pick(batches)
    const key = feedKeyOf(feed)
    const isEverywhere = dice.chance(everywhere) && opening.topic !== topicsTopic
    const holders = shuffled(dice, peers).filter(({ disk }) => {
      const held = disk.feeds.get(key)
      return held !== undefined && soundBatches(held).some((batch) => batch.head.nextOffset === head.nextOffset)
    })
    const count = isEverywhere ? holders.length : dice.whole(0, Math.max(0, holders.length - 1))
    for (const { machine, disk } of holders.slice(0, count)) {
      if (!disk.flipBit(key, head.nextOffset, dice.next(), scheduler.nowMs)) continue
      trace.line(machine, 'bit flip', `${feed.writer}.${feed.epoch.slice(0, 4)} in the batch before ${head.nextOffset}`)
    }
  }

  #restoreBackup(dice: Dice, { forMsMax }: Fault): void {
    const peer = dice.pick(this.#deps.peers)
    const backup = peer.disk.backup()
    this.#deps.scheduler.after(dice.magnitude(100, forMsMax), () => {
      if (this.#over || peer.boots === 0) return
      peer.crash('exit')
      peer.restore(backup)
      this.#bootAfter(peer, dice.magnitude(50, 5_000))
    })
  }

  #bootAfter(peer: SimPeer, afterMs: number): void {
    this.#deps.scheduler.after(afterMs, () => {
      if (!peer.isDown) return
      void peer.boot()
      this.#mayCrashInBoot(peer)
    })
  }

  /** While it reads its disk, or writes to it for the first time. */
  #mayCrashInBoot(peer: SimPeer): void {
    const { inBoot } = this.#deps.options.crashes ?? { inBoot: 0 }
    if (this.#over || !this.#bootDice.chance(inBoot)) return
    this.#deps.scheduler.after(this.#bootDice.magnitude(0.01, 10), () => {
      peer.crash('powerCut')
      this.#bootAfter(peer, this.#bootDice.magnitude(10, 1_000))
    })
  }

  #upPeer(dice: Dice): SimPeer | undefined {
    const peer = dice.pick(this.#deps.peers)
    return peer.driver === undefined ? undefined : peer
  }
}

/** How much longer a packet takes at most while the buffers on its way are full. */
const clogMsMax = 5_000
