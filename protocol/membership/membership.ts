import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Machine, Millis, Random } from '#protocol/machine'
import { sampled } from '#protocol/random'
import { Awareness } from './awareness.ts'
import { Beliefs } from './beliefs.ts'
import type { Lesson } from './beliefs.ts'
import type { MembershipConfig } from './config.ts'
import { Links } from './links.ts'
import { LinkLimit, isAtRest } from './link-limit.ts'
import { supersedes } from './member.ts'
import type { Member, MemberChange, Supersedes } from './member.ts'
import type { MemberFacts, MembershipMessage, MemberUpdate, RegistryStatus, Standing } from './messages.ts'
import { Probes } from './probe.ts'
import { pushPullIntervalMs } from './push-pull.ts'
import { type RegistryEdit, statusAfter } from './registry-edit.ts'
import type { RegistryEntry } from './registry.ts'
import { Rejoin } from './rejoin.ts'
import type { RejoinDeps } from './rejoin.ts'
import { snapshotOf } from './snapshot.ts'
import type { MembershipSnapshot } from './snapshot.ts'
import { nextStanding } from './standing.ts'
import { secondsText, suspicionTimeoutMs } from './suspicion.ts'
import { Turn } from './turn.ts'
import type { MembershipEffect, MembershipInput, MembershipTimer, StatusWhy } from './turn.ts'

export type { DialTarget, MembershipEffect, MembershipInput, MembershipTimer } from './turn.ts'

export interface MembershipOptions {
  readonly self: PeerId
  /** What we say of ourselves. The counter is raised here when an earlier run of ours has used it up. */
  readonly facts: MemberFacts
  /** The registry as persisted; empty at the first start. */
  readonly registry: readonly RegistryEntry[]
  /** `host:port` of peers to join by. */
  readonly seeds: readonly string[]
  readonly random: Random
  readonly config: MembershipConfig
  /** For the simulator's planted bugs. */
  readonly supersedes?: Supersedes
  readonly createRejoin?: (deps: RejoinDeps) => Rejoin
}

type SuspicionTimer = Extract<MembershipTimer, { type: 'suspicionExpired' | 'lastWordOver' }>

interface StatusChange {
  readonly peer: PeerId
  readonly status: RegistryStatus
  readonly why: StatusWhy
}

export interface RegistryView {
  /** Rises whenever an entry changes. */
  readonly revision: number
  readonly version: string
  readonly merged: boolean
  /** Who belongs. */
  readonly peers: readonly PeerId[]
  /** Those of them that are on their way out. */
  readonly leaving: readonly PeerId[]
  /** Who does not belong any more. */
  readonly forgotten: readonly PeerId[]
}

/**
 * The SWIM machine: who is alive, who belongs, and whom to dial. It holds the switch and connects the parts; each part has
 * its file. The rules, and what they guard, are in the README.
 */
export class Membership implements Machine<MembershipInput, MembershipEffect> {
  readonly self: PeerId
  readonly #options: MembershipOptions
  readonly #beliefs: Beliefs
  readonly #links = new Links()
  readonly #awareness: Awareness
  readonly #rejoin: Rejoin
  readonly #probes: Probes
  readonly #limit: LinkLimit
  /** Members whose link was closed because nobody needed it, and that we have not doubted since. */
  readonly #atRest = new Set<PeerId>()
  #stateHeardAtMs = Number.NEGATIVE_INFINITY
  /** When we last told somebody a part of what differs. */
  #sampleSentAtMs = Number.NEGATIVE_INFINITY
  readonly #mergedAtMs = new Map<PeerId, Millis>()
  /** Suspects, by incarnation, of whom others are asked once more. */
  readonly #lastWords = new Map<PeerId, number>()
  #pushPulls = 0
  #refutations = 0
  #standing: Standing
  /** Ours, or that of somebody whom we have met. */
  #isMeshKnown: boolean
  #gossipTimerSet = false
  #gossipedAtMs = Number.NEGATIVE_INFINITY
  /** When we were last late, as far as that counts. */
  #lateAtMs = Number.NEGATIVE_INFINITY
  #leaving = false

  constructor(options: MembershipOptions) {
    const { self, facts, config, random, registry } = options
    this.self = self
    this.#options = options
    const seeds = options.seeds.filter((seed) => !facts.addresses.includes(seed))
    const merged = seeds.length === 0 || wasMerged(registry, self)
    this.#standing = merged ? 'merged' : 'seeking'
    this.#isMeshKnown = merged
    const rule = options.supersedes ?? supersedes
    this.#awareness = new Awareness(config.awarenessMax)
    this.#beliefs = new Beliefs({ self, facts, config, registry, merged, supersedes: rule })
    const shared = { config, random, links: this.#links }
    const createRejoin = options.createRejoin ?? ((deps: RejoinDeps) => new Rejoin(deps))
    const mayRest = (peer: PeerId): boolean => this.#mayRest(peer)
    const isThere = (peer: PeerId): boolean => this.#beliefs.stateOf(peer) === 'alive'
    const isNeeded = (peer: PeerId): boolean => this.#limit.isNeeded(peer)
    const rules = { mayRest, isNeeded, isThere }
    this.#rejoin = createRejoin({ ...shared, ...rules, self, registry: this.#beliefs.registry, seeds })
    const members = (): number => this.#beliefs.registry.size
    this.#limit = new LinkLimit({ ...shared, members, isAwaited: (peer) => this.#isAwaited(peer) })
    this.#probes = new Probes({
      ...shared,
      rejoin: this.#rejoin,
      dissemination: this.#beliefs.dissemination,
      isLimited: () => this.#limit.isLimited,
      awareness: this.#awareness,
      accusationOf: (target) => this.#accusationOf(target),
      members: () => this.#beliefs.registry.known(),
      isCandidate: (peer) => this.#isProbeCandidate(peer),
      helpersFor: (target) => this.#helpersFor(target),
      probeFailed: (target, reason, turn) => this.#onProbeFailed(target, reason, turn),
      reachedByHelper: (target, turn) => this.#watchSilence(target, turn),
    })
  }

  handle(input: MembershipInput, nowMs: Millis): readonly MembershipEffect[] {
    const turn = new Turn(nowMs)
    switch (input.type) {
      case 'started':
        this.#onStarted(turn)
        break
      case 'linkUp':
        this.#onLinkUp(input.peer, turn)
        break
      case 'linkDown':
        this.#onLinkDown(input, turn)
        break
      case 'trafficReceived':
        this.#onTraffic(input.peer, turn)
        break
      case 'linkUsed':
        this.#links.used(input.peer, nowMs)
        break
      case 'linksNeeded':
        this.#limit.needs(input.peers, nowMs)
        for (const peer of input.peers) this.#rejoin.wake(peer, turn)
        break
      case 'messageReceived':
        this.#onMessage(input.from, input.message, turn)
        break
      case 'dialFailed':
        this.#onDialFailed(input, turn)
        break
      case 'timerFired':
        this.#onTimer(input.timer, turn)
        break
      case 'leaveRequested':
        this.#onLeaveRequested(turn)
        break
      case 'registryEdited':
        this.#onEdited(input.ref, input.edit, turn)
        break
      case 'handedOver':
        this.#onHandedOver(turn)
        break
    }
    if (this.#standing !== 'merged') this.#advance(turn)
    this.#rejoin.dialQueued(turn)
    const entries = this.#beliefs.takeRegistryChange()
    if (entries !== undefined) turn.order({ type: 'persistRegistry', entries })
    return turn.effects
  }

  /**
   * Who belongs, as replication needs it. `merged` = the registry is not only ourselves and a hope: we began the mesh alone
   * or with all our seeds, were in it before, or have merged the full state of somebody who is.
   */
  registryView(): RegistryView {
    const { registry } = this.#beliefs
    const { revision, version } = registry
    const [leaving, forgotten] = [registry.ofStatus('leaving'), registry.ofStatus('forgotten')]
    return { revision, version, merged: this.#standing === 'merged', peers: registry.peers(), leaving, forgotten }
  }

  /** Whether the peer belongs; undefined if it was never heard of. Our own is there from the start. */
  statusOf(peer: PeerId): RegistryStatus | undefined {
    return this.#beliefs.registry.statusOf(peer)
  }

  /** What is believed of a member, and by whose word; undefined before this peer has started, or of a stranger. */
  memberOf(peer: PeerId): Pick<Member, 'status' | 'by' | 'reason'> | undefined {
    return this.#beliefs.members.get(peer)
  }

  /** Where a member stands; empty for one that does not say. */
  zoneOf(peer: PeerId): string {
    return this.#beliefs.registry.get(peer)?.facts.zone ?? ''
  }

  /** The name of a member, or its id while we know no better. */
  nameOf(peer: PeerId): string {
    return this.#beliefs.registry.nameOf(peer)
  }

  /**
   * Where more belong than links are kept, links come and go all the time: is it no news that one with the peer comes, if there
   * is none, or else that it ends? It comes from rest, or beyond those that are kept; and it ends because neither side needs it.
   */
  isRoutine(peer: PeerId, nowMs: Millis): boolean {
    const link = this.#links.get(peer)
    return link === undefined ? this.#atRest.has(peer) || this.#limit.isFull(0) : isAtRest(link, nowMs)
  }

  snapshot(nowMs: Millis): MembershipSnapshot {
    const parts = {
      beliefs: this.#beliefs,
      links: this.#links,
      probes: this.#probes,
      limit: this.#limit,
      rejoin: this.#rejoin,
    }
    const counts = { pushPulls: this.#pushPulls, refutations: this.#refutations }
    const more = { counts, awareness: this.#awareness.score, mergedAtMs: this.#mergedAtMs }
    return snapshotOf({ ...parts, ...more, merged: this.#standing === 'merged' }, nowMs)
  }

  // Inputs ------------------------------------------------------------------------------------------------------------

  #onStarted(turn: Turn): void {
    const { config, random } = this.#options
    this.#beliefs.start(turn.nowMs)
    this.#rejoin.start(turn)
    turn.setTimer({ type: 'probeRound' }, Math.ceil(random.next() * config.probeIntervalMs))
    turn.setTimer({ type: 'pushPull' }, Math.ceil(random.next() * config.pushPullIntervalMs))
  }

  #onLinkUp(peer: PeerId, turn: Turn): void {
    this.#links.up(peer, turn.nowMs)
    this.#rejoin.linkUp(peer, turn)
    this.#probes.heard(peer, turn)
    // Above the limit links come and go: whom nobody has doubted has missed no more than others. Where it has doubted us it asks.
    const isUndoubted = this.#atRest.delete(peer) || (this.#limit.isFull(0) && this.#beliefs.stateOf(peer) === 'alive')
    const isRoutine = isUndoubted && this.#standing === 'merged' && this.#isUpToDate(turn)
    if (!isRoutine) this.#sendDigest(peer, { reply: true }, turn)
    this.#wakeGossip(turn)
  }

  #onLinkDown({ peer, cause, reason }: Extract<MembershipInput, { type: 'linkDown' }>, turn: Turn): void {
    const link = this.#links.down(peer)
    if (link === undefined) return
    this.#links.ended(isAtRest(link, turn.nowMs) ? 'idle' : link.closedFor === undefined ? cause : 'silent')
    if (this.#leaving) return
    if (isAtRest(link, turn.nowMs) && this.#beliefs.isExpected(peer)) return this.#onRested(peer, turn)
    const isStranger = !this.#beliefs.registry.has(peer)
    if (!isStranger) this.#onMemberMissing(peer, turn)
    if (this.#beliefs.isExpected(peer)) {
      const told = cause === 'closed' ? 'link closed by its process' : `link broken (${reason})`
      this.#probes.linkDown(peer, turn, link.closedFor ?? told)
    }
    // Only the address of a seed leads back to one that went before it said who it is.
    if (this.#links.count === 0 || isStranger) this.#rejoin.linkLost(link.sinceMs, turn)
  }

  #onTraffic(peer: PeerId, turn: Turn): void {
    if (!this.#links.has(peer)) return
    this.#links.heard(peer)
    this.#probes.heard(peer, turn)
    this.#tellAccused(peer, turn)
  }

  #onMessage(from: PeerId, message: MembershipMessage, turn: Turn): void {
    if (!this.#links.has(from)) return
    this.#onTraffic(from, turn)
    if (message.type === 'pushPullMore') return this.#sendPage(from, turn)
    if (message.type === 'rest') return this.#onRest(from, message.agreed, turn)
    if (message.type === 'pushPullDigest') return this.#onDigest(from, message, turn)
    const updates = message.type === 'pushPull' ? message.members : message.updates
    const updatesMax = message.type === 'pushPull' ? limits.membersPerMessageMax : limits.updatesPerMessageMax
    if (updates.length > updatesMax) return this.#beliefs.reject()
    if (message.type === 'pushPull') return this.#onPushPull(from, message, turn)
    for (const update of updates) {
      const lesson = this.#beliefs.learn(update, turn.nowMs)
      this.#apply(update.peer, lesson, turn)
      // Whoever accuses us is answered at once: our rumor may miss it.
      if (lesson.accused === true) this.#tell(from, this.self, turn)
    }
    switch (message.type) {
      case 'ping': {
        const told = [...this.#beliefs.corrections(updates), ...this.#beliefs.dissemination.ride()]
        turn.send(from, { type: 'ack', ref: message.ref, updates: told.slice(0, limits.updatesPerMessageMax) })
        break
      }
      case 'ack':
        this.#links.acked(from, message.ref, turn.nowMs)
        this.#probes.acked(from, message.ref, turn)
        break
      case 'pingRequest':
        this.#onPingRequest(from, message, turn)
        break
      case 'nack':
        this.#probes.nacked(from, message.ref, turn)
        break
      case 'gossip':
        break
    }
  }

  #onPingRequest(from: PeerId, message: Extract<MembershipMessage, { type: 'pingRequest' }>, turn: Turn): void {
    const { ref, target } = message
    if (target === from || target === this.self || !this.#beliefs.registry.has(target)) return this.#beliefs.reject()
    // We no longer dial, so a nack of ours would say nothing about the target.
    if (this.#leaving) return
    this.#probes.requested({ target, requester: from, theirRef: ref }, turn)
  }

  #onPushPull(from: PeerId, message: Extract<MembershipMessage, { type: 'pushPull' }>, turn: Turn): void {
    this.#isMeshKnown ||= message.standing === 'merged'
    // A whole mesh knows what it tells who joins it.
    const isNews = this.#standing === 'merged' || message.standing !== 'merged'
    for (const update of message.members) {
      this.#apply(update.peer, this.#beliefs.learnFromFullState(update, { isNews }, turn.nowMs), turn)
    }
    if (message.more) return turn.send(from, { type: 'pushPullMore' })
    const link = this.#links.get(from)
    if (link === undefined) return
    this.#onStateMerged(from, message.standing, turn)
    if (!message.reply || this.#isFresh(link.stateSentAtMs, turn)) return
    if (!link.hasDigests) return this.#sendState(from, this.#beliefs.registry.known(), turn)
    link.stateSentAtMs = turn.nowMs
    this.#sendDigest(from, { reply: false }, turn)
  }

  /** What differs is told. The other side does so too, by our digest. */
  #onDigest(from: PeerId, message: Extract<MembershipMessage, { type: 'pushPullDigest' }>, turn: Turn): void {
    const link = this.#links.get(from)
    if (link === undefined) return
    link.hasDigests = true
    this.#isMeshKnown ||= message.standing === 'merged'
    // Both ends of a new link ask at once, and each has told its digest by asking.
    if (message.reply && !this.#isFresh(link.digestSentAtMs, turn)) this.#sendDigest(from, { reply: false }, turn)
    const differing = this.#beliefs.differing(message.buckets)
    if (differing === undefined) return this.#onStateMerged(from, message.standing, turn)
    // Its standing is told by its last page: before that we do not have the registry that it speaks of.
    if (this.#isFresh(link.stateSentAtMs, turn)) return
    const isUnderWay =
      this.#standing === 'merged' && message.standing === 'merged' && !this.#beliefs.dissemination.isEmpty
    if (!isUnderWay) return this.#sendState(from, differing, turn)
    // Where news is under way much differs, everywhere: rumors will tell it, and what they have missed is told a little at a time.
    if (this.#isFresh(this.#sampleSentAtMs, turn)) return
    this.#sampleSentAtMs = turn.nowMs
    const missed = differing.filter((peer) => !this.#beliefs.dissemination.has(peer))
    const peers = sampled(this.#options.random, missed, limits.membersWhileNewsMax)
    const members = this.#withFacts(peers)
    // More than that is known here, so that whoever reads it does not take it for all.
    if (members.length > 0)
      turn.send(from, { type: 'pushPull', members, standing: this.#standing, reply: false, more: true })
  }

  /** We know all that it knew when it said so. */
  #onStateMerged(from: PeerId, standing: Standing, turn: Turn): void {
    const link = this.#links.get(from)
    if (link !== undefined) link.standing = standing
    this.#stateHeardAtMs = turn.nowMs
    if (!this.#beliefs.registry.has(from)) return
    this.#pushPulls++
    this.#mergedAtMs.set(from, turn.nowMs)
    this.#rejoin.met(from)
  }

  #isFresh(sentAtMs: Millis, turn: Turn): boolean {
    return turn.nowMs - sentAtMs <= this.#options.config.probeIntervalMs
  }

  #onDialFailed({ target, reason, there }: Extract<MembershipInput, { type: 'dialFailed' }>, turn: Turn): void {
    if (there !== undefined) this.#rejoin.found(target, there)
    this.#rejoin.dialFailed(target, reason, turn)
    if (target.type === 'member' && !this.#links.has(target.peer)) this.#probes.dialFailed(target.peer, turn)
  }

  #onLeaveRequested(turn: Turn): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#rejoin.stop()
    this.#probes.discardAll()
    this.#beliefs.leave(turn.nowMs)
    this.#wakeGossip(turn)
    for (const peer of this.#links.peers()) this.#tell(peer, this.self, turn)
  }

  // Who belongs -------------------------------------------------------------------------------------------------------

  #onEdited(ref: number, edit: RegistryEdit, turn: Turn): void {
    const { registry } = this.#beliefs
    const after = statusAfter(edit, { registry, stateOf: (peer) => this.#beliefs.stateOf(peer) })
    if ('code' in after) return turn.order({ type: 'registryRefused', ref, ...after })
    this.#decide(edit.peer, after, 'decided here', turn)
    turn.order({ type: 'registrySettled', ref, status: after })
  }

  #onHandedOver(turn: Turn): void {
    const status = this.statusOf(this.self)
    if (status?.type === 'leaving') this.#decide(this.self, { ...status, type: 'forgotten' }, 'handedOver', turn)
  }

  #decide(peer: PeerId, status: RegistryStatus, why: StatusWhy, turn: Turn): void {
    if (!this.#beliefs.decide(peer, status)) return
    this.#onStatusChanged({ peer, status, why }, turn)
    this.#wakeGossip(turn)
  }

  #onStatusChanged(change: StatusChange, turn: Turn): void {
    const { peer, status } = change
    turn.order({ type: 'statusChanged', ...change })
    if (peer === this.self) return
    if (status.type === 'forgotten') this.#rejoin.forgotten(peer)
    else if (this.#links.has(peer)) this.#rejoin.linkUp(peer, turn)
    else this.#onMemberMissing(peer, turn)
  }

  // Timers ------------------------------------------------------------------------------------------------------------

  #onTimer(timer: MembershipTimer, turn: Turn): void {
    const isLate = turn.nowMs - timer.dueMs > this.#options.config.timerLateMs
    if (isLate) this.#onLate(turn)
    switch (timer.type) {
      case 'probeRound':
        return this.#onProbeRound(isLate, turn)
      case 'directProbeOverdue':
        return this.#probes.directOverdue(timer.ref, turn)
      case 'probeOverdue':
        return this.#probes.overdue(timer.ref, turn)
      case 'relayOverdue':
        return this.#probes.relayOverdue(timer.ref, turn)
      case 'suspicionExpired':
        return this.#onSuspicionExpired(timer, isLate, turn)
      case 'lastWordOver':
        return this.#onLastWordOver(timer, isLate, turn)
      case 'linkSilent':
        return this.#onLinkSilent(timer.peer, isLate, turn)
      case 'gossip':
        return this.#onGossipDue(turn)
      case 'pushPull':
        return this.#onPushPullDue(turn)
      case 'redial': {
        const gaveUp = this.#rejoin.timerFired(timer.target, timer.dueMs, turn)
        if (gaveUp && timer.target.type === 'member') this.#probes.dialFailed(timer.target.peer, turn)
      }
    }
  }

  /** Our event loop was blocked: whatever we wait for may be waiting for us. One pause makes many timers late. */
  #onLate(turn: Turn): void {
    this.#probes.discardAll()
    if (turn.nowMs - this.#lateAtMs < this.#options.config.probeIntervalMs) return
    this.#lateAtMs = turn.nowMs
    this.#awareness.worse()
  }

  #onProbeRound(isLate: boolean, turn: Turn): void {
    if (this.#leaving) return
    if (!isLate) this.#probes.next(turn)
    this.#askToRest(turn)
    turn.setTimer({ type: 'probeRound' }, this.#awareness.scaled(this.#options.config.probeIntervalMs))
  }

  #onProbeFailed(peer: PeerId, reason: string, turn: Turn): void {
    const member = this.#beliefs.members.get(peer)
    if (member === undefined) return
    this.#watchSilence(peer, turn)
    const { status, incarnation } = member
    if (status.type === 'alive' || status.type === 'suspect') {
      const update = { peer, state: 'suspect', incarnation, by: this.self, reason } as const
      this.#apply(peer, this.#beliefs.learn(update, turn.nowMs), turn)
    } else if (this.#links.has(peer)) {
      this.#giveUp(peer, reason, turn)
    }
  }

  /** Whatever becomes of the member, a link that stays silent is given up, and dialed anew: TCP would wait for much longer. */
  #watchSilence(peer: PeerId, turn: Turn): void {
    const sinceMs = this.#links.get(peer)?.unansweredSinceMs
    if (sinceMs === undefined) return
    turn.setTimer({ type: 'linkSilent', peer }, Math.max(0, sinceMs + this.#suspicionTimeoutMs - turn.nowMs))
  }

  #onLinkSilent(peer: PeerId, isLate: boolean, turn: Turn): void {
    const link = this.#links.get(peer)
    if (link?.unansweredSinceMs === undefined) return
    const silentMs = turn.nowMs - link.unansweredSinceMs
    if (silentMs < this.#suspicionTimeoutMs) return
    // An answer may be waiting in our own sockets.
    if (isLate) return turn.setTimer({ type: 'linkSilent', peer }, this.#options.config.probeIntervalMs)
    this.#giveUp(peer, `link silent for ${secondsText(silentMs)}`, turn)
  }

  #onSuspicionExpired(timer: SuspicionTimer, isLate: boolean, turn: Turn): void {
    const { peer, incarnation } = timer
    const suspect = this.#suspectOf(peer, incarnation)
    if (suspect === undefined) return
    const leftMs = suspect.deadAtMs - turn.nowMs
    if (leftMs > 0) return turn.setTimer({ type: 'suspicionExpired', peer, incarnation }, leftMs)
    if (this.#options.config.lastWordMs === 0) return this.#onLastWordOver(timer, isLate, turn)
    if (this.#lastWords.get(peer) === incarnation) return
    this.#lastWords.set(peer, incarnation)
    // The rumor of its refutation may have missed us, of all.
    this.#probes.askOthers(peer, turn)
    turn.setTimer({ type: 'lastWordOver', peer, incarnation }, this.#lastWordMs(isLate))
  }

  #onLastWordOver({ peer, incarnation }: SuspicionTimer, isLate: boolean, turn: Turn): void {
    const suspect = this.#suspectOf(peer, incarnation)
    if (suspect === undefined) return
    if (isLate) return turn.setTimer({ type: 'lastWordOver', peer, incarnation }, this.#lastWordMs(isLate))
    const reason = `${suspect.reason}, not refuted in ${secondsText(turn.nowMs - suspect.sinceMs)}`
    const update = { peer, state: 'dead', incarnation, by: this.self, reason } as const
    this.#apply(peer, this.#beliefs.learn(update, turn.nowMs), turn)
  }

  #suspectOf(peer: PeerId, incarnation: number) {
    const member = this.#beliefs.members.get(peer)
    if (member?.status.type !== 'suspect' || member.incarnation !== incarnation) return undefined
    return { reason: member.reason, sinceMs: member.sinceMs, deadAtMs: member.status.deadAtMs }
  }

  /** A refutation may be waiting in our own sockets: after a pause, whose end may happen to be now, timers go before them. */
  #lastWordMs(isLate: boolean): Millis {
    const { probeIntervalMs, lastWordMs } = this.#options.config
    return isLate ? Math.max(probeIntervalMs, lastWordMs) : lastWordMs
  }

  #onGossipDue(turn: Turn): void {
    this.#gossipTimerSet = false
    this.#gossipedAtMs = turn.nowMs
    const { random, config } = this.#options
    this.#beliefs.dissemination.nextInterval()
    for (const peer of sampled(random, this.#links.peers(), config.gossipFanout)) {
      const updates = this.#beliefs.dissemination.take()
      if (updates.length > 0) turn.send(peer, { type: 'gossip', updates })
    }
    this.#wakeGossip(turn)
  }

  #onPushPullDue(turn: Turn): void {
    const { random, config } = this.#options
    // While there is news little is told, but again soon: rumors miss somebody now and then.
    const isQuiet = this.#beliefs.dissemination.isEmpty
    const intervalMs = isQuiet ? pushPullIntervalMs(config, this.#beliefs.registry.size) : config.pushPullIntervalMs
    const [peer] = sampled(random, this.#links.peers(), 1)
    if (peer !== undefined) this.#sendDigest(peer, { reply: true }, turn)
    turn.setTimer({ type: 'pushPull' }, intervalMs)
  }

  // What follows from what we learn -----------------------------------------------------------------------------------

  #apply(peer: PeerId, lesson: Lesson, turn: Turn): void {
    this.#wakeGossip(turn)
    if (lesson.accused === true) {
      this.#refutations++
      this.#awareness.worse()
    }
    if (lesson.double !== undefined) turn.order({ type: 'doubleNoticed', addresses: lesson.double.addresses })
    if (lesson.change !== undefined) this.#onMemberChanged(lesson.change, turn)
    const isMet = lesson.change?.from === 'unknown'
    if (isMet && peer < this.self && !this.#links.has(peer)) this.#rejoin.awaitDial(peer, turn)
    else if (lesson.newFacts && !this.#links.has(peer)) this.#onMemberMissing(peer, turn)
    if (lesson.newStatus !== undefined) this.#onStatusChanged({ peer, status: lesson.newStatus, why: 'heard' }, turn)
  }

  #onMemberChanged({ member, from }: MemberChange, turn: Turn): void {
    const { peer, incarnation, by, reason, status } = member
    if (status.type === 'suspect') {
      turn.setTimer({ type: 'suspicionExpired', peer, incarnation }, Math.max(0, status.deadAtMs - turn.nowMs))
    } else this.#lastWords.delete(peer)
    if (from === status.type) return
    if (status.type !== 'alive') this.#atRest.delete(peer)
    // The suspect is told first (Lifeguard 3.3).
    if (status.type === 'suspect' && this.#links.has(peer)) this.#tell(peer, peer, turn)
    turn.order({ type: 'memberChanged', peer, from, to: status.type, incarnation, by, reason })
    // A silent socket would keep us from dialing.
    const isGone = status.type === 'dead' || status.type === 'left'
    if (status.type === 'dead' && this.#links.has(peer)) this.#giveUp(peer, reason, turn)
    // From now on it is dialed for ever, also where nobody has missed its link.
    else if (isGone && this.#rejoin.isResting(peer)) this.#onMemberMissing(peer, turn)
  }

  #onMemberMissing(peer: PeerId, turn: Turn): void {
    this.#rejoin.memberMissing(peer, turn, { left: this.#beliefs.stateOf(peer) === 'left' })
  }

  #giveUp(peer: PeerId, reason: string, turn: Turn): void {
    const link = this.#links.get(peer)
    if (link === undefined) return
    link.closedFor = reason
    turn.order({ type: 'closeLink', peer, reason })
  }

  /** Whom we believe to be there, and whoever is linked, so that the link of a member that hangs is closed some day. */
  #isProbeCandidate(peer: PeerId): boolean {
    return peer !== this.self && (this.#beliefs.isExpected(peer) || this.#links.has(peer))
  }

  #helpersFor(target: PeerId): readonly PeerId[] {
    const { registry } = this.#beliefs
    const isFit = (peer: PeerId): boolean => registry.belongs(peer) && this.#beliefs.stateOf(peer) === 'alive'
    return this.#links.peers().filter((peer) => peer !== target && isFit(peer))
  }

  get #suspicionTimeoutMs(): Millis {
    return suspicionTimeoutMs(this.#options.config, this.#beliefs.registry.size)
  }

  /** Nobody is told twice what it knows, and as a standing only ever goes on, each link is told two changes at most. */
  #advance(turn: Turn): void {
    const peers = new Set([...this.#links.peers(), ...this.#beliefs.expected()])
    const others = [...peers].map((peer) => this.#links.get(peer)?.standing)
    const standing = nextStanding({ seedsReached: this.#rejoin.seedsReached, others })
    if (standing === this.#standing) return
    this.#standing = standing
    if (standing === 'merged') {
      this.#isMeshKnown = true
      this.#beliefs.becomeMember()
    }
    for (const peer of this.#links.peers()) {
      if (this.#links.get(peer)?.standing !== 'merged') this.#sendState(peer, this.#beliefs.registry.known(), turn)
    }
  }

  // Links that nobody needs -------------------------------------------------------------------------------------------

  #mayRest(peer: PeerId): boolean {
    const isThere = this.#beliefs.stateOf(peer) === 'alive' && this.#beliefs.registry.belongs(peer)
    return this.#isMeshKnown && isThere && !this.#limit.isNeeded(peer) && this.#limit.isFull(this.#rejoin.dialing)
  }

  /** Whoever does not know the mesh yet waits for everybody; and what is asked over a link is to be answered there. */
  #isAwaited(peer: PeerId): boolean {
    return this.#standing !== 'merged' || this.#probes.isOpen(peer) || this.#links.get(peer)?.stateLeft !== undefined
  }

  #askToRest(turn: Turn): void {
    if (this.#leaving || this.#standing !== 'merged') return
    for (const peer of this.#limit.surplus(turn.nowMs)) {
      const link = this.#links.get(peer)
      if (link !== undefined) link.restAskedMs = turn.nowMs
      turn.send(peer, { type: 'rest', agreed: false })
    }
  }

  #onRest(from: PeerId, agreed: boolean, turn: Turn): void {
    const link = this.#links.get(from)
    if (link === undefined || this.#leaving || !this.#beliefs.isExpected(from)) return
    if (!(agreed ? this.#limit.confirms(from, turn.nowMs) : this.#limit.agrees(from, turn.nowMs))) return
    // What comes of it comes soon. A link that ends later has ended for another reason.
    link.restUntilMs = turn.nowMs + 2 * this.#options.config.probeIntervalMs
    if (agreed) turn.order({ type: 'closeLink', peer: from, reason: 'idle, and there are more links than are wanted' })
    else turn.send(from, { type: 'rest', agreed: true })
  }

  #onRested(peer: PeerId, turn: Turn): void {
    this.#atRest.add(peer)
    this.#rejoin.rest(peer, turn)
    // Something may have come up since.
    if (this.#limit.isNeeded(peer)) this.#rejoin.wake(peer, turn)
    if (this.#probes.isOpen(peer)) this.#probes.linkDown(peer, turn)
  }

  /** The last full state that we have heard is as young as any has to be. */
  #isUpToDate(turn: Turn): boolean {
    return turn.nowMs - this.#stateHeardAtMs <= pushPullIntervalMs(this.#options.config, this.#beliefs.registry.size)
  }

  // Telling others ----------------------------------------------------------------------------------------------------

  /** The gossip timer runs only while there is something to tell and somebody to tell it to. */
  #wakeGossip(turn: Turn): void {
    if (this.#gossipTimerSet || this.#beliefs.dissemination.isEmpty || this.#links.count === 0) return
    this.#gossipTimerSet = true
    // News after a quiet goes out at once: it would wait at each of the hops that it takes.
    const afterMs = Math.max(0, this.#gossipedAtMs + this.#options.config.gossipIntervalMs - turn.nowMs)
    turn.setTimer({ type: 'gossip' }, afterMs)
  }

  #sendDigest(to: PeerId, { reply }: { readonly reply: boolean }, turn: Turn): void {
    const link = this.#links.get(to)
    if (link === undefined) return
    link.digestSentAtMs = turn.nowMs
    const buckets = this.#beliefs.digest()
    turn.send(to, { type: 'pushPullDigest', buckets, standing: this.#standing, reply })
  }

  #sendState(to: PeerId, peers: readonly PeerId[], turn: Turn): void {
    const link = this.#links.get(to)
    if (link === undefined) return
    link.stateSentAtMs = turn.nowMs
    link.stateLeft = peers
    this.#sendPage(to, turn)
  }

  /** While we are not merged we ask to be told again, should the other side have nothing to tell by our digest. */
  #sendPage(to: PeerId, turn: Turn): void {
    const link = this.#links.get(to)
    if (link?.stateLeft === undefined) return
    const told = link.stateLeft.slice(0, limits.membersPerMessageMax)
    const members = this.#withFacts(told)
    const left = link.stateLeft.slice(limits.membersPerMessageMax)
    const more = left.length > 0
    link.stateLeft = more ? left : undefined
    const reply = this.#standing !== 'merged'
    turn.send(to, { type: 'pushPull', members, standing: this.#standing, reply, more })
  }

  #withFacts(peers: readonly PeerId[]): readonly MemberUpdate[] {
    return peers.flatMap((peer) => this.#beliefs.updateOf(peer, { facts: true }) ?? [])
  }

  /** Who is accused hears it from whoever hears from it, so that it can refute even if every rumor missed it. */
  #tellAccused(peer: PeerId, turn: Turn): void {
    const link = this.#links.get(peer)
    const accusation = this.#accusationOf(peer)
    if (link === undefined || accusation === undefined) return
    if (turn.nowMs - link.toldAtMs < this.#options.config.probeIntervalMs) return
    link.toldAtMs = turn.nowMs
    turn.send(peer, { type: 'gossip', updates: [accusation] })
  }

  #accusationOf(peer: PeerId): MemberUpdate | undefined {
    const state = this.#beliefs.stateOf(peer)
    return state === 'suspect' || state === 'dead' ? this.#beliefs.updateOf(peer) : undefined
  }

  #tell(to: PeerId, about: PeerId, turn: Turn): void {
    const update = this.#beliefs.updateOf(about)
    if (update !== undefined) turn.send(to, { type: 'gossip', updates: [update] })
  }
}

/** An earlier run of ours was in a mesh. */
function wasMerged(registry: readonly RegistryEntry[], self: PeerId): boolean {
  const ourStatus = registry.find(({ peer }) => peer === self)?.status.type
  return ourStatus !== 'joining' && registry.some(({ peer }) => peer !== self)
}
