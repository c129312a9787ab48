import { hexOf } from '#protocol/text'

/** The number of the first of several records; those after it follow. */
export interface ProducerNumber {
  readonly id: string
  readonly epoch: number
  readonly seq: number
}

/**
 * Numbers for the records of one mesh object, by which a peer recognizes one that it has: consecutive in each topic. Whenever
 * it is not certain that the peer that is published to next knows all before them, another epoch begins: a peer
 * refuses what leaves out a number of the epoch that it has been told of last.
 */
export class ProducerNumbers {
  readonly #id = hexOf(crypto.getRandomValues(new Uint8Array(16)))
  #epoch = 0
  readonly #nextSeq = new Map<string, number>()

  next(topic: string): ProducerNumber {
    return { id: this.#id, epoch: this.#epoch, seq: this.#nextSeq.get(topic) ?? 0 }
  }

  /** So many records have been sent under the next number. */
  take(topic: string, count: number): void {
    this.#nextSeq.set(topic, (this.#nextSeq.get(topic) ?? 0) + count)
  }

  beginEpoch(): void {
    if (this.#nextSeq.size === 0) return
    this.#epoch++
    this.#nextSeq.clear()
  }
}
