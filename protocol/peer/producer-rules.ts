import type { FeedKey } from '#protocol/log/feed'
import { parseFeedKey } from '#protocol/log/feed'
import type { LatestSeq, ProducerId, ProducerIndex, ProducerSpan, SeqRange } from '#protocol/log/producer-index'
import type { PeerId } from '#protocol/ids'
import type { Refusal } from './inputs.ts'

/** What is known of a producer before one of its ranges. */
interface Known extends Pick<LatestSeq, 'epoch' | 'nextSeq'> {
  readonly isTakenHere: boolean
}

export interface ProducerVerdict {
  readonly refusal: Refusal | undefined
  /** Numbers that this peer has never heard of came before these: another peer may have taken them. */
  readonly gaps: number
}

/**
 * May these records be taken, in this order (DESIGN §7)? One of a lower epoch may not: another instance of its producer has
 * taken over. One beyond the next number may not if this peer itself took the one before: then what is missing was lost on
 * its way here. Nobody else could know, so anywhere else a gap is only noted. What is stored already is answered and not
 * judged.
 */
export function judge<Range extends SeqRange>(
  self: PeerId,
  index: ProducerIndex,
  ranges: readonly Range[],
  isStored: (range: Range) => boolean,
): ProducerVerdict {
  const known = new Map<ProducerId, Known>()
  let gaps = 0
  for (const range of ranges) {
    const { producer, epoch, firstSeq, count } = range
    const before = known.get(producer) ?? knownOf(index.latest(producer), self)
    const isCurrent = before === undefined || epoch >= before.epoch
    if (!isCurrent && !isStored(range)) return { refusal: fenced(before.epoch, epoch), gaps }
    if (before?.epoch === epoch && firstSeq > before.nextSeq) {
      if (before.isTakenHere) return { refusal: gap(before.nextSeq, firstSeq), gaps }
      gaps++
    }
    if (!isCurrent) continue
    const nextSeq = Math.max(firstSeq + count, before?.epoch === epoch ? before.nextSeq : 0)
    known.set(producer, { epoch, nextSeq, isTakenHere: true })
  }
  return { refusal: undefined, gaps }
}

const knownOf = (latest: LatestSeq | undefined, self: PeerId): Known | undefined =>
  latest && { ...latest, isTakenHere: latest.takenBy.some((feed) => isOf(feed, self)) }

const isOf = (feed: FeedKey, writer: PeerId): boolean => parseFeedKey(feed)?.writer === writer

/** Do these places have all of them? */
export function isCovered({ count: wanted }: SeqRange, places: readonly ProducerSpan[]): boolean {
  const seqs = new Set<number>()
  for (const { firstSeq, count } of places) {
    for (let i = 0; i < count; i++) seqs.add(firstSeq + i)
  }
  return seqs.size === wanted
}

const fenced = (epoch: number, given: number): Refusal => ({
  code: 'PRODUCER_FENCED',
  detail: `Epoch ${epoch} of this producer has published; this is epoch ${given}.`,
})

const gap = (expected: number, given: number): Refusal => ({
  code: 'PRODUCER_GAP',
  detail: `The next number of this producer here is ${expected}; this is ${given}.`,
})
