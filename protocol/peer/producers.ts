import type { AckLevel } from '#protocol/ack-level'
import { assert } from '#protocol/assert'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey, OffsetRange } from '#protocol/log/feed'
import type { IndexedRange, ProducerId, ProducerIndex, ProducerSpan, SeqRange } from '#protocol/log/producer-index'
import type { Millis } from '#protocol/machine'
import type { TopicName } from '#protocol/topic-name'
import type { Original, PeerEffect, PublishPart, Refusal, SoughtRange } from './inputs.ts'
import type { ProducerIndexes } from './producer-indexes.ts'
import { isCovered, judge } from './producer-rules.ts'

export interface PublishRequest {
  readonly topic: TopicName
  readonly topicId: TopicId
  readonly parts: readonly PublishPart[]
  readonly level: AckLevel
  readonly deadlineMs: Millis
  readonly hlcMs: number
}

export interface ProducersDeps {
  readonly self: PeerId
  readonly indexes: ProducerIndexes
  /** Which offsets of a feed are here, or on their way to disk. */
  readonly held: (feed: FeedKey) => OffsetRange | undefined
  readonly order: (effect: PeerEffect) => void
  /** Take the records, those aside that are in the log already. */
  readonly place: (request: PublishRequest, originals: readonly Original[]) => void
  readonly refuse: (request: PublishRequest, refusal: Refusal) => void
}

interface Queued extends PublishRequest {
  readonly producers: ReadonlySet<ProducerId>
}

/**
 * Publishes that carry producers, until they are placed (P6):
 *
 *   admit ─► (index is loaded) ─► judge ─► findOriginals ─► originalsFound ─► place
 *                                   └─ nothing of it is known: place at once
 *
 * 1. A request is taken whole or refused whole, after what is known of it was found in the log and is the same.
 * 2. Requests of one producer are taken in the order they came, also when one of them has to be looked for.
 * 3. What the index knows is where to look. A record that is not there, because its batch was trimmed, lost or damaged,
 *    is taken as a new one, and judged as one.
 */
export class Producers {
  readonly #deps: ProducersDeps
  /** The first of each is the one under way. A request is in the queues of all its producers. */
  readonly #queues = new Map<ProducerId, Queued[]>()
  /** Requests whose topic is being loaded. */
  readonly #unloaded = new Map<TopicId, Queued[]>()
  readonly #lookups = new Map<number, { readonly request: Queued; readonly index: ProducerIndex }>()
  #lastLookup = 0
  /** First in all their queues, and to be taken now. */
  #ready: Queued[] = []
  #isRunning = false
  /** Since the start: records answered with their original, gaps noted, requests refused. */
  readonly figures = { retried: 0, gaps: 0, fenced: 0, refusedGaps: 0, differing: 0 }

  constructor(deps: ProducersDeps) {
    this.#deps = deps
  }

  admit(request: PublishRequest): void {
    const producers = new Set(request.parts.flatMap((part) => part.producerRanges.map(({ producer }) => producer)))
    const queued = { ...request, producers }
    for (const producer of producers) {
      const queue = this.#queues.get(producer)
      if (queue === undefined) this.#queues.set(producer, [queued])
      else queue.push(queued)
    }
    if (this.#isFirst(queued)) this.#ready.push(queued)
    this.#run()
  }

  loaded(topicId: TopicId): void {
    const waiting = this.#unloaded.get(topicId) ?? []
    this.#unloaded.delete(topicId)
    this.#ready.push(...waiting)
    this.#run()
  }

  found(lookup: number, originals: readonly Original[], differs: string | undefined): void {
    const sought = this.#lookups.get(lookup)
    assert(sought !== undefined, 'what was found was looked for')
    this.#lookups.delete(lookup)
    const { request, index } = sought
    const ranges = request.parts.flatMap(({ ref, producerRanges }) =>
      producerRanges.map((range) => ({ ...range, ref })),
    )
    const { refusal } = judge(this.#deps.self, index, ranges, (range) => isFound(range, originals))
    if (differs === undefined && refusal !== undefined) this.#refuse(request, refusal)
    else if (differs === undefined) this.#place(request, originals)
    else {
      this.figures.differing++
      this.#refuse(request, { code: 'RETRY_DIFFERS', detail: differs })
    }
    this.#run()
  }

  /** Each that ends may let others begin: in a loop, for thousands may wait for one. */
  #run(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    for (let next = this.#ready.shift(); next !== undefined; next = this.#ready.shift()) this.#take(next)
    this.#isRunning = false
  }

  #take(request: Queued): void {
    const { topicId } = request
    const index = this.#deps.indexes.want(topicId)
    if (index === undefined) {
      const waiting = this.#unloaded.get(topicId)
      if (waiting === undefined) this.#unloaded.set(topicId, [request])
      else waiting.push(request)
      return
    }
    const ranges = request.parts.flatMap(({ producerRanges }) => producerRanges)
    const heldOf = (range: SeqRange): ProducerSpan[] => index.find(range).flatMap((place) => this.#heldOf(place) ?? [])
    const { refusal, gaps } = judge(this.#deps.self, index, ranges, (range) => isCovered(range, heldOf(range)))
    if (refusal !== undefined) return this.#refuse(request, refusal)
    this.figures.gaps += gaps
    const sought = this.#sought(request, index)
    if (sought.length === 0) return this.#place(request, [])
    const lookup = ++this.#lastLookup
    this.#lookups.set(lookup, { request, index })
    this.#deps.order({ type: 'findOriginals', lookup, ranges: sought })
  }

  #sought({ parts }: Queued, index: ProducerIndex): readonly SoughtRange[] {
    return parts.flatMap(({ ref, producerRanges }) =>
      producerRanges.flatMap((range) => {
        const places = index.find(range).flatMap((place) => this.#heldOf(place) ?? [])
        return places.length === 0 ? [] : [{ ...range, ref, places }]
      }),
    )
  }

  /** The part of a place that is here: the index may know of records that were trimmed, or lost in a crash. */
  #heldOf(place: ProducerSpan): ProducerSpan | undefined {
    const held = this.#deps.held(place.feed)
    if (held === undefined) return undefined
    const firstOffset = Math.max(place.firstOffset, held.from)
    const lastOffset = Math.min(place.lastOffset, held.to - 1)
    return firstOffset > lastOffset ? undefined : { ...place, firstOffset, lastOffset }
  }

  #place(request: Queued, originals: readonly Original[]): void {
    this.figures.retried += originals.reduce((sum, { count }) => sum + count, 0)
    this.#deps.place(request, originals)
    this.#end(request)
  }

  #refuse(request: Queued, refusal: Refusal): void {
    if (refusal.code === 'PRODUCER_FENCED') this.figures.fenced++
    if (refusal.code === 'PRODUCER_GAP') this.figures.refusedGaps++
    this.#deps.refuse(request, refusal)
    this.#end(request)
  }

  #end(request: Queued): void {
    for (const producer of request.producers) {
      const queue = this.#queues.get(producer)
      queue?.shift()
      if (queue?.length === 0) this.#queues.delete(producer)
    }
    for (const producer of request.producers) {
      const next = this.#queues.get(producer)?.[0]
      if (next !== undefined && !this.#ready.includes(next) && this.#isFirst(next)) this.#ready.push(next)
    }
  }

  #isFirst(request: Queued): boolean {
    return [...request.producers].every((producer) => this.#queues.get(producer)?.[0] === request)
  }
}

/** Are all of these records among those that were found in the log? */
function isFound(
  { ref, firstIndex, count }: IndexedRange & { readonly ref: number },
  found: readonly Original[],
): boolean {
  const indexes = found
    .filter((original) => original.ref === ref)
    .flatMap((original) => Array.from({ length: original.count }, (_, at) => original.firstIndex + at))
  return new Set(indexes.filter((index) => index >= firstIndex && index < firstIndex + count)).size === count
}
