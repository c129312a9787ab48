import { assert } from '#protocol/assert'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'
import { Dissemination, retransmitLimit } from './dissemination.ts'
import { History } from './history.ts'
import { MemberTable } from './member.ts'
import type { Member, MemberChange, Supersedes } from './member.ts'
import type { MemberFacts, MemberState, MemberUpdate } from './messages.ts'
import { Registry, sameFacts } from './registry.ts'
import type { RegistryEntry } from './registry.ts'
import { suspicionTimeoutMs } from './suspicion.ts'

export interface BeliefsOptions {
  readonly self: PeerId
  readonly facts: MemberFacts
  readonly config: MembershipConfig
  readonly registry: readonly RegistryEntry[]
  readonly merged: boolean
  readonly supersedes: Supersedes
}

/** What one update has taught us. */
export interface Lesson {
  readonly newFacts: boolean
  readonly change: MemberChange | undefined
}

const nothingNew: Lesson = { newFacts: false, change: undefined }

/**
 * What we believe: who belongs (registry), in which state each member is, and which of it is news to spread. Every claim,
 * of others and of our own probes, comes in by `learn`; every claim that goes out is made by `updateOf`.
 */
export class Beliefs {
  readonly self: PeerId
  readonly registry: Registry
  readonly members: MemberTable
  readonly dissemination: Dissemination
  readonly history = new History()
  readonly #config: MembershipConfig
  #registryChanged = false
  #rejected = 0

  constructor({ self, facts, config, registry, merged, supersedes }: BeliefsOptions) {
    this.self = self
    this.#config = config
    this.registry = new Registry(registry)
    this.members = new MemberTable(supersedes)
    this.dissemination = new Dissemination({
      describe: (peer) => this.updateOf(peer),
      sendsMax: () => retransmitLimit({ retransmitMult: config.retransmitMult, members: this.registry.size }),
    })
    this.#stateOurFacts(facts)
    this.registry.setStatus(self, merged ? 'member' : 'joining')
  }

  /** Incarnation 0 is below all that anybody says of itself, so what we believe at the start yields to every rumor. */
  start(nowMs: Millis): void {
    this.#stateOurselves({ state: 'alive', incarnation: 1, reason: 'started' }, nowMs)
    const reason = 'not heard of since this peer started'
    for (const peer of this.registry.peers()) {
      if (peer === this.self) continue
      this.members.set({ peer, incarnation: 0, status: { type: 'dead' }, sinceMs: nowMs, by: this.self, reason })
    }
  }

  /** Our registry is that of a mesh, also after a restart. */
  becomeMember(): void {
    this.registry.setStatus(this.self, 'member')
    this.#registryChanged = true
  }

  /** All others that we believe to be there. */
  expected(): readonly PeerId[] {
    return this.registry.peers().filter((peer) => peer !== this.self && this.isExpected(peer))
  }

  isExpected(peer: PeerId): boolean {
    const state = this.stateOf(peer)
    return state === 'alive' || state === 'suspect'
  }

  leave(nowMs: Millis): void {
    this.#stateOurselves({ state: 'left', incarnation: this.incarnation + 1, reason: 'left' }, nowMs)
  }

  /** Our own; 0 before the start. */
  get incarnation(): number {
    return this.members.get(this.self)?.incarnation ?? 0
  }

  /** Updates and messages that were refused: absurd, over a bound, or about nobody we know. */
  get rejected(): number {
    return this.#rejected
  }

  reject(): void {
    this.#rejected += 1
  }

  stateOf(peer: PeerId): MemberState | undefined {
    return this.members.get(peer)?.status.type
  }

  updateOf(peer: PeerId): MemberUpdate | undefined {
    const member = this.members.get(peer)
    const facts = this.registry.get(peer)?.facts
    if (member === undefined || facts === undefined) return undefined
    const { incarnation, status, by, reason } = member
    return { peer, state: status.type, incarnation, by, reason, facts }
  }

  fullState(): readonly MemberUpdate[] {
    return this.registry.peers().flatMap((peer) => this.updateOf(peer) ?? [])
  }

  learn(update: MemberUpdate, nowMs: Millis): Lesson {
    const { peer, facts } = update
    if (!this.#isCredible(update)) return this.#refuse()
    if (peer === this.self) return this.#answerForOurselves(update, nowMs)
    const merged = facts === undefined ? 'none' : this.registry.merge(peer, facts)
    if (!this.registry.has(peer)) return this.#refuse()
    const newFacts = merged !== 'none'
    this.#registryChanged ||= newFacts
    const deadAtMs = nowMs + suspicionTimeoutMs(this.#config, this.registry.size)
    const reason = update.reason.slice(0, limits.reasonLengthMax)
    const change = this.members.believe({ ...update, reason }, { nowMs, deadAtMs })
    if (newFacts || change !== undefined) this.dissemination.spread(peer)
    if (change !== undefined) this.#record(change, nowMs)
    return { newFacts, change }
  }

  /**
   * In a full state `dead` may be an old opinion, of a side that was cut off for instance: whom we hold for alive we only
   * suspect, so that it can refute (memberlist, mergeState).
   */
  learnFromFullState(update: MemberUpdate, nowMs: Millis): Lesson {
    const state = this.stateOf(update.peer)
    const isDoubtful =
      update.state === 'dead' && update.peer !== this.self && (state === 'alive' || state === 'suspect')
    return this.learn(isDoubtful ? { ...update, state: 'suspect' } : update, nowMs)
  }

  /** The registry if it has changed since this was last asked. */
  takeRegistryChange(): readonly RegistryEntry[] | undefined {
    if (!this.#registryChanged) return undefined
    this.#registryChanged = false
    return this.registry.entries()
  }

  // Ourselves ---------------------------------------------------------------------------------------------------------

  /** Nobody else has the last word about us: a claim that would replace ours is topped by a higher incarnation (SWIM 4.2). */
  #answerForOurselves(update: MemberUpdate, nowMs: Millis): Lesson {
    if (update.facts !== undefined) this.#answerForOurFacts(update.facts)
    if (!this.members.wouldChange(update)) return nothingNew
    const incarnation = update.incarnation + 1
    const state = this.stateOf(this.self) === 'left' ? 'left' : 'alive'
    // Others remember an earlier run of ours as alive: nothing to refute, but our word must count for more than its.
    const verb = update.state === 'alive' ? 'started again' : 'refuted'
    const reason = `${verb} with incarnation ${incarnation}`
    const member = this.#stateOurselves({ state, incarnation, reason }, nowMs)
    this.#record({ member, from: update.state }, nowMs)
    return nothingNew
  }

  #stateOurselves(
    claim: { readonly state: 'alive' | 'left'; readonly incarnation: number; readonly reason: string },
    nowMs: Millis,
  ): Member {
    const { state, incarnation, reason } = claim
    const known = this.members.get(this.self)
    const sinceMs = known?.status.type === state ? known.sinceMs : nowMs
    const member = { peer: this.self, incarnation, status: { type: state }, sinceMs, by: this.self, reason }
    this.members.set(member)
    this.dissemination.spread(this.self)
    return member
  }

  /** Facts that differ from those of an earlier run need a higher counter to replace them. */
  #stateOurFacts(facts: MemberFacts): void {
    const said = this.registry.get(this.self)?.facts
    if (said !== undefined && sameFacts(said, facts)) return
    const counter = Math.max(facts.counter, (said?.counter ?? -1) + 1)
    this.#registryChanged = this.registry.merge(this.self, { ...facts, counter }) !== 'none'
  }

  /** An earlier run, whose disk we no longer have, may have said other things under the same counter or a higher one. */
  #answerForOurFacts(facts: MemberFacts): void {
    const ours = this.registry.get(this.self)?.facts
    assert(ours !== undefined, 'a peer belongs to its own mesh from its start')
    if (facts.counter < ours.counter || sameFacts(facts, ours)) return
    this.registry.merge(this.self, { ...ours, counter: facts.counter + 1 })
    this.#registryChanged = true
    this.dissemination.spread(this.self)
  }

  // -------------------------------------------------------------------------------------------------------------------

  #record({ member, from }: MemberChange, nowMs: Millis): void {
    const { peer, status, incarnation, by, reason } = member
    this.history.record({ atMs: nowMs, peer, from, to: status.type, incarnation, by, reason })
  }

  #isCredible({ peer, incarnation, facts }: MemberUpdate): boolean {
    const leap = incarnation - (this.members.get(peer)?.incarnation ?? 0)
    return isCounter(incarnation) && leap <= incarnationLeapMax && (facts === undefined || isCounter(facts.counter))
  }

  #refuse(): Lesson {
    this.reject()
    return nothingNew
  }
}

/** No honest member refutes as often in its life; without a bound one lie would use up the numbers below 2^53. */
const incarnationLeapMax = 2 ** 32

/** A whole number that can still be raised. */
const isCounter = (value: number): boolean => Number.isSafeInteger(value + 1) && value >= 0
