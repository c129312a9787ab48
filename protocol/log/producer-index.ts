import type { Brand } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { hexOf } from '#protocol/text'
import type { FeedKey } from './feed.ts'
import type { ProducerRange } from './record.ts'

/** The 16 bytes by which a producer is known in one topic, as 32 hex characters. */
export type ProducerId = Brand<string, 'ProducerId'>

/** Consecutive sequence numbers of one producer. */
export interface SeqRange {
  readonly producer: ProducerId
  readonly epoch: number
  readonly firstSeq: number
  readonly count: number
}

/** Such records of a batch, or of a set of records: the first is the one at `firstIndex`. */
export interface IndexedRange extends SeqRange {
  readonly firstIndex: number
}

export const indexedRangeOf = ({ id, epoch, firstSeq, count, firstIndex }: ProducerRange): IndexedRange => ({
  producer: hexOf(id) as ProducerId,
  epoch,
  firstSeq,
  count,
  firstIndex,
})

/**
 * Where such records are: in one feed, in the order of their numbers, the first at `firstOffset` and the last at
 * `lastOffset`. Records of others may lie in between; so of one number only a window is known: see `cutSpan`.
 */
export interface ProducerSpan extends SeqRange {
  readonly feed: FeedKey
  readonly firstOffset: number
  readonly lastOffset: number
  /** Hybrid-clock time of the newest of them. */
  readonly hlcMs: number
}

/** The highest number known of a producer, and the feeds that hold it as far as is known. */
export interface LatestSeq {
  readonly epoch: number
  readonly nextSeq: number
  readonly takenBy: readonly FeedKey[]
}

export interface ProducerIndexBounds {
  readonly spansMax: number
  readonly spansPerProducerMax: number
  /** Records of others within a span. */
  readonly slackMax: number
}

const boundsOfLimits: ProducerIndexBounds = {
  spansMax: limits.producerSpansPerTopicMax,
  spansPerProducerMax: limits.producerSpansPerProducerMax,
  slackMax: limits.producerSpanSlackMax,
}

/** Of most producers there is one span, and many have one record: those are kept as cheaply as can be. */
type Spans = ProducerSpan | readonly ProducerSpan[]

/**
 * Which records of producers a topic holds, and where (P6). It is a summary of the log and never the last word: whoever
 * answers by it looks at the log.
 *
 * 1. Spans that touch become one. So a producer takes a span for each feed that it wrote to, however much it published.
 * 2. The order of insertion does not matter, nor how often something is inserted.
 * 3. At its bounds the newest stay, by the time of their batches; before them what was accepted on two sides of a split,
 *    which readers need to know for longer than a retry takes, in up to half of the room of its producer: it must not keep
 *    out what is new. (Simulator, seed 308.)
 */
export class ProducerIndex {
  readonly #bounds: ProducerIndexBounds
  readonly #producers = new Map<ProducerId, Spans>()
  readonly #doubled = new Set<ProducerId>()
  #spanCount = 0
  /** Hybrid-clock time of the newest span that was dropped at a bound, if one was. */
  droppedMs: number | undefined

  constructor(bounds: ProducerIndexBounds = boundsOfLimits) {
    this.#bounds = bounds
  }

  get spanCount(): number {
    return this.#spanCount
  }

  insert(span: ProducerSpan): void {
    const { producer } = span
    const before = this.#spansOf(producer)
    let after = before.length === 0 ? [span] : this.#with(before, span)
    if (after.length > this.#bounds.spansPerProducerMax) after = this.#withoutOldest(producer, after)
    this.#set(producer, after)
    this.#spanCount += after.length - before.length
    if (this.#spanCount > this.#bounds.spansMax) this.#shrink()
  }

  /** The parts of spans that hold any of these records; several when they were accepted more than once. */
  find({ producer, ...seqs }: SeqRange): readonly ProducerSpan[] {
    const found = this.#spansOf(producer).filter((span) => overlaps(span, seqs))
    return found.map((span) => cutSpan(span, seqs.firstSeq, endOf(seqs)))
  }

  latest(producer: ProducerId): LatestSeq | undefined {
    return latestOf(this.#spansOf(producer))
  }

  /** Producers of which some record is known to have been accepted more than once. */
  get doubled(): ReadonlySet<ProducerId> {
    return this.#doubled
  }

  /** At most so many, the newest by time or nearly so; in no order. */
  newest(count: number): ProducerSpan[] {
    const cutMs = this.#timeAt(this.#spanCount - count)
    const newest: ProducerSpan[] = []
    const take = (span: ProducerSpan): void => void (newest.length < count && newest.push(span))
    this.#each((span) => span.hlcMs > cutMs && take(span))
    this.#each((span) => span.hlcMs === cutMs && take(span))
    return newest
  }

  #spansOf(producer: ProducerId): readonly ProducerSpan[] {
    const spans = this.#producers.get(producer) ?? none
    return 'length' in spans ? spans : [spans]
  }

  #set(producer: ProducerId, spans: readonly ProducerSpan[]): void {
    const [only] = spans
    if (only === undefined) this.#producers.delete(producer)
    else this.#producers.set(producer, spans.length === 1 ? only : spans)
  }

  #each(visit: (span: ProducerSpan) => unknown): void {
    for (const spans of this.#producers.values()) {
      if ('length' in spans) for (const span of spans) visit(span)
      else visit(spans)
    }
  }

  /** The time that about so many spans are older than, by a sample: to sort all of them would hold up everything else. */
  #timeAt(rank: number): number {
    const stride = Math.ceil(this.#spanCount / sampleMax)
    const times: number[] = []
    let index = 0
    this.#each(({ hlcMs }) => {
      if (index++ % stride === 0) times.push(hlcMs)
    })
    times.sort((a, b) => a - b)
    return rank <= 0 ? Number.NEGATIVE_INFINITY : (times[Math.floor((rank - 1) / stride)] ?? Number.POSITIVE_INFINITY)
  }

  #with(spans: readonly ProducerSpan[], span: ProducerSpan): readonly ProducerSpan[] {
    const known = spans.findIndex((other) => covers(other, span))
    if (known >= 0) return spans.with(known, withNewest(spans[known] as ProducerSpan, span))
    let joined = span
    const others: ProducerSpan[] = []
    for (const other of spans) {
      const both = covers(joined, other) ? withNewest(joined, other) : this.#joined(other, joined, spans)
      if (both !== undefined) joined = both
      else others.push(other)
    }
    if (others.some((other) => overlaps(other, span))) this.#doubled.add(span.producer)
    return [...others, joined]
  }

  /** Undefined also if a second copy in the same feed would be lost between them: readers would be given both. (Simulator, seed 4560.) */
  #joined(a: ProducerSpan, b: ProducerSpan, spans: readonly ProducerSpan[]): ProducerSpan | undefined {
    const both = joinedOf(a, b, this.#bounds.slackMax)
    if (both === undefined) return undefined
    const isHidden = spans.some((one) => covers(both, one) && !covers(a, one) && !covers(b, one))
    return isHidden ? undefined : both
  }

  #withoutOldest(producer: ProducerId, spans: readonly ProducerSpan[]): readonly ProducerSpan[] {
    const singles = spans.filter((span) => !this.#isDouble(producer, span, spans))
    const candidates = singles.length > this.#bounds.spansPerProducerMax / 2 ? singles : spans
    const oldest = candidates.reduce((old, span) => (span.hlcMs < old.hlcMs ? span : old))
    this.#dropped(oldest)
    return spans.filter((span) => span !== oldest)
  }

  #isDouble(producer: ProducerId, span: ProducerSpan, spans: readonly ProducerSpan[]): boolean {
    return this.#doubled.has(producer) && spans.some((other) => other !== span && overlaps(other, span))
  }

  /** Down to seven eighths, so that it is not done for each of many that come. */
  #shrink(): void {
    const left = Math.floor((this.#bounds.spansMax * 7) / 8)
    const cutMs = this.#timeAt(this.#spanCount - left)
    this.#drop(left, (span, isDouble) => span.hlcMs < cutMs && !isDouble())
    this.#drop(left, (span, isDouble) => span.hlcMs === cutMs && !isDouble())
    if (this.#spanCount > this.#bounds.spansMax) this.#drop(left, ({ hlcMs }) => hlcMs <= cutMs)
  }

  #drop(left: number, isDropped: (span: ProducerSpan, isDouble: () => boolean) => boolean): void {
    for (const [producer, spans] of this.#producers) {
      if (this.#spanCount <= left) return
      const before = this.#spanCount
      if (!('length' in spans)) {
        if (!isDropped(spans, () => false)) continue
        this.#producers.delete(producer)
        this.#spanCount--
        this.#dropped(spans)
      } else {
        const kept: ProducerSpan[] = []
        for (const span of spans) {
          if (isDropped(span, () => this.#isDouble(producer, span, spans))) this.#dropped(span)
          else kept.push(span)
        }
        this.#set(producer, kept)
        this.#spanCount -= spans.length - kept.length
      }
      if (this.#spanCount < before && !this.#producers.has(producer)) this.#doubled.delete(producer)
    }
  }

  #dropped({ hlcMs }: ProducerSpan): void {
    this.droppedMs = Math.max(hlcMs, this.droppedMs ?? hlcMs)
  }
}

/** The part of a span from `fromSeq` up to `toSeq`: the first of them is not before its `firstOffset`, the last not after its `lastOffset`. */
export function cutSpan(span: ProducerSpan, fromSeq: number, toSeq: number): ProducerSpan {
  const end = endOf(span)
  const firstSeq = Math.max(span.firstSeq, fromSeq)
  const cutEnd = Math.min(end, toSeq)
  return {
    ...span,
    firstSeq,
    count: cutEnd - firstSeq,
    firstOffset: span.firstOffset + firstSeq - span.firstSeq,
    lastOffset: span.lastOffset - (end - cutEnd),
  }
}

const endOf = ({ firstSeq, count }: Pick<SeqRange, 'firstSeq' | 'count'>): number => firstSeq + count

/** Spans that are looked at to find out how old the older ones are. */
const sampleMax = 4_096

const none: readonly ProducerSpan[] = []

type Seqs = Omit<SeqRange, 'producer'>

const overlaps = (a: Seqs, b: Seqs): boolean => a.epoch === b.epoch && a.firstSeq < endOf(b) && b.firstSeq < endOf(a)

const covers = (a: ProducerSpan, b: ProducerSpan): boolean =>
  a.epoch === b.epoch &&
  a.feed === b.feed &&
  a.firstSeq <= b.firstSeq &&
  endOf(a) >= endOf(b) &&
  a.firstOffset <= b.firstOffset &&
  a.lastOffset >= b.lastOffset

const withNewest = (span: ProducerSpan, other: ProducerSpan): ProducerSpan =>
  other.hlcMs > span.hlcMs ? { ...span, hlcMs: other.hlcMs } : span

/** One span of two that touch, in whatever order; undefined if they do not, or if too much lies in between. */
function joinedOf(a: ProducerSpan, b: ProducerSpan, slackMax: number): ProducerSpan | undefined {
  if (a.epoch !== b.epoch || a.feed !== b.feed) return undefined
  const [first, second] = a.firstSeq < b.firstSeq ? [a, b] : [b, a]
  if (endOf(first) !== second.firstSeq || first.lastOffset >= second.firstOffset) return undefined
  const count = first.count + second.count
  const { lastOffset } = second
  const slack = lastOffset - first.firstOffset + 1 - count
  if (slack > slackMax) return undefined
  return { ...first, count, lastOffset, hlcMs: Math.max(a.hlcMs, b.hlcMs) }
}

function latestOf(spans: readonly ProducerSpan[]): LatestSeq | undefined {
  const [first] = spans
  if (first === undefined) return undefined
  let [epoch, nextSeq, takenBy] = [first.epoch, endOf(first), [first.feed]]
  for (const span of spans.slice(1)) {
    const end = endOf(span)
    const isLater = span.epoch > epoch || (span.epoch === epoch && end > nextSeq)
    if (isLater) [epoch, nextSeq, takenBy] = [span.epoch, end, [span.feed]]
    else if (span.epoch === epoch && end === nextSeq) takenBy.push(span.feed)
  }
  return { epoch, nextSeq, takenBy }
}
