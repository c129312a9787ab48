import { type FeedId, type FeedKey, feedKeyOf, NOTHING } from '#protocol/log/feed'

interface Entry {
  readonly key: FeedKey
  /** Batches are contiguous: this one follows the position `after` and ends at `end`. */
  readonly after: number
  readonly end: number
  readonly bytes: Uint8Array
}

/**
 * The newest batches in memory: those on their way to disk, which neighbors may be pushed already, and as many stored ones
 * as fit into the budget, so that pushing and live reading need no disk. Bytes are shared, never copied.
 */
export class RecentBatches {
  readonly #bytesMax: number
  readonly #byFeed = new Map<FeedKey, Entry[]>()
  /** In the order they came: the oldest goes first, once it is stored. */
  readonly #order: Entry[] = []
  readonly #durable = new Map<FeedKey, number>()
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get sizeBytes(): number {
    return this.#bytes
  }

  add(feed: FeedId, after: number, end: number, bytes: Uint8Array): void {
    const key = feedKeyOf(feed)
    const entry = { key, after, end, bytes }
    const entries = this.#byFeed.get(key)
    if (entries === undefined) this.#byFeed.set(key, [entry])
    else entries.push(entry)
    this.#order.push(entry)
    this.#bytes += bytes.length
  }

  /** Everything of the feed up to `end` is on disk: it may leave memory when room is needed. */
  stored(feed: FeedId, end: number): void {
    this.#durable.set(feedKeyOf(feed), end)
    let evicted = 0
    for (const { key, end: entryEnd, bytes } of this.#order) {
      if (this.#bytes <= this.#bytesMax || entryEnd > (this.#durable.get(key) ?? NOTHING)) break
      this.#bytes -= bytes.length
      evicted++
      this.#forgetOldest(key)
    }
    this.#order.splice(0, evicted)
  }

  /** As FeedStore.read, up to `endMax`; undefined when what follows `position` is not in memory. */
  read(feed: FeedId, position: number, endMax: number, bytesMax: number): readonly Uint8Array[] | undefined {
    const entries = this.#byFeed.get(feedKeyOf(feed)) ?? []
    // From the end: readers and neighbors are mostly near the head.
    let first = entries.length
    while (first > 0 && (entries[first - 1] as Entry).end > position) first--
    const start = entries[first]
    if (start === undefined || start.after > position) return undefined
    const batches: Uint8Array[] = []
    let sizeBytes = 0
    for (const { end, bytes } of entries.slice(first)) {
      if (end > endMax || (batches.length > 0 && sizeBytes + bytes.length > bytesMax)) break
      batches.push(bytes)
      sizeBytes += bytes.length
    }
    return batches
  }

  /** What ends at or below is not to be had from memory any more; what comes next need not go on from it. */
  letGo(feed: FeedId, keptFrom: number): void {
    const key = feedKeyOf(feed)
    const entries = this.#byFeed.get(key)
    const gone = new Set(entries?.filter(({ end }) => end <= keptFrom))
    if (entries === undefined || gone.size === 0) return
    for (const { bytes } of gone) this.#bytes -= bytes.length
    this.#order.splice(0, this.#order.length, ...this.#order.filter((entry) => !gone.has(entry)))
    entries.splice(0, gone.size)
    if (entries.length === 0) this.#forget(key)
  }

  #forgetOldest(key: FeedKey): void {
    const entries = this.#byFeed.get(key)
    entries?.shift()
    if (entries?.length === 0) this.#forget(key)
  }

  #forget(key: FeedKey): void {
    this.#byFeed.delete(key)
    this.#durable.delete(key)
  }
}
