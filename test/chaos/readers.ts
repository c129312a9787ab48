import { pause } from '#client/backoff'
import { ReadingLog } from '#lab/ledger/reading-log'
import type { Dice } from '../sim/dice.ts'
import type { Machines } from './machines.ts'

/** How long a reader stays with a peer, and how soon it looks for another one. */
const stayMsMax = 15_000
const moveOnMs = 100

/** Follows a topic from its earliest record on and takes its cursor from peer to peer, live or after they broke off. */
export class RoamingReader {
  readonly log: ReadingLog
  readonly #dice: Dice
  readonly #machines: Machines
  #cursor = 'earliest'
  #caughtUpFromMs = 0

  constructor(topic: string, parts: { readonly dice: Dice; readonly machines: Machines }) {
    this.log = new ReadingLog('a reader that roams', topic, true)
    this.#dice = parts.dice
    this.#machines = parts.machines
  }

  /** It was told that it has all that some peer held then or later. */
  hasAllOf(atMs: number): boolean {
    return this.#caughtUpFromMs >= atMs
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const stay = AbortSignal.any([signal, AbortSignal.timeout(this.#dice.magnitude(100, stayMsMax))])
      await this.#readAt(this.#dice.pick(this.#machines.running), stay)
      await pause(moveOnMs, signal).catch(() => undefined)
    }
  }

  /** Until the peer is gone or the time is up. */
  async #readAt(peer: Machines['running'][number] | undefined, stay: AbortSignal): Promise<void> {
    const fromMs = performance.now()
    try {
      const stream = peer?.client.stream(this.log.topic, { from: this.#cursor, signal: stay })
      for await (const item of stream ?? []) {
        if (item.type === 'interrupted') return
        if (item.type === 'caught-up') this.#caughtUpFromMs = fromMs
        if (item.type === 'gap') this.log.gap(item.gap)
        if (item.type !== 'record') continue
        this.log.record(item.record)
        this.#cursor = item.record.cursor
      }
    } catch {
      // The time is up, or the peer is: the next one has it.
    }
  }
}
