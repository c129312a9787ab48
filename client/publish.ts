import { limits } from '#protocol/limits'
import type { Answer, PublishCall } from './publisher.ts'
import { keptRecord, type OutgoingRecord } from './record.ts'

export interface PublishOptions {
  /** `local` (the default), `n:K`, `majority` or `all`: on how many disks the records are to be before the answer comes. */
  readonly ack?: string
  /**
   * A name of this publish by which any peer recognizes it, also if another process sends it again. Without one it has a
   * number of this mesh object, which is enough for as long as that lives.
   */
  readonly idempotencyKey?: string
  /**
   * A number of your own in place of one of this mesh object: any peer answers with what is stored under it. `seq`, from 0, is
   * that of the first record, the others follow. A producer publishes in order; a higher `epoch` puts an end to a lower one.
   */
  readonly producer?: { readonly id: string; readonly epoch?: number; readonly seq: number }
  /** How long to wait for the level: milliseconds, or text such as `300ms` and `2s`. At most 60 s. */
  readonly wait?: number | string
  readonly signal?: AbortSignal
}

/** How far the records have got: `copies` fsynced ones, on the disks of `peers`. */
export interface Ack {
  readonly level: string
  /** False: durable at the peer that answered, the level not reached within `wait`. The mesh goes on copying; do not retry. */
  readonly reached: boolean
  readonly copies: number
  readonly peers: readonly string[]
  /** Names of the members that `majority` and `all` count, and the registry in which they were found. */
  readonly home: readonly string[]
  readonly registryVersion: string
}

export interface Published extends Ack {
  readonly id: string
  /** Covers what the peer that answered holds, this record included. */
  readonly cursor: string
}

export interface PublishedMany extends Ack {
  /** In the order of the records. */
  readonly ids: readonly string[]
  readonly cursor: string
}

export function publishCall(
  topic: string,
  records: readonly OutgoingRecord[],
  { ack, wait, idempotencyKey, producer }: PublishOptions,
): Omit<PublishCall, 'signal'> {
  const terms = {
    topic,
    ...(ack === undefined ? {} : { ack }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(producer && { producer }),
    ...(wait === undefined ? {} : { wait: durationText(wait) }),
  }
  return { terms, records: records.map(keptRecord), waitMs: waitMsOf(wait) }
}

export const publishedOf = ({ ids, cursor, ack }: Answer): PublishedMany => ({ ids, cursor, ...(ack as Ack) })

export const durationText = (duration: number | string): string =>
  typeof duration === 'number' ? `${duration}ms` : duration

/** How long our own deadline must wait with the peer; the peer is the one that judges the text. */
export function waitMsOf(wait: number | string | undefined): number {
  if (wait === undefined) return limits.waitMsDefault
  if (typeof wait === 'number') return wait
  const [, digits, unit] = /^(\d+)(ms|s|m)$/.exec(wait) ?? []
  return Math.min(Number(digits ?? 0) * (unit === 'm' ? 60_000 : unit === 's' ? 1_000 : 1), limits.waitMsMax)
}
