import { assert } from '#protocol/assert'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Millis } from '#protocol/machine'
import type { MembershipConfig } from './config.ts'
import { Dissemination, fitting, retransmitLimit } from './dissemination.ts'
import { type Double, DoubleWatch } from './double.ts'
import { History } from './history.ts'
import { claimOf, MemberTable } from './member.ts'
import type { Member, MemberChange, Supersedes } from './member.ts'
import type { MemberFacts, MemberState, MemberUpdate, RegistryStatus } from './messages.ts'
import { Registry, sameFacts } from './registry.ts'
import type { RegistryEntry } from './registry.ts'
import { confirmationsMax, confirmedTimeoutMs } from './suspicion.ts'
import { bucketAt, bucketCountFor, bucketLength, bucketOf, tableDigest } from './table-digest.ts'
import type { Belief } from './table-digest.ts'

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
  /** What it is now, if that is another one. */
  readonly newStatus?: RegistryStatus | undefined
  readonly change: MemberChange | undefined
  /** Somebody held us for suspect or dead. */
  readonly accused?: boolean
  /** Somebody else lives under our identity. */
  readonly double?: Double | undefined
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
  readonly doubles = new DoubleWatch()
  readonly #config: MembershipConfig
  #registryChanged = false
  #digest = { revision: '', text: '' }
  #rejected = 0

  constructor({ self, facts, config, registry, merged, supersedes }: BeliefsOptions) {
    this.self = self
    this.#config = config
    this.registry = new Registry(registry)
    this.members = new MemberTable(supersedes)
    this.dissemination = new Dissemination({
      describe: (peer, options) => this.updateOf(peer, options),
      sendsMax: () => retransmitLimit({ retransmitMult: config.retransmitMult, members: this.registry.size }),
    })
    this.#stateOurFacts(facts)
    this.registry.setJoining(self, !merged)
  }

  /** Incarnation 0 is below all that anybody says of itself, so what we believe at the start yields to every rumor. */
  start(nowMs: Millis): void {
    this.#stateOurselves({ state: 'alive', incarnation: 1, reason: 'started', facts: true }, nowMs)
    const reason = 'not heard of since this peer started'
    for (const peer of this.registry.known()) {
      if (peer === this.self) continue
      this.members.set({ peer, incarnation: 0, status: { type: 'dead' }, sinceMs: nowMs, by: this.self, reason })
    }
  }

  /** Our registry is that of a mesh, also after a restart. */
  becomeMember(): void {
    this.registry.setJoining(this.self, false)
    this.#registryChanged = true
  }

  /** All others that we believe to be there. */
  expected(): readonly PeerId[] {
    return this.registry.peers().filter((peer) => peer !== this.self && this.isExpected(peer))
  }

  isExpected(peer: PeerId): boolean {
    if (!this.registry.belongs(peer)) return false
    const state = this.stateOf(peer)
    return state === 'alive' || state === 'suspect'
  }

  leave(nowMs: Millis): void {
    this.#stateOurselves({ state: 'left', incarnation: this.incarnation + 1, reason: 'left', facts: false }, nowMs)
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

  /** Facts are half of an update, and told only to who may not have them. */
  updateOf(peer: PeerId, options: { readonly facts: boolean } = { facts: false }): MemberUpdate | undefined {
    const member = this.members.get(peer)
    const facts = this.registry.get(peer)?.facts
    if (member === undefined || facts === undefined) return undefined
    const { incarnation, status, by, reason } = member
    const confirmedBy = status.type === 'suspect' ? [...status.accusers].filter((accuser) => accuser !== by) : []
    const factsToTell = options.facts ? { facts } : {}
    const more = { ...(confirmedBy.length > 0 && { confirmedBy }), ...factsToTell, ...this.#statusToTell(peer) }
    return { peer, state: status.type, incarnation, by, reason, ...more }
  }

  /** What we know better than who accuses others of being gone, as far as a message has room for it: they have refuted that. */
  corrections(updates: readonly MemberUpdate[]): MemberUpdate[] {
    if (this.#config.lastWordMs === 0) return []
    const isRefuted = ({ peer, state, incarnation }: MemberUpdate): boolean =>
      (state === 'suspect' || state === 'dead') && incarnation < (this.members.get(peer)?.incarnation ?? 0)
    const peers = new Set(updates.filter(isRefuted).map(({ peer }) => peer))
    return fitting([...peers].flatMap((peer) => this.updateOf(peer) ?? []))
  }

  /** Hashes of all that we believe, for a push-pull. */
  digest(): string {
    return this.#digestOf(bucketCountFor(this.registry.known().length))
  }

  /** Of whom we may believe something else than `theirs` does; undefined if of nobody. */
  differing(theirs: string): readonly PeerId[] | undefined {
    const count = Math.floor(theirs.length / bucketLength)
    const ours = this.#digestOf(count)
    if (ours === theirs) return undefined
    const differs = (bucket: number): boolean => bucketAt(ours, bucket) !== bucketAt(theirs, bucket)
    return this.registry.known().filter((peer) => differs(bucketOf(peer, count)))
  }

  /** After a long quiet it is the same each time. */
  #digestOf(count: number): string {
    const revision = `${count} ${this.members.revision} ${this.registry.revision}`
    if (this.#digest.revision !== revision) {
      const beliefs = this.registry.known().map((peer): Belief => {
        const member = this.members.get(peer)
        const status = this.registry.statusOf(peer)
        return { peer, claim: member && claimOf(member), facts: this.registry.get(peer)?.facts, status }
      })
      this.#digest = { revision, text: tableDigest(beliefs, count) }
    }
    return this.#digest.text
  }

  learn(update: MemberUpdate, nowMs: Millis, { isNews = true } = {}): Lesson {
    const { peer, facts } = update
    if (!this.#isCredible(update)) return this.#refuse()
    if (peer === this.self)
      return { ...this.#answerForOurselves(update, nowMs), newStatus: this.#learnStatus(update, true) }
    const merged = facts === undefined ? 'none' : this.registry.merge(peer, facts)
    if (!this.registry.has(peer)) return this.#refuse()
    const newFacts = merged !== 'none'
    this.#registryChanged ||= newFacts
    const newStatus = this.#learnStatus(update, isNews)
    const reason = update.reason.slice(0, limits.reasonLengthMax)
    const [config, members] = [this.#config, this.registry.size]
    const change = this.members.believe(
      { ...update, reason },
      {
        nowMs,
        timeoutMs: (confirmations) => confirmedTimeoutMs(config, members, confirmations),
        confirmationsMax: confirmationsMax(config, members),
      },
    )
    if (isNews && (newFacts || change !== undefined))
      this.dissemination.spread(peer, { facts: newFacts, isSuspicion: this.stateOf(peer) === 'suspect' })
    if (change !== undefined) this.#record(change, nowMs)
    return { newFacts, newStatus, change }
  }

  /** Somebody decides here whether the peer belongs. */
  decide(peer: PeerId, status: RegistryStatus, { isNews = true } = {}): boolean {
    if (!this.registry.mergeStatus(peer, status)) return false
    this.#registryChanged = true
    if (isNews) this.dissemination.spread(peer)
    return true
  }

  /**
   * In a full state `dead` may be an old opinion, of a side that was cut off for instance: whom we hold for alive we only
   * suspect, so that it can refute (memberlist, mergeState). What we have only not heard since our start is no news: others were
   * there.
   */
  learnFromFullState(update: MemberUpdate, { isNews }: { readonly isNews: boolean }, nowMs: Millis): Lesson {
    const known = this.members.get(update.peer)
    const state = known?.status.type
    const isDoubtful =
      update.state === 'dead' && update.peer !== this.self && (state === 'alive' || state === 'suspect')
    return this.learn(isDoubtful ? { ...update, state: 'suspect' } : update, nowMs, {
      isNews: isNews && known?.incarnation !== 0,
    })
  }

  /** The registry if it has changed since this was last asked. */
  takeRegistryChange(): readonly RegistryEntry[] | undefined {
    if (!this.#registryChanged) return undefined
    this.#registryChanged = false
    return this.registry.entries()
  }

  #learnStatus({ peer, status = plainMember }: MemberUpdate, isNews: boolean): RegistryStatus | undefined {
    return this.decide(peer, status, { isNews }) ? status : undefined
  }

  #statusToTell(peer: PeerId): Pick<MemberUpdate, 'status'> {
    const status = this.registry.statusOf(peer)
    return status === undefined || (status.type === 'member' && status.generation === 0) ? {} : { status }
  }

  // Ourselves ---------------------------------------------------------------------------------------------------------

  /** Nobody else has the last word about us: a claim that would replace ours is topped by a higher incarnation (SWIM 4.2). */
  #answerForOurselves(update: MemberUpdate, nowMs: Millis): Lesson {
    if (update.facts !== undefined) this.#answerForOurFacts(update.facts)
    if (!this.members.wouldChange(update)) return nothingNew
    const incarnation = update.incarnation + 1
    const state = this.stateOf(this.self) === 'left' ? 'left' : 'alive'
    // Others remember an earlier run of ours as alive: nothing to refute, but our word must count for more than its.
    const isEarlierRun = update.state === 'alive'
    const reason = `${isEarlierRun ? 'started again' : 'refuted'} with incarnation ${incarnation}`
    const member = this.#stateOurselves({ state, incarnation, reason, facts: isEarlierRun }, nowMs)
    this.#record({ member, from: update.state }, nowMs)
    const isOurWord = update.by === this.self && update.state === 'alive'
    const double = isOurWord ? this.doubles.heard(update.facts?.addresses ?? [], nowMs) : undefined
    return { ...nothingNew, accused: update.state === 'suspect' || update.state === 'dead', double }
  }

  #stateOurselves(
    claim: {
      readonly state: 'alive' | 'left'
      readonly incarnation: number
      readonly reason: string
      readonly facts: boolean
    },
    nowMs: Millis,
  ): Member {
    const { state, incarnation, reason, facts } = claim
    const known = this.members.get(this.self)
    const sinceMs = known?.status.type === state ? known.sinceMs : nowMs
    const member = { peer: this.self, incarnation, status: { type: state }, sinceMs, by: this.self, reason }
    this.members.set(member)
    this.dissemination.spread(this.self, { facts })
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
    this.dissemination.spread(this.self, { facts: true })
  }

  // -------------------------------------------------------------------------------------------------------------------

  #record({ member, from }: MemberChange, nowMs: Millis): void {
    const { peer, status, incarnation, by, reason } = member
    this.history.record({ atMs: nowMs, peer, from, to: status.type, incarnation, by, reason })
  }

  #isCredible({ peer, incarnation, facts, status }: MemberUpdate): boolean {
    const leap = incarnation - (this.members.get(peer)?.incarnation ?? 0)
    const factsLeap = (facts?.counter ?? 0) - (this.registry.get(peer)?.facts.counter ?? 0)
    const generation = status?.generation ?? 0
    const generationLeap = generation - (this.registry.statusOf(peer)?.generation ?? 0)
    return (
      isCounter(incarnation) &&
      leap <= incarnationLeapMax &&
      (facts === undefined || isCounter(facts.counter)) &&
      factsLeap <= incarnationLeapMax &&
      isCounter(generation) &&
      generationLeap <= incarnationLeapMax
    )
  }

  #refuse(): Lesson {
    this.reject()
    return nothingNew
  }
}

const plainMember: RegistryStatus = { type: 'member', generation: 0 }

/** No honest member refutes as often in its life; without a bound one lie would use up the numbers below 2^53. */
const incarnationLeapMax = 2 ** 32

/** A whole number that can still be raised. */
const isCounter = (value: number): boolean => Number.isSafeInteger(value + 1) && value >= 0
