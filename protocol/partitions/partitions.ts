import type { PeerId } from '#protocol/ids'
import { type FeedId, type FeedKey, feedKeyOf } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import type { Machine, Millis } from '#protocol/machine'
import { Heal } from './heal.ts'
import type {
  AwayMember,
  HealReport,
  Island,
  MemberNews,
  PartitionEffect,
  PartitionInput,
  PartitionTimer,
  Presence,
  PresenceNews,
  Reach,
} from './inputs.ts'
import { type Holdings, Merge } from './merge.ts'

export interface PartitionsConfig {
  /**
   * Members that are lost within this time of each other count as one island: of two that are cut off at once, one may be
   * noticed so much later. Higher: two cuts that follow each other look like one.
   */
  readonly togetherMs: Millis
  /**
   * Who has come back and stays for this time is back; also how long a start may take to hear of everybody. Higher: a cut
   * that flaps gives fewer reports, and one of which only a part heals is reported later.
   */
  readonly settleMs: Millis
}

export interface PartitionsOptions {
  readonly self: PeerId
  readonly config: PartitionsConfig
  readonly holdings: Holdings
}

/** Members that were lost together, until those who come back have settled. */
interface Cut {
  readonly number: number
  readonly sinceMs: Millis
  readonly sinceStart: boolean
  readonly reason: string
  lastLossMs: Millis
  readonly away: Map<PeerId, AwayMember>
  /** Who was away, and can be reached again. */
  readonly back: Map<PeerId, AwayMember>
  /** How often that has changed. */
  changes: number
  /** What has moved since the first of them was met, however often they were lost again. */
  merge: Merge | undefined
  /** Undefined while all are away. */
  heal: Heal | undefined
}

interface Loss {
  /** It was never reached since this peer started. */
  readonly unheard: boolean
  readonly nowMs: Millis
}

/**
 * Who is on which side of a split, as seen from one peer, and what it brought when it was over (P8). The rules are in
 * README.md. It is told what membership believes and which records have come to which disk; nothing rests on what it says.
 */
export class Partitions implements Machine<PartitionInput, PartitionEffect> {
  readonly #self: PeerId
  readonly #config: PartitionsConfig
  readonly #holdings: Holdings
  readonly #presence = new Map<PeerId, Presence>()
  #cuts: Cut[] = []
  /** The last ones, oldest first. */
  #heals: Heal[] = []
  #lastNumber = 0
  #startedMs: Millis = 0
  #reach: Reach | undefined
  /** Since when those who listen know of a split. */
  #toldSinceMs: Millis | undefined
  #back = new Set<PeerId>()
  /** Where feeds of who is away ended before they went on; the oldest first, for `settleMs`. */
  readonly #noted = new Map<FeedKey, { readonly atMs: Millis; readonly end: number | undefined }>()
  #effects: PartitionEffect[] = []

  constructor({ self, config, holdings }: PartitionsOptions) {
    this.#self = self
    this.#config = config
    this.#holdings = holdings
  }

  handle(input: PartitionInput, nowMs: Millis): readonly PartitionEffect[] {
    switch (input.type) {
      case 'started':
        this.#onStarted(input.members, nowMs)
        break
      case 'membersChanged':
        this.#onMembers(input.news, nowMs)
        break
      case 'met':
        this.#onMet(input.peer, nowMs)
        break
      case 'told':
        this.#onTold(input)
        break
      case 'storing':
        for (const feed of input.feeds) this.#onStoring(feed, nowMs)
        break
      case 'stored':
        for (const merge of this.#merges()) for (const key of input.feeds) merge.stored(key)
        break
      case 'duplicatesFound':
        for (const merge of this.#merges()) merge.duplicatesFound(input)
        break
      case 'timerFired':
        this.#onTimer(input.timer, nowMs)
        break
    }
    this.#advance(nowMs)
    const effects = this.#effects
    this.#effects = []
    return effects
  }

  /** Found once after each change. */
  reach(): Reach {
    return (this.#reach ??= this.#findReach())
  }

  /** Members that cannot be reached, by those who were lost together. Empty: there is no split. */
  islands(): readonly Island[] {
    return this.#cuts.flatMap(({ sinceMs, sinceStart, away }) =>
      away.size === 0 ? [] : [{ sinceMs, sinceStart, members: [...away.values()] }],
    )
  }

  /** The last heals, newest first; at most `healReportsMax`. */
  heals(): readonly HealReport[] {
    return this.#heals.map((heal) => heal.report()).toReversed()
  }

  /** Is it to be told what will be stored? */
  get isSplit(): boolean {
    return this.#cuts.length > 0
  }

  /** Is anything counted? Else nobody needs to tell what is stored, and who tells what. */
  get isMerging(): boolean {
    return this.#cuts.some(({ heal }) => heal !== undefined) || this.#heals.some(({ merge }) => merge !== undefined)
  }

  /** Is it to be told when a link to the member comes up, and what that says then? */
  concerns(peer: PeerId): boolean {
    const isIn = ({ away, back }: Cut): boolean => away.has(peer) || back.has(peer)
    return this.#cuts.some(isIn) || this.#heals.some(({ merge, theirs }) => merge && theirs.includes(peer))
  }

  // Inputs ------------------------------------------------------------------------------------------------------------

  #onStarted(members: readonly PeerId[], nowMs: Millis): void {
    this.#startedMs = nowMs
    const reason = 'not heard of since this peer started'
    const others = members.filter((peer) => peer !== this.#self)
    this.#onMembers(
      others.map((peer) => ({ peer, presence: 'away', by: this.#self, reason })),
      nowMs,
    )
    if (others.length > 0) this.#setTimer({ type: 'settledIn' })
  }

  #onMembers(news: readonly MemberNews[], nowMs: Millis): void {
    const before = new Map(news.map(({ peer }) => [peer, this.#presence.get(peer)]))
    const changed = news.flatMap((one) => {
      const presence = presenceOf(one.presence, before.get(one.peer))
      return presence === before.get(one.peer) || one.peer === this.#self ? [] : [{ ...one, presence }]
    })
    if (changed.length === 0) return
    for (const { peer, presence } of changed) this.#presence.set(peer, presence)
    this.#reach = undefined
    for (const one of changed) {
      if (one.presence === 'away') this.#lost(one, { unheard: before.get(one.peer) === undefined, nowMs })
      else if (one.presence === 'reachable') this.#returned(one.peer, nowMs)
      else this.#goneForGood(one.peer)
    }
    this.#tellReach(nowMs)
    if (this.#cuts.length === 0) this.#noted.clear()
  }

  #onMet(peer: PeerId, nowMs: Millis): void {
    const cut = this.#cutOf(peer)
    if (cut !== undefined) this.#healOf(cut, nowMs).merge?.met(peer)
    for (const { merge, theirs } of this.#heals) if (theirs.includes(peer)) merge?.met(peer)
  }

  #onTold({ peer, feeds, gone, all }: Extract<PartitionInput, { type: 'told' }>): void {
    for (const merge of this.#merges()) {
      for (const key of feeds) merge.told(peer, key)
      for (const key of gone) merge.gone(key)
      if (all && merge.hasMet(peer)) merge.accounted(peer)
    }
  }

  /** Somebody of our side may have met them, and pass on what they have, before this peer hears of it. */
  #onStoring(feed: FeedId, nowMs: Millis): void {
    for (const [old, { atMs }] of this.#noted) {
      if (nowMs - atMs <= this.#config.settleMs) break
      this.#noted.delete(old)
    }
    const key = feedKeyOf(feed)
    if (this.#noted.has(key) || this.#presence.get(feed.writer) !== 'away') return
    if (this.#noted.size >= limits.mergeFeedsMax) return
    this.#noted.set(key, { atMs: nowMs, end: this.#holdings.localEnd(key) })
  }

  #onTimer(timer: PartitionTimer, nowMs: Millis): void {
    switch (timer.type) {
      case 'settledIn':
        return this.#tellReach(nowMs)
      case 'settled': {
        const cut = this.#cuts.find(({ number }) => number === timer.cut)
        if (cut?.changes !== timer.change || cut.back.size === 0) return
        for (const peer of cut.back.keys()) cut.merge?.lookAtHomes(peer)
        this.#close(cut)
      }
    }
  }

  // Cuts --------------------------------------------------------------------------------------------------------------

  #lost(news: MemberNews, { unheard, nowMs }: Loss): void {
    const { peer, by, reason } = news
    const cut = this.#cutOf(peer)
    const before = cut?.back.get(peer)
    if (cut !== undefined && before !== undefined) return this.#relapsed(cut, before)
    for (const heal of this.#heals) if (heal.theirs.includes(peer)) heal.interrupt()
    const island =
      this.#cuts.find((other) => this.#isOf(other, news, { unheard, nowMs })) ?? this.#newCut(news, { unheard, nowMs })
    island.lastLossMs = nowMs
    island.away.set(peer, { peer, sinceMs: nowMs, by, reason })
  }

  /** Lost about as early as the others there, and none of these has said that it cannot be reached. */
  #isOf(cut: Cut, { peer, by }: MemberNews, { unheard, nowMs }: Loss): boolean {
    if (cut.merge !== undefined || nowMs - cut.lastLossMs > this.#config.togetherMs) return false
    if (cut.sinceStart !== unheard) return false
    return !cut.away.has(by) && [...cut.away.values()].every((member) => member.by !== peer)
  }

  #newCut({ reason }: MemberNews, { unheard, nowMs }: Loss): Cut {
    const cut: Cut = {
      number: ++this.#lastNumber,
      sinceMs: nowMs,
      sinceStart: unheard,
      reason,
      lastLossMs: nowMs,
      away: new Map(),
      back: new Map(),
      changes: 0,
      merge: undefined,
      heal: undefined,
    }
    this.#cuts.push(cut)
    return cut
  }

  #returned(peer: PeerId, nowMs: Millis): void {
    const cut = this.#cutOf(peer)
    const member = cut?.away.get(peer)
    if (cut === undefined || member === undefined) return
    const heal = this.#healOf(cut, nowMs)
    cut.away.delete(peer)
    cut.back.set(peer, member)
    this.#back.add(peer)
    this.#changed(cut)
    heal.backAre([...cut.back.keys()], nowMs)
    if (cut.away.size === 0) this.#show(cut, heal)
  }

  /** It flaps: that is no heal, and what it gave and got still counts when there is one. */
  #relapsed(cut: Cut, member: AwayMember): void {
    cut.back.delete(member.peer)
    cut.away.set(member.peer, member)
    this.#changed(cut)
    this.#heals = this.#heals.filter((heal) => heal !== cut.heal)
    cut.merge?.lost(member.peer)
    if (cut.back.size === 0) cut.heal = undefined
    else cut.heal?.backAre([...cut.back.keys()], cut.lastLossMs)
  }

  #goneForGood(peer: PeerId): void {
    const isHere = (other: PeerId): boolean => this.#presence.get(other) === 'reachable'
    for (const heal of this.#heals) if (heal.theirs.includes(peer) && !heal.theirs.some(isHere)) heal.interrupt()
    for (const merge of this.#merges()) merge.lost(peer)
    const cut = this.#cutOf(peer)
    if (cut === undefined) return
    cut.away.delete(peer)
    cut.back.delete(peer)
    this.#changed(cut)
    if (cut.back.size === 0) cut.heal = undefined
    if (cut.away.size > 0) return
    if (cut.heal === undefined) this.#cuts = this.#cuts.filter((other) => other !== cut)
    else this.#show(cut, cut.heal)
  }

  /** Who is back has stayed. Who is not was on another side, or is gone: its cut goes on. */
  #close(cut: Cut): void {
    const { heal, away } = cut
    this.#cuts = this.#cuts.filter((other) => other !== cut)
    if (away.size > 0) {
      const [first] = away.values()
      const left = { ...cut, number: ++this.#lastNumber, reason: first?.reason ?? cut.reason, away, back: new Map() }
      this.#cuts.push({ ...left, changes: 0, merge: undefined, heal: undefined })
    }
    if (heal !== undefined) this.#show(cut, heal)
  }

  #changed(cut: Cut): void {
    cut.changes++
    if (cut.back.size > 0) this.#setTimer({ type: 'settled', cut: cut.number, change: cut.changes })
  }

  #cutOf(peer: PeerId): Cut | undefined {
    return this.#cuts.find(({ away, back }) => away.has(peer) || back.has(peer))
  }

  // Heals -------------------------------------------------------------------------------------------------------------

  /** Begun with the first word of the other side, before anything of theirs can have come. */
  #healOf(cut: Cut, nowMs: Millis): Heal {
    if (cut.heal !== undefined) return cut.heal
    const theirs = new Set([...cut.away.keys(), ...cut.back.keys()])
    const ours = this.reach().reachable.filter((peer) => !theirs.has(peer))
    cut.merge ??= this.#newMerge(theirs, nowMs)
    cut.heal = new Heal({ number: ++this.#lastNumber, merge: cut.merge, ours, cut, nowMs })
    return cut.heal
  }

  #newMerge(theirs: ReadonlySet<PeerId>, nowMs: Millis): Merge {
    const noted = [...this.#noted].filter(([, { atMs }]) => nowMs - atMs <= this.#config.settleMs)
    const before = new Map(noted.map(([key, { end }]) => [key, end]))
    return new Merge({ holdings: this.#holdings, self: this.#self, theirs, before })
  }

  /** From now on it is told of. Whoever starts was not cut off from those who answer soon. */
  #show(cut: Cut, heal: Heal): void {
    const isStart = cut.sinceStart && heal.apartMs < this.#config.settleMs
    if (isStart || this.#heals.includes(heal)) return
    this.#heals.push(heal)
    const dropped = this.#heals.splice(0, Math.max(0, this.#heals.length - limits.healReportsMax))
    for (const old of dropped) old.interrupt()
  }

  #merges(): readonly Merge[] {
    const heals = new Set([...this.#cuts.flatMap(({ heal }) => heal ?? []), ...this.#heals])
    return [...heals].flatMap(({ merge }) => merge ?? [])
  }

  #advance(nowMs: Millis): void {
    for (const heal of this.#heals) {
      const settled = this.#cuts.every((cut) => cut.heal !== heal)
      if (heal.advance(nowMs, { settled })) this.#effects.push({ type: 'sidesMerged', heal: heal.report() })
    }
  }

  // What is told ------------------------------------------------------------------------------------------------------

  #tellReach(nowMs: Millis): void {
    const reach = this.reach()
    if (reach.reachable.length < reach.known.length) {
      if (this.#isStarting(nowMs) && this.#cuts.every(({ sinceStart }) => sinceStart)) return
      this.#toldSinceMs ??= Math.min(nowMs, ...this.#cuts.map(({ sinceMs }) => sinceMs))
      this.#effects.push({ type: 'partitionChanged', ...reach })
      return
    }
    if (this.#toldSinceMs !== undefined) {
      const back = [...this.#back].filter((peer) => this.#presence.get(peer) === 'reachable')
      this.#effects.push({ type: 'partitionHealed', apartMs: nowMs - this.#toldSinceMs, back })
    }
    this.#toldSinceMs = undefined
    this.#back = new Set()
  }

  #findReach(): Reach {
    const known = [...this.#presence].filter(([, presence]) => presence === 'reachable' || presence === 'away')
    const reachable = known.filter(([, presence]) => presence === 'reachable')
    const peersOf = (some: typeof known): PeerId[] => [this.#self, ...some.map(([peer]) => peer)]
    return { reachable: peersOf(reachable), known: peersOf(known) }
  }

  #isStarting(nowMs: Millis): boolean {
    return nowMs - this.#startedMs < this.#config.settleMs
  }

  #setTimer(timer: PartitionTimer): void {
    this.#effects.push({ type: 'setTimer', timer, afterMs: this.#config.settleMs })
  }
}

function presenceOf(news: PresenceNews, before: Presence | undefined): Presence {
  if (news !== 'suspect') return news
  return before === 'away' ? 'away' : 'reachable'
}
