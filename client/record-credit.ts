const recordsMin = 16
const recordsMax = 1_024
/** What may wait to be taken by a subscription, as far as the sizes of its records can be told in advance. */
const waitingBytesTarget = 4 * 1024 * 1024
/** Until the first record has come. */
const recordBytesAssumed = 64 * 1024

/**
 * How many records a peer may still send: as many as fit into the target, judging by their size so far, and more only as
 * they are taken. So a slow consumer costs no more memory than a fast one.
 */
export class RecordCredit {
  /** Given and not used by the peer. */
  #given = 0
  /** Received and not taken. */
  #waiting = 0
  #recordBytes = recordBytesAssumed

  /** At a new socket the peer has none: all of it. */
  renewed(): number {
    this.#given = Math.max(0, this.#window - this.#waiting)
    return this.#given
  }

  /** `bytes` of its frame, about. */
  received(bytes: number): void {
    this.#given--
    this.#waiting++
    // Up at once, down slowly: one large record is seldom alone.
    this.#recordBytes = bytes > this.#recordBytes ? bytes : this.#recordBytes + (bytes - this.#recordBytes) / 16
  }

  /** One record was taken. How much credit to give now: half a window at a time, so that few frames do. */
  taken(): number {
    this.#waiting--
    const missing = this.#window - this.#waiting - this.#given
    if (missing < this.#window / 2) return 0
    this.#given += missing
    return missing
  }

  get #window(): number {
    return Math.min(recordsMax, Math.max(recordsMin, Math.floor(waitingBytesTarget / this.#recordBytes)))
  }
}
