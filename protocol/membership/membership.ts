import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Machine, Millis, Random } from '#protocol/machine'
import { shuffled } from '#protocol/random'
import { Beliefs } from './beliefs.ts'
import type { Lesson } from './beliefs.ts'
import type { MembershipConfig } from './config.ts'
import { Links } from './links.ts'
import { supersedes } from './member.ts'
import type { MemberChange, Supersedes } from './member.ts'
import type { MemberFacts, MembershipMessage, Standing } from './messages.ts'
import { Probes } from './probe.ts'
import { pushPullIntervalMs, pushPullMessages } from './push-pull.ts'
import type { RegistryEntry } from './registry.ts'
import { Rejoin } from './rejoin.ts'
import type { RejoinDeps } from './rejoin.ts'
import { snapshotOf } from './snapshot.ts'
import type { MembershipSnapshot } from './snapshot.ts'
import { nextStanding } from './standing.ts'
import { secondsText, suspicionTimeoutMs } from './suspicion.ts'
import { Turn } from './turn.ts'
import type { MembershipEffect, MembershipInput, MembershipTimer } from './turn.ts'

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

/**
 * The SWIM machine: who is alive, who belongs, and whom to dial. It holds the switch and connects the parts; each part has
 * its file. The rules, and what they guard, are in the README.
 */
export class Membership implements Machine<MembershipInput, MembershipEffect> {
  readonly self: PeerId
  readonly #options: MembershipOptions
  readonly #beliefs: Beliefs
  readonly #links = new Links()
  readonly #rejoin: Rejoin
  readonly #probes: Probes
  readonly #mergedAtMs = new Map<PeerId, Millis>()
  #standing: Standing
  #gossipTimerSet = false
  #leaving = false

  constructor(options: MembershipOptions) {
    const { self, facts, config, random, registry } = options
    this.self = self
    this.#options = options
    const seeds = options.seeds.filter((seed) => !facts.addresses.includes(seed))
    const merged = seeds.length === 0 || wasMerged(registry, self)
    this.#standing = merged ? 'merged' : 'seeking'
    const rule = options.supersedes ?? supersedes
    this.#beliefs = new Beliefs({ self, facts, config, registry, merged, supersedes: rule })
    const shared = { config, random, links: this.#links }
    const createRejoin = options.createRejoin ?? ((deps: RejoinDeps) => new Rejoin(deps))
    this.#rejoin = createRejoin({ ...shared, self, registry: this.#beliefs.registry, seeds })
    this.#probes = new Probes({
      ...shared,
      rejoin: this.#rejoin,
      dissemination: this.#beliefs.dissemination,
      candidates: () => this.#probeCandidates(),
      helpersFor: (target) => this.#helpersFor(target),
      probeFailed: (target, reason, turn) => this.#onProbeFailed(target, reason, turn),
      reachedByHelper: (target, turn) => this.#onReachedByHelper(target, turn),
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
    }
    if (this.#standing !== 'merged') this.#advance(turn)
    const entries = this.#beliefs.takeRegistryChange()
    if (entries !== undefined) turn.order({ type: 'persistRegistry', entries })
    return turn.effects
  }

  /**
   * Who belongs, as replication needs it. `merged` = the registry is not only ourselves and a hope: we began the mesh alone
   * or with all our seeds, were in it before, or have merged the full state of somebody who is.
   */
  registryView(): { readonly version: string; readonly merged: boolean; readonly peers: readonly PeerId[] } {
    const { registry } = this.#beliefs
    return { version: registry.version, merged: this.#standing === 'merged', peers: registry.peers() }
  }

  /** The name of a member, or its id while we know no better. */
  nameOf(peer: PeerId): string {
    return this.#beliefs.registry.nameOf(peer)
  }

  snapshot(nowMs: Millis): MembershipSnapshot {
    const parts = { beliefs: this.#beliefs, links: this.#links, probes: this.#probes, rejoin: this.#rejoin }
    return snapshotOf({ ...parts, mergedAtMs: this.#mergedAtMs, merged: this.#standing === 'merged' }, nowMs)
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
    this.#sendState(peer, { reply: true }, turn)
    this.#wakeGossip(turn)
  }

  #onLinkDown({ peer, cause, reason }: Extract<MembershipInput, { type: 'linkDown' }>, turn: Turn): void {
    const link = this.#links.down(peer)
    if (link === undefined || this.#leaving) return
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
    const updates = message.type === 'pushPull' ? message.members : message.updates
    const updatesMax = message.type === 'pushPull' ? limits.membersPerMessageMax : limits.updatesPerMessageMax
    if (updates.length > updatesMax) return this.#beliefs.reject()
    if (message.type === 'pushPull') return this.#onPushPull(from, message, turn)
    for (const update of updates) this.#apply(update.peer, this.#beliefs.learn(update, turn.nowMs), turn)
    switch (message.type) {
      case 'ping':
        turn.send(from, { type: 'ack', ref: message.ref, updates: this.#beliefs.dissemination.take() })
        break
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
    for (const update of message.members) {
      this.#apply(update.peer, this.#beliefs.learnFromFullState(update, turn.nowMs), turn)
    }
    const link = this.#links.get(from)
    if (message.more || link === undefined) return
    link.standing = message.standing
    if (this.#beliefs.registry.has(from)) {
      this.#mergedAtMs.set(from, turn.nowMs)
      this.#rejoin.met(from)
    }
    // Both ends of a new link ask at once, and each has told its state by asking.
    const sentAtMs = link.stateSentAtMs
    const isFresh = turn.nowMs - sentAtMs <= this.#options.config.probeIntervalMs
    if (message.reply && !isFresh) this.#sendState(from, { reply: false }, turn)
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

  // Timers ------------------------------------------------------------------------------------------------------------

  #onTimer(timer: MembershipTimer, turn: Turn): void {
    const isLate = turn.nowMs - timer.dueMs > this.#options.config.timerLateMs
    if (isLate) this.#probes.discardAll()
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

  #onProbeRound(isLate: boolean, turn: Turn): void {
    if (this.#leaving) return
    if (!isLate) this.#probes.next(turn)
    turn.setTimer({ type: 'probeRound' }, this.#options.config.probeIntervalMs)
  }

  #onProbeFailed(peer: PeerId, reason: string, turn: Turn): void {
    const member = this.#beliefs.members.get(peer)
    if (member === undefined) return
    const { status, incarnation } = member
    if (status.type === 'alive' || status.type === 'suspect') {
      const update = { peer, state: 'suspect', incarnation, by: this.self, reason } as const
      this.#apply(peer, this.#beliefs.learn(update, turn.nowMs), turn)
    } else if (this.#links.has(peer)) {
      turn.order({ type: 'closeLink', peer, reason })
    }
  }

  // It is not suspected, so nobody would ever close a link to it that is dead.
  #onReachedByHelper(peer: PeerId, turn: Turn): void {
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
    link.closedFor = `link silent for ${secondsText(silentMs)}`
    turn.order({ type: 'closeLink', peer, reason: link.closedFor })
  }

  #onSuspicionExpired(
    { peer, incarnation }: Extract<MembershipTimer, { type: 'suspicionExpired' }>,
    isLate: boolean,
    turn: Turn,
  ): void {
    const member = this.#beliefs.members.get(peer)
    if (member?.status.type !== 'suspect' || member.incarnation !== incarnation) return
    const { probeIntervalMs } = this.#options.config
    if (isLate) {
      // A refutation may be waiting in our own sockets.
      this.#beliefs.members.set({ ...member, status: { ...member.status, deadAtMs: turn.nowMs + probeIntervalMs } })
      return turn.setTimer({ type: 'suspicionExpired', peer, incarnation }, probeIntervalMs)
    }
    const reason = `${member.reason}, not refuted in ${secondsText(turn.nowMs - member.sinceMs)}`
    const update = { peer, state: 'dead', incarnation, by: this.self, reason } as const
    this.#apply(peer, this.#beliefs.learn(update, turn.nowMs), turn)
  }

  #onGossipDue(turn: Turn): void {
    this.#gossipTimerSet = false
    const { random, config } = this.#options
    for (const peer of shuffled(random, this.#links.peers()).slice(0, config.gossipFanout)) {
      const updates = this.#beliefs.dissemination.take()
      if (updates.length > 0) turn.send(peer, { type: 'gossip', updates })
    }
    this.#wakeGossip(turn)
  }

  #onPushPullDue(turn: Turn): void {
    const { random, config } = this.#options
    const peer = shuffled(random, this.#links.peers())[0]
    if (peer !== undefined) this.#sendState(peer, { reply: true }, turn)
    turn.setTimer({ type: 'pushPull' }, pushPullIntervalMs(config, this.#beliefs.registry.size))
  }

  // What follows from what we learn -----------------------------------------------------------------------------------

  #apply(peer: PeerId, lesson: Lesson, turn: Turn): void {
    this.#wakeGossip(turn)
    if (lesson.change !== undefined) this.#onMemberChanged(lesson.change, turn)
    if (lesson.newFacts && !this.#links.has(peer)) this.#onMemberMissing(peer, turn)
  }

  #onMemberChanged({ member, from }: MemberChange, turn: Turn): void {
    const { peer, incarnation, by, reason, status } = member
    if (status.type === 'suspect') {
      turn.setTimer({ type: 'suspicionExpired', peer, incarnation }, status.deadAtMs - turn.nowMs)
    }
    if (from === status.type) return
    turn.order({ type: 'memberChanged', peer, from, to: status.type, incarnation, by, reason })
    // A silent socket would keep us from dialing.
    if (status.type === 'dead' && this.#links.has(peer)) turn.order({ type: 'closeLink', peer, reason })
  }

  #onMemberMissing(peer: PeerId, turn: Turn): void {
    this.#rejoin.memberMissing(peer, turn, { left: this.#beliefs.stateOf(peer) === 'left' })
  }

  /** Whom we believe to be there, and whoever is linked, so that the link of a member that hangs is closed some day. */
  #probeCandidates(): readonly PeerId[] {
    const isDue = (peer: PeerId): boolean =>
      peer !== this.self && (this.#beliefs.isExpected(peer) || this.#links.has(peer))
    return this.#beliefs.registry.peers().filter(isDue)
  }

  #helpersFor(target: PeerId): readonly PeerId[] {
    return this.#links.peers().filter((peer) => peer !== target && this.#beliefs.stateOf(peer) === 'alive')
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
    if (standing === 'merged') this.#beliefs.becomeMember()
    for (const peer of this.#links.peers()) {
      if (this.#links.get(peer)?.standing !== 'merged') this.#sendState(peer, { reply: false }, turn)
    }
  }

  // Telling others ----------------------------------------------------------------------------------------------------

  /** The gossip timer runs only while there is something to tell and somebody to tell it to. */
  #wakeGossip(turn: Turn): void {
    if (this.#gossipTimerSet || this.#beliefs.dissemination.isEmpty || this.#links.count === 0) return
    this.#gossipTimerSet = true
    turn.setTimer({ type: 'gossip' }, this.#options.config.gossipIntervalMs)
  }

  #sendState(to: PeerId, { reply }: { readonly reply: boolean }, turn: Turn): void {
    const link = this.#links.get(to)
    if (link !== undefined) link.stateSentAtMs = turn.nowMs
    const say = { standing: this.#standing, reply }
    for (const message of pushPullMessages(this.#beliefs.fullState(), say)) turn.send(to, message)
  }

  /** Who is accused hears it from whoever hears from it, so that it can refute even if every rumor missed it. */
  #tellAccused(peer: PeerId, turn: Turn): void {
    const state = this.#beliefs.stateOf(peer)
    const link = this.#links.get(peer)
    if (link === undefined || (state !== 'suspect' && state !== 'dead')) return
    if (turn.nowMs - link.toldAtMs < this.#options.config.probeIntervalMs) return
    link.toldAtMs = turn.nowMs
    this.#tell(peer, peer, turn)
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
