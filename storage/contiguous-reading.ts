import type { FeedRead } from './feed-store.ts'
import type { Digests } from '#protocol/digests'
import { NOTHING, type OffsetRange } from '#protocol/log/feed'
import { type FeedState, type ReadableSpan, continues, soundHeader } from './feed-state.ts'

/** What one read may return: sound batches, each going on from the one before, within `bytesMax` but at least one. */
export class ContiguousReading {
  readonly #span: ReadableSpan
  readonly #digests: Digests
  readonly #batches: Uint8Array[] = []
  #position: number
  #bytesLeft: number
  #isFull = false

  constructor(span: ReadableSpan, bytesMax: number, digests: Digests) {
    this.#span = span
    this.#position = span.from
    this.#bytesLeft = bytesMax
    this.#digests = digests
  }

  /** Takes the next stored batch, the one that ends at `end`; false when the reading is over. */
  take(end: number, bytes: Uint8Array): boolean {
    this.#isFull = this.#batches.length > 0 && bytes.length > this.#bytesLeft
    if (this.#isFull || !continues(this.#position, soundHeader(end, bytes, this.#digests))) return false
    this.#batches.push(bytes)
    this.#position = end
    this.#bytesLeft -= bytes.length
    return true
  }

  /** Where the reading ended before a batch that is damaged or missing and in no hole yet; else undefined. */
  get damagedAt(): number | undefined {
    return this.#isFull || this.#position >= this.#span.to ? undefined : this.#position
  }

  /** Then what was met begins where the last batch ended; else it may be that the reading began inside of it. */
  get isEmpty(): boolean {
    return this.#batches.length === 0
  }

  /** `damaged`: the range that begins where the reading ended, if it is in no hole yet. */
  finish(damaged?: OffsetRange): FeedRead {
    const hole = damaged ?? (this.#position >= this.#span.to ? this.#span.hole : undefined)
    return { batches: this.#batches, ...(hole && { damaged: hole }) }
  }
}

/**
 * The batch boundary at which damage begins that a read met where it began, maybe inside of a batch: the end of the batch
 * that is stored before it, if one is found, of what is let go of, or of the hole before it.
 */
export function startOfDamage({ keptFrom, holes }: FeedState, position: number, endBefore = NOTHING): number {
  const hole = holes.findLast(({ to }) => to <= position)
  return Math.max(keptFrom, endBefore, hole?.to ?? NOTHING)
}

/** How many damaged batches are put into one range. Longer damage is found piece by piece. */
const damagedBatchesMax = 64

/** How far damage goes: from the end of the last batch before it to the beginning of the first sound one after it. */
export class DamagedRange {
  readonly #from: number
  readonly #metAt: number
  readonly #digests: Digests
  #to: number | undefined
  #batchesLeft = damagedBatchesMax

  /** It begins at `from`, and a read met it at `metAt`. */
  constructor(from: number, metAt: number, digests: Digests) {
    this.#from = from
    this.#metAt = metAt
    this.#digests = digests
  }

  /** The next stored batch that ends above `metAt`, damaged or not; false when the end is found. */
  extend(end: number, bytes: Uint8Array): boolean {
    const header = soundHeader(end, bytes, this.#digests)
    this.#batchesLeft -= 1
    if (header === undefined && this.#batchesLeft > 0) return true
    // One that is sound all of a sudden was not when it was read: it counts as damaged.
    this.#to = header === undefined || header.baseOffset <= this.#metAt ? end : header.baseOffset
    return false
  }

  /** Without a sound batch beyond, everything up to the end of what was to be read is damaged or missing. */
  finish(endOfSpan: number): OffsetRange {
    return { from: this.#from, to: this.#to ?? endOfSpan }
  }
}
