import { limits } from '#protocol/limits'
import { outgoingJson, type OutgoingRecord } from './record.ts'
import type { Request } from './servers.ts'

export interface PublishOptions {
  /** `local` (the default), `n:K`, `majority` or `all`: on how many disks the records are to be before the answer comes. */
  readonly ack?: string
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

/** The media type that says "a batch" whatever the body looks like; so a value may be `{records: […]}` itself. */
const recordsMediaType = 'application/vnd.grapevine.records+json'

export function publishRequest(
  topic: string,
  records: readonly OutgoingRecord[],
  options: PublishOptions,
): Omit<Request, 'signal'> {
  const query = new URLSearchParams()
  if (options.ack !== undefined) query.set('ack', options.ack)
  if (options.wait !== undefined)
    query.set('wait', typeof options.wait === 'number' ? `${options.wait}ms` : options.wait)
  const search = query.size > 0 ? `?${query.toString()}` : ''
  return {
    method: 'POST',
    path: `/v1/topics/${encodeURIComponent(topic)}/records${search}`,
    headers: { 'content-type': recordsMediaType },
    body: JSON.stringify({ records: records.map(outgoingJson) }),
    waitMs: waitMsOf(options.wait),
    // Publishing twice is publishing two records, until producers have sequence numbers.
    repeatable: false,
  }
}

export function publishedOf(answer: unknown): PublishedMany {
  const { results, cursor, ack } = answer as { results: { id: string }[]; cursor: string; ack: Ack }
  return { ids: results.map((result) => result.id), cursor, ...ack }
}

/** How long our own deadline must wait with the peer; the peer is the one that judges the text. */
function waitMsOf(wait: number | string | undefined): number {
  if (wait === undefined) return limits.waitMsDefault
  if (typeof wait === 'number') return wait
  const [, digits, unit] = /^(\d+)(ms|s|m)$/.exec(wait) ?? []
  return Math.min(Number(digits ?? 0) * (unit === 'm' ? 60_000 : unit === 's' ? 1_000 : 1), limits.waitMsMax)
}
