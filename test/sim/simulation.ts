import { nodeDigests } from '#node/node-digests'
import { topicIdOf } from '#protocol/ids'
import { Describer } from './describe.ts'
import { Dice } from './dice.ts'
import { Faults } from './faults.ts'
import { checkLastWords, finalAnomalies, isHealed } from './final-checks.ts'
import { History } from './history.ts'
import { SimNetwork } from './network.ts'
import { SimReader } from './readers.ts'
import { forbidRealTime } from './real-time.ts'
import { Scheduler } from './scheduler.ts'
import { cluster, SimPeer } from './sim-peer.ts'
import { seedsOf } from './swarm.ts'
import { Trace } from './trace.ts'
import { Watch } from './watch.ts'
import { Publishers } from './workload.ts'
import type { PeerId } from '#protocol/ids'
import type { Anomaly } from './checkers/anomaly.ts'
import type { EndOfWorld } from './final-checks.ts'
import type { Reading } from './history.ts'
import type { Sabotage } from './sim-peer.ts'
import type { SimOptions } from './swarm.ts'

export interface SimResult {
  readonly seed: number
  readonly anomalies: readonly Anomaly[]
  readonly traceHash: string
  /** The last lines of the trace, when something was wrong. */
  readonly traceTail: readonly string[]
  readonly events: number
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

const lookEveryMs = 500
/** How long a record may take to all disks of a healed mesh; slow disks and slow paths stay slow. */
const lastWordsMs = 10_000
/** After the mesh has converged: time for readers to get the last records. */
const lastReadsMs = 2_000

class Simulation {
  readonly #options: SimOptions
  readonly #scheduler = new Scheduler()
  readonly #trace: Trace
  readonly #watch: Watch
  readonly #history = new History()
  readonly #peers: readonly SimPeer[]
  readonly #world: EndOfWorld
  readonly #faults: Faults
  readonly #publishers: Publishers
  #healedAfterMs: number | undefined

  constructor(options: SimOptions, { sabotage = {}, print }: SimHooks) {
    this.#options = options
    const { seed, store } = options
    const scheduler = this.#scheduler
    const trace = new Trace(scheduler, print)
    const disks = new Map<PeerId, SimPeer['disk']>()
    const topics = options.workload.topics.map(
      (name) => [topicIdOf(nodeDigests, { cluster, name, generation: 0 }), name] as const,
    )
    const describer = new Describer(new Map(topics))
    const watch = new Watch({ trace, describer, disks, pauses: options.faults.pauses !== undefined })
    const network = new SimNetwork(options.peers, new Dice(seed, 'network'), options.network, { scheduler, tap: watch })
    this.#peers = options.peers.map((id, index) => {
      const dice = { random: new Dice(seed, `peer ${id}`), storeDice: new Dice(seed, `disk ${id}`) }
      return new SimPeer(id, { scheduler, network, trace, store, sabotage, ...dice, seeds: seedsOf(options, index) })
    })
    for (const { id, disk } of this.#peers) disks.set(id, disk)
    this.#trace = trace
    this.#watch = watch
    this.#world = { peers: this.#peers, disks, history: this.#history }
    this.#faults = new Faults({ seed, scheduler, network, peers: this.#peers, trace, options: options.faults })
    this.#publishers = new Publishers({
      ...this.#clientDeps('workload'),
      options: options.workload,
      onAnswer: (publish, answer) => watch.answered(publish, answer, this.#registeredAt(publish.at)),
    })
  }

  async run(): Promise<SimResult> {
    const allowRealTime = forbidRealTime()
    const onRejection = (error: unknown): void => this.#watch.crashed(error)
    process.on('unhandledRejection', onRejection)
    try {
      this.#begin()
      await this.#advanceTo(this.#options.faultsMs)
      this.#faults.healAll()
      await this.#end()
    } catch (error) {
      this.#watch.crashed(error)
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
    this.#publishers.runUntil(faultsMs)
    for (let number = 1; number <= workload.readers; number++) {
      const from = dice.chance(0.7) ? 'earliest' : 'latest'
      const topic = dice.pick(workload.topics)
      const reading: Reading = { name: `#${number}`, topic, from, sinceMs: 0, records: [], gaps: [] }
      this.#history.readings.push(reading)
      const { moveEveryMs } = workload
      new SimReader(reading, { ...this.#clientDeps(`reader ${number}`), moveEveryMs }).start()
    }
    this.#faults.start()
  }

  /** The second phase: everything works again. */
  async #end(): Promise<void> {
    const { faultsMs, healMsMax } = this.#options
    if (await this.#healsUntil(faultsMs + healMsMax)) this.#healedAfterMs = this.#scheduler.nowMs - faultsMs
    await this.#lastWords()
    await this.#advanceTo(this.#scheduler.nowMs + lastReadsMs)
    if (this.#isSound) this.#watch.blame(finalAnomalies(this.#world))
  }

  /** One record of each peer, for all. */
  async #lastWords(): Promise<void> {
    if (this.#healedAfterMs === undefined) return
    const before = this.#history.publishes.length
    const topic = this.#options.workload.topics[0] as string
    for (const peer of this.#peers) {
      this.#publishers.publishAt(peer, { topic, level: { type: 'all' }, waitMs: lastWordsMs })
    }
    await this.#advanceTo(this.#scheduler.nowMs + lastWordsMs)
    this.#watch.blame(checkLastWords(this.#history.publishes.slice(before), this.#options.peers))
    await this.#healsUntil(this.#scheduler.nowMs + lastWordsMs)
  }

  async #healsUntil(endMs: number): Promise<boolean> {
    while (!isHealed(this.#world) && this.#scheduler.nowMs < endMs && this.#isSound) {
      await this.#advanceTo(this.#scheduler.nowMs + lookEveryMs)
    }
    return isHealed(this.#world)
  }

  async #advanceTo(atMs: number): Promise<void> {
    while (this.#scheduler.nowMs < atMs && this.#isSound) {
      await this.#scheduler.runUntil(Math.min(atMs, this.#scheduler.nowMs + lookEveryMs))
      this.#watch.look(this.#peers, this.#scheduler.nowMs)
    }
  }

  get #isSound(): boolean {
    return this.#watch.anomalies.length === 0
  }

  #clientDeps(concern: string) {
    const dice = new Dice(this.#options.seed, concern)
    return { scheduler: this.#scheduler, peers: this.#peers, history: this.#history, trace: this.#trace, dice }
  }

  #registeredAt(id: PeerId): readonly PeerId[] {
    return this.#peers.find((peer) => peer.id === id)?.driver?.peer.membership.registryView().peers ?? []
  }

  #result(): SimResult {
    const { anomalies } = this.#watch
    return {
      seed: this.#options.seed,
      anomalies,
      traceHash: this.#trace.hash(),
      traceTail: this.#isSound ? [] : this.#trace.tail(),
      events: this.#scheduler.eventCount,
      records: this.#history.publishes.reduce((count, { values }) => count + values.length, 0),
      healedAfterMs: this.#healedAfterMs,
    }
  }
}
