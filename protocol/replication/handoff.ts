import type { PeerId } from '#protocol/ids'
import type { FeedKey, Head } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import { copyEnd } from './holding.ts'
import type { Home, Homes } from './homes.ts'
import type { LinkNeeds } from './link-needs.ts'
import type { LocalFeed, LocalFeeds } from './local-feeds.ts'
import type { Neighbor } from './neighbor.ts'
import type { Outbox } from './outbox.ts'

/** How often this peer looks for feeds that it need not keep, and again at those that somebody does not confirm. */
const scanIntervalMs: Millis = 30_000
/** The same for who is on its way out: somebody waits for it. */
const hurryMs: Millis = 1_000
/** A member that has not confirmed is asked again after this; it may have been behind. */
const askAgainMs: Millis = 15_000
/** So long before they are asked, members are to be linked. */
const soonMs: Millis = 5_000
/** For so long all members have to confirm: long enough to read some gigabytes, at the pace of whoever reads. */
const patienceMs: Millis = 600_000

export interface HandoffDeps {
  readonly self: PeerId
  readonly graceMs: Millis
  readonly homes: Homes
  readonly local: LocalFeeds
  readonly neighbors: ReadonlyMap<PeerId, Neighbor>
  readonly outbox: Outbox
  readonly needs: LinkNeeds
  /** Does a client wait for copies of it? Then ours counts. */
  readonly isWaitedFor: (key: FeedKey) => boolean
  /** The feed is not kept below `keptFrom` any more; without it, the feed is not here any more. */
  readonly onLetGo: (local: LocalFeed, keptFrom?: number) => void
}

/** A feed that this peer would like to let go of, up to `head`. */
export interface Handoff {
  readonly local: LocalFeed
  readonly head: Head
  /** Of whom all have to confirm. With another home it begins anew. */
  readonly home: readonly PeerId[]
  /** Everybody has confirmed once: the next time is the last, right before it is let go of. */
  last: boolean
  state: { readonly type: 'resting'; readonly untilMs: Millis } | Asking
}

/** What who is on its way out still has to hand over. */
export interface HandoffsLeft {
  readonly feeds: number
  readonly records: number
  /** Members that do not hold all of that, or have not confirmed it. */
  readonly waitsFor: readonly PeerId[]
}

interface Asking {
  readonly type: 'asking'
  readonly ref: number
  readonly confirmed: Set<PeerId>
  readonly overdueMs: Millis
  askAgainAtMs: Millis
}

/**
 * Handoff before delete (DESIGN §7), the side that lets go; the other one is `confirming.ts`. Rules:
 * 1. Who does not keep a topic (is not at home, and stands in for nobody) lets go of what it holds of it only when every home
 *    member has confirmed a copy of all of it, read from its disk. Home is that of this peer's own registry.
 * 2. They are asked twice, a grace time apart: the second time right before. If home changes in between, or the link to a
 *    member breaks before all have confirmed, that was for nothing.
 * 3. Of a feed that it wrote a peer lets go of the records only: opening and head are what its next boot goes on from. Feeds
 *    of others go as a whole.
 * 4. Who is on its way out, and so keeps no topic at all, is in a hurry; it has handed over what all have confirmed once, if
 *    they still tell that they hold it, and need not let go of it: its disk is nobody's any more. It counts what has not been
 *    (`left`).
 * 5. Nobody lets go of what is at home nowhere.
 * 6. What is left over from an earlier home, from standing in, or from a push gone astray is found by looking through all
 *    topics now and then; nothing else starts a handoff.
 */
export class Handoffs {
  readonly #deps: HandoffDeps
  readonly #byFeed = new Map<FeedKey, Handoff>()
  readonly #asking = new Map<number, Handoff>()
  #lastRef = 0
  #scanAtMs: Millis = 0
  /** Feeds let go of since the start. */
  finished = 0

  constructor(deps: HandoffDeps) {
    this.#deps = deps
  }

  all(): Iterable<Handoff> {
    return this.#byFeed.values()
  }

  get count(): number {
    return this.#byFeed.size
  }

  /** Home members that have not confirmed, or have not got all of it to be asked. */
  waitsFor(handoff: Handoff): readonly PeerId[] {
    const { home, state } = handoff
    return home.filter((peer) =>
      state.type === 'asking' ? !state.confirmed.has(peer) : !this.#isHeldBy(peer, handoff),
    )
  }

  /** Feeds that this peer still has to hand over before it may go, and who is waited for: for nothing, if nobody is at home. */
  left(): HandoffsLeft {
    const { homes, local } = this.#deps
    const left = { feeds: 0, records: 0, waitsFor: new Set<PeerId>() }
    for (const feed of local.all()) {
      if (this.#hasNothing(feed) || this.#isHandedOver(feed)) continue
      left.feeds++
      left.records += feed.appended.nextOffset - Math.max(0, feed.keptFrom)
      const handoff = this.#byFeed.get(feed.key)
      const missing = handoff === undefined ? homes.of(feed.feed.topicId).peers : this.waitsFor(handoff)
      for (const peer of missing) left.waitsFor.add(peer)
    }
    return { ...left, waitsFor: [...left.waitsFor].toSorted() }
  }

  /** Other peers keep other topics now. */
  homesChanged(): void {
    if (this.#deps.homes.isOnItsWayOut) this.#scanAtMs = 0
    for (const handoff of this.#byFeed.values()) if (!this.#isValid(handoff)) this.#drop(handoff)
  }

  /** Whoever restarts may have lost what it has confirmed. */
  linkDown(peer: PeerId): void {
    for (const { state } of this.#asking.values()) if (state.type === 'asking') state.confirmed.delete(peer)
  }

  /** The member has read all of its copy. */
  confirmed(from: PeerId, ref: number, nowMs: Millis): void {
    const handoff = this.#asking.get(ref)
    if (handoff?.state.type !== 'asking' || !handoff.home.includes(from)) return
    const { confirmed } = handoff.state
    confirmed.add(from)
    if (!handoff.home.every((peer) => confirmed.has(peer))) return
    if (handoff.last) return this.#finish(handoff)
    this.#rest(handoff, nowMs + this.#deps.graceMs)
    handoff.last = true
  }

  sweep(nowMs: Millis): void {
    if (nowMs >= this.#scanAtMs) this.#scan(nowMs)
    const { homes, needs } = this.#deps
    for (const handoff of this.#byFeed.values()) {
      const { state } = handoff
      const isSoon = state.type === 'asking' || state.untilMs - nowMs < soonMs
      if (isSoon || homes.isOnItsWayOut) needs.copies(handoff.local.feed.topicId)
      if (state.type === 'resting' && nowMs >= state.untilMs) this.#ask(handoff, nowMs)
      else if (state.type === 'asking' && nowMs >= state.overdueMs) this.#rest(handoff, nowMs + scanIntervalMs)
      else if (state.type === 'asking' && nowMs >= state.askAgainAtMs) this.#send(handoff, state, nowMs)
    }
  }

  #scan(nowMs: Millis): void {
    const { homes, local } = this.#deps
    this.#scanAtMs = nowMs + this.#lookAgainMs
    if (homes.isOnItsWayOut) this.#dropOutgrown()
    for (const topicId of local.topics()) {
      const home = homes.of(topicId)
      if (homes.isOurs(topicId) || !home.merged) continue
      for (const feed of local.ofTopic(topicId)) this.#begin(feed, home, nowMs)
    }
  }

  #begin(local: LocalFeed, { peers }: Home, nowMs: Millis): void {
    // Damage is repaired first: nobody is to take for whole what is not.
    if (local.durable === undefined || local.holes.length > 0 || this.#byFeed.has(local.key)) return
    if (this.#hasNothing(local)) return
    const state = { type: 'resting', untilMs: nowMs } as const
    this.#byFeed.set(local.key, { local, head: local.durable, home: peers, last: false, state })
  }

  #ask(handoff: Handoff, nowMs: Millis): void {
    if (!this.#isValid(handoff)) return this.#drop(handoff)
    if (!this.#isHeld(handoff)) return this.#rest(handoff, nowMs + this.#lookAgainMs)
    if (this.#asking.size >= limits.handoffsAskedMax) return
    const ref = ++this.#lastRef
    const state: Asking = { type: 'asking', ref, confirmed: new Set(), overdueMs: nowMs + patienceMs, askAgainAtMs: 0 }
    handoff.state = state
    this.#asking.set(ref, handoff)
    this.#send(handoff, state, nowMs)
  }

  #send({ local, head, home }: Handoff, state: Asking, nowMs: Millis): void {
    state.askAgainAtMs = nowMs + askAgainMs
    for (const peer of home) {
      if (state.confirmed.has(peer)) continue
      this.#deps.outbox.send(peer, { type: 'handoff', ref: state.ref, feed: local.feed, ...head })
    }
  }

  #rest(handoff: Handoff, untilMs: Millis): void {
    if (handoff.state.type === 'asking') this.#asking.delete(handoff.state.ref)
    handoff.state = { type: 'resting', untilMs }
  }

  #drop(handoff: Handoff): void {
    if (handoff.state.type === 'asking') this.#asking.delete(handoff.state.ref)
    this.#byFeed.delete(handoff.local.key)
  }

  #finish(handoff: Handoff): void {
    const { local, head } = handoff
    this.#drop(handoff)
    // Somebody may have told of damage since it confirmed, and retention may have passed over all of it.
    if (!this.#isValid(handoff) || !this.#isHeld(handoff) || this.#deps.isWaitedFor(local.key)) return
    const { feed } = local
    const { outbox, onLetGo } = this.#deps
    if (this.#isOwn(local)) {
      this.finished++
      outbox.order({ type: 'changeFeed', change: { type: 'kept', feed, keptFrom: head.nextOffset } })
      onLetGo(local, head.nextOffset)
    } else if (local.appended.nextOffset === head.nextOffset) {
      // What has come since was not asked about: then it begins anew.
      this.finished++
      outbox.order({ type: 'changeFeed', change: { type: 'forget', feed, rooted: [] } })
      onLetGo(local)
    }
  }

  get #lookAgainMs(): Millis {
    const { homes, graceMs } = this.#deps
    return Math.min(homes.isOnItsWayOut ? hurryMs : scanIntervalMs, graceMs)
  }

  /** Of a feed that has grown since it was asked about, the rest is asked about at once, not when this much is let go of. */
  #dropOutgrown(): void {
    for (const handoff of this.#byFeed.values()) {
      const { local, head, state } = handoff
      if (state.type === 'resting' && head.nextOffset !== local.durable?.nextOffset) this.#drop(handoff)
    }
  }

  /** Of a feed of its own, only where the next boot would go on from. */
  #hasNothing(local: LocalFeed): boolean {
    return this.#isOwn(local) && local.appended.nextOffset === local.keptFrom
  }

  /** All of it, what is on its way to disk included. */
  #isHandedOver(local: LocalFeed): boolean {
    const handoff = this.#byFeed.get(local.key)
    const isAll = handoff?.head.nextOffset === local.appended.nextOffset
    return handoff?.last === true && isAll && this.#isValid(handoff) && this.#isHeld(handoff)
  }

  #isOwn({ feed }: LocalFeed): boolean {
    return feed.writer === this.#deps.self
  }

  /** Still here, still not ours, and still with the same home; what retention has passed over needs nobody. */
  #isValid({ local, head, home }: Handoff): boolean {
    const { homes, local: feeds } = this.#deps
    const { topicId } = local.feed
    if (feeds.get(local.key) !== local || homes.isOurs(topicId) || local.holes.length > 0) return false
    return local.keptFrom <= head.nextOffset && isSame(home, homes.of(topicId).peers)
  }

  #isHeld(handoff: Handoff): boolean {
    return handoff.home.length > 0 && handoff.home.every((peer) => this.#isHeldBy(peer, handoff))
  }

  /** By what the member tells of itself now: a whole copy, up to there at least. */
  #isHeldBy(peer: PeerId, { local, head }: Handoff): boolean {
    const neighbor = this.#deps.neighbors.get(peer)
    const held = neighbor?.link?.account === 'complete' ? neighbor.head(local.key) : undefined
    if (held === undefined || copyEnd(held) < head.nextOffset) return false
    return held.keptFrom <= Math.max(local.floor.nextOffset, held.floor)
  }
}

const isSame = (a: readonly PeerId[], b: readonly PeerId[]): boolean =>
  a.length === b.length && a.every((peer, index) => b[index] === peer)
