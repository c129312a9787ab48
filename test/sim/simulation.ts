import { nodeDigests } from '#node/node-digests'
import { topicIdOf } from '#protocol/ids'
import { decodeControl } from '#protocol/wire/control-frame'
import { AckHonestyChecker, Tellings } from './checkers/ack-honesty.ts'
import { BoundsChecker } from './checkers/bounds.ts'
import { MembershipChecker } from './checkers/membership.ts'
import { checkViews } from './checkers/views.ts'
import { Describer } from './describe.ts'
import { Dice } from './dice.ts'
import { Faults } from './faults.ts'
import { checkLastWords, finalAnomalies, isHealed } from './final-checks.ts'
import type { EndOfWorld } from './final-checks.ts'
import { History } from './history.ts'
import { SimNetwork } from './network.ts'
import { SimReader } from './readers.ts'
import { forbidRealTime } from './real-time.ts'
import { Scheduler } from './scheduler.ts'
import { cluster, SimPeer } from './sim-peer.ts'
import { Trace } from './trace.ts'
import { Publishers } from './workload.ts'
import type { PeerId } from '#protocol/ids'
import type { Anomaly, Disks } from './checkers/anomaly.ts'
import type { Reading } from './history.ts'
import type { WireTap } from './link.ts'
import type { Sabotage } from './sim-peer.ts'
import type { SimOptions } from './swarm.ts'

export interface SimResult {
  readonly seed: number
  readonly anomalies: readonly Anomaly[]
  readonly traceHash: string
  /** The last lines of the trace, when something was wrong. */
  readonly traceTail: readonly string[]
  readonly events: number
  readonly virtualMs: number
  readonly records: number
  /** How long after the end of all faults the mesh had converged. */
  readonly healedAfterMs: number | undefined
}

export interface SimHooks {
  readonly sabotage?: Sabotage
  readonly print?: (line: string) => void
}

/** Runs one world from its seed to its end, and says what was wrong with it. */
export const simulate = (options: SimOptions, hooks: SimHooks = {}): Promise<SimResult> =>
  new Simulation(options, hooks).run()

const anomaliesMax = 10
const lookEveryMs = 250
/** How long a record may take to all disks of a healed mesh; slow disks and slow paths stay slow. */
const lastWordsMs = 10_000
/** After the mesh has converged: time for readers to get the last records. */
const lastReadsMs = 2_000

class Simulation {
  readonly #options: SimOptions
  readonly #scheduler = new Scheduler()
  readonly #trace: Trace
  readonly #network: SimNetwork
  readonly #peers: readonly SimPeer[]
  readonly #disks: Disks
  readonly #history = new History()
  readonly #world: EndOfWorld
  readonly #faults: Faults
  readonly #publishers: Publishers
  readonly #tellings: Tellings
  readonly #honesty: AckHonestyChecker
  readonly #membership: MembershipChecker
  readonly #anomalies: Anomaly[] = []
  #healedAfterMs: number | undefined

  constructor(options: SimOptions, { sabotage = {}, print }: SimHooks) {
    this.#options = options
    const { seed, network, store, faults } = options
    const scheduler = this.#scheduler
    this.#trace = new Trace(scheduler, print)
    this.#network = new SimNetwork(options.peers, new Dice(seed, 'network'), network, { scheduler, tap: this.#tap() })
    this.#peers = options.peers.map((id, index) => {
      const random = new Dice(seed, `peer ${id}`)
      const storeDice = new Dice(seed, `disk ${id}`)
      const seeds = seedsOf(options, index)
      return new SimPeer(id, {
        scheduler,
        network: this.#network,
        trace: this.#trace,
        random,
        storeDice,
        store,
        seeds,
        sabotage,
      })
    })
    this.#disks = new Map(this.#peers.map(({ id, disk }) => [id, disk]))
    this.#tellings = new Tellings(this.#disks)
    this.#honesty = new AckHonestyChecker(this.#tellings)
    this.#membership = new MembershipChecker({ pauses: faults.pauses !== undefined })
    this.#world = { peers: this.#peers, disks: this.#disks, history: this.#history }
    const deps = {
      seed,
      scheduler,
      network: this.#network,
      peers: this.#peers,
      trace: this.#trace,
      history: this.#history,
    }
    this.#faults = new Faults({ ...deps, options: faults })
    this.#publishers = new Publishers({
      ...deps,
      dice: new Dice(seed, 'workload'),
      options: options.workload,
      onAnswer: (publish, answer) => this.#blame(this.#honesty.check(publish, answer, this.#registeredAt(publish.at))),
    })
  }

  async run(): Promise<SimResult> {
    const allowRealTime = forbidRealTime()
    const onRejection = (error: unknown): void => this.#onError(error)
    process.on('unhandledRejection', onRejection)
    try {
      this.#begin()
      await this.#advanceTo(this.#options.faultsMs)
      this.#faults.healAll()
      await this.#converge()
    } catch (error) {
      this.#onError(error)
    } finally {
      process.off('unhandledRejection', onRejection)
      allowRealTime()
    }
    return this.#result()
  }

  #begin(): void {
    const { seed, peers, lateJoiners, faultsMs, workload } = this.#options
    const dice = new Dice(seed, 'begin')
    this.#peers.forEach((peer, index) => {
      const isLate = index >= peers.length - lateJoiners
      this.#scheduler.after(isLate ? dice.between(0, faultsMs) : dice.between(0, 300), () => void peer.boot())
    })
    const deps = { scheduler: this.#scheduler, peers: this.#peers, history: this.#history, trace: this.#trace }
    this.#publishers.runUntil(faultsMs)
    for (let number = 1; number <= workload.readers; number++) {
      const from = dice.chance(0.7) ? 'earliest' : 'latest'
      const reading: Reading = {
        name: `#${number}`,
        topic: dice.pick(workload.topics),
        from,
        sinceMs: 0,
        records: [],
        gaps: [],
      }
      this.#history.readings.push(reading)
      const readerDice = new Dice(seed, `reader ${number}`)
      new SimReader(reading, { ...deps, dice: readerDice, moveEveryMs: workload.moveEveryMs }).start()
    }
    this.#faults.start()
  }

  async #advanceTo(atMs: number): Promise<void> {
    while (this.#scheduler.nowMs < atMs && this.#anomalies.length === 0) {
      await this.#scheduler.runUntil(Math.min(atMs, this.#scheduler.nowMs + lookEveryMs))
      this.#blame(this.#membership.look(this.#peers, this.#scheduler.nowMs))
      this.#blame(checkViews(this.#peers, this.#tellings))
    }
  }

  async #converge(): Promise<void> {
    const { faultsMs, healMsMax } = this.#options
    if (await this.#healsUntil(faultsMs + healMsMax)) this.#healedAfterMs = this.#scheduler.nowMs - faultsMs
    await this.#lastWords()
    await this.#advanceTo(this.#scheduler.nowMs + lastReadsMs)
    if (this.#anomalies.length === 0) this.#blame(finalAnomalies(this.#world))
  }

  async #healsUntil(endMs: number): Promise<boolean> {
    while (!isHealed(this.#world) && this.#scheduler.nowMs < endMs && this.#anomalies.length === 0) {
      await this.#advanceTo(this.#scheduler.nowMs + lookEveryMs)
    }
    return isHealed(this.#world)
  }

  /** One record of each peer, for all. */
  async #lastWords(): Promise<void> {
    if (this.#healedAfterMs === undefined) return
    const before = this.#history.publishes.length
    const topic = this.#options.workload.topics[0] as string
    for (const peer of this.#peers)
      this.#publishers.publishAt(peer, { topic, level: { type: 'all' }, waitMs: lastWordsMs })
    await this.#advanceTo(this.#scheduler.nowMs + lastWordsMs)
    this.#blame(checkLastWords(this.#history.publishes.slice(before), this.#options.peers))
    await this.#healsUntil(this.#scheduler.nowMs + lastWordsMs)
  }

  #registeredAt(id: PeerId): readonly PeerId[] {
    return this.#peers.find((peer) => peer.id === id)?.driver?.peer.membership.registryView().peers ?? []
  }

  #tap(): WireTap {
    const bounds = new BoundsChecker()
    const digests = nodeDigests
    const topics = this.#options.workload.topics.map(
      (name) => [topicIdOf(digests, { cluster, name, generation: 0 }), name] as const,
    )
    const describer = new Describer(new Map(topics))
    return {
      dataSent: (from, frame) => this.#blame(bounds.dataSent(from, frame)),
      controlHeard: (at, from, frame, sentAtMs) => {
        const message = decodeControl(frame)
        this.#blame(bounds.controlHeard(at, message))
        this.#tellings.controlHeard(at, from, message, sentAtMs)
        this.#trace.line(at.host.peer, `< ${from}`, describer.control(message))
      },
      dataHeard: (at, from, frame) => this.#trace.line(at.host.peer, `< ${from}`, describer.data(frame)),
      dialFailed: (at, address, reason) => this.#trace.line(at, 'dial', `${address} failed: ${reason}`),
      linkUp: (at, peer) => this.#trace.line(at.host.peer, 'link up', peer),
      linkDown: (at, peer, reason) => this.#trace.line(at.host.peer, 'link down', `${peer}: ${reason}`),
    }
  }

  #blame(anomalies: readonly Anomaly[]): void {
    const room = anomaliesMax - this.#anomalies.length
    for (const anomaly of anomalies.slice(0, room)) {
      this.#trace.line('*', 'ANOMALY', `${anomaly.checker}: ${anomaly.detail}`)
      this.#anomalies.push(anomaly)
    }
  }

  #onError(error: unknown): void {
    this.#blame([{ checker: 'crash', detail: error instanceof Error ? (error.stack ?? error.message) : String(error) }])
  }

  #result(): SimResult {
    return {
      seed: this.#options.seed,
      anomalies: this.#anomalies,
      traceHash: this.#trace.hash(),
      traceTail: this.#anomalies.length > 0 ? this.#trace.tail() : [],
      events: this.#scheduler.eventCount,
      virtualMs: this.#scheduler.nowMs,
      records: this.#history.publishes.reduce((count, { values }) => count + values.length, 0),
      healedAfterMs: this.#healedAfterMs,
    }
  }
}

/** Whom a peer is told to join by. */
function seedsOf({ peers, joinBy }: SimOptions, index: number): readonly PeerId[] {
  switch (joinBy) {
    case 'first':
      return peers.slice(0, Math.min(1, index))
    case 'previous':
      return peers.slice(Math.max(0, index - 1), index)
    case 'anybody':
      return peers
  }
}
