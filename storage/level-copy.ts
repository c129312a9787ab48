import {
  type FeedNumber,
  batchKey,
  batchRange,
  batchesRange,
  boundsKey,
  boundsRange,
  decodeHeads,
  deletionRange,
  directoryKey,
  directoryRange,
  endOfBatchKey,
  feedNumberOf,
  headsKey,
  headsRange,
  metaKey,
  metaRange,
  snapshotKey,
  unsealed,
} from './level-layout.ts'
import { type LevelDatabase, type LevelIteratorOptions, type LevelOperation, put } from './level-database.ts'
import { type LevelEntry, scan } from './level-scan.ts'
import type { Digests } from '#protocol/digests'
import { readBatchHeader } from '#protocol/log/batch'
import { soundHeader } from './feed-state.ts'

/** What of a copy is under way, by a name that it can be told to leave out. */
export type CopyPart = string

export interface CopyDeps {
  readonly source: LevelDatabase
  readonly target: LevelDatabase
  readonly digests: Digests
  /** Before each part: reading a damaged database may be the end of the process. */
  readonly onPart: (part: CopyPart) => void
  readonly skip: ReadonlySet<CopyPart>
  /** Metadata that is looked for by name when a scan does not meet it. */
  readonly metaKeys: readonly string[]
}

/** What is written at a time, and how much of what a scan reads is held. */
const writeBytesTarget = 4 * 1024 * 1024
const highWaterMarkBytes = 1024 * 1024
/** In offsets. */
const searchDistanceMax = 2 ** 40
/** Journal entries that are looked for one by one when a scan did not meet them. */
const missingAppendsMax = 100_000

/**
 * Copies everything sound out of a damaged database. A damaged index hides what follows from a scan, and not always from
 * a search: so what is missing in its place is looked for by its key as well.
 */
export class SoundCopy {
  readonly #deps: CopyDeps
  readonly #numbers = new Set<FeedNumber>()
  #operations: LevelOperation[] = []
  #pendingBytes = 0
  batches = 0
  bytes = 0

  constructor(deps: CopyDeps) {
    this.#deps = deps
  }

  async run(): Promise<void> {
    await this.#part('meta', () => this.#meta())
    await this.#part('heads', () => this.#heads())
    await this.#part('directory', () => this.#directory())
    await this.#part('numbers', () => this.#findNumbers())
    for (const number of [...this.#numbers].toSorted((a, b) => a - b)) {
      await this.#part(`feed ${number}`, () => this.#feed(number))
    }
  }

  async #part(part: CopyPart, run: () => Promise<void>): Promise<void> {
    if (this.#deps.skip.has(part)) return
    this.#deps.onPart(part)
    await run()
    await this.#flush()
  }

  async #meta(): Promise<void> {
    for await (const [key, value] of this.#scan(metaRange)) await this.#putSealed(key, value)
    for (const text of this.#deps.metaKeys) await this.#putSealed(metaKey(text), await this.#get(metaKey(text)))
  }

  async #heads(): Promise<void> {
    const seen = new Set<number>()
    const copyHeads = async (key: Uint8Array, value: Uint8Array | undefined): Promise<number | undefined> => {
      const bytes = await this.#putSealed(key, value)
      const heads = bytes && decodeHeads(bytes)
      for (const { feed } of heads?.entries ?? []) this.#numbers.add(feed)
      return heads?.append
    }
    const first = (await copyHeads(snapshotKey, await this.#get(snapshotKey))) ?? 0
    let last = first
    for await (const [key, value] of this.#scan(headsRange(0, Number.MAX_SAFE_INTEGER))) {
      const append = (await copyHeads(key, value)) ?? 0
      seen.add(append)
      last = Math.max(last, append)
    }
    for (let append = Math.max(first + 1, last - missingAppendsMax); append < last; append++) {
      if (!seen.has(append)) await copyHeads(headsKey(append), await this.#get(headsKey(append)))
    }
  }

  async #directory(): Promise<void> {
    for await (const [key, value] of this.#scan(directoryRange)) {
      if ((await this.#putSealed(key, value)) !== undefined) this.#numbers.add(feedNumberOf(key))
    }
    for await (const [key, value] of this.#scan(boundsRange)) await this.#putSealed(key, value)
    for await (const [key, value] of this.#scan(deletionRange)) await this.#putSealed(key, value)
    for (const number of this.#numbers) {
      for (const key of [directoryKey(number), boundsKey(number)]) await this.#putSealed(key, await this.#get(key))
    }
  }

  /** Feeds that have batches, by a search for the first of each. */
  async #findNumbers(): Promise<void> {
    for (let range = batchesRange; ;) {
      const key = await this.#first(range)
      if (key === undefined) return
      const number = feedNumberOf(key)
      const isSound = endOfBatchKey(number, key) !== undefined
      if (isSound) this.#numbers.add(number)
      range = { ...batchesRange, gte: isSound ? batchRange(number + 1, 0, 0).gte : Uint8Array.of(...key, 0) }
    }
  }

  async #feed(number: FeedNumber): Promise<void> {
    let position = -1
    for await (const [end, bytes] of this.#batches(number, 0, Number.MAX_SAFE_INTEGER)) {
      const header = readBatchHeader(bytes)
      if (typeof header !== 'string' && !header.opening && header.baseOffset > position) {
        await this.#searchGap(number, position, header.baseOffset)
      }
      await this.#putBatch(number, end, bytes)
      position = end
    }
    await this.#searchGap(number, position, Number.MAX_SAFE_INTEGER)
  }

  /** Batches with `from < end <= to` that a scan did not meet: searched for at growing distances from what was found. */
  async #searchGap(number: FeedNumber, from: number, to: number): Promise<void> {
    let [position, distance] = [from, 1]
    while (position + distance <= to && distance < searchDistanceMax) {
      const before = position
      for await (const [end, bytes] of this.#batches(number, position + distance, to)) {
        await this.#putBatch(number, end, bytes)
        position = end
      }
      distance = position > before ? 1 : 2 * distance
    }
  }

  async *#batches(number: FeedNumber, from: number, to: number): AsyncGenerator<[end: number, bytes: Uint8Array]> {
    for await (const [key, bytes] of this.#scan(batchRange(number, from, to))) {
      const end = endOfBatchKey(number, key)
      if (end !== undefined && soundHeader(end, bytes, this.#deps.digests) !== undefined) yield [end, bytes]
    }
  }

  async #putBatch(number: FeedNumber, end: number, bytes: Uint8Array): Promise<void> {
    this.batches += 1
    this.bytes += bytes.length
    await this.#put(batchKey(number, end), bytes)
  }

  /** The value, if it is sound. */
  async #putSealed(key: Uint8Array, value: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    const bytes = value && unsealed(key, value)
    if (value !== undefined && bytes !== undefined) await this.#put(key, value)
    return bytes
  }

  async #put(key: Uint8Array, value: Uint8Array): Promise<void> {
    this.#operations.push(put(key, value))
    this.#pendingBytes += value.length
    if (this.#pendingBytes >= writeBytesTarget) await this.#flush()
  }

  async #flush(): Promise<void> {
    await this.#deps.target.batch(this.#operations, { sync: true })
    this.#operations = []
    this.#pendingBytes = 0
  }

  async *#scan(range: LevelIteratorOptions): AsyncGenerator<LevelEntry> {
    for await (const entries of scan(this.#deps.source, { ...range, highWaterMarkBytes })) yield* entries
  }

  async #first(range: LevelIteratorOptions): Promise<Uint8Array | undefined> {
    for await (const [key] of this.#scan(range)) return key
    return undefined
  }

  #get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#deps.source.get(key).catch(() => undefined)
  }
}
