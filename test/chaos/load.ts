import { pause } from '#client/backoff'
import type { Ledger, LedgerPeer } from '#lab/ledger/ledger'
import type { Dice } from '../sim/dice.ts'
import type { Machines } from './machines.ts'

export interface WriterPlan {
  readonly name: string
  readonly topic: string
  /** It publishes at the peer of this machine only, and waits while that is down; undefined: at any that is up. */
  readonly machine?: string
  readonly levels: readonly string[]
  /**
   * What it does with a publish that has no answer. `never`: it goes on with the next; `plain`: it sends it again, which may
   * come twice then; `keyed`: with a key, by which it comes once.
   */
  readonly retries: 'never' | 'plain' | 'keyed'
  readonly recordsPerSecond: number
}

export const ackLevels = ['local', 'local', 'n:2', 'majority', 'majority', 'all'] as const
const batchRecordsMax = 1_000
/** What a writer that could not publish for a while catches up on at once. */
const catchUpMsMax = 2_000
const lookAgainMs = 50

/** One writer per topic and machine, and two per topic that go from peer to peer and repeat themselves. */
export function writersOf(
  topics: readonly string[],
  machines: readonly string[],
  recordsPerSecond: number,
): WriterPlan[] {
  const own = recordsPerSecond / (topics.length * (machines.length + 2))
  const shared = { levels: ackLevels, recordsPerSecond: own }
  return topics.flatMap((topic) => [
    ...machines.map((machine) => ({
      name: `${topic}/${machine}`,
      topic,
      machine,
      retries: 'never' as const,
      ...shared,
    })),
    { name: `${topic}/anywhere`, topic, retries: 'plain' as const, ...shared },
    { name: `${topic}/keyed`, topic, retries: 'keyed' as const, ...shared },
  ])
}

/** A writer publishes one batch after the other, so that what it is owed of order is known. Goes on until the signal. */
export class Writer {
  readonly #plan: WriterPlan
  readonly #dice: Dice
  readonly #ledger: Ledger
  readonly #machines: Machines
  #nextSeq = 0

  constructor(plan: WriterPlan, parts: { readonly dice: Dice; readonly ledger: Ledger; readonly machines: Machines }) {
    this.#plan = plan
    this.#dice = parts.dice
    this.#ledger = parts.ledger
    this.#machines = parts.machines
  }

  /** Resolves when the signal has aborted and nothing is under way any more. Can be called again, and goes on. */
  async run(signal: AbortSignal): Promise<void> {
    let dueMs = performance.now()
    while (!signal.aborted) {
      const count = this.#dice.magnitude(1, batchRecordsMax)
      await this.#publish(count, signal)
      dueMs = Math.max(dueMs, performance.now() - catchUpMsMax) + (count / this.#plan.recordsPerSecond) * 1_000
      await pause(Math.max(0, dueMs - performance.now()), signal).catch(() => undefined)
    }
  }

  /** Until it is known to be accepted; or sent once, by a writer that does not repeat itself. */
  async #publish(count: number, signal: AbortSignal): Promise<void> {
    const { name: writer, topic, levels, retries } = this.#plan
    const firstSeq = this.#nextSeq
    let isRetry = false
    for (let peer = await this.#peer(signal); peer !== undefined; peer = await this.#peer(signal)) {
      const level = this.#dice.pick(levels)
      const key = retries === 'keyed' && { key: `${writer} ${firstSeq}` }
      const { type } = await this.#ledger.publish(peer, {
        writer,
        topic,
        firstSeq,
        count,
        level,
        wait: '2s',
        isRetry,
        ...key,
      })
      this.#nextSeq = firstSeq + count
      if (type === 'ok' || (type === 'info' && retries === 'never')) return
      isRetry ||= type === 'info'
      await pause(lookAgainMs, signal).catch(() => undefined)
    }
  }

  /** Undefined once the signal has aborted. */
  async #peer(signal: AbortSignal): Promise<LedgerPeer | undefined> {
    while (!signal.aborted) {
      const { machine } = this.#plan
      const { running } = this.#machines
      const peer = machine === undefined ? this.#dice.pick(running) : this.#machines.at(machine).peer
      if (peer !== undefined) return peer
      await pause(lookAgainMs, signal).catch(() => undefined)
    }
    return undefined
  }
}
