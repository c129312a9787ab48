import type { TopicId } from '#protocol/ids'
import { type FeedKey, feedKeyOf, type Head } from '#protocol/log/feed'
import { rangeAt } from '#protocol/log/offset-ranges'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { Retention } from '#protocol/topic-config'
import { FeedSizes, type MeasuredBatch } from './feed-sizes.ts'
import type { Homes } from './homes.ts'
import type { ReplicationInput, TopicRetention } from './inputs.ts'
import { type LocalFeed, type LocalFeeds, predecessorKeyOf } from './local-feeds.ts'
import type { MeshTime } from './mesh-time.ts'
import type { Outbox } from './outbox.ts'

export interface RetentionDeps {
  readonly everyMs: Millis
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly meshTime: MeshTime
  readonly outbox: Outbox
  readonly raise: (local: LocalFeed, floor: Head) => void
}

/** What follows a feed in those that go on from it. */
interface Size {
  readonly bytes: number
  readonly records: number
}

/**
 * Which records are kept no longer (DESIGN §7, ADR 0014). Rules:
 * 1. Whoever holds a feed decides for it, from its batches alone: so all decide alike, and the highest floor holds. Nobody
 *    decides beyond what is on its own disk.
 * 2. A record goes when a limit of its topic is exceeded: it is older than `ageMs`; or what its writer has published since
 *    then, in this feed and in those that go on from it, is `bytes`, or `records`. At least that much stays.
 * 3. Age goes by the time of the mesh, of which no single clock decides (`mesh-time.ts`). What has been here for so long is as
 *    old at least, whatever it is dated, and whatever clocks say.
 * 4. Whole batches go. This is looked at now and then, for topics that have a limit; nothing is done per record.
 */
export class RetentionRule {
  readonly #deps: RetentionDeps
  readonly #byTopic = new Map<TopicId, Retention>()
  readonly #sizes = new Map<FeedKey, FeedSizes>()
  /** Feeds that go further than was measured. */
  readonly #unmeasured = new Set<FeedKey>()
  #lookAtMs: Millis = 0
  /** Since the start. */
  readonly counts = { records: 0 }

  constructor(deps: RetentionDeps) {
    this.#deps = deps
  }

  changed(topics: readonly TopicRetention[]): void {
    for (const { topicId, retention } of topics) {
      if (Object.keys(retention).length > 0) this.#byTopic.set(topicId, retention)
      else if (this.#byTopic.delete(topicId)) this.#forgetSizes(topicId)
    }
  }

  /** Batches are on their way to disk, at the end of the feed. */
  appended({ key, feed: { topicId }, floor }: LocalFeed, batches: readonly MeasuredBatch[], nowMs: Millis): void {
    if (!this.#byTopic.has(topicId)) return
    const sizes = this.#sizes.get(key) ?? new FeedSizes(floor.nextOffset)
    this.#sizes.set(key, sizes)
    for (const batch of batches) sizes.append(batch, nowMs)
  }

  /** The batches of a `measureFeed`. */
  measured({ feed, position, batches }: Extract<ReplicationInput, { type: 'feedMeasured' }>, nowMs: Millis): void {
    const key = feedKeyOf(feed)
    const sizes = this.#sizes.get(key)
    if (sizes?.position !== position) return
    for (const batch of batches) sizes.add(batch, nowMs)
    if (sizes.position > position) this.#unmeasured.add(key)
  }

  /** What was damaged when it was measured is here again: it is measured anew. */
  repaired(local: LocalFeed): void {
    this.forgotten(local)
  }

  /** The feed is not here any more. */
  forgotten({ key }: LocalFeed): void {
    this.#sizes.delete(key)
    this.#unmeasured.delete(key)
  }

  sweep(nowMs: Millis): void {
    if (nowMs >= this.#lookAtMs) this.#look(nowMs)
    this.#measure(nowMs)
  }

  #look(nowMs: Millis): void {
    const { everyMs, homes, meshTime, local } = this.#deps
    this.#lookAtMs = nowMs + everyMs
    // Who does not know yet who belongs to the mesh would be the majority of it.
    const meshMs = (homes.merged ? meshTime.now(homes.registered, nowMs) : undefined) ?? Number.NEGATIVE_INFINITY
    for (const [topicId, retention] of this.#byTopic) {
      const feeds = local.ofTopic(topicId)
      for (const feed of feeds) this.#follow(feed)
      for (const [feed, newer] of this.#newer(feeds)) this.#decide(feed, { retention, newer, meshMs, nowMs })
    }
  }

  /** Up to date with what is kept, and with what there is to measure. */
  #follow({ key, keptFrom, durable }: LocalFeed): void {
    const known = this.#sizes.get(key)
    // What was let go of may be wanted again.
    const sizes = known === undefined || known.from > keptFrom ? new FeedSizes(keptFrom) : known
    this.#sizes.set(key, sizes)
    sizes.letGo(keptFrom)
    if (sizes.position < (durable?.nextOffset ?? 0)) this.#unmeasured.add(key)
  }

  #decide(
    local: LocalFeed,
    { retention, newer, meshMs, nowMs }: { retention: Retention; newer: Size; meshMs: Millis; nowMs: Millis },
  ): void {
    const sizes = this.#sizes.get(local.key)
    const end = local.durable?.nextOffset
    if (sizes === undefined || end === undefined) return
    const { ageMs, bytes, records } = retention
    const floors = [
      ageMs === undefined ? undefined : sizes.olderThan({ hlcMs: meshMs - ageMs, atMs: nowMs - ageMs }, end),
      bytes === undefined ? undefined : sizes.leaving(bytes, newer.bytes, end),
      records === undefined ? undefined : sizes.below(Math.min(end, end + newer.records - records)),
    ]
    const highest = floors.reduce((a, b) => ((b?.nextOffset ?? 0) > (a?.nextOffset ?? 0) ? b : a))
    if (highest === undefined || highest.nextOffset <= local.keptFrom) return
    this.#letGo(local, highest)
    this.#letGoBefore(local)
  }

  #letGo(local: LocalFeed, { nextOffset, hash }: Head): void {
    this.counts.records += nextOffset - local.keptFrom
    this.#deps.raise(local, { nextOffset, hash })
  }

  /** Whatever limit has let go of some of a feed lets go of what it goes on from, measured or not: `earliest` begins at one place. */
  #letGoBefore(local: LocalFeed): void {
    let at = local
    for (let steps = this.#deps.local.size; steps > 0; steps--) {
      const link = at.opening.predecessor
      const key = predecessorKeyOf(at)
      const before = key && this.#deps.local.get(key)
      if (link === undefined || before === undefined || before.keptFrom >= link.nextOffset) return
      this.#letGo(before, link)
      at = before
    }
  }

  /** Of feeds that go on from a feed in several branches, the larger one counts. */
  #newer(feeds: readonly LocalFeed[]): ReadonlyMap<LocalFeed, Size> {
    const goneOnFrom = new Set(feeds.map(predecessorKeyOf))
    const newer = new Map<LocalFeed, Size>()
    for (const tip of feeds) {
      if (goneOnFrom.has(tip.key)) continue
      let at: LocalFeed | undefined = tip
      let size: Size = { bytes: 0, records: 0 }
      // Openings that form a ring are a lie; it has no tip.
      while (at !== undefined) {
        const known = newer.get(at)
        if (known !== undefined && known.bytes >= size.bytes && known.records >= size.records) break
        newer.set(at, larger(size, known))
        size = sum(size, this.#sizeOf(at))
        const before = predecessorKeyOf(at)
        at = before && this.#deps.local.get(before)
      }
    }
    return newer
  }

  #sizeOf({ key, keptFrom, durable }: LocalFeed): Size {
    const records = Math.max(0, (durable?.nextOffset ?? 0) - keptFrom)
    return { bytes: this.#sizes.get(key)?.bytes ?? 0, records }
  }

  /** A few reads at a time: there is no hurry, and clients read from the same disk. */
  #measure(nowMs: Millis): void {
    let reads = 0
    for (const key of this.#unmeasured) {
      if (reads >= limits.retentionReadsMax) return
      this.#unmeasured.delete(key)
      const local = this.#deps.local.get(key)
      const sizes = this.#sizes.get(key)
      if (local === undefined || sizes === undefined) continue
      const { feed, durable } = local
      if (durable === undefined) continue
      const hole = rangeAt(local.holes, sizes.position)
      if (hole !== undefined) sizes.skip(hole, durable, nowMs)
      if (sizes.position >= durable.nextOffset) continue
      this.#deps.outbox.order({
        type: 'measureFeed',
        feed,
        position: sizes.position,
        bytesMax: limits.retentionReadBytes,
      })
      reads++
    }
  }

  #forgetSizes(topicId: TopicId): void {
    for (const local of this.#deps.local.ofTopic(topicId)) this.forgotten(local)
  }
}

const sum = (a: Size, b: Size): Size => ({ bytes: a.bytes + b.bytes, records: a.records + b.records })
const larger = (a: Size, b: Size = a): Size => {
  return { bytes: Math.max(a.bytes, b.bytes), records: Math.max(a.records, b.records) }
}
