import { feedText } from '../history.ts'
import { readBatchHeader } from '#protocol/log/batch'
import { type FeedKey, feedKeyOf, type Head } from '#protocol/log/feed'
import type { TopicId } from '#protocol/ids'
import type { Retention } from '#protocol/topic-config'
import type { StoreChange } from '#storage/feed-store'
import { type DiskFeed, type SimDisk, soundBatches } from '../sim-disk.ts'
import type { SimPeer } from '../sim-peer.ts'
import type { Anomaly, Disks } from './anomaly.ts'
import type { HomeOf } from './convergence.ts'
import type { Written } from './written.ts'

const blame = (detail: string): Anomaly => ({ checker: 'floors', detail })

export interface FloorCheckerDeps {
  readonly written: Written
  readonly topics: ReadonlyMap<TopicId, string>
  /** The latest time that the clocks have ever shown of most members that the peer knows of. */
  readonly latestMs: (peer: SimPeer) => number
  /** Clocks that are right differ a little, and a batch may wait for the disk: it is here already. */
  readonly slackMs: number
}

/**
 * Retention, as it happens: nothing goes that no limit which anybody ever asked of the topic lets go; and a feed that is
 * forgotten is empty.
 */
export class FloorChecker {
  readonly #deps: FloorCheckerDeps
  readonly #asked = new Map<string, Retention[]>()

  constructor(deps: FloorCheckerDeps) {
    this.#deps = deps
  }

  asked(topic: string, retention: Retention): void {
    this.#asked.set(topic, [...(this.#asked.get(topic) ?? []), retention])
  }

  appended(peer: SimPeer, changes: readonly StoreChange[], nowMs: number): readonly Anomaly[] {
    const { id, disk } = peer
    const { written } = this.#deps
    return changes.flatMap((change) => {
      if (change.type !== 'floor' && change.type !== 'forget') return []
      const topic = this.#deps.topics.get(change.feed.topicId)
      const key = feedKeyOf(change.feed)
      // What becomes of deleted topics, `topics` sees.
      if (topic === undefined && change.type === 'floor') written.trimmed(key, change.floor.nextOffset)
      if (topic === undefined) return []
      const stored = disk.feeds.get(key)
      // Otherwise it is handed off.
      const isForgotten =
        change.type === 'forget' && stored !== undefined && (change.rooted.length > 0 || isEmpty(stored))
      if (isForgotten) written.forgotten(key, stored.state.floor.nextOffset)
      const fault =
        change.type === 'floor'
          ? this.#floorFault(topic, key, { ...change.floor, latestMs: this.#deps.latestMs(peer), nowMs })
          : forgetFault(disk, key, change)
      return fault === undefined ? [] : [blame(`${id} ${fault} of ${topic} ${feedText(key)}`)]
    })
  }

  #floorFault(
    topic: string,
    key: FeedKey,
    { nextOffset, latestMs, nowMs }: Head & { readonly latestMs: number; readonly nowMs: number },
  ): string | undefined {
    const { written } = this.#deps
    if (nextOffset <= (written.floors.get(key) ?? 0)) return undefined
    written.trimmed(key, nextOffset)
    const newest = written.newestBelow(key, nextOffset)
    if (newest === undefined) return undefined
    const beyond = written.beyond(key, nextOffset)
    const ageMs = Math.max(latestMs - newest.hlcMs, nowMs - newest.atMs) + this.#deps.slackMs
    const retentions = this.#asked.get(topic) ?? []
    const isDue = retentions.some(
      (retention) =>
        ageMs >= (retention.ageMs ?? Infinity) ||
        beyond.bytes >= (retention.bytes ?? Infinity) ||
        beyond.records >= (retention.records ?? Infinity),
    )
    if (isDue) return undefined
    const what = `${ageMs.toFixed(0)} ms old, ${beyond.bytes} B and ${beyond.records} records before the end`
    return `lets go of what ends at ${nextOffset}, ${what}, with ${JSON.stringify(retentions)},`
  }
}

function forgetFault(
  disk: SimDisk,
  key: FeedKey,
  { rooted }: Extract<StoreChange, { type: 'forget' }>,
): string | undefined {
  const stored = disk.feeds.get(key)
  // Without: it is handed off, which has a checker of its own.
  if (stored === undefined || rooted.length === 0 || isEmpty(stored)) return undefined
  const { floor, head } = stored.state
  return `forgets offsets ${floor.nextOffset} to ${head.nextOffset}`
}

export const isEmpty = ({ state: { floor, head } }: DiskFeed): boolean => floor.nextOffset >= head.nextOffset

/**
 * In the end: what retention lets go of is gone at home, whole batches aside. `retentionOf` is the last one, which everybody knows; `slowestMs` what the slowest clock shows.
 */
export function checkLeftToGo(
  disks: Disks,
  {
    homeOf,
    retentionOf,
    slowestMs,
  }: {
    readonly homeOf: HomeOf
    readonly retentionOf: (topicId: TopicId) => Retention | undefined
    readonly slowestMs: number
  },
): readonly Anomaly[] {
  return [...disks].flatMap(([peer, disk]) =>
    [...disk.feeds].flatMap(([key, stored]) => {
      const retention = retentionOf(stored.feed.topicId)
      if (retention === undefined || !homeOf(stored.feed.topicId).includes(peer)) return []
      const fault = leftFault(stored, retention, slowestMs)
      return fault === undefined ? [] : [blame(`${peer} still has ${fault} of ${feedText(key)}`)]
    }),
  )
}

function leftFault(stored: DiskFeed, retention: Retention, slowestMs: number): string | undefined {
  if (isEmpty(stored)) return undefined
  // What follows in other feeds only makes more of it go.
  // Damage counts as nothing, and where it lies a feed is not cut: it goes with what follows. (Seed 4665.)
  const [, first, ...others] = soundBatches(stored)
  if (first === undefined) return undefined
  const bytes = others.reduce((sum, batch) => sum + batch.bytes.length, 0)
  const records = stored.state.head.nextOffset - first.head.nextOffset
  if (bytes >= (retention.bytes ?? Infinity) * slack) return `${bytes} B too many`
  if (records >= (retention.records ?? Infinity) * slack) return `${records} records too many`
  return hlcOf(first.bytes) + (retention.ageMs ?? Infinity) <= slowestMs ? 'what is too old' : undefined
}

/** Long feeds are cut less finely. */
const slack = 1.1

function hlcOf(batch: Uint8Array): number {
  const header = readBatchHeader(batch)
  // Bits may have flipped; `convergence` sees to that.
  return typeof header === 'string' ? Number.POSITIVE_INFINITY : header.hlc.ms
}
