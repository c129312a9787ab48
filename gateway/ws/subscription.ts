import { isInternal, matchesTopic, type TopicName, type TopicPattern } from '#protocol/topic-name'
import type { ReadFrom } from '../broker.ts'
import type { SubscribeFrom, SubscribeInput } from './client-frame.ts'

/** Numbers the readers of a socket, so that a late answer never meets another subscription of the same name. */
export type ReaderNumber = number

/** Does one of them match? Of the mesh's own topics each is named by itself. */
export function areForTopic(patterns: readonly TopicPattern[], topic: TopicName): boolean {
  const isMatch = (pattern: string): boolean => !isInternal(topic) || pattern === topic
  return patterns.some((pattern) => isMatch(pattern) && matchesTopic(pattern, topic))
}

/**
 * One subscription: which topics it reads, how far each is, and how many records may still be sent. It holds positions,
 * no records.
 */
export class Subscription {
  readonly sub: string
  /** Below 0: so many came beyond it, with the batch that used it up. */
  credit: number
  readonly patterns: readonly TopicPattern[]
  readonly #from: SubscribeFrom
  readonly #topics = new Map<TopicName, ReaderNumber>()
  /** Topics of the beginning that are not open yet. */
  readonly #opening = new Set<ReaderNumber>()
  readonly #cursors = new Map<TopicName, string>()
  /** Topics of the beginning of which not all has been told yet. */
  readonly #behind = new Set<ReaderNumber>()
  /** Topics with more to read, as far as is known: the one that has waited longest first. */
  readonly #ready = new Set<ReaderNumber>()
  /** Topics that were deleted while it read them: where it began says nothing of those that have their names now. */
  readonly #startedOver = new Set<TopicName>()
  /** Of which all that can be had here has been told, and nobody who keeps them can be reached. */
  readonly #isolated = new Set<ReaderNumber>()
  /** `isolated`: so caught up that some of the topics were. */
  #phase: 'opening' | 'catchingUp' | 'isolated' | 'caughtUp' = 'opening'

  constructor({ sub, patterns, from, credit }: SubscribeInput) {
    this.sub = sub
    this.credit = credit
    this.patterns = patterns
    this.#from = from
  }

  get readers(): Iterable<ReaderNumber> {
    return this.#topics.values()
  }

  get topicCount(): number {
    return this.#topics.size
  }

  /** True once it was told to be subscribed. */
  get isLive(): boolean {
    return this.#phase !== 'opening'
  }

  wants(topic: TopicName): boolean {
    return !this.#topics.has(topic) && areForTopic(this.patterns, topic)
  }

  /** Takes a topic in, and says where its reading starts: whatever nobody has a position in, at its earliest record. */
  add(topic: TopicName, reader: ReaderNumber): ReadFrom {
    this.#topics.set(topic, reader)
    if (this.#phase !== 'opening') return this.#startOf(topic)
    this.#opening.add(reader)
    this.#behind.add(reader)
    const isLatest = this.#from.type === 'latest' && !this.#startedOver.has(topic)
    return isLatest ? { type: 'latest' } : this.#startOf(topic)
  }

  #startOf(topic: TopicName): ReadFrom {
    if (this.#startedOver.has(topic)) return { type: 'earliest' }
    if (this.#from.type === 'time') return this.#from
    if (this.#from.type === 'named') return { ...this.#from, orEarliest: true }
    const cursor = this.#from.type === 'cursors' ? this.#from.cursors.get(topic) : undefined
    return cursor === undefined ? { type: 'earliest' } : { type: 'cursor', cursor }
  }

  opened(topic: TopicName, reader: ReaderNumber, cursor: string): void {
    if (this.#opening.delete(reader)) this.#cursors.set(topic, cursor)
    this.#ready.add(reader)
  }

  /** It may not be read any more. */
  withdrawn(topic: TopicName, reader: ReaderNumber): void {
    this.notFound(topic, reader)
    this.#ready.delete(reader)
  }

  /** Whatever there was of it, and any position in it, is gone. */
  deleted(topic: TopicName, reader: ReaderNumber): void {
    this.notFound(topic, reader)
    this.#cursors.delete(topic)
    this.#ready.delete(reader)
    this.#startedOver.add(topic)
  }

  /** The topic went between being listed and being opened: it will be told again when it is back. */
  notFound(topic: TopicName, reader: ReaderNumber): void {
    this.#topics.delete(topic)
    this.#opening.delete(reader)
    this.#behind.delete(reader)
    this.#isolated.delete(reader)
  }

  /** Where it began, once: when all topics of the beginning are open. */
  takeBeginning(): Readonly<Record<string, string>> | undefined {
    if (this.#phase !== 'opening' || this.#opening.size > 0) return undefined
    this.#phase = 'catchingUp'
    const beginning = Object.fromEntries(this.#cursors)
    this.#cursors.clear()
    return beginning
  }

  /** The topic to read on; it is at the end of the line when it is ready again. */
  takeNext(): ReaderNumber | undefined {
    if (!this.isLive || this.credit <= 0) return undefined
    const [next] = this.#ready
    if (next !== undefined) this.#ready.delete(next)
    return next
  }

  hasMore(reader: ReaderNumber): void {
    this.#ready.add(reader)
  }

  isUpToDate(reader: ReaderNumber, isolated: boolean): void {
    this.#behind.delete(reader)
    if (isolated) this.#isolated.add(reader)
    else this.#isolated.delete(reader)
  }

  /** Told once: when all topics of the beginning have been told to their ends; `isolated` comes before that, maybe. */
  takeCaughtUp(): 'isolated' | 'caughtUp' | undefined {
    const now = this.#isolated.size > 0 ? 'isolated' : 'caughtUp'
    if (this.#phase === 'catchingUp' ? this.#behind.size > 0 : this.#phase !== 'isolated' || now === 'isolated') {
      return undefined
    }
    this.#phase = now
    return now
  }
}
