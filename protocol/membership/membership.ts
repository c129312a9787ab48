import { assert } from '#protocol/assert'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Machine, Millis, Random } from '#protocol/machine'
import { shuffled } from '#protocol/random'
import type { MembershipConfig } from './config.ts'
import { Dissemination, retransmitLimit } from './dissemination.ts'
import { Links } from './links.ts'
import { MemberTable, supersedes } from './member.ts'
import type { MemberChange, Supersedes } from './member.ts'
import type { MemberFacts, MembershipMessage, MemberState, MemberUpdate } from './messages.ts'
import { Probes } from './probe.ts'
import { pushPullIntervalMs, pushPullMessages } from './push-pull.ts'
import { Registry, sameFacts } from './registry.ts'
import type { RegistryEntry } from './registry.ts'
import { Rejoin } from './rejoin.ts'
import type { RejoinDeps } from './rejoin.ts'
import { History, snapshotOf } from './snapshot.ts'
import type { MembershipSnapshot } from './snapshot.ts'
import { secondsText, suspicionTimeoutMs } from './suspicion.ts'
import { Turn } from './turn.ts'
import type { DialTarget, MembershipEffect, MembershipInput, MembershipTimer } from './turn.ts'

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
 * The SWIM machine: who is alive, who belongs, and whom to dial. It holds the switch and what several parts share; each
 * part has its file. The rules and what they guard are in the README.
 */
export class Membership implements Machine<MembershipInput, MembershipEffect> {
  readonly self: PeerId
  readonly #options: MembershipOptions
  readonly #registry: Registry
  readonly #members: MemberTable
  readonly #links = new Links()
  readonly #rejoin: Rejoin
  readonly #dissemination: Dissemination
  readonly #probes: Probes
  readonly #history = new History()
  readonly #mergedAtMs = new Map<PeerId, Millis>()
  #merged: boolean
  #registryChanged = false
  #gossipTimerSet = false
  #leaving = false
  #rejected = 0

  constructor(options: MembershipOptions) {
    const { self, config, random, seeds, facts } = options
    this.self = self
    this.#options = options
    this.#registry = new Registry(options.registry)
    this.#merged = seeds.length === 0 || options.registry.some(({ peer }) => peer !== self)
    this.#members = new MemberTable(options.supersedes ?? supersedes)
    const links = this.#links
    const createRejoin = options.createRejoin ?? ((deps: RejoinDeps) => new Rejoin(deps))
    const others = seeds.filter((seed) => !facts.addresses.includes(seed))
    this.#rejoin = createRejoin({ self, config, random, registry: this.#registry, links, seeds: others })
    this.#dissemination = new Dissemination({
      describe: (peer) => this.#updateOf(peer),
      sendsMax: () => retransmitLimit({ retransmitMult: config.retransmitMult, members: this.#registry.size }),
    })
    this.#probes = new Probes({
      config,
      random,
      links,
      rejoin: this.#rejoin,
      dissemination: this.#dissemination,
      candidates: () => this.#probeCandidates(),
      helpersFor: (target) => links.peers().filter((peer) => peer !== target && this.#stateOf(peer) === 'alive'),
      probeFailed: (target, reason, turn) => this.#onProbeFailed(target, reason, turn),
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
        this.#onDialFailed(input.target, input.reason, turn)
        break
      case 'timerFired':
        this.#onTimer(input.timer, turn)
        break
      case 'leaveRequested':
        this.#onLeaveRequested(turn)
        break
    }
    this.#persistIfChanged(turn)
    return turn.effects
  }

  /** Who belongs, as replication needs it. `merged` = we know more than ourselves and hearsay: see the README. */
  registryView(): { readonly version: string; readonly merged: boolean; readonly peers: readonly PeerId[] } {
    return { version: this.#registry.version, merged: this.#merged, peers: this.#registry.peers() }
  }

  factsOf(peer: PeerId): MemberFacts | undefined {
    return this.#registry.get(peer)?.facts
  }

  /** The name that a member goes by, or its id before it has told one. */
  nameOf(peer: PeerId): string {
    return this.#registry.get(peer)?.facts.name ?? peer
  }

  snapshot(nowMs: Millis): MembershipSnapshot {
    const believed = {
      self: this.self,
      members: this.#members,
      registry: this.#registry,
      links: this.#links,
      probes: this.#probes,
      dissemination: this.#dissemination,
      rejoin: this.#rejoin,
      history: this.#history,
      mergedAtMs: this.#mergedAtMs,
      merged: this.#merged,
      rejected: this.#rejected,
    }
    return snapshotOf(believed, nowMs)
  }

  // Inputs ------------------------------------------------------------------------------------------------------------

  #onStarted(turn: Turn): void {
    const { config, random, facts } = this.#options
    this.#stateOurFacts(facts)
    this.#stateOurselves({ state: 'alive', incarnation: 1 }, 'started', turn)
    for (const peer of this.#registry.peers()) {
      if (peer === this.self) continue
      // Incarnation 0 is below all that anybody says of itself, so this belief yields to every rumor.
      const status = { type: 'dead' } as const
      const reason = 'not heard of since this peer started'
      this.#members.set({ peer, incarnation: 0, status, sinceMs: turn.nowMs, by: this.self, reason })
    }
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
    if (!this.#links.down(peer) || this.#leaving) return
    const state = this.#stateOf(peer)
    if (state !== undefined) this.#rejoin.memberMissing(peer, turn, { left: state === 'left' })
    if (state === 'alive' || state === 'suspect') {
      this.#probes.linkDown(peer, turn, cause === 'closed' ? 'link closed by its process' : `link broken (${reason})`)
    }
    if (this.#links.count === 0) this.#rejoin.seedsMissing(turn)
  }

  #onTraffic(peer: PeerId, turn: Turn): void {
    const link = this.#links.get(peer)
    if (link === undefined) return
    link.heardAtMs = turn.nowMs
    this.#probes.heard(peer, turn)
    this.#tellAccused(peer, turn)
  }

  #onMessage(from: PeerId, message: MembershipMessage, turn: Turn): void {
    if (!this.#links.has(from)) return
    this.#onTraffic(from, turn)
    const updates = message.type === 'pushPull' ? message.members : message.updates
    const updatesMax = message.type === 'pushPull' ? limits.membersPerMessageMax : limits.updatesPerMessageMax
    if (updates.length > updatesMax) return this.#reject()
    if (message.type === 'pushPull') return this.#onPushPull(from, message, turn)
    for (const update of updates) this.#learn(update, turn)
    switch (message.type) {
      case 'ping':
        turn.send(from, { type: 'ack', ref: message.ref, updates: this.#dissemination.take() })
        break
      case 'ack':
        this.#links.acked(from, message.ref, turn.nowMs)
        this.#probes.acked(from, message.ref)
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
    if (target === from || target === this.self || !this.#registry.has(target)) return this.#reject()
    // We no longer dial, so a nack of ours would say nothing about the target.
    if (this.#leaving) return
    this.#probes.requested({ target, requester: from, theirRef: ref }, turn)
  }

  #onPushPull(from: PeerId, message: Extract<MembershipMessage, { type: 'pushPull' }>, turn: Turn): void {
    for (const update of message.members) this.#learn(this.#softened(update), turn)
    if (message.more) return
    this.#merged = true
    if (this.#registry.has(from)) this.#mergedAtMs.set(from, turn.nowMs)
    // Both ends of a new link ask at once, and each has told its state by asking.
    const sentAtMs = this.#links.get(from)?.stateSentAtMs ?? turn.nowMs
    const isFresh = turn.nowMs - sentAtMs <= this.#options.config.probeIntervalMs
    if (message.reply && !isFresh) this.#sendState(from, { reply: false }, turn)
  }

  #onDialFailed(target: DialTarget, reason: string, turn: Turn): void {
    this.#rejoin.dialFailed(target, reason, turn)
    if (target.type === 'member' && !this.#links.has(target.peer)) this.#probes.dialFailed(target.peer, turn)
  }

  #onLeaveRequested(turn: Turn): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#rejoin.stop()
    this.#probes.discardAll()
    this.#stateOurselves(
      { state: 'left', incarnation: (this.#members.get(this.self)?.incarnation ?? 0) + 1 },
      'left',
      turn,
    )
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
    const member = this.#members.get(peer)
    if (member === undefined) return
    const { status, incarnation } = member
    if (status.type === 'alive' || status.type === 'suspect') {
      this.#learn({ peer, state: 'suspect', incarnation, by: this.self, reason }, turn)
    } else if (this.#links.has(peer)) {
      turn.order({ type: 'closeLink', peer, reason })
    }
  }

  #onSuspicionExpired(
    { peer, incarnation }: Extract<MembershipTimer, { type: 'suspicionExpired' }>,
    isLate: boolean,
    turn: Turn,
  ): void {
    const member = this.#members.get(peer)
    if (member?.status.type !== 'suspect' || member.incarnation !== incarnation) return
    const { probeIntervalMs } = this.#options.config
    if (isLate) {
      // A refutation may be waiting in our own sockets.
      this.#members.set({ ...member, status: { ...member.status, deadAtMs: turn.nowMs + probeIntervalMs } })
      return turn.setTimer({ type: 'suspicionExpired', peer, incarnation }, probeIntervalMs)
    }
    const reason = `${member.reason}, not refuted in ${secondsText(turn.nowMs - member.sinceMs)}`
    this.#learn({ peer, state: 'dead', incarnation, by: this.self, reason }, turn)
  }

  #onGossipDue(turn: Turn): void {
    this.#gossipTimerSet = false
    const { random, config } = this.#options
    for (const peer of shuffled(random, this.#links.peers()).slice(0, config.gossipFanout)) {
      const updates = this.#dissemination.take()
      if (updates.length > 0) turn.send(peer, { type: 'gossip', updates })
    }
    this.#wakeGossip(turn)
  }

  #onPushPullDue(turn: Turn): void {
    const { random, config } = this.#options
    const peer = shuffled(random, this.#links.peers())[0]
    if (peer !== undefined) this.#sendState(peer, { reply: true }, turn)
    turn.setTimer({ type: 'pushPull' }, pushPullIntervalMs(config, this.#registry.size))
  }

  // Beliefs -----------------------------------------------------------------------------------------------------------

  /** Takes in one claim, whoever made it: another member, or our own probes. */
  #learn(update: MemberUpdate, turn: Turn): void {
    if (!this.#isCredible(update)) return this.#reject()
    if (update.peer === this.self) return this.#answerForOurselves(update, turn)
    const news = update.facts === undefined ? 'none' : this.#registry.merge(update.peer, update.facts)
    if (!this.#registry.has(update.peer)) return this.#reject()
    const timeoutMs = suspicionTimeoutMs(this.#options.config, this.#registry.size)
    const reason = update.reason.slice(0, limits.reasonLengthMax)
    const time = { nowMs: turn.nowMs, deadAtMs: turn.nowMs + timeoutMs }
    const change = this.#members.believe({ ...update, reason }, time)
    if (news !== 'none') this.#onFactsChanged(update.peer, turn)
    if (change !== undefined) this.#onBeliefChanged(change, timeoutMs, turn)
  }

  #onFactsChanged(peer: PeerId, turn: Turn): void {
    this.#registryChanged = true
    this.#spread(peer, turn)
    if (!this.#links.has(peer)) this.#rejoin.memberMissing(peer, turn, { left: this.#stateOf(peer) === 'left' })
  }

  #onBeliefChanged({ member, from }: MemberChange, timeoutMs: Millis, turn: Turn): void {
    const { peer, incarnation, by, reason, status } = member
    this.#spread(peer, turn)
    if (status.type === 'suspect') turn.setTimer({ type: 'suspicionExpired', peer, incarnation }, timeoutMs)
    if (from === status.type) return
    this.#history.record({ atMs: turn.nowMs, peer, from, to: status.type, incarnation, by, reason })
    turn.order({ type: 'memberChanged', peer, from, to: status.type, incarnation, by, reason })
    // A silent socket would keep us from dialing.
    if (status.type === 'dead' && this.#links.has(peer)) turn.order({ type: 'closeLink', peer, reason })
  }

  /** Nobody else has the last word about us: a claim that would replace ours is topped by a higher incarnation (SWIM 4.2). */
  #answerForOurselves(update: MemberUpdate, turn: Turn): void {
    if (update.facts !== undefined) this.#answerForOurFacts(update.facts, turn)
    if (!this.#members.wouldChange(update)) return
    const incarnation = update.incarnation + 1
    const state = this.#leaving ? 'left' : 'alive'
    // Others remember an earlier run of ours as alive: nothing to refute, but our word must count more than its.
    const verb = update.state === 'alive' ? 'started again' : 'refuted'
    const reason = `${verb} with incarnation ${incarnation}`
    const change = { from: update.state, to: state, incarnation, by: this.self, reason } as const
    if (update.state !== state) this.#history.record({ atMs: turn.nowMs, peer: this.self, ...change })
    this.#stateOurselves({ state, incarnation }, reason, turn)
  }

  /** An earlier run of ours may have said other things under the same counter or a higher one. */
  #answerForOurFacts(facts: MemberFacts, turn: Turn): void {
    const ours = this.#registry.get(this.self)?.facts
    assert(ours !== undefined, 'a peer belongs to its own mesh from its start')
    if (facts.counter < ours.counter || sameFacts(facts, ours)) return
    this.#registry.merge(this.self, { ...ours, counter: facts.counter + 1 })
    this.#registryChanged = true
    this.#spread(this.self, turn)
  }

  #stateOurselves(
    { state, incarnation }: { state: 'alive' | 'left'; incarnation: number },
    reason: string,
    turn: Turn,
  ) {
    const known = this.#members.get(this.self)
    const sinceMs = known?.status.type === state ? known.sinceMs : turn.nowMs
    this.#members.set({ peer: this.self, incarnation, status: { type: state }, sinceMs, by: this.self, reason })
    this.#spread(this.self, turn)
  }

  /** Facts that differ from those we said in an earlier run need a higher counter to replace them. */
  #stateOurFacts(facts: MemberFacts): void {
    const said = this.#registry.get(this.self)?.facts
    if (said !== undefined && sameFacts(said, facts)) return
    const counter = Math.max(facts.counter, (said?.counter ?? -1) + 1)
    this.#registryChanged = this.#registry.merge(this.self, { ...facts, counter }) !== 'none'
  }

  /**
   * In a full state `dead` may be an old opinion, of a side that was cut off for instance: whom we hold for alive we only
   * suspect, so that it can refute (memberlist, mergeState).
   */
  #softened(update: MemberUpdate): MemberUpdate {
    const state = this.#stateOf(update.peer)
    const isDoubtful = update.state === 'dead' && (state === 'alive' || state === 'suspect')
    return isDoubtful && update.peer !== this.self ? { ...update, state: 'suspect' } : update
  }

  /** Nobody raises an incarnation by billions: such a claim could never be refuted, for want of numbers. */
  #isCredible({ peer, incarnation, facts }: MemberUpdate): boolean {
    const leap = incarnation - (this.#members.get(peer)?.incarnation ?? 0)
    return isCounter(incarnation) && leap <= incarnationLeapMax && (facts === undefined || isCounter(facts.counter))
  }

  #reject(): void {
    this.#rejected += 1
  }

  // Telling others ----------------------------------------------------------------------------------------------------

  #updateOf(peer: PeerId): MemberUpdate | undefined {
    const member = this.#members.get(peer)
    const facts = this.#registry.get(peer)?.facts
    if (member === undefined || facts === undefined) return undefined
    const { incarnation, status, by, reason } = member
    return { peer, state: status.type, incarnation, by, reason, facts }
  }

  #spread(peer: PeerId, turn: Turn): void {
    this.#dissemination.spread(peer)
    this.#wakeGossip(turn)
  }

  /** The gossip timer runs only while there is something to tell and somebody to tell it to. */
  #wakeGossip(turn: Turn): void {
    if (this.#gossipTimerSet || this.#dissemination.isEmpty || this.#links.count === 0) return
    this.#gossipTimerSet = true
    turn.setTimer({ type: 'gossip' }, this.#options.config.gossipIntervalMs)
  }

  #sendState(to: PeerId, { reply }: { readonly reply: boolean }, turn: Turn): void {
    const link = this.#links.get(to)
    if (link !== undefined) link.stateSentAtMs = turn.nowMs
    const members = this.#registry.peers().flatMap((peer) => this.#updateOf(peer) ?? [])
    for (const message of pushPullMessages(members, reply)) turn.send(to, message)
  }

  /** Who is accused hears it from whoever hears from it, so that it can refute even if every rumor missed it. */
  #tellAccused(peer: PeerId, turn: Turn): void {
    const state = this.#stateOf(peer)
    const link = this.#links.get(peer)
    if (link === undefined || (state !== 'suspect' && state !== 'dead')) return
    if (turn.nowMs - link.toldAtMs < this.#options.config.probeIntervalMs) return
    link.toldAtMs = turn.nowMs
    this.#tell(peer, peer, turn)
  }

  #tell(to: PeerId, about: PeerId, turn: Turn): void {
    const update = this.#updateOf(about)
    if (update !== undefined) turn.send(to, { type: 'gossip', updates: [update] })
  }

  #persistIfChanged(turn: Turn): void {
    if (!this.#registryChanged) return
    this.#registryChanged = false
    turn.order({ type: 'persistRegistry', entries: this.#registry.entries() })
  }

  #stateOf(peer: PeerId): MemberState | undefined {
    return this.#members.get(peer)?.status.type
  }

  /** Whom we believe to be there, and whoever is linked, so that the link of a member that hangs is closed some day. */
  #probeCandidates(): readonly PeerId[] {
    const isExpected = (peer: PeerId): boolean => this.#stateOf(peer) === 'alive' || this.#stateOf(peer) === 'suspect'
    return this.#registry.peers().filter((peer) => peer !== this.self && (isExpected(peer) || this.#links.has(peer)))
  }
}

/** More than any honest member refutes in its life, and far less than the room below 2^53. */
const incarnationLeapMax = 2 ** 32

/** A whole number that can still be raised. */
const isCounter = (value: number): boolean => Number.isSafeInteger(value + 1) && value >= 0
