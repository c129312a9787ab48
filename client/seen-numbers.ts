import type { RecordJson } from './record.ts'

/** Runs of numbers that are remembered of one epoch of a producer, and epochs that are. */
const runsMax = 64
const epochsMax = 4_096

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
  add({ topic, producer }: Pick<RecordJson, 'topic' | 'producer'>): boolean {
    if (producer === undefined) return true
    const key = `${topic} ${producer.id} ${producer.epoch}`
    const runs = this.#epochs.get(key) ?? []
    const { seq } = producer
    if (runs.some(({ from, to }) => from <= seq && seq < to)) return false
    this.#epochs.delete(key)
    this.#epochs.set(key, withNumber(runs, seq))
    const [oldest] = this.#epochs.keys()
    if (this.#epochs.size > epochsMax && oldest !== undefined) this.#epochs.delete(oldest)
    return true
  }
}

/** The lowest are forgotten first. */
function withNumber(runs: readonly Run[], seq: number): readonly Run[] {
  const before = runs.find(({ to }) => to === seq)
  const after = runs.find(({ from }) => from === seq + 1)
  const joined = { from: before?.from ?? seq, to: after?.to ?? seq + 1 }
  const others = runs.filter((run) => run !== before && run !== after)
  return [...others, joined].toSorted((a, b) => a.from - b.from).slice(-runsMax)
}
