import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { type EncodedBatch, encodeBatch, encodeOpeningBatch } from '#protocol/log/batch'
import { type FeedId, feedKeyOf, type Head, NOTHING, type Opening, type Predecessor } from '#protocol/log/feed'
import type { OffsetRanges } from '#protocol/log/offset-ranges'
import { ProducerIndex } from '#protocol/log/producer-index'
import { encodeRecords } from '#protocol/log/record'
import type { Standing } from '#protocol/replication/following'
import { utf8 } from '#protocol/text'
import type { TopicName } from '#protocol/topic-name'
import type { FeedRead } from '#storage/feed-store'
import { nodeDigests } from './node-digests.ts'
import type { ReadSource } from './read-source.ts'

export const topic = 'orders' as TopicName
export const topicId = '00112233445566778899aabbccddeeff' as TopicId

/** One run of a writer, for tests of readers: its batches are real. */
export class Writer {
  readonly feed: FeedId
  readonly opening: Opening
  readonly batches: EncodedBatch[]

  constructor(writer: string, epoch: number, predecessor?: Predecessor, openedMs = 0) {
    this.feed = { topicId, writer: writer as PeerId, epoch: epoch.toString(16).padStart(16, '0') as Epoch }
    const { writer: peer } = this.feed
    this.opening = { topic, generation: 0, writer: peer, epoch: this.feed.epoch, ...(predecessor && { predecessor }) }
    this.batches = [encodeOpeningBatch(this.opening, { ms: openedMs, counter: 0 }, nodeDigests)]
  }

  /** One batch of these records. */
  write(ms: number, ...values: string[]): this {
    return this.writeRecords(
      ms,
      values.map((value) => ({ value: utf8(value), headers: {} })),
    )
  }

  writeRecords(ms: number, records: Parameters<typeof encodeRecords>[0]): this {
    const { nextOffset: baseOffset, hash: previousHash } = this.head
    const recordSets = [encodeRecords(records)]
    this.batches.push(encodeBatch({ baseOffset, hlc: { ms, counter: 0 }, previousHash, recordSets }, nodeDigests))
    return this
  }

  get head(): Head {
    return (this.batches.at(-1) as EncodedBatch).head
  }

  /** Where a floor may be: at the end of a batch. At 0 it is where the feed begins. */
  headAt(offset: number): Head {
    const end = this.batches.find(({ head: { nextOffset } }) => nextOffset >= offset) as EncodedBatch
    return end.head
  }

  /** The next run of the same writer, whose disk has the first `batches` batches. */
  restarted(epoch: number, batches = this.batches.length): Writer {
    const { head } = this.batches[batches - 1] as EncodedBatch
    return new Writer(this.feed.writer, epoch, { epoch: this.feed.epoch, ...head })
  }
}

/** How one peer holds a feed. */
export interface Shelved {
  readonly floor: number
  readonly damaged: OffsetRanges
  readonly lost: OffsetRanges
  readonly rooted: boolean
}

/** What one peer holds of the topic. */
export class Shelf implements ReadSource {
  readonly #held = new Map<string, { writer: Writer; batches: number } & Shelved>()
  readonly #listeners = new Set<() => void>()
  #advances = 0
  #standing: Standing = 'current'
  reads = 0

  /** From now on it holds the first `batches` batches of the writer. */
  hold(writer: Writer, batches = writer.batches.length, state: Partial<Shelved> = {}): this {
    const whole = { floor: 0, damaged: [], lost: [], rooted: false }
    this.#held.set(feedKeyOf(writer.feed), { writer, batches, ...whole, ...state })
    this.#advance()
    return this
  }

  forget(writer: Writer): this {
    this.#held.delete(feedKeyOf(writer.feed))
    return this
  }

  get listeners(): number {
    return this.#listeners.size
  }

  feeds() {
    return [...this.#held.values()].map(({ writer, batches, floor, lost, rooted }) => {
      const head = (writer.batches[batches - 1] as EncodedBatch).head
      return { feed: writer.feed, opening: writer.opening, head, floor: writer.headAt(floor), lost, rooted }
    })
  }

  async read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    this.reads++
    await Promise.resolve()
    const held = this.#held.get(feedKeyOf(feed))
    const from = position === NOTHING ? NOTHING : Math.max(position, held?.floor ?? 0)
    const hole = held?.damaged.find(({ to }) => to > from)
    if (held === undefined) return { batches: [] }
    const found: Uint8Array[] = []
    let bytes = 0
    for (const batch of held.writer.batches.slice(0, held.batches)) {
      if (batch.head.nextOffset <= from) continue
      if (hole !== undefined && batch.head.nextOffset > hole.from) return { batches: found, damaged: hole }
      if (found.length > 0 && bytes + batch.bytes.length > bytesMax) break
      found.push(batch.bytes)
      bytes += batch.bytes.length
    }
    return { batches: found }
  }

  standing(): Standing {
    return this.#standing
  }

  /** What it knows of what others hold. */
  stand(standing: Standing): this {
    this.#standing = standing
    this.#advance()
    return this
  }

  producers(): Promise<ProducerIndex> {
    return Promise.resolve(new ProducerIndex())
  }

  onAdvance(_: TopicId, listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  advances(): number {
    return this.#advances
  }

  #advance(): void {
    this.#advances++
    for (const listener of this.#listeners) listener()
  }
}
