import type { AckLevel } from '#protocol/ack-level'
import type { ReadGap } from '#gateway/broker'
import type { PeerId, TopicId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'
import type { ProducerId } from '#protocol/log/producer-index'

/** Where a record is in the log. */
export interface Place {
  readonly feed: FeedKey
  readonly offset: number
}

/** How much of a topic somebody need not be given: of each feed up to a position, and of other feeds up to a time. */
export interface Covered {
  readonly positions: ReadonlyMap<FeedKey, number>
  readonly sinceMs: number
}

/** An answer of 201 (`reached`) or 202: durable where it was published, and on the disks of `copies`. */
export interface Answer {
  readonly type: 'answered'
  readonly atMs: number
  readonly reached: boolean
  readonly places: readonly Place[]
  readonly copies: readonly PeerId[]
  readonly home: readonly PeerId[]
}

/** A publish without an answer is neither done nor undone: its peer died before it said (`unknown`). */
export type Outcome = { readonly type: 'unknown' } | Answer | { readonly type: 'refused'; readonly code: string }

/** The numbers under which a client publishes: those of its first record. */
export interface Numbered {
  /** What the client calls itself. */
  readonly name: string
  /** And what it is called in the log. */
  readonly producer: ProducerId
  readonly epoch: number
  readonly firstSeq: number
}

export interface Publish {
  readonly at: PeerId
  /** Not the peer's own, if there is a clone of that. */
  readonly machine: PeerId
  readonly topic: string
  readonly values: readonly string[]
  readonly numbered?: Numbered
  readonly level: AckLevel
  readonly invokedAtMs: number
  outcome: Outcome
}

/** What a reader was given, in order, whatever peers it read at. */
export interface Reading {
  readonly name: string
  readonly topic: string
  /** `answer`: the cursor that a publish was answered with. */
  readonly from: 'earliest' | 'latest' | 'answer'
  /** What that cursor covers. */
  readonly covered?: Covered
  /** When it first came to a peer; what was published later belongs to a reader of the latest too. */
  sinceMs: number
  /** What the clock of that peer said then: where the latest begins. */
  sinceWallMs: number
  /** Up to where retention had let go of each feed then: that is not part of the earliest. */
  goneBefore: ReadonlyMap<FeedKey, number>
  /** Without a value: passed over, because another copy of it was read. */
  readonly records: { readonly place: Place; readonly value: string | undefined; readonly at: PeerId }[]
  /** What was seen to go wrong while it read. */
  readonly faults: string[]
  /** With who told it, and whether any disk held some of it then. */
  readonly gaps: (ReadGap & { readonly at: string; readonly wasHeld: boolean })[]
}

/** What clients asked and were told: the only thing that promises can be held against. */
export class History {
  readonly publishes: Publish[] = []
  readonly readings: Reading[] = []

  ofTopic(name: string): History {
    const part = new History()
    part.publishes.push(...this.publishes.filter(({ topic }) => topic === name))
    part.readings.push(...this.readings.filter(({ topic }) => topic === name))
    return part
  }

  answered(): readonly (Publish & { readonly outcome: Answer })[] {
    return this.publishes.filter(
      (publish): publish is Publish & { outcome: Answer } => publish.outcome.type === 'answered',
    )
  }
}

/** `oak.1ec4` */
export const feedText = (key: FeedKey): string => {
  const [, writer, epoch] = key.split('/')
  return `${writer}.${epoch?.slice(0, 4)}`
}

/** `715d/oak.1ec4`, where several topics are looked at. */
export const topicFeedText = (key: FeedKey): string => `${key.slice(0, 4)}/${feedText(key)}`

/** `oak.1ec4.158` */
export const placeText = ({ feed, offset }: Place): string => `${feedText(feed)}.${offset}`

/** `id` is `<writer>.<epoch>.<offset>`. */
export function placeOf(topicId: TopicId, id: string): Place {
  const [writer, epoch, offset] = id.split('.')
  return { feed: `${topicId}/${writer}/${epoch}` as FeedKey, offset: Number(offset) }
}
