import type { AckLevel } from '#protocol/ack-level'
import type { ReadGap } from '#gateway/broker'
import type { PeerId } from '#protocol/ids'
import type { FeedKey } from '#protocol/log/feed'

/** Where a record is in the log. */
export interface Place {
  readonly feed: FeedKey
  readonly offset: number
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

export interface Publish {
  readonly at: PeerId
  readonly topic: string
  readonly values: readonly string[]
  readonly level: AckLevel
  readonly invokedAtMs: number
  outcome: Outcome
}

/** What a reader was given, in order, whatever peers it read at. */
export interface Reading {
  readonly name: string
  readonly topic: string
  readonly from: 'earliest' | 'latest'
  /** When it first came to a peer; what was published later belongs to a reader of the latest too. */
  sinceMs: number
  readonly records: { readonly place: Place; readonly value: string; readonly at: PeerId }[]
  readonly gaps: (ReadGap & { readonly at: string })[]
}

/** What clients asked and were told: the only thing that promises can be held against. */
export class History {
  readonly publishes: Publish[] = []
  readonly readings: Reading[] = []

  answered(): readonly (Publish & { readonly outcome: Answer })[] {
    return this.publishes.filter(
      (publish): publish is Publish & { outcome: Answer } => publish.outcome.type === 'answered',
    )
  }
}

export const placeText = ({ feed, offset }: Place): string => {
  const [, writer, epoch] = feed.split('/')
  return `${writer}.${epoch?.slice(0, 4)}.${offset}`
}
