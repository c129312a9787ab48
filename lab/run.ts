import { pause } from '#client/backoff'
import type { BackEnd, BackEndName, LabPeer } from './back-end.ts'
import { Beliefs } from './beliefs.ts'
import { Convergence } from './convergence.ts'
import { defined } from './defined.ts'
import { eventually } from './eventually.ts'
import { Findings } from './ledger/findings.ts'
import { checkAcks } from './ledger/checkers/acks.ts'
import { checkSame } from './ledger/checkers/contents.ts'
import { checkEqual } from './ledger/checkers/equality.ts'
import { homeHoldings } from './ledger/home-holdings.ts'
import { IndexedReading } from './ledger/indexed-reading.ts'
import { Ledger, readAt } from './ledger/ledger.ts'
import { sumOf } from './ledger/sums.ts'
import { judge } from './ledger/verdict.ts'
import { Load } from './load.ts'
import { type LabReport, reportOf } from './report.ts'
import type { Action, Scenario } from './scenario.ts'
import { secondsText } from './words.ts'

export interface RunConfig {
  readonly via: BackEndName
  readonly version: string
  /** Talk for people: what is done and when. */
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

const meetMsMax = 60_000
/** After the end of the load, beyond what is expected of a heal. */
const settleMsMax = 60_000
const lookEveryMs = 50

/** Plays a scenario on a back-end, which stays the caller's. Throws the reason of the signal, and what the back-end refuses. */
export async function runScenario(scenario: Scenario, backEnd: BackEnd, config: RunConfig): Promise<LabReport> {
  return await new Run(scenario, backEnd, config).run()
}

class Run {
  readonly #scenario: Scenario
  readonly #backEnd: BackEnd
  readonly #config: RunConfig
  readonly #topic: string
  readonly #ledger = new Ledger()
  readonly #convergence = new Convergence()
  readonly #load: Load
  readonly #peers: LabPeer[] = []
  readonly #watching = new AbortController()
  readonly #watches: Promise<void>[] = []
  #startMs = 0
  #beliefs = new Beliefs(0)
  readonly #unexpected = new Findings()

  constructor(scenario: Scenario, backEnd: BackEnd, config: RunConfig) {
    this.#scenario = scenario
    this.#backEnd = backEnd
    this.#config = config
    // A mesh that ran before may have the topic of another run.
    this.#topic = `lab.${scenario.name}.${Date.now().toString(36)}`
    const { recordsPerSecond } = scenario
    this.#load = new Load({
      topic: this.#topic,
      recordsPerSecond,
      ledger: this.#ledger,
      convergence: this.#convergence,
    })
  }

  async run(): Promise<LabReport> {
    try {
      await this.#startAll()
      const startedAt = new Date().toISOString()
      this.#startMs = performance.now()
      this.#beliefs = new Beliefs(Date.now())
      for (const peer of this.#peers) this.#begin(peer)
      const doneAtMs = await this.#steps()
      await this.#until(this.#scenario.endMs)
      await this.#load.stopWriting()
      const endMs = this.#nowMs()
      this.#say('the load has ended')
      const settledAfterMs = await this.#settle()
      return await this.#report({ startedAt, doneAtMs, endMs, ...(settledAfterMs !== undefined && { settledAfterMs }) })
    } finally {
      this.#watching.abort()
      await Promise.allSettled([this.#load.stopWriting(), this.#load.stopReading(), ...this.#watches])
    }
  }

  async #startAll(): Promise<void> {
    const [first = '', ...others] = this.#scenario.peers
    this.#peers.push(await this.#backEnd.start(first, []))
    this.#peers.push(...(await Promise.all(others.map((name) => this.#backEnd.start(name, [first])))))
    await this.#eventually('all see all alive', meetMsMax, async () => {
      const seen = await Promise.all(this.#peers.map(({ client }) => client.members()))
      return seen.every((members) => {
        const alive = members.filter(({ state }) => state === 'alive').map(({ id }) => id)
        return this.#peers.every(({ peerId }) => alive.includes(peerId))
      })
    })
    const replicas = this.#scenario.peers.length + this.#scenario.joining.length
    await this.#peers[0]?.client.createTopic(this.#topic, { replicas })
    await this.#eventually('all know the topic', meetMsMax, async () => {
      await Promise.all(this.#peers.map(({ client }) => client.topic(this.#topic)))
      return true
    })
  }

  #begin(peer: LabPeer): void {
    this.#load.add(peer)
    const watch = this.#beliefs.watch(peer, this.#watching.signal)
    this.#watches.push(
      watch.catch((error: unknown) => this.#unexpected.add(`events of ${peer.name}: ${String(error)}`)),
    )
  }

  /** When each of them was there. */
  async #steps(): Promise<readonly number[]> {
    const doneAtMs: number[] = []
    for (const { atMs, text, actions } of this.#scenario.steps) {
      await this.#until(atMs)
      const beganMs = this.#nowMs()
      for (const action of actions) await this.#do(action)
      // A cut is there from its beginning on, as far as what comes after it goes; the others are there in the end.
      doneAtMs.push(actions.some(({ type }) => type === 'cut' || type === 'link') ? beganMs : this.#nowMs())
      this.#say(text)
      if (actions.some(({ type }) => type === 'heal')) this.#convergence.aim(performance.now())
    }
    return doneAtMs
  }

  async #do(action: Action): Promise<void> {
    switch (action.type) {
      case 'cut':
        return await this.#backEnd.between.cut(action.from, action.to)
      case 'link':
        return await this.#backEnd.between.link(action.from, action.to, { loss: action.loss, delayMs: action.delayMs })
      case 'heal':
        return await this.#backEnd.between.heal()
      case 'join': {
        const seeds = this.#peers.map(({ name }) => name)
        const peer = await this.#backEnd.start(action.peer, seeds)
        this.#peers.push(peer)
        this.#begin(peer)
      }
    }
  }

  /** How long it took until all had all, the same bytes, and saw each other; undefined if it took too long. */
  async #settle(): Promise<number | undefined> {
    const fromMs = this.#nowMs()
    this.#convergence.aim(performance.now())
    const isSettled = async (): Promise<boolean> => {
      if (this.#convergence.tookMs.some((ms) => ms === undefined)) return false
      if (checkEqual(await homeHoldings(this.#peers, [this.#topic])).count > 0) return false
      return (await Promise.all(this.#peers.map((peer) => this.#hasHealed(peer)))).every(Boolean)
    }
    try {
      await this.#eventually('all have all', this.#scenario.expect.convergedMs + settleMsMax, isSettled)
      return this.#nowMs() - fromMs
    } catch {
      this.#config.signal.throwIfAborted()
      return undefined
    }
  }

  /** It sees everybody, and what the heal has brought is counted. */
  async #hasHealed({ client }: LabPeer): Promise<boolean> {
    const [members, { split }, heals] = await Promise.all([client.members(), client.partitions(), client.heals()])
    const others = members.filter(({ name }) => this.#peers.some((peer) => peer.name === name))
    const isWhole = !split && others.every(({ state }) => state === 'alive')
    return isWhole && heals.every(({ state }) => state !== 'merging')
  }

  async #report(times: {
    readonly startedAt: string
    readonly doneAtMs: readonly number[]
    readonly endMs: number
    readonly settledAfterMs?: number
  }): Promise<LabReport> {
    const live = await this.#load.stopReading()
    const finals = await Promise.all(this.#peers.map((peer) => readAt(peer, this.#topic, this.#config.signal)))
    const indexed = finals.map((log) => new IndexedReading(log))
    const [final] = indexed
    const verdicts = [
      ...finals.map((log, i) => judge(this.#ledger, log, defined({ indexed: indexed[i], final }))),
      ...live.map((log) => judge(this.#ledger, log, defined({ final }))),
    ]
    const { faults, figures } = sumOf(verdicts)
    const unequalReadings = new Findings()
    for (const other of indexed.slice(1)) if (final !== undefined) unequalReadings.take(checkSame(final, other))
    const heals = await Promise.all(
      this.#peers.map(async (peer) =>
        (await this.#beliefs.healsOf(peer)).toReversed().map((heal) => ({ at: peer.name, heal })),
      ),
    )
    return reportOf({
      ...times,
      scenario: this.#scenario,
      via: this.#config.via,
      version: this.#config.version,
      topic: this.#topic,
      startMs: this.#startMs,
      // The last one is the end of the load.
      convergedAfterMs: this.#convergence.tookMs.slice(0, -1),
      publishes: this.#ledger.publishes,
      heals: heals.flat(),
      beliefs: this.#beliefs.all,
      missedEvents: this.#beliefs.missed,
      faults: {
        ...faults,
        falseAcks: checkAcks(this.#ledger),
        unequalReadings,
        unexpected: merged(faults.unexpected, this.#unexpected),
      },
      figures,
    })
  }

  #nowMs(): number {
    return performance.now() - this.#startMs
  }

  async #until(atMs: number): Promise<void> {
    await pause(Math.max(0, atMs - this.#nowMs()), this.#config.signal)
  }

  #eventually(what: string, deadlineMs: number, isTrue: () => Promise<boolean>): Promise<void> {
    return eventually(what, isTrue, { deadlineMs, everyMs: lookEveryMs, signal: this.#config.signal })
  }

  #say(what: string): void {
    this.#config.say(`${secondsText(this.#nowMs()).padStart(8)}  ${what}`)
  }
}

function merged(one: Findings, other: Findings): Findings {
  one.take(other)
  return one
}
