import { assert } from '#protocol/assert'
import { MeshError } from '#protocol/errors'
import type { TopicId } from '#protocol/ids'
import { encodeProducerCheckpoint } from '#protocol/log/producer-checkpoint'
import type { ProducerIndex } from '#protocol/log/producer-index'
import type { RecordSet } from '#protocol/log/record'
import type { Original, PeerEffect, PeerInput } from '#protocol/peer/inputs'
import type { ProducerIndexes } from '#protocol/peer/producer-indexes'
import type { GroupCommit } from '#storage/group-commit'
import { type ProducerLog, producersKey } from './producer-log.ts'

export interface ProducerWorkDeps {
  readonly log: ProducerLog
  readonly indexes: ProducerIndexes
  /** Of publishes that are not in a batch yet, by ref. */
  readonly records: Map<number, RecordSet>
  readonly commit: Pick<GroupCommit, 'storeChange'>
  readonly input: (input: PeerInput) => void
}

type EffectOf<Type extends PeerEffect['type']> = Extract<PeerEffect, { type: Type }>

/** Performs what the peer machine orders about producers. */
export class ProducerWork {
  readonly #deps: ProducerWorkDeps
  readonly #wanted = new Map<TopicId, PromiseWithResolvers<void>>()
  #stopped: MeshError | undefined

  constructor(deps: ProducerWorkDeps) {
    this.#deps = deps
  }

  /** The index of a topic, once all that is stored is in it. Rejects when the peer stops. */
  async of(topicId: TopicId): Promise<ProducerIndex> {
    for (;;) {
      // What is read from now on would not be noted.
      if (this.#stopped !== undefined) throw this.#stopped
      const index = this.#deps.indexes.get(topicId)
      if (index !== undefined) return index
      const known = this.#wanted.get(topicId) ?? Promise.withResolvers<void>()
      this.#wanted.set(topicId, known)
      this.#deps.input({ type: 'producersWanted', topicId })
      await known.promise
    }
  }

  perform(effect: EffectOf<'loadProducers' | 'producersKnown' | 'keepProducers' | 'findOriginals'>): void {
    switch (effect.type) {
      case 'loadProducers':
        return void this.#load(effect)
      case 'producersKnown':
        this.#wanted.get(effect.topicId)?.resolve()
        return void this.#wanted.delete(effect.topicId)
      case 'keepProducers':
        return this.#keep(effect)
      case 'findOriginals':
        return void this.#find(effect)
    }
  }

  stop(error: MeshError): void {
    this.#stopped = error
    for (const { promise, reject } of this.#wanted.values()) {
      promise.catch(() => undefined)
      reject(error)
    }
    this.#wanted.clear()
  }

  async #load(order: EffectOf<'loadProducers'>): Promise<void> {
    const { log, input } = this.#deps
    const { topicId } = order
    for await (const spans of log.load(order)) input({ type: 'producersRead', topicId, spans })
    input({ type: 'producersLoaded', topicId })
  }

  #keep({ topicId, checkpoint }: EffectOf<'keepProducers'>): void {
    const { commit, input } = this.#deps
    const bytes = encodeProducerCheckpoint(checkpoint)
    const change = { type: 'meta' as const, key: producersKey(topicId), value: bytes }
    commit.storeChange(change, () => input({ type: 'producersKept', topicId }))
  }

  async #find({ lookup, ranges }: EffectOf<'findOriginals'>): Promise<void> {
    const { log, input } = this.#deps
    try {
      const originals = await log.find(ranges, (ref) => this.#recordsOf(ref))
      this.#forgetStored(originals)
      input({ type: 'originalsFound', lookup, originals })
    } catch (error) {
      if (!(error instanceof MeshError) || error.code !== 'RETRY_DIFFERS') throw error
      input({ type: 'originalsFound', lookup, originals: [], differs: error.message })
    }
  }

  #recordsOf(ref: number): RecordSet {
    const records = this.#deps.records.get(ref)
    assert(records !== undefined, 'the records of a publish wait until they are placed')
    return records
  }

  /** Of a part that is in the log as a whole nothing will be appended. */
  #forgetStored(originals: readonly Original[]): void {
    const { records } = this.#deps
    for (const [ref, found] of Map.groupBy(originals, (original) => original.ref)) {
      const count = found.reduce((sum, original) => sum + original.count, 0)
      if (count === records.get(ref)?.count) records.delete(ref)
    }
  }
}
