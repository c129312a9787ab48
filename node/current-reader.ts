import type { BatchChunk, BatchReader, ReadChunk } from '#gateway/broker'
import { MeshError } from '#protocol/errors'
import { deletedName, type TopicName } from '#protocol/topic-name'

export const topicDeleted = (topic: TopicName, generation: number): MeshError => {
  const remains = deletedName(topic, generation)
  const detail = `${topic} was deleted. What others published to it without knowing is read as ${remains} for a while.`
  return new MeshError('TOPIC_DELETED', detail, { facts: { topic, generation, remains } })
}

/** A reader of a topic, for as long as its name stands for that topic: `deletedAs` is its generation once it does not. */
export class CurrentReader implements BatchReader {
  readonly #reader: BatchReader
  readonly #topic: TopicName
  readonly #deletedAs: () => number | undefined

  constructor(reader: BatchReader, topic: TopicName, deletedAs: () => number | undefined) {
    this.#reader = reader
    this.#topic = topic
    this.#deletedAs = deletedAs
  }

  get cursor(): string {
    return this.#reader.cursor
  }

  async next(limit: number, bytesTarget?: number): Promise<ReadChunk> {
    this.#refuseDeleted()
    return this.#reader.next(limit, bytesTarget)
  }

  async nextBatches(limit: number, bytesTarget: number): Promise<BatchChunk> {
    this.#refuseDeleted()
    return this.#reader.nextBatches(limit, bytesTarget)
  }

  #refuseDeleted(): void {
    const generation = this.#deletedAs()
    if (generation !== undefined) throw topicDeleted(this.#topic, generation)
  }

  more(signal: AbortSignal): Promise<void> {
    return this.#deletedAs() === undefined ? this.#reader.more(signal) : Promise.resolve()
  }
}
