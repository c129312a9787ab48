import { join } from 'node:path'
import { shuffled } from '#protocol/random'
import { quantile } from '../bench/figures.ts'
import { eventually } from '../integration/process-peer.ts'
import { checkEqual } from '#lab/ledger/checkers/equality'
import { Findings } from '#lab/ledger/findings'
import { Ledger } from '#lab/ledger/ledger'
import { Dice } from '../sim/dice.ts'
import { flipBits } from './flip-bits.ts'
import { homeHoldings } from '#lab/ledger/home-holdings'
import { judgeAll, type Judgement } from './judgement.ts'
import { Machines } from './machines.ts'

export interface BitFlipsConfig {
  readonly seed: number
  readonly flips: number
  /** Published before the first flip; a hundredth as many before each round. */
  readonly records: number
  readonly directory: string
  readonly say: (line: string) => void
}

export interface BitFlipsReport {
  readonly seed: number
  readonly flips: number
  readonly rounds: number
  readonly ackedRecords: number
  /** From the beginning of the first read, which finds the damage, until everything has been read and is whole; one per round. */
  readonly mendedAfterMs: readonly number[]
  /** Peers that could not go on, said so and were started again. */
  readonly ends: Findings
  /** All are zero in a run without fault. */
  readonly faults: Readonly<Record<string, Findings>>
}

const names = ['oak', 'elm', 'ash'] as const
const topics = ['orders', 'payments'] as const
const batchRecords = 200
/** One fewer than there are copies: what was acked by all is whole on one disk. */
const victimsMax = names.length - 1
const flipsPerPeerMax = 20
const mendMsMax = 60_000
const startMsMax = 60_000

/**
 * Round after round: one peer or two are stopped, bits of their files are flipped, they are started, and everything is read
 * at each peer. Nothing wrong may be served, nothing acked be missing, and all be whole again within a minute.
 */
export class BitFlips {
  readonly #config: BitFlipsConfig
  readonly #machines: Machines
  readonly #ledger: Ledger
  readonly #dice: Dice
  readonly #faults = {
    wrongBytes: new Findings(),
    wrongPlaces: new Findings(),
    lost: new Findings(),
    otherwiseWrong: new Findings(),
    notMended: new Findings(),
    crashLoops: new Findings(),
  }
  readonly #mendedAfterMs: number[] = []
  readonly #ends: Findings
  readonly #nextSeq = new Map<string, number>()

  private constructor(config: BitFlipsConfig, machines: Machines, ledger: Ledger, ends: Findings) {
    this.#config = config
    this.#machines = machines
    this.#ledger = ledger
    this.#ends = ends
    this.#dice = new Dice(config.seed, 'flips')
  }

  static async run(config: BitFlipsConfig): Promise<BitFlipsReport> {
    const ledger = new Ledger()
    const [ends, crashLoops] = [new Findings(), new Findings()]
    const { directory, say } = config
    const onEnd = (what: string): void => {
      say(what)
      ends.add(what)
    }
    const options = {
      directory,
      names,
      flags: ['--insecure', '--profile', 'local'],
      onEnd,
      onCrashLoop: (what: string) => crashLoops.add(what),
    }
    await using machines = await Machines.start(options, ledger)
    const run = new BitFlips(config, machines, ledger, ends)
    const report = await run.#run()
    report.faults['crashLoops']?.take(crashLoops)
    return report
  }

  async #run(): Promise<BitFlipsReport> {
    const { seed, flips: wanted, records } = this.#config
    let [flips, rounds] = [0, 0]
    await this.#publish(records)
    while (flips < wanted && this.#count() === 0) {
      rounds++
      await this.#publish(Math.ceil(records / 100))
      const victims = shuffled(this.#dice, names).slice(0, this.#dice.whole(1, victimsMax))
      for (const victim of victims) {
        flips += await this.#damage(victim, Math.min(wanted - flips, this.#dice.whole(1, flipsPerPeerMax)))
      }
      await Promise.all(victims.map((victim) => this.#machines.up(victim)))
      await this.#mend(rounds, victims)
    }
    return {
      seed,
      flips,
      rounds,
      ackedRecords: this.#ledger.acked,
      mendedAfterMs: this.#mendedAfterMs,
      ends: this.#ends,
      faults: this.#faults,
    }
  }

  #count(): number {
    return Object.values(this.#faults).reduce((sum, { count }) => sum + count, 0)
  }

  async #publish(count: number): Promise<void> {
    for (let sent = 0; sent < count; sent += batchRecords) {
      // A peer may find only now that it cannot go on, and start again.
      if (!(await this.#within('a publish is acked by all', startMsMax, () => this.#publishBatch()))) return
    }
  }

  /** True if it is on all three disks. Otherwise the writer goes on with the next: the ledger knows that it owes nothing. */
  async #publishBatch(): Promise<boolean> {
    const machine = this.#dice.pick(names)
    const topic = this.#dice.pick(topics)
    const { peer } = this.#machines.at(machine)
    if (peer === undefined) return false
    const writer = `${topic}/${machine}`
    const firstSeq = this.#nextSeq.get(writer) ?? 0
    this.#nextSeq.set(writer, firstSeq + batchRecords)
    const plan = { writer, topic, firstSeq, count: batchRecords, level: 'all', wait: '20s' }
    const outcome = await this.#ledger.publish(peer, plan)
    return outcome.type === 'ok' && outcome.reached
  }

  async #damage(victim: string, count: number): Promise<number> {
    await this.#machines.down(victim, this.#dice.chance(0.5) ? 'SIGKILL' : 'SIGTERM')
    this.#ledger.diskFailed(victim)
    const flips = await flipBits(join(this.#machines.dataOf(victim), 'level'), count, this.#dice)
    const files = Map.groupBy(flips, ({ file }) => file.split('/').at(-1) ?? '')
    this.#config.say(`${victim}: ${[...files].map(([file, hits]) => `${hits.length} in ${file}`).join(', ')}`)
    return flips.length
  }

  /** The first read finds the damage, and may be told of ranges that are late. Then all comes back. */
  async #mend(round: number, victims: readonly string[]): Promise<void> {
    const startMs = performance.now()
    const { running } = this.#machines
    const areUp = (): boolean => this.#machines.running.length === names.length
    if (!(await this.#within(`all are up, not only ${running.length}`, startMsMax, () => Promise.resolve(areUp()))))
      return
    const upMs = performance.now()
    const judgement = await judgeAll(this.#ledger, this.#machines, topics)
    this.#take(judgement)
    if (!(await this.#within('all is whole again', mendMsMax, () => this.#isWhole()))) return
    for (const victim of victims) this.#ledger.diskMended(victim)
    const mendedMs = performance.now() - upMs
    this.#mendedAfterMs.push(Math.round(mendedMs))
    this.#config.say(
      `round ${round}: up in ${seconds(upMs - startMs)}, read and whole again after ${seconds(mendedMs)}`,
    )
  }

  #take({ verdicts, unequalReadings }: Judgement): void {
    this.#faults.wrongPlaces.take(unequalReadings)
    for (const { faults } of verdicts) {
      const { lost, wrongBytes, wrongPlaces, stillLate, ...others } = faults
      this.#faults.lost.take(lost)
      this.#faults.wrongBytes.take(wrongBytes)
      this.#faults.wrongPlaces.take(wrongPlaces)
      this.#faults.notMended.take(stillLate)
      for (const found of Object.values(others)) this.#faults.otherwiseWrong.take(found)
    }
  }

  async #within(what: string, deadlineMs: number, isTrue: () => Promise<boolean>): Promise<boolean> {
    try {
      await eventually(what, isTrue, deadlineMs)
      return true
    } catch (error) {
      this.#faults.notMended.add(String(error))
      return false
    }
  }

  async #isWhole(): Promise<boolean> {
    const holdings = await homeHoldings(this.#machines.running, topics)
    const hasHoles = holdings.some(({ feeds }) => feeds.some(({ holes }) => holes !== undefined))
    return !hasHoles && checkEqual(holdings).count === 0
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`

const spread = (times: readonly number[]): string =>
  `p50 ${seconds(quantile(times, 0.5))}, at most ${seconds(Math.max(...times))}`

export function bitFlipsText({
  seed,
  flips,
  rounds,
  ackedRecords,
  mendedAfterMs,
  ends,
  faults,
}: BitFlipsReport): string {
  const count = Object.values(faults).reduce((sum, found) => sum + found.count, 0)
  return [
    `${flips} bits flipped in ${rounds} rounds, seed ${seed}; ${ackedRecords.toLocaleString('en')} records acked by all three`,
    ...(mendedAfterMs.length === 0 ? [] : [`read and whole again: ${spread(mendedAfterMs)}`]),
    `peers that could not go on, said so and were started again: ${ends.count}`,
    ...ends.examples.map((example) => `  ${example.replaceAll('\n', '\n    ')}`),
    ...Object.entries(faults).flatMap(([name, found]) => [
      `${name}: ${found.count}`,
      ...found.examples.map((example) => `  ${example}`),
    ]),
    count === 0 ? 'without fault' : `FAULTS. To see them again: npm run bit-flips -- --seed ${seed}`,
  ].join('\n')
}
