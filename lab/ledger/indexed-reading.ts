import type { ReadRecord, Reading } from './history.ts'

/** A reading, to be asked where a record stands in it and what is at a place. Checkers go by position: 0 was read first. */
export class IndexedReading {
  readonly by: string
  readonly topic: string
  readonly moved: boolean
  readonly #records: ReadRecord[] = []
  /** By writer and seq. The second and later positions of a record are in `#again`. */
  readonly #first = new Map<string, number[]>()
  readonly #again = new Map<string, Map<number, number[]>>()
  readonly #places = new Map<string, Map<number, number>>()

  constructor({ by, topic, moved, events }: Reading) {
    this.by = by
    this.topic = topic
    this.moved = moved
    for (const event of events) if (event.type === 'record') this.#add(event)
  }

  get records(): readonly ReadRecord[] {
    return this.#records
  }

  positionsOf(writer: string, seq: number): readonly number[] {
    const first = this.#first.get(writer)?.[seq]
    return first === undefined ? [] : [first, ...(this.#again.get(writer)?.get(seq) ?? [])]
  }

  /** First position of what was read at that place. */
  positionAt(feed: string, offset: number): number | undefined {
    return this.#places.get(feed)?.get(offset)
  }

  /** Lowest and highest seq of that writer that was read. */
  extentOf(writer: string): { readonly first: number; readonly last: number } | undefined {
    const positions = this.#first.get(writer)
    if (positions === undefined) return undefined
    return { first: positions.findIndex((position) => position !== undefined), last: positions.length - 1 }
  }

  /** Records that were read more than once, at whatever places. */
  *repeated(): Generator<{ readonly writer: string; readonly seq: number }> {
    for (const [writer, seqs] of this.#again) for (const seq of seqs.keys()) yield { writer, seq }
  }

  #add({ feed, offset, writer, seq }: ReadRecord): void {
    const position = this.#records.length
    this.#records.push({ feed, offset, writer, seq })
    const first = this.#first.get(writer) ?? []
    this.#first.set(writer, first)
    if (first[seq] === undefined) first[seq] = position
    else this.#addAgain(writer, seq, position)
    const places = this.#places.get(feed) ?? new Map<number, number>()
    this.#places.set(feed, places)
    if (!places.has(offset)) places.set(offset, position)
  }

  #addAgain(writer: string, seq: number, position: number): void {
    const seqs = this.#again.get(writer) ?? new Map<number, number[]>()
    this.#again.set(writer, seqs)
    seqs.set(seq, [...(seqs.get(seq) ?? []), position])
  }
}
