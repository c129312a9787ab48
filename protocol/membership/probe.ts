import { sampled, shuffled } from '#protocol/random'
import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Millis, Random } from '#protocol/machine'
import type { Awareness } from './awareness.ts'
import type { MembershipConfig } from './config.ts'
import type { Dissemination } from './dissemination.ts'
import type { Links } from './links.ts'
import type { Rejoin } from './rejoin.ts'
import type { MemberUpdate } from './messages.ts'
import type { Turn } from './turn.ts'

/** Suspects of whom others are asked once more, in a probe interval: it takes a few messages for each. */
const askedPerIntervalMax = 2

/** A question of ours to `target`: first by ourselves, then through `helpers`. */
interface Probe {
  readonly target: PeerId
  readonly ref: number
  readonly startedMs: Millis
  phase: 'direct' | 'indirect'
  helpers: ReadonlySet<PeerId>
  readonly nacks: Set<PeerId>
  /** What made us ask, other than the target's turn, such as a closed link. */
  readonly evidence: string | undefined
}

/** A question that we ask `target` for `requester`, who knows it as `theirRef`. */
interface Relay {
  readonly target: PeerId
  readonly requester: PeerId
  readonly theirRef: number
}

export interface ProbesDeps {
  readonly config: MembershipConfig
  readonly random: Random
  readonly links: Links
  readonly rejoin: Rejoin
  readonly dissemination: Dissemination
  readonly awareness: Awareness
  /** What `target` is to be told first: that it is accused. */
  readonly accusationOf: (target: PeerId) => MemberUpdate | undefined
  readonly members: () => readonly PeerId[]
  /** Are there more members than links are kept? */
  readonly isLimited: () => boolean
  /** Does its turn come once per round? */
  readonly isCandidate: (member: PeerId) => boolean
  /** Who could ask `target` for us: alive and linked. */
  readonly helpersFor: (target: PeerId) => readonly PeerId[]
  readonly probeFailed: (target: PeerId, reason: string, turn: Turn) => void
  /** The target lives, and did not answer us. */
  readonly reachedByHelper: (target: PeerId, turn: Turn) => void
}

/**
 * Failure detection (SWIM 3.1, 4.3). A probe is a ping; without an answer in `probeTimeoutMs` other members are asked to
 * ping; without an answer by the end of the interval, or once all of them said no, it has failed. Links are streams: to a
 * member without one, the direct question is a dial, and a refused dial goes on to the others at once. So a killed
 * process, which takes its links and its port with it, is suspected within a few round trips.
 */
export class Probes {
  readonly #deps: ProbesDeps
  /** By target: one open probe each. */
  readonly #open = new Map<PeerId, Probe>()
  /** By our own ref, in the order they were asked for. */
  readonly #relays = new Map<number, Relay>()
  #round: PeerId[] = []
  #ref = 0
  /** Of whom we have asked others in this interval. */
  #asked = 0
  #askedAtMs = Number.NEGATIVE_INFINITY

  constructor(deps: ProbesDeps) {
    this.#deps = deps
  }

  /** Probes whose turn it is: everybody once per round, each round in a new order, so detection time is bounded. */
  next(turn: Turn): void {
    const target = this.#nextOfRound() ?? this.#nextRound()
    if (target !== undefined) this.begin(target, turn)
  }

  #nextRound(): PeerId | undefined {
    this.#round = shuffled(this.#deps.random, this.#deps.members().filter(this.#deps.isCandidate))
    return this.#round.pop()
  }

  #nextOfRound(): PeerId | undefined {
    for (let peer = this.#round.pop(); peer !== undefined; peer = this.#round.pop()) {
      if (this.#deps.isCandidate(peer)) return peer
    }
    return undefined
  }

  isOpen(target: PeerId): boolean {
    return this.#open.has(target)
  }

  begin(target: PeerId, turn: Turn, evidence?: string): void {
    if (this.#open.has(target)) return
    const { config, awareness } = this.#deps
    const probe: Probe = {
      target,
      ref: ++this.#ref,
      startedMs: turn.nowMs,
      phase: 'direct',
      helpers: new Set(),
      nacks: new Set(),
      evidence,
    }
    this.#open.set(target, probe)
    const allMs = config.probeIntervalMs + this.#dialGraceMs
    turn.setTimer({ type: 'probeOverdue', ref: probe.ref }, awareness.scaled(allMs))
    if (this.#ask(target, probe.ref, turn)) {
      turn.setTimer({ type: 'directProbeOverdue', ref: probe.ref }, awareness.scaled(config.probeTimeoutMs))
    } else this.#goIndirect(probe, turn)
  }

  /** Any frame, or a new link, is proof of life. It answers what we ask of `peer`, for ourselves and for others. */
  heard(peer: PeerId, turn: Turn): void {
    if (this.#open.delete(peer)) this.#deps.awareness.better()
    for (const relay of this.#takeRelays(peer)) this.#answer(relay, 'ack', turn)
  }

  /** The link is gone, and `target` with it or not: a dial asks. */
  linkDown(target: PeerId, turn: Turn, evidence?: string): void {
    const open = this.#open.get(target)
    // The ping went down with the link; the answers of helpers did not.
    if (open?.phase === 'direct') this.#open.delete(target)
    this.begin(target, turn, evidence)
  }

  dialFailed(target: PeerId, turn: Turn): void {
    const probe = this.#open.get(target)
    if (probe?.phase === 'direct') this.#goIndirect(probe, turn)
    for (const relay of this.#takeRelays(target)) this.#answer(relay, 'nack', turn)
  }

  /** Another member asks us to probe `target`. */
  requested(request: Relay, turn: Turn): void {
    const { target, requester } = request
    // One relay per pair, so nobody makes us remember more than there are members.
    for (const [ref, relay] of this.#relays) {
      if (relay.target === target && relay.requester === requester) this.#relays.delete(ref)
    }
    const ref = ++this.#ref
    if (!this.#ask(target, ref, turn)) return this.#answer(request, 'nack', turn)
    this.#relays.set(ref, request)
    // Early enough for the nack to arrive before the requester gives up.
    const { probeTimeoutMs, probeIntervalMs } = this.#deps.config
    const graceMs = this.#deps.links.has(target) ? 0 : this.#dialGraceMs
    const leftMs = Math.min(probeTimeoutMs, probeIntervalMs - probeTimeoutMs) + graceMs
    turn.setTimer({ type: 'relayOverdue', ref }, 0.8 * leftMs)
  }

  /** What is said of `target` is told to some others, who answer if they know better. */
  askOthers(target: PeerId, turn: Turn): void {
    const { config, random, links, accusationOf, helpersFor } = this.#deps
    const accusation = accusationOf(target)
    if (turn.nowMs - this.#askedAtMs >= config.probeIntervalMs) {
      this.#askedAtMs = turn.nowMs
      this.#asked = 0
    }
    // Where many go at once they are gone.
    if (accusation === undefined || ++this.#asked > askedPerIntervalMax) return
    for (const helper of sampled(random, helpersFor(target), config.indirectProbes)) {
      const ref = ++this.#ref
      links.pinged(helper, ref, turn.nowMs)
      turn.send(helper, { type: 'ping', ref, updates: [accusation] })
    }
  }

  /** A helper reached the target. An ack of the target itself has already counted as a frame. */
  acked(from: PeerId, ref: number, turn: Turn): void {
    const probe = this.#byRef(ref)
    if (!probe?.helpers.has(from)) return
    this.#open.delete(probe.target)
    this.#deps.awareness.better()
    this.#deps.reachedByHelper(probe.target, turn)
  }

  nacked(from: PeerId, ref: number, turn: Turn): void {
    const probe = this.#byRef(ref)
    if (!probe?.helpers.has(from)) return
    probe.nacks.add(from)
    if (probe.nacks.size === probe.helpers.size) this.#fail(probe, turn)
  }

  directOverdue(ref: number, turn: Turn): void {
    const probe = this.#byRef(ref)
    if (probe?.phase === 'direct') this.#goIndirect(probe, turn)
  }

  /** Helpers that are well would have said no by now: who is silent is so because of us, maybe (Lifeguard 3.1). */
  overdue(ref: number, turn: Turn): void {
    const probe = this.#byRef(ref)
    if (probe === undefined) return
    this.#deps.awareness.worse(probe.helpers.size === 0 ? 1 : probe.helpers.size - probe.nacks.size)
    this.#fail(probe, turn)
  }

  relayOverdue(ref: number, turn: Turn): void {
    const relay = this.#relays.get(ref)
    if (relay === undefined) return
    this.#relays.delete(ref)
    this.#answer(relay, 'nack', turn)
  }

  /** We were not there to hear the answers: what is open says nothing about others. */
  discardAll(): void {
    this.#open.clear()
    this.#relays.clear()
  }

  snapshot(): readonly Readonly<Probe>[] {
    return [...this.#open.values()]
  }

  /**
   * Where not all are linked a probe takes an interval more, for us or our helpers may have to dial: that takes four round trips,
   * any of eight packets may be lost, and the first is sent again after a second only.
   */
  get #dialGraceMs(): Millis {
    return this.#deps.isLimited() ? this.#deps.config.probeIntervalMs : 0
  }

  /** False if there is no way to ask. */
  #ask(target: PeerId, ref: number, turn: Turn): boolean {
    const { links, rejoin, dissemination, accusationOf } = this.#deps
    if (!links.has(target)) return rejoin.reach(target, turn) === 'dialing'
    links.pinged(target, ref, turn.nowMs)
    const accusation = accusationOf(target)
    const others = dissemination.ride().filter(({ peer }) => accusation === undefined || peer !== target)
    const updates = accusation === undefined ? others : [accusation, ...others].slice(0, limits.updatesPerMessageMax)
    turn.send(target, { type: 'ping', ref, updates })
    return true
  }

  #goIndirect(probe: Probe, turn: Turn): void {
    const { config, random, links, dissemination, helpersFor } = this.#deps
    probe.phase = 'indirect'
    const helpers = shuffled(random, helpersFor(probe.target)).slice(0, config.indirectProbes)
    probe.helpers = new Set(helpers)
    for (const helper of helpers) {
      const { ref, target } = probe
      turn.send(helper, { type: 'pingRequest', ref, target, updates: dissemination.ride() })
    }
    // Nobody left to ask: with a link the rest of the interval is for a late ack, without one nothing can come.
    if (helpers.length === 0 && !links.has(probe.target)) this.#fail(probe, turn)
  }

  #fail(probe: Probe, turn: Turn): void {
    this.#open.delete(probe.target)
    const asked = probe.helpers.size
    const finding = asked === 0 ? 'no answer to a probe' : `no answer to ${asked} indirect probe${asked > 1 ? 's' : ''}`
    const reason = probe.evidence === undefined ? finding : `${probe.evidence}, ${finding}`
    this.#deps.probeFailed(probe.target, reason, turn)
  }

  #answer({ requester, theirRef }: Relay, type: 'ack' | 'nack', turn: Turn): void {
    const { links, dissemination } = this.#deps
    if (links.has(requester)) turn.send(requester, { type, ref: theirRef, updates: dissemination.ride() })
  }

  #takeRelays(target: PeerId): readonly Relay[] {
    if (this.#relays.size === 0) return []
    const taken = [...this.#relays].filter(([, relay]) => relay.target === target)
    for (const [ref] of taken) this.#relays.delete(ref)
    return taken.map(([, relay]) => relay)
  }

  #byRef(ref: number): Probe | undefined {
    for (const probe of this.#open.values()) if (probe.ref === ref) return probe
    return undefined
  }
}
