import type { Digests } from '#protocol/digests'
import { type TopicId, topicIdOf } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { isInternal, parseDeletedName, type TopicName } from '#protocol/topic-name'
import type { Topics } from '#protocol/topics/topics'

export interface TopicNamesOptions {
  readonly cluster: string
  readonly digests: Digests
  readonly topics: Topics
}

/**
 * What a name stands for at this peer now. A topic that is made again after its deletion is another one, with another id;
 * what is left of the deleted one is read as `$deleted.<topic>.<generation>`.
 */
export class TopicNames {
  readonly #options: TopicNamesOptions
  /** Of registered names, which are bounded: a hash for each publish and each line of a listing would show. */
  readonly #ids = new Map<TopicName, { readonly generation: number; readonly topicId: TopicId }>()

  constructor(options: TopicNamesOptions) {
    this.#options = options
  }

  generationOf(topic: TopicName): number {
    return isInternal(topic) ? 0 : this.#options.topics.get(topic).generation
  }

  idOf(name: TopicName): TopicId {
    const deleted = parseDeletedName(name)
    if (deleted !== undefined) return this.idOfGeneration(deleted.topic, deleted.generation)
    const generation = this.generationOf(name)
    const known = this.#ids.get(name)
    if (known?.generation === generation) return known.topicId
    const topicId = this.idOfGeneration(name, generation)
    if (isInternal(name) || this.#options.topics.has(name)) this.#ids.set(name, { generation, topicId })
    return topicId
  }

  /** Of the deleted generations of this name, the newest first, as many as are remembered. */
  deletedIdsOf(topic: TopicName): readonly TopicId[] {
    const generation = this.generationOf(topic)
    const count = Math.min(generation, limits.tombstonesMax)
    return Array.from({ length: count }, (_, i) => this.idOfGeneration(topic, generation - 1 - i))
  }

  idOfGeneration(topic: TopicName, generation: number): TopicId {
    const { cluster, digests } = this.#options
    return topicIdOf(digests, { cluster, name: topic, generation })
  }
}
