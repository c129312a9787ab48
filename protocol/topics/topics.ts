import { assert } from '#protocol/assert'
import type { Digests } from '#protocol/digests'
import type { ErrorCode } from '#protocol/errors'
import type { Epoch, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Machine } from '#protocol/machine'
import type { TopicName } from '#protocol/topic-name'
import { agrees, type AskedConfig } from '#protocol/topic-config'
import { type Run, runOf } from './register.ts'
import type { Tombstone } from './tombstone.ts'
import { encodeTopics } from './topic-records.ts'
import {
  configOf,
  deleteState,
  editState,
  exists,
  isSameState,
  joinStates,
  keepersOf,
  type TopicState,
  unknownTopic,
  versionOf,
} from './topic-state.ts'

/*
 * The registry of topics at one peer (DESIGN §10). What the mesh knows of its topics are records of `$topics`, which every
 * member keeps; this machine joins those that are on disk here, and writes what its clients ask for:
 *
 *   topicUsed, edits ─► #ahead ─ writeTopics ─► a record of this peer's own feed ─ written ─► #known ─► settled
 *   records of others, on this peer's disk ─────────────────────────────────────── recordsRead ┘
 *
 * 1. Only `#known`, which is on disk here, is acted upon or shown. What a client was told holds after a crash.
 * 2. An edit starts from everything this peer has, `#ahead` included: it must not be concurrent with its own earlier one.
 * 3. One write is under way at a time; what is asked for meanwhile shares the next. So a thousand new topics are a
 *    few records, and an idle peer adds no wait.
 * 4. Nothing here makes a publish wait: a topic is used under the generation that is known now.
 * 5. What this peer has written stays in proportion to what it has to say: at the latest at twice that and 1,024 states
 *    it says it once more, and lets go of what it wrote before.
 */

export type TopicsInput =
  /** A client publishes to it: it is written down if nobody has done so. */
  | { readonly type: 'topicUsed'; readonly topic: TopicName }
  | { readonly type: 'topicEdited'; readonly ref: number; readonly topic: TopicName; readonly edit: TopicEdit }
  /** States of records that are on disk here. */
  | { readonly type: 'recordsRead'; readonly states: readonly TopicState[] }
  /** The record of the last `writeTopics` is on disk here. */
  | { readonly type: 'recordWritten' }

export type TopicEdit =
  /** Makes it, or finds it made as asked. */
  | { readonly type: 'put'; readonly asked: AskedConfig; readonly atMs: number }
  /** `version` is the one that was read, or undefined to edit whatever is known now. */
  | { readonly type: 'patch'; readonly asked: AskedConfig; readonly version: string | undefined; readonly atMs: number }
  /** Of the generation that is known: `upTo` is what this peer has seen of it. */
  | {
      readonly type: 'delete'
      readonly generation: number
      readonly atMs: number
      readonly upTo: Tombstone['upTo']
    }

export type TopicsEffect =
  | { readonly type: 'writeTopics'; readonly text: string }
  /** What was asked for is on disk here. */
  | { readonly type: 'topicSettled'; readonly ref: number; readonly created: boolean }
  | { readonly type: 'topicRefused'; readonly ref: number; readonly code: ErrorCode; readonly detail: string }
  /**
   * What this peer has written before is said once more, in what it writes from now until `snapshotWritten`: by then
   * everything before may go.
   */
  | { readonly type: 'snapshotBegun' }
  | { readonly type: 'snapshotWritten' }
  /** Fact: what is known of it has changed. */
  | { readonly type: 'topicUpdated'; readonly before: TopicState; readonly now: TopicState }

export interface TopicsOptions {
  readonly self: PeerId
  readonly epoch: Epoch
  readonly digests: Digests
  /** Of the records that are on disk at start. */
  readonly states: readonly TopicState[]
  /** How many of them this peer has written. */
  readonly ownStates: number
  /** Beyond so many states that say nothing new this peer compacts what it has written. Lower: written twice more often. */
  readonly compactAfter: number
}

export const compactAfterDefault = 1_024

/** A request that is answered once what it asked for is on disk here. */
interface Waiting {
  readonly ref: number
  readonly state: TopicState
  readonly created: boolean
}

export class Topics implements Machine<TopicsInput, TopicsEffect> {
  readonly #self: PeerId
  readonly #run: Run
  readonly #digests: Digests
  readonly #known = new Map<TopicName, TopicState>()
  /** What this peer is about to write; the insertion order is that of the writes. */
  readonly #ahead = new Map<TopicName, TopicState>()
  #writing: readonly TopicState[] = []
  /** Topics that a snapshot has still to say. */
  readonly #restated = new Set<TopicName>()
  #isCompacting = false
  /** States in this peer's own feeds, and when it looks next how many of them are worth their place. */
  #ownStates: number
  readonly #compactAfter: number
  #compactAt: number
  readonly #waiting = new Map<TopicName, readonly Waiting[]>()
  #effects: TopicsEffect[] = []

  constructor({ self, epoch, digests, states, ownStates, compactAfter }: TopicsOptions) {
    this.#ownStates = ownStates
    this.#compactAfter = compactAfter
    this.#compactAt = compactAfter
    this.#self = self
    this.#run = runOf(self, epoch)
    this.#digests = digests
    for (const state of states) this.#known.set(state.topic, joinStates(this.get(state.topic), state))
  }

  /** On disk here; `unknownTopic` if nothing is. */
  get(topic: TopicName): TopicState {
    return this.#known.get(topic) ?? unknownTopic(topic)
  }

  /** With what this peer is about to write: what its next edit starts from. */
  latest(topic: TopicName): TopicState {
    const ahead = this.#ahead.get(topic)
    return ahead === undefined ? this.get(topic) : joinStates(this.get(topic), ahead)
  }

  has(topic: TopicName): boolean {
    return this.#known.has(topic)
  }

  /** Every name that is or was a topic. */
  all(): IterableIterator<TopicState> {
    return this.#known.values()
  }

  get size(): number {
    return this.#known.size
  }

  versionOf(state: TopicState): string {
    return versionOf(state, this.#digests)
  }

  /** Is there room for one more, or is it in already? */
  admits(topic: TopicName): boolean {
    const isIn = this.#known.has(topic) || this.#ahead.has(topic)
    return isIn || this.#known.size + this.#ahead.size < limits.registeredTopicsMax
  }

  handle(input: TopicsInput): readonly TopicsEffect[] {
    this.#receive(input)
    this.#write()
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  #receive(input: TopicsInput): void {
    switch (input.type) {
      case 'topicUsed':
        return this.#onUsed(input.topic)
      case 'topicEdited':
        return this.#onEdit(input.ref, input.topic, input.edit)
      case 'recordsRead':
        return this.#learn(input.states)
      case 'recordWritten': {
        assert(this.#writing.length > 0, 'only what is being written is written')
        const written = this.#writing
        this.#writing = []
        this.#ownStates += written.length
        for (const { topic } of written) this.#restated.delete(topic)
        return this.#learn(written)
      }
    }
  }

  /** The hot path: once for each publish. */
  #onUsed(topic: TopicName): void {
    const known = this.#known.get(topic)
    if ((known !== undefined && exists(known)) || this.#ahead.has(topic)) return
    this.#intend(editState(this.get(topic), { run: this.#run, asked: {} }))
  }

  #onEdit(ref: number, topic: TopicName, edit: TopicEdit): void {
    const base = this.latest(topic)
    switch (edit.type) {
      case 'put':
        if (!exists(base)) return this.#edit(ref, base, edit)
        if (agrees(configOf(base), edit.asked)) return this.#await({ ref, state: base, created: false })
        return this.#refuse(ref, 'TOPIC_DIFFERS', `${topic} exists with another configuration.`)
      case 'patch':
        if (!exists(base)) return this.#refuse(ref, 'TOPIC_NOT_FOUND', `${topic} is not known to this peer.`)
        if (edit.version === undefined || edit.version === this.versionOf(base)) return this.#edit(ref, base, edit)
        return this.#refuse(ref, 'TOPIC_CHANGED', `${topic} was changed since it was read.`)
      case 'delete': {
        if (base.generation > edit.generation) return this.#await({ ref, state: base, created: false })
        const state = deleteState(base, { by: new Map([[this.#self, edit.atMs]]), upTo: edit.upTo })
        this.#intend(state)
        return this.#await({ ref, state, created: false })
      }
    }
  }

  #edit(ref: number, base: TopicState, { asked, atMs }: Extract<TopicEdit, { type: 'put' | 'patch' }>): void {
    if (!this.admits(base.topic)) {
      return this.#refuse(ref, 'TOO_MANY_TOPICS', `The mesh has had ${limits.registeredTopicsMax} topics.`)
    }
    const state = editState(base, { run: this.#run, asked, atMs })
    this.#intend(state)
    this.#await({ ref, state, created: !exists(base) })
  }

  #intend(state: TopicState): void {
    this.#ahead.delete(state.topic)
    this.#ahead.set(state.topic, state)
  }

  #await(waiting: Waiting): void {
    const { topic } = waiting.state
    this.#waiting.set(topic, [...(this.#waiting.get(topic) ?? []), waiting])
    this.#settle(topic)
  }

  #refuse(ref: number, code: ErrorCode, detail: string): void {
    this.#effects.push({ type: 'topicRefused', ref, code, detail })
  }

  #write(): void {
    if (this.#writing.length > 0) return
    this.#compact()
    const restated = [...this.#restated].filter((topic) => !this.#ahead.has(topic))
    const states = [...this.#ahead.values(), ...restated.map((topic) => this.get(topic))]
    if (states.length === 0) return
    const { text, count } = encodeTopics(states)
    this.#writing = states.slice(0, count)
    this.#effects.push({ type: 'writeTopics', text })
  }

  /**
   * Whoever set a value, or deleted, keeps it in its own feed (`keepersOf`). Said once more with all that is known, that is
   * all that anybody needs of what was written before.
   */
  #compact(): void {
    if (this.#isCompacting && this.#restated.size === 0) {
      this.#isCompacting = false
      this.#effects.push({ type: 'snapshotWritten' })
    }
    if (this.#isCompacting || this.#ownStates <= this.#compactAt) return
    const kept = [...this.#known.values()].filter((state) => keepersOf(state).has(this.#self))
    this.#compactAt = 2 * kept.length + this.#compactAfter
    if (this.#ownStates <= this.#compactAt) return
    for (const { topic } of kept) this.#restated.add(topic)
    this.#isCompacting = true
    this.#ownStates = 0
    this.#effects.push({ type: 'snapshotBegun' })
  }

  #learn(states: readonly TopicState[]): void {
    for (const state of states) {
      const before = this.get(state.topic)
      const now = joinStates(before, state)
      if (isSameState(before, now)) continue
      this.#known.set(state.topic, now)
      this.#effects.push({ type: 'topicUpdated', before, now })
      const ahead = this.#ahead.get(state.topic)
      if (ahead !== undefined && includes(now, ahead)) this.#ahead.delete(state.topic)
      this.#settle(state.topic)
    }
  }

  #settle(topic: TopicName): void {
    const [settled, waiting] = partition(this.#waiting.get(topic) ?? [], ({ state }) =>
      includes(this.get(topic), state),
    )
    for (const { ref, created } of settled) this.#effects.push({ type: 'topicSettled', ref, created })
    if (waiting.length > 0) this.#waiting.set(topic, waiting)
    else this.#waiting.delete(topic)
  }
}

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  return [items.filter(isFirst), items.filter((item) => !isFirst(item))]
}

const includes = (whole: TopicState, part: TopicState): boolean => isSameState(whole, joinStates(whole, part))
