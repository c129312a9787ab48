import { Dice } from './dice.ts'
import { SimReader } from './readers.ts'
import type { Publish, Reading } from './history.ts'
import type { SimReaderDeps } from './readers.ts'
import type { WorkloadOptions } from './swarm.ts'
import type { Covered, History } from './history.ts'

export interface AudienceDeps extends Omit<SimReaderDeps, 'dice' | 'moveEveryMs'> {
  readonly seed: number
  readonly history: History
  readonly options: WorkloadOptions
}

/** Share of answers whose client goes on reading, until there are as many as the seed chose. */
const sessionShare = 0.05

/** All readers of a world: those that are there from the beginning, and publishers that read on from their answer. */
export class Audience {
  readonly #deps: AudienceDeps
  readonly #dice: Dice
  #sessions = 0

  constructor(deps: AudienceDeps) {
    this.#deps = deps
    this.#dice = new Dice(deps.seed, 'sessions')
  }

  begin(dice: Dice, lateMsMax: number): void {
    const { readers, lateReaders, topics } = this.#deps.options
    for (let number = 1; number <= readers; number++) {
      const from = dice.chance(0.7) ? 'earliest' : 'latest'
      this.#read({ name: `${number}`, topic: dice.pick(topics), from, sinceMs: 0 })
    }
    const late = new Dice(this.#deps.seed, 'late readers')
    for (let number = 1; number <= lateReaders; number++) {
      const begin = { name: `l${number}`, topic: late.pick(topics), from: 'earliest' } as const
      this.#deps.scheduler.after(late.between(0, lateMsMax), () => {
        this.#read({ ...begin, sinceMs: this.#deps.scheduler.nowMs })
      })
    }
  }

  /** A client has this cursor from an answer; now and then one reads on from there, anywhere. */
  mayGoOn({ topic }: Publish, covered: Covered, cursor: string): void {
    if (this.#sessions === this.#deps.options.sessions || !this.#dice.chance(sessionShare)) return
    const name = `s${++this.#sessions}`
    // What was gone by then is covered, too, though nobody may know any more how.
    const goneBefore = this.#deps.written.gone()
    this.#read({ name, topic, from: 'answer', covered, goneBefore, sinceMs: this.#deps.scheduler.nowMs }, cursor)
  }

  #read(
    begin: Pick<Reading, 'name' | 'topic' | 'from' | 'covered' | 'sinceMs'> & Partial<Pick<Reading, 'goneBefore'>>,
    cursor?: string,
  ): void {
    const { seed, history, options, ...deps } = this.#deps
    const reading: Reading = {
      goneBefore: new Map(),
      ...begin,
      name: `#${begin.name}`,
      sinceWallMs: 0,
      records: [],
      gaps: [],
      faults: [],
    }
    history.readings.push(reading)
    const dice = new Dice(seed, `reader ${begin.name}`)
    new SimReader(reading, { ...deps, dice, moveEveryMs: options.moveEveryMs }, cursor).start()
  }
}
