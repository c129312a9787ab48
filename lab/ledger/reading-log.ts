import type { Page } from '#client/mesh'
import type { Gap, ReceivedRecord } from '#client/record'
import type { ReadEvent, Reading } from './history.ts'
import { nameOf } from './values.ts'

/** What one reader is given, in this order. Millions of records are kept as four numbers each. */
export class ReadingLog implements Reading {
  readonly by: string
  readonly topic: string
  readonly moved: boolean
  readonly #feeds = new Names()
  readonly #writers = new Names()
  /** Of each record its feed, offset, writer and seq; of anything else a negative number into `#others`, and three zeros. */
  readonly #numbers: number[] = []
  readonly #others: ReadEvent[] = []
  #records = 0

  constructor(by: string, topic: string, moved = false) {
    this.by = by
    this.topic = topic
    this.moved = moved
  }

  get records(): number {
    return this.#records
  }

  /** Whether the reader was told, at all, to wait for records that are not to be had yet. */
  get isWaiting(): boolean {
    return this.#others.some((event) => event.type === 'gap' && event.gap.type === 'late')
  }

  record(record: ReceivedRecord): void {
    const { feed, offset } = record
    const name = nameOf(record.text())
    if (name === undefined) return this.#other({ type: 'damaged', feed, offset })
    this.#records++
    this.#numbers.push(this.#feeds.numberOf(feed), offset, this.#writers.numberOf(name.writer), name.seq)
  }

  gap(gap: Gap): void {
    this.#other({ type: 'gap', gap })
  }

  page({ records, gaps }: Page): void {
    for (const gap of gaps) this.gap(gap)
    for (const record of records) this.record(record)
  }

  get events(): Iterable<ReadEvent> {
    return { [Symbol.iterator]: () => this.#iterate() }
  }

  *#iterate(): Generator<ReadEvent> {
    const numbers = this.#numbers
    for (let i = 0; i < numbers.length; i += 4) {
      const [feed = 0, offset = 0, writer = 0, seq = 0] = [numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]]
      if (feed < 0) yield this.#others[-feed - 1] as ReadEvent
      else yield { type: 'record', feed: this.#feeds.at(feed), offset, writer: this.#writers.at(writer), seq }
    }
  }

  #other(event: ReadEvent): void {
    this.#others.push(event)
    this.#numbers.push(-this.#others.length, 0, 0, 0)
  }
}

/** Few names, that come again and again. */
class Names {
  readonly #names: string[] = []
  readonly #numbers = new Map<string, number>()

  numberOf(name: string): number {
    let number = this.#numbers.get(name)
    if (number === undefined) {
      number = this.#names.push(name) - 1
      this.#numbers.set(name, number)
    }
    return number
  }

  at(number: number): string {
    return this.#names[number] as string
  }
}
