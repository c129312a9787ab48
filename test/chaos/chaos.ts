import { join } from 'node:path'
import { eventually } from '../integration/process-peer.ts'
import { checkAcks } from '#lab/ledger/checkers/acks'
import { checkEqual, type Holding } from '#lab/ledger/checkers/equality'
import { Findings } from '#lab/ledger/findings'
import { Ledger } from '#lab/ledger/ledger'
import { judge } from '#lab/ledger/verdict'
import { Dice } from '../sim/dice.ts'
import { type FaultsConfig, suffer } from './faults.ts'
import { flipBits } from './flip-bits.ts'
import { homeHoldings } from '#lab/ledger/home-holdings'
import { publishFigures, sumOf } from '#lab/ledger/sums'
import { judgeAll } from './judgement.ts'
import { Writer, writersOf } from './load.ts'
import { Machines } from './machines.ts'
import { RoamingReader } from './readers.ts'
import type { Report } from './report.ts'
import { scheduleOf } from './schedule.ts'

export interface ChaosConfig {
  readonly seed: number
  readonly commit: string
  readonly minutes: number
  /** Where data and logs of the peers go. */
  readonly directory: string
  readonly recordsPerSecond: number
  /** Bits flipped each time that a disk is damaged; 0: disks are only deleted. */
  readonly bits: number
  readonly say: (line: string) => void
}

const names = ['oak', 'elm', 'ash', 'fir', 'yew'] as const
const topics = ['orders', 'payments', 'audit.login', 'stock'] as const
/** One fewer than a topic has copies. */
const victimCount = 2

/** Faults for so long, then all is healed and has so long to converge. */
const roundMsMax = 100_000
const convergeMsMax = 120_000
const everyMs = 2_500
const wipeEveryMs = 5 * 60_000
const flipsPerRound = 2
const progressEveryMs = 5_000

/** Load and faults, round after round; in between all hold the same bytes; in the end what was acked is held against what is read. */
export class Chaos {
  readonly #config: ChaosConfig
  readonly #machines: Machines
  readonly #ledger: Ledger
  readonly #startMs = performance.now()
  readonly #suffered: Record<string, number> = {}
  readonly #convergedAfterMs: number[] = []
  readonly #unwanted: Findings
  readonly #unfinished = new Findings()
  readonly #dice: Dice
  readonly #writers: readonly Writer[]
  readonly #readers: readonly RoamingReader[]

  private constructor(config: ChaosConfig, machines: Machines, ledger: Ledger, unwanted: Findings) {
    this.#config = config
    this.#machines = machines
    this.#ledger = ledger
    this.#unwanted = unwanted
    const { seed, recordsPerSecond } = config
    this.#dice = new Dice(seed, 'faults')
    this.#writers = writersOf(topics, names, recordsPerSecond).map(
      (plan) => new Writer(plan, { dice: new Dice(seed, plan.name), ledger, machines }),
    )
    this.#readers = topics.map((topic) => new RoamingReader(topic, { dice: new Dice(seed, `read ${topic}`), machines }))
  }

  static async run(config: ChaosConfig): Promise<Report> {
    const unwanted = new Findings()
    const ledger = new Ledger()
    const onEnd = (what: string): void => {
      config.say(what)
      unwanted.add(what)
    }
    const { directory } = config
    const options = { directory, names, flags: peerFlags, onEnd, onCrashLoop: onEnd }
    await using machines = await Machines.start(options, ledger)
    return await new Chaos(config, machines, ledger, unwanted).#run()
  }

  async #run(): Promise<Report> {
    const stop = new AbortController()
    const progress = setInterval(() => this.#say(this.#progress()), progressEveryMs)
    const readers = Promise.all(this.#readers.map((reader) => reader.run(stop.signal)))
    try {
      await this.#rounds()
      await this.#readersAtTheEnd()
    } finally {
      clearInterval(progress)
      stop.abort()
      await readers
    }
    return this.#report()
  }

  async #rounds(): Promise<void> {
    const endMs = this.#startMs + this.#config.minutes * 60_000
    const convergeMs = 15_000
    let wiped = 0
    for (
      let leftMs = endMs - performance.now();
      leftMs > 2 * convergeMs || wiped === 0;
      leftMs = endMs - performance.now()
    ) {
      const elapsedMs = performance.now() - this.#startMs
      const wipes = elapsedMs >= wiped * wipeEveryMs ? 1 : 0
      wiped += wipes
      if (!(await this.#round(Math.min(roundMsMax, leftMs - convergeMs), wipes))) return
    }
  }

  async #round(roundMs: number, wipes: number): Promise<boolean> {
    const victims = names.slice(0, victimCount)
    const flips = this.#config.bits > 0 ? flipsPerRound : 0
    const planned = scheduleOf(this.#dice, { machines: names, victims, roundMs, everyMs, wipes, flips })
    for (const { fault } of planned) this.#suffered[fault.type] = (this.#suffered[fault.type] ?? 0) + 1
    const load = new AbortController()
    const writers = Promise.all(this.#writers.map((writer) => writer.run(load.signal)))
    try {
      await suffer(planned, this.#faultsConfig())
    } finally {
      await this.#machines.network.heal()
      load.abort()
    }
    const healedAtMs = performance.now()
    await writers
    if (!(await this.#converge())) return false
    const tookMs = performance.now() - healedAtMs
    this.#convergedAfterMs.push(Math.round(tookMs))
    this.#say(`all hold the same bytes ${(tookMs / 1_000).toFixed(1)} s after the last fault`)
    return true
  }

  #faultsConfig(): FaultsConfig {
    const flip = async (name: string): Promise<void> => {
      this.#ledger.diskFailed(this.#machines.at(name).peerName)
      await flipBits(join(this.#machines.dataOf(name), 'level'), this.#config.bits, this.#dice)
    }
    return { machines: this.#machines, flip, onFault: (what) => this.#say(what) }
  }

  /** False, and a fault, if it takes too long. */
  async #converge(): Promise<boolean> {
    const { running } = this.#machines
    const allUp = (): boolean => this.#machines.running.length === names.length
    try {
      await eventually(`all are up, not only ${running.length}`, () => Promise.resolve(allUp()), convergeMsMax)
      const isEqual = async (): Promise<boolean> => checkEqual(await this.#holdings()).count === 0
      await eventually('all home members hold the same bytes', isEqual, convergeMsMax)
      return true
    } catch (error) {
      this.#unfinished.add(String(error))
      return false
    }
  }

  #holdings(): Promise<readonly Holding[]> {
    return homeHoldings(this.#machines.running, topics)
  }

  /** Readers that roam come to the end of what there is; those that do not will be found to lack something. */
  async #readersAtTheEnd(): Promise<void> {
    const nowMs = performance.now()
    const haveAll = (): Promise<boolean> => Promise.resolve(this.#readers.every((reader) => reader.hasAllOf(nowMs)))
    await eventually('all readers have all', haveAll, convergeMsMax).catch(() => undefined)
  }

  async #report(): Promise<Report> {
    const say = (what: string): void => this.#say(what)
    const { verdicts, finals, unequalReadings } = await judgeAll(this.#ledger, this.#machines, topics, say)
    const roaming = this.#readers.map(({ log }) => {
      const final = finals.get(log.topic)
      return judge(this.#ledger, log, final && { final })
    })
    const { faults, figures } = sumOf([...verdicts, ...roaming])
    return {
      commit: this.#config.commit,
      seed: this.#config.seed,
      peers: names.length,
      topics: topics.length,
      tookMs: Math.round(performance.now() - this.#startMs),
      suffered: this.#suffered,
      publishes: publishFigures(this.#ledger.publishes),
      convergedAfterMs: this.#convergedAfterMs,
      faults: {
        ...faults,
        falseAcks: checkAcks(this.#ledger),
        unequalReadings,
        unequalHomes: checkEqual(await this.#holdings()),
        unwantedEnds: this.#unwanted,
        unfinished: this.#unfinished,
      },
      figures,
    }
  }

  #progress(): string {
    const states = this.#machines.all.map(({ name, peer, isPaused }) => {
      return `${name} ${peer === undefined ? 'down' : isPaused ? 'stopped' : 'up'}`
    })
    return `acked ${this.#ledger.acked.toLocaleString('en')} records; ${states.join(', ')}`
  }

  #say(what: string): void {
    const seconds = ((performance.now() - this.#startMs) / 1_000).toFixed(1)
    this.#config.say(`${seconds.padStart(7)} s  ${what}`)
  }
}

const peerFlags = ['--insecure', '--profile', 'local'] as const
