const recordsMin = 16
/** Records of a batch share most of what they consist of. */
const recordsMax = { json: 1_024, binary: 8_192 }
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

  #recordsMax = recordsMax.json

  /** At a new socket the peer has none: all of it. */
  renewed({ isBinary }: { readonly isBinary: boolean }): number {
    this.#recordsMax = isBinary ? recordsMax.binary : recordsMax.json
    this.#given = Math.max(0, this.#window - this.#waiting)
    return this.#given
  }

  /**
   * So many records in a frame of `bytes`, about. A batch may hold more than there was credit for; those are owed.
   */
  received(count: number, bytes: number): void {
    this.#given -= count
    this.#waiting += count
    const each = bytes / count
    // Up at once, down slowly: one large record is seldom alone.
    this.#recordBytes = each > this.#recordBytes ? each : each + (this.#recordBytes - each) * (15 / 16) ** count
  }

  /** So many came that nobody can read: none of them waits. How much credit to give now. */
  passedOver(count: number): number {
    this.#given -= count
    return this.#more()
  }

  /** One record was taken. How much credit to give now: half a window at a time, so that few frames do. */
  taken(): number {
    this.#waiting--
    return this.#more()
  }

  #more(): number {
    const missing = this.#window - this.#waiting - this.#given
    if (missing < this.#window / 2) return 0
    this.#given += missing
    return missing
  }

  get #window(): number {
    return Math.min(this.#recordsMax, Math.max(recordsMin, Math.floor(waitingBytesTarget / this.#recordBytes)))
  }
}
