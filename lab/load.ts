import { pause } from '#client/backoff'
import type { LabPeer } from './back-end.ts'
import type { Convergence } from './convergence.ts'
import type { Ledger } from './ledger/ledger.ts'
import { ReadingLog } from './ledger/reading-log.ts'
import { nameOf } from './ledger/values.ts'

const publishEveryMs = 100
const batchRecordsMax = 1_000
/** What a writer that could not publish for a while catches up on at once. */
const catchUpMsMax = 2_000
const readAgainMs = 200

export interface LoadConfig {
  readonly topic: string
  readonly recordsPerSecond: number
  readonly ledger: Ledger
  readonly convergence: Convergence
}

/** A writer and a live reader at each peer, which know that peer alone. */
export class Load {
  readonly #config: LoadConfig
  readonly #writing = new AbortController()
  readonly #reading = new AbortController()
  readonly #writers: Promise<void>[] = []
  readonly #readers: Promise<void>[] = []
  readonly #readings: ReadingLog[] = []

  constructor(config: LoadConfig) {
    this.#config = config
  }

  add(peer: LabPeer): void {
    const reading = new ReadingLog(`live at ${peer.name}`, this.#config.topic)
    this.#readings.push(reading)
    this.#config.convergence.addReader(peer.name)
    this.#writers.push(this.#write(peer))
    this.#readers.push(this.#read(peer, reading))
  }

  /** Resolves when nothing is under way any more. */
  async stopWriting(): Promise<void> {
    this.#writing.abort()
    await Promise.all(this.#writers)
  }

  /** What each reader was told from the beginning on. */
  async stopReading(): Promise<readonly ReadingLog[]> {
    this.#reading.abort()
    await Promise.all(this.#readers)
    return this.#readings
  }

  /** One request after the other, each sent once: what it is owed of order is known, and no answer is no answer. */
  async #write(peer: LabPeer): Promise<void> {
    const { topic, recordsPerSecond, ledger, convergence } = this.#config
    const { signal } = this.#writing
    const writer = peer.name
    let firstSeq = 0
    let dueMs = performance.now()
    while (!signal.aborted) {
      const nowMs = performance.now()
      dueMs = Math.max(dueMs, nowMs - catchUpMsMax)
      const count = Math.min(batchRecordsMax, Math.floor(((nowMs + publishEveryMs - dueMs) * recordsPerSecond) / 1_000))
      if (count > 0) {
        const outcome = await ledger.publish(peer, { writer, topic, firstSeq, count, level: 'local', wait: '2s' })
        firstSeq += count
        dueMs += (count / recordsPerSecond) * 1_000
        if (outcome.type === 'ok') convergence.acked(writer, firstSeq)
      }
      await pause(publishEveryMs, signal).catch(() => undefined)
    }
  }

  /** For ever, and on from its cursor if the peer does not know the topic yet or its gateway breaks off. */
  async #read({ name, client }: LabPeer, reading: ReadingLog): Promise<void> {
    const { topic, convergence } = this.#config
    const { signal } = this.#reading
    let from = 'earliest'
    while (!signal.aborted) {
      try {
        for await (const item of client.stream(topic, { from, signal })) {
          if (item.type === 'gap') reading.gap(item.gap)
          if (item.type !== 'record') continue
          reading.record(item.record)
          from = item.record.cursor
          const what = nameOf(item.record.text())
          if (what !== undefined) convergence.read(name, what.writer, what.seq, performance.now())
        }
      } catch {
        await pause(readAgainMs, signal).catch(() => undefined)
      }
    }
  }
}
