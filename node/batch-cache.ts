import { readBatchHeader } from '#protocol/log/batch'
import { type FeedId, feedKeyOf } from '#protocol/log/feed'

/** Batches in memory by where they begin, up to so many bytes; those that came first go first. Bytes are shared, never copied. */
export class BatchCache {
  readonly #bytesMax: number
  readonly #batches = new Map<string, { readonly bytes: Uint8Array; readonly end: number }>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get sizeBytes(): number {
    return this.#bytes
  }

  /** A batch whose structure was checked, and that has records. */
  add(feed: FeedId, bytes: Uint8Array): void {
    const header = readBatchHeader(bytes)
    if (typeof header === 'string' || header.nextOffset === header.baseOffset) return
    const name = nameOf(feed, header.baseOffset)
    if (this.#batches.has(name)) return
    this.#batches.set(name, { bytes, end: header.nextOffset })
    this.#bytes += bytes.length
    for (const [oldest, batch] of this.#batches) {
      if (this.#bytes <= this.#bytesMax) return
      this.#batches.delete(oldest)
      this.#bytes -= batch.bytes.length
    }
  }

  /** What goes on from `position`, if a batch begins there: at least that one, and then as many as fit into `bytesMax`. */
  read(feed: FeedId, position: number, bytesMax: number): readonly Uint8Array[] {
    const found: Uint8Array[] = []
    let left = bytesMax
    let next = this.#batches.get(nameOf(feed, position))
    while (next !== undefined && (found.length === 0 || next.bytes.length <= left)) {
      found.push(next.bytes)
      left -= next.bytes.length
      next = this.#batches.get(nameOf(feed, next.end))
    }
    return found
  }
}

const nameOf = (feed: FeedId, offset: number): string => `${feedKeyOf(feed)}@${offset}`
