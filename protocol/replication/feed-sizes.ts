import type { Hash } from '#protocol/ids'
import type { Head, OffsetRange } from '#protocol/log/feed'
import type { Millis } from '#protocol/machine'
import type { BatchFacts } from './inputs.ts'

/** Where a feed may be cut: the end of a batch. */
interface Mark {
  readonly nextOffset: number
  readonly hash: Hash
  /** Of the batches since the mark before. */
  bytes: number
  /** What the last batch before it is dated, which is the newest. */
  readonly hlcMs: number
  /** When that came here, or was found here by this process. */
  readonly atMs: Millis
}

/** What is said of a batch to measure it. */
export type MeasuredBatch = Pick<BatchFacts, 'baseOffset' | 'nextOffset' | 'hash' | 'sizeBytes' | 'hlcMs'>

/** Of one feed. Higher: floors lie closer to what retention asks for, and 100 bytes each for feeds that are as long. */
const marksMax = 128

/**
 * How large a feed is, and how old, from a position on: in marks, which stand closer the fewer batches there are. What lies
 * between two of them goes together, once all of it may. What is written is measured as it comes, also while what lies before
 * it is not measured yet: so it does not matter how fast a feed grows, nor how slowly the disk is read for this.
 */
export class FeedSizes {
  /** Where the first mark's batches begin. */
  from: number
  /** Up to where it is measured without a gap. */
  position: number
  #marks: Mark[] = []
  /** What was written beyond a gap. */
  #beyond: FeedSizes | undefined

  constructor(from: number) {
    this.from = from
    this.position = from
  }

  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get #all(): readonly Mark[] {
    return this.#beyond === undefined ? this.#marks : [...this.#marks, ...this.#beyond.#marks]
  }

  /** The batch, which is new at the end of the feed. */
  append(batch: MeasuredBatch, nowMs: Millis): void {
    const isOpening = batch.nextOffset === batch.baseOffset
    if (isOpening || batch.baseOffset <= this.position) return this.add(batch, nowMs)
    if (this.#beyond?.position !== batch.baseOffset) this.#beyond = new FeedSizes(batch.baseOffset)
    this.#beyond.add(batch, nowMs)
  }

  /** The batch, if it goes on from what was measured. */
  add({ baseOffset, nextOffset, hash, sizeBytes, hlcMs }: MeasuredBatch, nowMs: Millis): void {
    const isOpening = nextOffset === baseOffset
    if (isOpening || baseOffset !== this.position) return
    this.position = nextOffset
    this.#marks.push({ nextOffset, hash, bytes: sizeBytes, hlcMs, atMs: nowMs })
    this.#join()
    if (this.#marks.length > marksMax) this.#marks = thinned(this.#marks, this.bytes / (marksMax / 2))
  }

  /** Damage is not measured: it counts as nothing. Where the feed ends with it, it may be cut, too. */
  skip({ to }: OffsetRange, head: Head, nowMs: Millis): void {
    this.position = to
    if (head.nextOffset === to) {
      this.#marks.push({ ...head, bytes: 0, hlcMs: Number.POSITIVE_INFINITY, atMs: nowMs })
    }
    this.#join()
  }

  /** What lies below is not kept any more. Of what was measured in one piece with it the size is not known. */
  letGo(keptFrom: number): void {
    if (keptFrom <= this.from) return
    const first = this.#marks.findIndex(({ nextOffset }) => nextOffset > keptFrom)
    const before = this.#marks[first - 1]?.nextOffset ?? this.from
    this.#marks = first < 0 ? [] : this.#marks.slice(first)
    if (this.#marks[0] !== undefined && before < keptFrom) this.#marks[0].bytes = 0
    this.from = keptFrom
    this.position = Math.max(this.position, keptFrom)
    this.#beyond?.letGo(keptFrom)
    this.#join()
  }

  /** Is there no gap any more? What damage reaches into is measured anew. */
  #join(): void {
    const beyond = this.#beyond
    if (beyond === undefined || beyond.from > this.position) return
    this.#beyond = undefined
    if (beyond.from < this.position) return
    this.#marks.push(...beyond.#marks)
    this.position = beyond.position
  }

  /** The last mark, at `endMax` at most, before which everything is dated so early, or has been here since then. */
  olderThan({ hlcMs, atMs }: { readonly hlcMs: number; readonly atMs: Millis }, endMax: number): Head | undefined {
    return this.#all.findLast((mark) => (mark.hlcMs <= hlcMs || mark.atMs <= atMs) && mark.nextOffset <= endMax)
  }

  /** The last mark after which at least so many bytes are left, `newer` with them, which follow in other feeds. */
  leaving(bytes: number, newer: number, endMax: number): Head | undefined {
    let left = newer
    for (const mark of this.#all.toReversed()) {
      if (left >= bytes && mark.nextOffset <= endMax) return mark
      left += mark.bytes
    }
    return undefined
  }

  /** The last mark at `endMax` at most. */
  below(endMax: number): Head | undefined {
    return this.#all.findLast(({ nextOffset }) => nextOffset <= endMax)
  }
}

/** Half as many, of about the same size each. */
function thinned(marks: readonly Mark[], target: number): Mark[] {
  const thin: Mark[] = []
  let bytes = 0
  for (const mark of marks) {
    bytes += mark.bytes
    // The last one stays: the feed grows there.
    if (bytes < target && mark !== marks.at(-1)) continue
    thin.push({ ...mark, bytes })
    bytes = 0
  }
  return thin
}
