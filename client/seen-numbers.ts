import type { RecordJson } from './record.ts'

/** Runs of numbers that are remembered of one epoch of a producer, and epochs that are. */
const runsMax = 64
const epochsMax = 4_096

export interface NumberedRun {
  readonly topic: string
  readonly producer: NonNullable<RecordJson['producer']>
  readonly count: number
}

interface Run {
  readonly from: number
  readonly to: number
}

/**
 * The numbers of records that a subscription was given, so that one that was accepted twice is not given twice, wherever the
 * subscription goes on. Numbers that follow each other take no more room than one.
 */
export class SeenNumbers {
  /** The epoch that was not met for longest first. */
  readonly #epochs = new Map<string, readonly Run[]>()

  /** False: this record was given already, from another place in the log. */
  add({
    topic,
    producer,
  }: {
    readonly topic: string
    readonly producer?: RecordJson['producer'] | undefined
  }): boolean {
    return producer === undefined || this.addRun({ topic, producer, count: 1 })
  }

  /** The same of records with consecutive numbers, of which this is the first. False: some were given already, and none is added. */
  addRun({ topic, producer, count }: NumberedRun): boolean {
    const key = `${topic} ${producer.id} ${producer.epoch}`
    const runs = this.#epochs.get(key) ?? []
    const more = { from: producer.seq, to: producer.seq + count }
    if (runs.some(({ from, to }) => from < more.to && more.from < to)) return false
    this.#epochs.delete(key)
    this.#epochs.set(key, withRun(runs, more))
    const [oldest] = this.#epochs.keys()
    if (this.#epochs.size > epochsMax && oldest !== undefined) this.#epochs.delete(oldest)
    return true
  }

  /** A topic that is made again under this name is another one: its producers may count from the beginning. */
  forget(topic: string): void {
    for (const key of this.#epochs.keys()) if (key.startsWith(`${topic} `)) this.#epochs.delete(key)
  }
}

/** The lowest are forgotten first. */
function withRun(runs: readonly Run[], more: Run): readonly Run[] {
  const before = runs.find(({ to }) => to === more.from)
  const after = runs.find(({ from }) => from === more.to)
  const joined = { from: before?.from ?? more.from, to: after?.to ?? more.to }
  const others = runs.filter((run) => run !== before && run !== after)
  return [...others, joined].toSorted((a, b) => a.from - b.from).slice(-runsMax)
}
