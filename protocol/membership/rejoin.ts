import type { PeerId } from '#protocol/ids'
import type { Millis, Random } from '#protocol/machine'
import { limits } from '#protocol/limits'
import { shuffled } from '#protocol/random'
import type { MembershipConfig } from './config.ts'
import type { Links } from './links.ts'
import type { Registry } from './registry.ts'
import type { Dialed, Turn } from './turn.ts'

interface Dial {
  readonly target: Dialed
  /**
   * `queued`: it is dialed as soon as there is room among `dialsAtOnce`; `waiting`: at its time; `resting`: there is no link, nor need
   * be one: whoever needs it dials.
   */
  phase: 'dialing' | 'queued' | 'waiting' | 'linked' | 'resting'
  /** When the phase ends by itself: a dial is given up, a wait is over. Who is queued tries then, too. */
  dueMs: Millis
  /** When the last dial began, or the link came up. */
  startedMs: Millis
  /** Dials since the last link. */
  attempts: number
  /** Links in a row that did not stand for long. */
  flaps: number
  lastError: string | undefined
  /** Who was at the other end of a seed. Another brings us a member, which is then dialed as such. */
  answeredBy: 'ourselves' | 'another' | undefined
  /** That another answered is guessed: the dial has told no failure in time. */
  isGuess: boolean
}

export interface RejoinDeps {
  readonly self: PeerId
  readonly config: MembershipConfig
  readonly random: Random
  readonly registry: Registry
  readonly links: Links
  /** The member is there, as far as we know, and there are links enough: it is dialed when it is needed. */
  readonly mayRest: (peer: PeerId) => boolean
  /** Others than membership need a link with the member. */
  readonly isNeeded: (peer: PeerId) => boolean
  /** The member is believed to be there. */
  readonly isThere: (peer: PeerId) => boolean
  readonly seeds: readonly string[]
}

const absenteesHoldMs = 1_000

/**
 * Endless re-join: the mesh always re-merges (DESIGN §6). Every registered member without a link is dialed for ever, at
 * every address ever learned, with capped and jittered back-off. A seed is dialed until it answered, and again whenever
 * we have no link at all.
 */
export class Rejoin {
  readonly #deps: RejoinDeps
  readonly #dials = new Map<string, Dial>()
  /** All that are queued, in order, and maybe some that are not any more. */
  readonly #queued = new Set<PeerId>()
  /** All dials under way, and maybe some that are not any more. */
  readonly #underWay = new Set<Dial>()
  #lastLinkUpMs = Number.NEGATIVE_INFINITY
  /** Links in a row that did not stand for long and left us to our seeds, whoever was at their other end. */
  #seedFlaps = 0
  #absentees = { count: 0, atMs: Number.NEGATIVE_INFINITY }
  #stopped = false

  constructor(deps: RejoinDeps) {
    this.#deps = deps
  }

  /** Seeds are often members too: they wait a moment for the dials of members, so that few peers are dialed twice. */
  start(turn: Turn): void {
    const { registry, self, config, random } = this.#deps
    const known = registry.peers().filter((peer) => peer !== self)
    const others = known.length <= config.dialsAtOnce ? known : shuffled(random, known)
    const atOnce = Math.min(config.linksMax, config.dialsAtOnce)
    for (const peer of others.slice(0, atOnce)) this.memberMissing(peer, turn)
    // Of the rest we hear from those: who is there has its turn then, or is left alone.
    for (const peer of others.slice(atOnce)) this.#queue(this.#dialOf({ type: 'member', peer }, turn), peer, turn)
    this.#seedsMissing(others.length === 0 ? 0 : config.dialBackoffMsMin, turn)
  }

  /** From now on nobody is dialed. */
  stop(): void {
    this.#stopped = true
  }

  /**
   * A registered member has no link (any more), or other facts than before. It is dialed at once, except after a link or
   * a dial so short ago that dialing again could become a tight loop, and except a member that left, which is not
   * expected to answer soon. Who is forgotten comes by itself, if it has something to hand over.
   */
  memberMissing(peer: PeerId, turn: Turn, options: { readonly left?: boolean } = {}): void {
    if (!this.#deps.registry.belongs(peer)) return
    const dial = this.#dialOf({ type: 'member', peer }, turn)
    if (dial.phase === 'dialing') return
    if (dial.phase === 'linked') dial.flaps = this.#wasShort(dial.startedMs, turn) ? dial.flaps + 1 : 0
    const isFlapping = dial.phase === 'linked' && dial.flaps > 0
    if (!isFlapping && this.#deps.mayRest(peer)) return rest(dial)
    if (dial.phase === 'waiting' && this.#isTooSoon(dial, turn)) return
    if (options.left === true) this.#wait(dial, this.#jittered(this.#deps.config.dialBackoffMsMax), turn)
    else if (isFlapping) this.#wait(dial, this.#backoffMs(dial.flaps, turn), turn)
    else this.#startInTurn(dial, peer, turn)
  }

  /**
   * The member is new here, as we are there. Of two that hear of each other at the same time the one with the smaller id dials at
   * once, and the other one only if that led to nothing: two connections for each link would be thousands where many join.
   */
  awaitDial(peer: PeerId, turn: Turn): void {
    if (!this.#deps.registry.belongs(peer)) return
    const dial = this.#dialOf({ type: 'member', peer }, turn)
    if (dial.phase !== 'waiting' || dial.attempts > 0) return
    if (this.#deps.mayRest(peer)) rest(dial)
    else this.#wait(dial, this.#backoffMs(2, turn), turn)
  }

  /** The link was closed because nothing needs it. */
  rest(peer: PeerId, turn: Turn): void {
    const dial = this.#dialOf({ type: 'member', peer }, turn)
    if (dial.phase === 'dialing') return
    rest(dial)
    dial.flaps = 0
  }

  /** Something needs the link: it is dialed in its turn. Nothing happens to one that is there, or missing for another reason. */
  wake(peer: PeerId, turn: Turn): void {
    const dial = this.#dials.get(peer)
    if (dial?.phase !== 'resting') return
    if (this.#isTooSoon(dial, turn)) this.#wait(dial, this.#backoffMs(dial.flaps, turn), turn)
    else this.#startInTurn(dial, peer, turn)
  }

  /** Whoever is queued and there, as far as there is room: those that are needed first. To be called at the end of each turn. */
  dialQueued(turn: Turn): void {
    const { config, isThere, isNeeded } = this.#deps
    // Each turn asks this, and thousands may be queued: mostly there is no room.
    if (this.#queued.size === 0) return
    let room = config.dialsAtOnce - this.#dialing(isThere)
    if (room <= 0) return
    const others: PeerId[] = []
    for (const peer of this.#queued) {
      if (this.#dials.get(peer)?.phase !== 'queued') this.#queued.delete(peer)
      else if (!isThere(peer)) continue
      else if (!isNeeded(peer)) others.push(peer)
      else if (this.#startOrRest(peer, turn) && --room <= 0) return
    }
    for (const peer of others) if (this.#startOrRest(peer, turn) && --room <= 0) return
  }

  #startOrRest(peer: PeerId, turn: Turn): boolean {
    const dial = this.#dialOf({ type: 'member', peer }, turn)
    if (!this.#deps.mayRest(peer)) return this.#start(dial, turn)
    rest(dial)
    return false
  }

  isResting(peer: PeerId): boolean {
    return this.#dials.get(peer)?.phase === 'resting'
  }

  /** Of members. */
  get dialing(): number {
    return this.#dialing(() => true)
  }

  /** A link that stood since then is gone, and only our seeds may lead back, unless another comes up in a moment. */
  linkLost(sinceMs: Millis, turn: Turn): void {
    this.#seedFlaps = this.#wasShort(sinceMs, turn) ? this.#seedFlaps + 1 : 0
    this.#seedsMissing(this.#backoffMs(Math.max(1, this.#seedFlaps), turn), turn)
  }

  linkUp(peer: PeerId, turn: Turn): void {
    this.#lastLinkUpMs = turn.nowMs
    if (!this.#deps.registry.belongs(peer)) return
    const dial = this.#dialOf({ type: 'member', peer }, turn)
    dial.phase = 'linked'
    dial.startedMs = turn.nowMs
    dial.attempts = 0
    dial.lastError = undefined
  }

  /**
   * Dials a member now, for a probe, although a dial has failed not long ago. `unreachable` = it has failed just now, its
   * links do not last, or it has no address.
   */
  reach(peer: PeerId, turn: Turn): 'dialing' | 'unreachable' {
    if (!this.#deps.registry.belongs(peer)) return 'unreachable'
    const dial = this.#dialOf({ type: 'member', peer }, turn)
    if (dial.phase === 'dialing') return 'dialing'
    if (this.#isTooSoon(dial, turn)) return 'unreachable'
    return this.#start(dial, turn) ? 'dialing' : 'unreachable'
  }

  /** It is not dialed any more; a timer of it finds nothing. */
  forgotten(peer: PeerId): void {
    this.#dials.delete(peer)
  }

  /** Every seed has answered at some time, or is ourselves. */
  get seedsReached(): boolean {
    return this.#deps.seeds.every((address) => this.#dials.get(address)?.answeredBy !== undefined)
  }

  /** A linked member has told its state, and with it where it is to be found. */
  met(peer: PeerId): void {
    for (const address of this.#deps.registry.get(peer)?.facts.addresses ?? []) {
      this.found({ type: 'seed', address }, peer)
    }
  }

  /** A dial has led, or would lead, to `there`. A name may lead to somebody else some day, so ourselves are no reason to stop. */
  found(target: Dialed, there: PeerId): void {
    const dial = this.#dials.get(keyOf(target))
    if (dial?.target.type !== 'seed') return
    if (there === this.#deps.self) dial.answeredBy ??= 'ourselves'
    else this.#answered(dial)
  }

  dialFailed(target: Dialed, reason: string, turn: Turn): void {
    const dial = this.#dials.get(keyOf(target))
    if (dial?.phase !== 'dialing' && dial?.isGuess !== true) return
    if (dial.isGuess) Object.assign(dial, { answeredBy: undefined, isGuess: false })
    dial.lastError = reason
    const { config, links } = this.#deps
    // While we are in a mesh, a missing seed is no emergency: it is asked as rarely as a push-pull happens.
    const isCalm = dial.target.type === 'seed' && links.count > 0
    this.#wait(dial, isCalm ? this.#jittered(config.pushPullIntervalMs) : this.#backoffMs(dial.attempts, turn), turn)
  }

  /** True if a dial was given up by this timer. A stale timer finds another due time. */
  timerFired(target: Dialed, dueMs: Millis, turn: Turn): boolean {
    const dial = this.#dials.get(keyOf(target))
    if (dial === undefined || dial.phase === 'linked' || dial.phase === 'resting' || dial.dueMs !== dueMs) return false
    if (dial.target.type === 'seed' && this.#isAnswered(dial)) {
      const isGuess = dial.answeredBy !== 'another'
      this.#answered(dial)
      dial.isGuess = isGuess
      return false
    }
    if (dial.phase === 'waiting' || dial.phase === 'queued') {
      if (dial.target.type === 'seed') this.#start(dial, turn)
      else if (this.#deps.mayRest(dial.target.peer)) rest(dial)
      else this.#startInTurn(dial, dial.target.peer, turn)
      return false
    }
    this.dialFailed(target, 'no answer', turn)
    return true
  }

  snapshot(): readonly Readonly<Dial>[] {
    return [...this.#dials.values()]
  }

  /** Every seed is asked, at the latest after `afterMs`. */
  #seedsMissing(afterMs: Millis, turn: Turn): void {
    for (const address of this.#deps.seeds) {
      const dial = this.#dialOf({ type: 'seed', address }, turn)
      // A dial that began before the last link came up may have brought that link: its end would never be told.
      if (dial.phase === 'dialing' && dial.startedMs > this.#lastLinkUpMs) continue
      const isDueSooner = dial.dueMs > turn.nowMs && dial.dueMs <= turn.nowMs + afterMs
      if (dial.phase === 'waiting' && isDueSooner) continue
      if (afterMs > 0) this.#wait(dial, afterMs, turn)
      else this.#start(dial, turn)
    }
  }

  /** After a dial or a link. Whose links do not last gets more time. */
  #isTooSoon({ attempts, flaps, startedMs }: Dial, turn: Turn): boolean {
    const isTried = attempts > 0 || flaps > 0
    return isTried && turn.nowMs - startedMs < this.#backoffMsMax(Math.max(1, flaps), turn)
  }

  #wasShort(sinceMs: Millis, turn: Turn): boolean {
    return turn.nowMs - sinceMs < this.#deps.config.dialBackoffMsMax
  }

  /** A seed dial that ended without a failure has reached somebody, maybe one that had a link already. */
  #isAnswered(dial: Dial): boolean {
    return this.#deps.links.count > 0 && (dial.phase === 'dialing' || dial.answeredBy === 'another')
  }

  #answered(dial: Dial): void {
    dial.answeredBy = 'another'
    dial.isGuess = false
    dial.phase = 'linked'
    dial.attempts = 0
    dial.lastError = undefined
  }

  #dialOf(target: Dialed, turn: Turn): Dial {
    const key = keyOf(target)
    let dial = this.#dials.get(key)
    if (dial === undefined) {
      const { nowMs } = turn
      const never = { attempts: 0, flaps: 0, lastError: undefined, answeredBy: undefined, isGuess: false }
      dial = { target, phase: 'waiting', dueMs: nowMs, startedMs: nowMs, ...never }
      this.#dials.set(key, dial)
    }
    return dial
  }

  /** Whoever is not there does not answer either way, and holds up nobody who is; where there are very many, not one another either. */
  #startInTurn(dial: Dial, peer: PeerId, turn: Turn): void {
    const { config, isThere } = this.#deps
    const isAbsent = !isThere(peer)
    if (isAbsent && this.dialing >= limits.dialsOfAbsentMax)
      this.#wait(dial, this.#jittered(this.#longestMs(turn)), turn)
    else if (isAbsent || this.#dialing(isThere) < config.dialsAtOnce) this.#start(dial, turn)
    else this.#queue(dial, peer, turn)
  }

  /** Whoever is not there when its time has come is dialed then. */
  #queue(dial: Dial, peer: PeerId, turn: Turn): void {
    if (this.#stopped) return
    this.#wait(dial, this.#jittered(this.#deps.config.dialBackoffMsMax), turn)
    dial.phase = 'queued'
    this.#queued.add(peer)
  }

  #dialing(isThere: (peer: PeerId) => boolean): number {
    let count = 0
    for (const dial of this.#underWay) {
      const { phase, target } = dial
      if (phase !== 'dialing' || this.#dials.get(keyOf(target)) !== dial) this.#underWay.delete(dial)
      else if (target.type === 'member' && isThere(target.peer)) count++
    }
    return count
  }

  #start(dial: Dial, turn: Turn): boolean {
    if (this.#stopped) return false
    const target =
      dial.target.type === 'seed'
        ? dial.target
        : { ...dial.target, addresses: this.#deps.registry.get(dial.target.peer)?.addresses ?? [] }
    if (target.type === 'member' && target.addresses.length === 0) return false
    dial.phase = 'dialing'
    this.#underWay.add(dial)
    dial.startedMs = turn.nowMs
    dial.attempts += 1
    turn.order({ type: 'dial', target })
    this.#arm(dial, this.#deps.config.dialTimeoutMs, turn)
    return true
  }

  #wait(dial: Dial, afterMs: Millis, turn: Turn): void {
    if (this.#stopped) return
    dial.phase = 'waiting'
    this.#arm(dial, afterMs, turn)
  }

  #arm(dial: Dial, afterMs: Millis, turn: Turn): void {
    dial.dueMs = turn.nowMs + afterMs
    turn.setTimer({ type: 'redial', target: dial.target }, afterMs)
  }

  #backoffMs(attempts: number, turn: Turn): Millis {
    return this.#jittered(this.#backoffMsMax(attempts, turn))
  }

  #backoffMsMax(attempts: number, turn: Turn): Millis {
    return Math.min(this.#longestMs(turn), this.#deps.config.dialBackoffMsMin * 2 ** (attempts - 1))
  }

  /** Each that is not there is dialed for ever: where these are very many they take turns. */
  #longestMs(turn: Turn): Millis {
    return this.#deps.config.dialBackoffMsMax * Math.max(1, this.#absent(turn) / limits.absentPerBackoffMax)
  }

  /** As of the last second: where thousands are gone this is asked hundreds of times in one. */
  #absent({ nowMs }: Turn): number {
    const { registry, isThere } = this.#deps
    if (registry.size <= limits.absentPerBackoffMax) return 0
    if (nowMs - this.#absentees.atMs >= absenteesHoldMs) {
      const count = registry.peers().reduce((sum, peer) => sum + (isThere(peer) ? 0 : 1), 0)
      this.#absentees = { count, atMs: nowMs }
    }
    return this.#absentees.count
  }

  /** Between half of `ms` and all of it. */
  #jittered(ms: Millis): Millis {
    return Math.round(ms * (0.5 + this.#deps.random.next() / 2))
  }
}

/** Whose links do not last is not dialed sooner for it. */
function rest(dial: Dial): void {
  Object.assign(dial, { phase: 'resting', attempts: 0, lastError: undefined })
}

/** An address has a colon and a peer id has none, so the two never meet. */
const keyOf = (target: Dialed): string => (target.type === 'seed' ? target.address : target.peer)
