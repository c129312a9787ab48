import type { TopicId } from '#protocol/ids'
import { type FeedId, feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import { noRanges, type OffsetRanges, rangeAt, united } from '#protocol/log/offset-ranges'
import type { ProducerIndex, ProducerSpan } from '#protocol/log/producer-index'
import type { ShownFeed, Standing } from '#protocol/replication/following'
import type { Replication } from '#protocol/replication/replication'
import type { FeedRead } from '#storage/feed-store'
import type { Clock } from './driver-ports.ts'
import { spansIn } from './producer-log.ts'
import type { FeedView, KnownProducers, ReadSource } from './read-source.ts'
import type { FetchedBatch } from './reading-feed.ts'
import type { RemoteBatches } from './remote-batches.ts'

/** Longer than the machine waits for a keeper, lest it be told of one that does not answer. */
const settlePatienceMs = 4_000

/** The feeds on this peer's disk. */
export type HeldFeeds = Pick<ReadSource, 'feeds' | 'read' | 'onAdvance' | 'advances'>

export interface TopicSourceDeps {
  readonly held: HeldFeeds
  readonly remote: Pick<RemoteBatches, 'read'>
  readonly replication: Pick<Replication, 'local' | 'following'>
  readonly clock: Clock
  readonly producers: {
    /** The index of a topic: what is on this peer's disk is in it. */
    readonly of: (topicId: TopicId) => Promise<ProducerIndex>
    /** Adds to it. */
    readonly read: (topicId: TopicId, spans: readonly ProducerSpan[]) => void
  }
  /** Tells the machine that the topic is used here. */
  readonly use: (topicId: TopicId, waiting: boolean) => void
}

/**
 * What readers of this peer read from: its own disk, and for what that does not hold, the disks of others. A feed goes as
 * far as any of them holds it. Whoever reads here keeps the topic followed.
 */
export class TopicSource implements ReadSource {
  readonly #deps: TopicSourceDeps
  readonly #waiting = new Map<TopicId, number>()

  constructor(deps: TopicSourceDeps) {
    this.#deps = deps
  }

  feeds(topicId: TopicId): readonly FeedView[] {
    this.#use(topicId)
    return this.known(topicId)
  }

  /** The same, and nobody is asked for what is not known. */
  known(topicId: TopicId): readonly FeedView[] {
    const held = this.#deps.held.feeds(topicId)
    const followed = [...this.#deps.replication.following.feeds(topicId)]
    if (followed.length === 0) return held
    const views = new Map(held.map((view) => [feedKeyOf(view.feed), view]))
    for (const feed of followed) {
      const view = views.get(feed.key)
      const from = Math.max(view?.head.nextOffset ?? 0, feed.floor.nextOffset)
      views.set(feed.key, furtherOf(view, feed, this.#deps.replication.following.lostFrom(feed, from)))
    }
    return [...views.values()]
  }

  /** What is damaged here, or let go of, may be whole elsewhere. `damaged` is what is neither. */
  async read(feed: FeedId, position: number, bytesMax: number): Promise<FeedRead> {
    const { held, remote, replication } = this.#deps
    const found = this.#isHeld(feed, position) ? await held.read(feed, position, bytesMax) : { batches: [] }
    if (found.batches.length > 0) return found
    const batches = await remote.read(feed, position, bytesMax)
    if (batches.length > 0) return { batches }
    const { keptFrom = 0, holes = noRanges } = replication.local.get(feedKeyOf(feed)) ?? {}
    // Who looks for a copy of a record goes on behind it. (Simulator, seed 4602.)
    const to = position < keptFrom ? keptFrom : rangeAt(holes, position)?.to
    return to === undefined ? found : { batches, damaged: { from: position, to } }
  }

  /** What is not on this peer's disk is known once it was read here: so a record comes once, wherever its copies are. */
  async producers(feed: FeedId, batch: FetchedBatch): Promise<KnownProducers> {
    const { producers } = this.#deps
    const index = await producers.of(feed.topicId)
    if (!this.#isHeld(feed, batch.header.baseOffset)) producers.read(feed.topicId, spansIn(feed, batch))
    return index
  }

  standing(topicId: TopicId): Standing {
    this.#use(topicId)
    return this.#deps.replication.following.standing(topicId)
  }

  /** The standing, once keepers have told what they hold. Who asks for a topic waits no longer than this for them. */
  async settled(topicId: TopicId): Promise<Standing> {
    const { clock, held } = this.#deps
    if (this.standing(topicId) === 'asking') {
      await new Promise<void>((resolve) => {
        const end = held.onAdvance(topicId, () => {
          if (this.standing(topicId) !== 'asking') resolve()
        })
        clock.after(settlePatienceMs, resolve)
        clock.after(settlePatienceMs, end)
      })
    }
    return this.standing(topicId)
  }

  onAdvance(topicId: TopicId, listener: () => void): () => void {
    const end = this.#deps.held.onAdvance(topicId, listener)
    this.#wait(topicId, 1)
    let ended = false
    return () => {
      end()
      if (!ended) this.#wait(topicId, -1)
      ended = true
    }
  }

  advances(topicId: TopicId): number {
    return this.#deps.held.advances(topicId)
  }

  #isHeld(feed: FeedId, position: number): boolean {
    const local = this.#deps.replication.local.get(feedKeyOf(feed))
    if (local?.durable === undefined || position >= local.durable.nextOffset) return false
    // The opening is kept always.
    if (position === NOTHING) return true
    return position >= local.keptFrom && rangeAt(local.holes, position) === undefined
  }

  #wait(topicId: TopicId, more: number): void {
    const count = (this.#waiting.get(topicId) ?? 0) + more
    if (count > 0) this.#waiting.set(topicId, count)
    else this.#waiting.delete(topicId)
    this.#use(topicId)
  }

  #use(topicId: TopicId): void {
    const { replication, clock, use } = this.#deps
    const waiting = this.#waiting.has(topicId)
    if (replication.following.isUseNews(topicId, waiting, clock.nowMs())) use(topicId, waiting)
  }
}

/** `lost`: of what is not held. */
function furtherOf(
  held: FeedView | undefined,
  { feed, opening, head, floor, rooted }: ShownFeed,
  lost: OffsetRanges,
): FeedView {
  const told = { nextOffset: head.nextOffset, hash: head.hash }
  if (held === undefined) return { feed, opening, head: told, floor, rooted, lost }
  return {
    ...held,
    head: furthestOf(held.head, told),
    floor: furthestOf(held.floor, floor),
    rooted: held.rooted || rooted,
    lost: united(held.lost, lost),
  }
}

const furthestOf = (a: Head, b: Head): Head => (b.nextOffset > a.nextOffset ? b : a)
