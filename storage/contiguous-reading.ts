import { type FeedId, feedKeyOf } from '#protocol/log/feed'
import type { Digests } from '#protocol/digests'
import { MeshError } from '#protocol/errors'
import { continues, soundHeader } from './feed-state.ts'

/** What one read may return: sound batches, each going on from the one before, within `bytesMax` but at least one. */
export class ContiguousReading {
  readonly #feed: FeedId
  readonly #digests: Digests
  readonly #batches: Uint8Array[] = []
  #position: number
  #bytesLeft: number
  #damaged = false

  constructor(feed: FeedId, position: number, bytesMax: number, digests: Digests) {
    this.#feed = feed
    this.#position = position
    this.#bytesLeft = bytesMax
    this.#digests = digests
  }

  /** The reading ended before a batch that is damaged or missing. */
  get damaged(): boolean {
    return this.#damaged
  }

  get position(): number {
    return this.#position
  }

  /** Takes the next stored batch, the one that ends at `end`; false when the reading is over. */
  take(end: number, bytes: Uint8Array): boolean {
    if (this.#batches.length > 0 && bytes.length > this.#bytesLeft) return false
    this.#damaged = !continues(this.#position, soundHeader(end, bytes, this.#digests))
    if (this.#damaged) return false
    this.#batches.push(bytes)
    this.#position = end
    this.#bytesLeft -= bytes.length
    return true
  }

  /** The batches; for a reading that began below the head, so there had to be one. */
  finish(): readonly Uint8Array[] {
    if (this.#batches.length > 0) return this.#batches
    const feed = feedKeyOf(this.#feed)
    throw new MeshError('STORAGE_FAILED', `The batch of feed ${feed} beyond ${this.#position} is damaged.`)
  }
}
