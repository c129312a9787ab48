import { setImmediate as nextTurn } from 'node:timers/promises'
import { Administrators } from './administrators.ts'
import { Askers } from './askers.ts'
import type { AskersDeps } from './askers.ts'
import { Describer } from './describe.ts'
import { Dice } from './dice.ts'
import { Faults } from './faults.ts'
import { neverAnswered } from './checkers/availability.ts'
import { Audience } from './audience.ts'
import { Curators } from './curators.ts'
import { checkLeftToGo } from './checkers/floors.ts'
import { checkForgotten } from './checkers/forgotten.ts'
import { checkSession, coveredBy } from './checkers/sessions.ts'
import { checkLeftovers } from './checkers/handoff.ts'
import { checkLastWords, disksOf, finalAnomalies, isHealed } from './final-checks.ts'
import { History } from './history.ts'
import { keepersAt, SimHomes } from './homes.ts'
import type { Sight } from './checkers/ack-honesty.ts'
import { machinesOf } from './machines.ts'
import { SimNetwork } from './network.ts'
import { Operators } from './operators.ts'
import { ProducerClient } from './producer-client.ts'
import { forbidRealTime } from './real-time.ts'
import { Scheduler } from './scheduler.ts'
import { keepsForMs, patient } from './swarm.ts'
import { Trace } from './trace.ts'
import { Watch } from './watch.ts'
import { Publishers } from './workload.ts'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedId } from '#protocol/log/feed'
import type { Retention } from '#protocol/topic-config'
import type { TopicName } from '#protocol/topic-name'
import { configOf } from '#protocol/topics/topic-state'
import { FewLinks } from './checkers/few-links.ts'
import type { Anomaly } from './checkers/anomaly.ts'
import type { EndOfWorld } from './final-checks.ts'
import type { Answer, Place, Publish } from './history.ts'
import type { Sabotage, SimPeer } from './sim-peer.ts'
import type { SimOptions } from './swarm.ts'
import type { Session } from './workload.ts'

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
  new Simulation(patient(options), hooks).run()

const lookEveryMs = 500
/** For whatever was decided to reach everybody, before operators look at what came of it. */
const settlesMs = 15_000
/** How long a record may take to all disks of a healed mesh; slow disks and slow paths stay slow. */
const lastWordsMs = 10_000
/** How long it may take to let go of what is left over, with a short grace time. */
const tidyMsMax = 120_000
/** Long enough for whoever has read to be done with it. */
const quietSeconds = 60
/** How long retention may take to go over everything, wherever clocks run apart a little. */
const letGoMsMax = 30_000
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
  readonly #askers: Askers
  readonly #audience: Audience
  readonly #administrators: Administrators | undefined
  readonly #curators: Curators | undefined
  readonly #operators: Operators | undefined
  #healedAfterMs: number | undefined

  constructor(options: SimOptions, { sabotage = {}, print }: SimHooks) {
    this.#options = options
    const { seed } = options
    const scheduler = this.#scheduler
    const trace = new Trace(scheduler, print)
    const disks = new Map<PeerId, SimPeer['disk']>()
    const homes = new SimHomes(options)
    const describer = new Describer(homes.topics)
    const isCut = (from: PeerId, to: PeerId): boolean => network.isCut(from, to)
    const watch = new Watch({ trace, describer, disks, homes, options, isCut })
    const network: SimNetwork = new SimNetwork(options.peers, new Dice(seed, 'network'), options.network, {
      scheduler,
      tap: watch,
    })
    this.#peers = machinesOf(options, {
      scheduler,
      network,
      trace,
      sabotage,
      onAppend: (peer, batches, changes) => {
        watch.appended(peer, { batches, changes }, scheduler.nowMs)
        this.#faults.appending(peer)
      },
      onDiskChanged: (...news) => watch.diskChanged(...news),
      onHandedOver: (peer) => {
        watch.handedOver(peer)
        this.#operators?.handedOver(peer)
      },
      onDied: (peer) => this.#faults.died(peer),
    })
    for (const { id, disk } of this.#peers) disks.set(id, disk)
    homes.peers = this.#peers
    this.#trace = trace
    this.#watch = watch
    const onHealed = (): void => watch.sides.healed(this.#peers)
    const faults = { trace, options: options.faults, onHealed }
    this.#faults = new Faults({ seed, scheduler, network, peers: this.#peers, ...faults })
    this.#administrators = this.#newAdministrators()
    this.#curators = this.#newCurators()
    this.#operators = this.#newOperators()
    this.#world = {
      written: watch.written,
      peers: this.#peers,
      disks,
      history: this.#history,
      homes,
      administration: this.#administrators?.history ?? { edits: [], records: [] },
      keepsRemains: (options.administration?.graceMs ?? keepsForMs) >= keepsForMs,
    }
    const clients = { scheduler, trace, peers: this.#peers, history: this.#history }
    this.#audience = new Audience({
      ...clients,
      seed,
      options: options.workload,
      written: watch.written,
      onCaughtUp: (reading, at) => watch.caughtUp(reading, at, scheduler.nowMs),
    })
    this.#askers = this.#newAskers(clients)
    this.#publishers = new Publishers({
      ...clients,
      dice: new Dice(seed, 'workload'),
      options: options.workload,
      onPublish: (publish, boot) => watch.published(publish, boot),
      onAnswer: (publish, answer, session) => {
        watch.answered(publish, answer, this.#sightAt(session))
        this.#onSession(publish, answer, session)
      },
      onRefusal: (publish, code) => watch.refused(publish, code, (place) => this.#keeps(publish.machine, place)),
    })
  }

  #newAskers(clients: Pick<AskersDeps, 'scheduler' | 'trace' | 'peers' | 'history'>): Askers {
    const { seed, workload } = this.#options
    return new Askers({
      ...clients,
      dice: new Dice(seed, 'askers'),
      options: workload,
      onAnswer: (question, ack) => {
        const topicId = question.place.feed.split('/')[0] as TopicId
        this.#watch.told(question, ack, this.#sightAt({ at: question.at, topicId }))
      },
    })
  }

  #newAdministrators(): Administrators | undefined {
    const { seed, administration } = this.#options
    if (administration === undefined) return undefined
    const deps = { scheduler: this.#scheduler, trace: this.#trace, peers: this.#peers }
    return new Administrators({ ...deps, dice: new Dice(seed, 'topics'), options: administration })
  }

  #newCurators(): Curators | undefined {
    const { seed, retention, workload } = this.#options
    if (retention === undefined) return undefined
    const deps = { scheduler: this.#scheduler, trace: this.#trace, peers: this.#peers, topics: workload.topics }
    return new Curators({
      ...deps,
      dice: new Dice(seed, 'retention'),
      options: retention,
      onAsked: (topic, asked) => this.#watch.floors.asked(topic, asked),
    })
  }

  #newOperators(): Operators | undefined {
    const { seed, operators, faults } = this.#options
    if (operators === undefined) return undefined
    const { crashes, backups, bitFlips } = faults
    const losesDisks = (crashes?.losses ?? 0) > 0 || backups !== undefined || bitFlips !== undefined
    const deps = { scheduler: this.#scheduler, trace: this.#trace, peers: this.#peers, losesDisks }
    return new Operators({ ...deps, dice: new Dice(seed, 'operators'), options: operators })
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
      allowRealTime()
      // What is rejected last is told only when this turn is over.
      await nextTurn()
      process.off('unhandledRejection', onRejection)
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
    this.#askers.runUntil(faultsMs)
    for (let number = 1; number <= workload.producers.count; number++) {
      const dice = new Dice(seed, `producer ${number}`)
      const deps = { scheduler: this.#scheduler, peers: this.#peers, dice, publishers: this.#publishers }
      new ProducerClient(number, { ...deps, options: workload }).runUntil(faultsMs)
    }
    this.#audience.begin(dice, faultsMs)
    this.#administrators?.runUntil(faultsMs)
    this.#curators?.runUntil(faultsMs)
    this.#operators?.runUntil(faultsMs)
    this.#faults.start()
  }

  /** Every answer comes with a cursor. */
  #onSession(publish: Publish, answer: Answer, { at: { disk }, topicId, cursor }: Session): void {
    const covered = coveredBy(cursor, topicId, disk)
    this.#watch.blame(checkSession(publish, answer, covered, { disk, written: this.#watch.written }))
    this.#audience.mayGoOn(publish, covered, cursor)
  }

  /** The second phase: everything works again. */
  async #end(): Promise<void> {
    await this.#settle()
    const { nowMs } = this.#scheduler
    if (await this.#healsUntil(nowMs + this.#options.healMsMax)) this.#healedAfterMs = this.#scheduler.nowMs - nowMs
    await this.#tidyUp()
    await this.#lastWords()
    await this.#letGo()
    await this.#forget()
    await this.#rest()
    await this.#advanceTo(this.#scheduler.nowMs + lastReadsMs)
    // Retention goes on: two peers may be in the middle of it. So do links that come and go: on a new one it may take a moment to be told all.
    if (this.#curators !== undefined || this.#options.links !== undefined)
      await this.#healsUntil(this.#scheduler.nowMs + lastWordsMs)
    if (this.#isSound) this.#watch.blame(this.#publishers.unanswered().map(neverAnswered))
    if (this.#isSound) this.#watch.blame(finalAnomalies(this.#world))
    if (this.#isSound) this.#watch.blame(this.#watch.sides.check(this.#peers))
  }

  /** Operators look at the mesh once its registries agree, and again for what still came of what they had done before. */
  async #settle(): Promise<void> {
    if (this.#operators === undefined) return
    for (let looks = 0; looks < 2 && this.#isSound; looks++) {
      await this.#advanceTo(this.#scheduler.nowMs + settlesMs)
      this.#operators.settle(this.#peers.filter(({ driver }) => driver !== undefined))
    }
  }

  /** Where it does not take an hour, what is left over from earlier homes and stand-ins is let go of. */
  async #tidyUp(): Promise<void> {
    if (this.#healedAfterMs === undefined || this.#options.placement.handoffGraceMs > tidyMsMax) return
    const { disks, homes } = this.#world
    const leftovers = () => {
      const staying = disks.size === homes.staying().length ? disks : disksOf(homes.staying())
      return checkLeftovers(staying, (topicId) => homes.of(topicId))
    }
    const endMs = this.#scheduler.nowMs + tidyMsMax
    while (leftovers().length > 0 && this.#scheduler.nowMs < endMs && this.#isSound) {
      await this.#advanceTo(this.#scheduler.nowMs + lookEveryMs)
    }
    if (this.#isSound) this.#watch.blame(leftovers())
  }

  /** What retention lets go of is gone soon. */
  async #letGo(): Promise<void> {
    if (this.#healedAfterMs === undefined || this.#curators === undefined) return
    const { disks, homes } = this.#world
    const agedMs = this.#watch.slowestMs()
    const left = () =>
      checkLeftToGo(disks, {
        homeOf: (topicId) => homes.of(topicId),
        retentionOf: (topicId) => this.#retentionOf(topicId),
        slowestMs: agedMs,
      })
    const endMs = this.#scheduler.nowMs + letGoMsMax
    while (left().length > 0 && this.#scheduler.nowMs < endMs && this.#isSound) {
      await this.#advanceTo(this.#scheduler.nowMs + lookEveryMs)
    }
    if (this.#isSound) this.#watch.blame(left())
  }

  /** Then feeds without records are forgotten. */
  async #forget(): Promise<void> {
    if (this.#healedAfterMs === undefined) return
    const { disks, homes } = this.#world
    const isRunning = ({ writer, epoch }: FeedId) =>
      this.#peers.some(({ id, driver }) => id === writer && driver?.peer.epoch === epoch)
    const left = () => checkForgotten(disks, { homeOf: (topicId) => homes.of(topicId), isRunning })
    const endMs = this.#scheduler.nowMs + letGoMsMax
    while (left().length > 0 && this.#scheduler.nowMs < endMs && this.#isSound) {
      await this.#advanceTo(this.#scheduler.nowMs + lookEveryMs)
    }
    if (this.#isSound) this.#watch.blame(left())
  }

  /** Where links are to be few, they are, once nothing needs them. */
  async #rest(): Promise<void> {
    const { links } = this.#options
    if (this.#healedAfterMs === undefined || links === undefined) return
    const few = new FewLinks(links)
    for (let seconds = 0; seconds < quietSeconds && this.#isSound; seconds++) {
      await this.#advanceTo(this.#scheduler.nowMs + 1_000)
      few.look(this.#world.homes.staying())
    }
    if (this.#isSound) this.#watch.blame(few.anomalies())
  }

  #retentionOf(topicId: TopicId): Retention | undefined {
    const topic = this.#world.homes.topics.get(topicId)
    const peer = this.#world.homes.staying().find(({ driver }) => driver !== undefined)?.driver?.peer
    return topic === undefined ? undefined : peer && configOf(peer.topics.get(topic as TopicName)).retention
  }

  /** One record of each peer, in one topic after the other. */
  async #lastWords(): Promise<void> {
    if (this.#healedAfterMs === undefined) return
    const before = this.#history.publishes.length
    const { topics } = this.#options.workload
    for (const [index, peer] of this.#world.homes.staying().entries()) {
      const topic = topics[index % topics.length] as string
      this.#publishers.publishAt(peer, { topic, level: { type: 'all' }, waitMs: lastWordsMs })
    }
    await this.#advanceTo(this.#scheduler.nowMs + lastWordsMs)
    this.#watch.blame(checkLastWords(this.#history.publishes.slice(before), this.#world))
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

  /** The home of the topic by the registry of the peer that was published to. */
  #sightAt({ at, topicId }: Pick<Session, 'at' | 'topicId'>): Sight {
    const { driver } = at
    const { replication } = driver?.peer ?? {}
    return {
      home: this.#world.homes.among(topicId, driver === undefined ? [] : keepersAt(driver)),
      keptFrom: (peer, feed) => {
        const held = peer === at.id ? replication?.local.get(feed) : replication?.neighbors.get(peer)?.heads.get(feed)
        return held?.keptFrom ?? 0
      },
    }
  }

  /** What a peer lets go of is on its disk for a while longer, if that is slow. */
  #keeps(machine: string, { feed, offset }: Place): boolean {
    const { driver } = this.#peers.find((peer) => peer.machine === machine) ?? {}
    return offset >= (driver?.peer.replication.local.get(feed)?.keptFrom ?? Number.POSITIVE_INFINITY)
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
