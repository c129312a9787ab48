import type { PeerId } from '#protocol/ids'
import type { Millis } from '#protocol/machine'
import { SeededRandom } from '#protocol/random'
import { membershipProfiles } from './config.ts'
import type { MembershipConfig } from './config.ts'
import { Membership } from './membership.ts'
import type { DialTarget, MembershipEffect, MembershipInput, MembershipOptions } from './membership.ts'
import type { MemberFacts, MemberState, MembershipMessage, MemberUpdate } from './messages.ts'
import type { RegistryEntry } from './registry.ts'

/**
 * For the tests of this folder: a few membership machines on virtual time, joined by links that deliver in order after a
 * millisecond. Enough to see the protocol at work; the project's simulator has the faults.
 */
export class TestMesh {
  nowMs: Millis = 0
  readonly changes: (Extract<MembershipEffect, { type: 'memberChanged' }> & { at: PeerId; atMs: Millis })[] = []
  readonly sent: { from: PeerId; to: PeerId; atMs: Millis; message: MembershipMessage }[] = []
  readonly dials: { from: PeerId; type: DialTarget['type']; to: string; atMs: Millis }[] = []
  /** Links that came up or ended, but not those that come and go all the time. */
  readonly linkNews: { at: PeerId; peer: PeerId; type: 'linkUp' | 'linkDown' }[] = []
  /** Who had its registry persisted. */
  readonly writes: PeerId[] = []
  /** Pairs that are cut: frames vanish and dials time out, while links stay up. */
  isCut: (a: PeerId, b: PeerId) => boolean = () => false
  loseDialAnswers = false
  /** What a dial to where it is cut takes to fail. */
  dialTimeoutMs: Millis = 2_000
  readonly #config: MembershipConfig
  readonly #options: Partial<MembershipOptions>
  readonly #hosts = new Map<PeerId, Host>()
  /** Links by their two ends, as `ash-elm`; the number tells a link from the one before it. */
  readonly #links = new Map<string, number>()
  #queue: Scheduled[] = []
  #order = 0

  constructor(config: MembershipConfig = membershipProfiles.lan, options: Partial<MembershipOptions> = {}) {
    this.#config = config
    this.#options = options
  }

  /** Starts a peer, or starts it again with the registry it had persisted. */
  start(name: string, seeds: readonly string[] = [], options: Partial<MembershipOptions> = {}): PeerId {
    const self = peerOf(name)
    const registry = this.#hosts.get(self)?.registry ?? []
    const random = new SeededRandom(this.#hosts.size + this.nowMs + 1)
    const machine = new Membership({
      self,
      facts: factsOf(name),
      registry,
      seeds: seeds.map((seed) => `${seed}:7400`),
      random,
      config: this.#config,
      ...this.#options,
      ...options,
    })
    this.#hosts.set(self, { machine, registry, pausedUntilMs: 0 })
    this.#deliver(self, { type: 'started' })
    return self
  }

  /** The first peer starts alone and the others join by it. */
  startAll(...names: string[]): PeerId[] {
    return names.map((name, index) => this.start(name, index === 0 ? [] : [names[0] ?? '']))
  }

  /** kill -9: the kernel closes its sockets and refuses its port. */
  kill(peer: PeerId): void {
    const host = this.#host(peer)
    this.#hosts.set(peer, { ...host, machine: undefined })
    for (const other of this.#hosts.keys()) this.closeLink(peer, other, 'closed')
  }

  /** A blocked event loop: everything waits, and afterwards timers go first, as in Node. */
  pause(peer: PeerId, forMs: Millis): void {
    this.#host(peer).pausedUntilMs = this.nowMs + forMs
  }

  leave(peer: PeerId): void {
    this.#deliver(peer, { type: 'leaveRequested' })
  }

  closeLink(a: PeerId, b: PeerId, cause: 'closed' | 'broken'): void {
    if (!this.#links.delete(linkName(a, b))) return
    for (const [at, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#schedule(1, at, { type: 'linkDown', peer, cause, reason: 'connection reset' })
    }
  }

  isLinked(a: PeerId, b: PeerId): boolean {
    return this.#links.has(linkName(a, b))
  }

  /** A frame as it may come from anybody. */
  inject(from: PeerId, to: PeerId, message: MembershipMessage): void {
    this.#deliver(to, { type: 'messageReceived', from, message })
  }

  traffic(from: PeerId, to: PeerId): void {
    this.#deliver(to, { type: 'trafficReceived', peer: from })
  }

  run(forMs: Millis): void {
    const endMs = this.nowMs + forMs
    for (let next = this.#queue[0]; next !== undefined && next.atMs <= endMs; next = this.#queue[0]) {
      this.#queue.shift()
      this.nowMs = next.atMs
      this.#fire(next)
    }
    this.nowMs = endMs
  }

  /** Runs until `condition` holds, and says how long that took. */
  runUntil(condition: () => boolean, withinMs: Millis): Millis {
    const startMs = this.nowMs
    while (!condition()) {
      if (this.nowMs - startMs >= withinMs) throw new Error(`not within ${withinMs} ms`)
      this.run(1)
    }
    return this.nowMs - startMs
  }

  machine(peer: PeerId): Membership {
    const { machine } = this.#host(peer)
    if (machine === undefined) throw new Error(`${peer} is down`)
    return machine
  }

  view(at: PeerId, of: PeerId): ReturnType<Membership['snapshot']>['members'][number] | undefined {
    return this.machine(at)
      .snapshot(this.nowMs)
      .members.find(({ id }) => id === of)
  }

  state(at: PeerId, of: PeerId): MemberState | undefined {
    return this.view(at, of)?.state
  }

  /** Every peer of `at` believes every peer of `of` to be in this state. */
  allSee(at: readonly PeerId[], of: readonly PeerId[], state: MemberState): boolean {
    return at.every((one) => {
      const { members } = this.machine(one).snapshot(this.nowMs)
      return of.every((other) => members.some((member) => member.id === other && member.state === state))
    })
  }

  registryOf(peer: PeerId): readonly RegistryEntry[] {
    return this.#host(peer).registry
  }

  #host(peer: PeerId): Host {
    const host = this.#hosts.get(peer)
    if (host === undefined) throw new Error(`no ${peer}`)
    return host
  }

  #knows(at: PeerId, peer: PeerId): boolean {
    return this.machine(at)
      .snapshot(this.nowMs)
      .links.some((link) => link.peer === peer)
  }

  #schedule(afterMs: Millis, to: PeerId, input: MembershipInput, link?: number): void {
    const machine = this.#host(to).machine
    this.#insert({ atMs: this.nowMs + afterMs, order: ++this.#order, to, input, machine, link })
  }

  #insert(item: Scheduled): void {
    const isLater = (other: Scheduled): boolean =>
      other.atMs > item.atMs || (other.atMs === item.atMs && other.order > item.order)
    const index = this.#queue.findIndex(isLater)
    this.#queue.splice(index < 0 ? this.#queue.length : index, 0, item)
  }

  #fire(item: Scheduled): void {
    const host = this.#host(item.to)
    if (item.machine !== host.machine) return
    if (host.pausedUntilMs > this.nowMs) {
      const order = item.input.type === 'timerFired' ? item.order - 1e9 : item.order
      return this.#insert({ ...item, atMs: host.pausedUntilMs, order })
    }
    if (item.input.type === 'messageReceived') {
      const { from } = item.input
      if (this.#links.get(linkName(from, item.to)) !== item.link || this.isCut(from, item.to)) return
    }
    this.#deliver(item.to, item.input)
  }

  /** Something happens to a peer now. */
  tell(to: PeerId, input: MembershipInput): readonly MembershipEffect[] {
    return this.#deliver(to, input)
  }

  #deliver(to: PeerId, input: MembershipInput): readonly MembershipEffect[] {
    const { machine } = this.#host(to)
    const isLink = input.type === 'linkUp' || input.type === 'linkDown'
    if (isLink && machine?.isRoutine(input.peer, this.nowMs) === false)
      this.linkNews.push({ at: to, peer: input.peer, type: input.type })
    const effects = machine?.handle(input, this.nowMs) ?? []
    for (const effect of effects) this.#perform(to, effect)
    return effects
  }

  #perform(at: PeerId, effect: MembershipEffect): void {
    switch (effect.type) {
      case 'send': {
        const { to, message } = effect
        this.sent.push({ from: at, to, atMs: this.nowMs, message })
        this.#schedule(1, to, { type: 'messageReceived', from: at, message }, this.#links.get(linkName(at, to)))
        return
      }
      case 'dial':
        return this.#dial(at, effect.target)
      case 'closeLink':
        return this.closeLink(at, effect.peer, 'closed')
      case 'setTimer':
        return this.#schedule(effect.afterMs, at, { type: 'timerFired', timer: effect.timer })
      case 'persistRegistry':
        this.writes.push(at)
        this.#host(at).registry = effect.entries
        return
      case 'registrySettled':
      case 'registryRefused':
      case 'statusChanged':
      case 'doubleNoticed':
        return
      case 'memberChanged':
        this.changes.push({ ...effect, at, atMs: this.nowMs })
    }
  }

  #dial(from: PeerId, target: DialTarget): void {
    const address = (target.type === 'seed' ? target.address : target.addresses[0]) ?? ''
    this.dials.push({ from, type: target.type, to: address, atMs: this.nowMs })
    const to = peerOf(address.split(':')[0] ?? '')
    const fail = (afterMs: Millis, reason: string, there?: PeerId): void =>
      this.#schedule(afterMs, from, { type: 'dialFailed', target, reason, there })
    if (this.loseDialAnswers) return
    if (to === from) return fail(1, 'that is ourselves', to)
    // A link that is on its way up is the end of this dial too.
    if (this.isLinked(from, to)) return this.#knows(from, to) ? fail(1, 'there is a link already', to) : undefined
    if (this.isCut(from, to)) return fail(this.dialTimeoutMs, 'timed out')
    const isListening = this.#hosts.get(to)?.machine !== undefined
    if (!isListening) return fail(1, 'connection refused')
    this.#links.set(linkName(from, to), ++this.#order)
    this.#schedule(2, from, { type: 'linkUp', peer: to })
    this.#schedule(2, to, { type: 'linkUp', peer: from })
  }
}

interface Host {
  machine: Membership | undefined
  registry: readonly RegistryEntry[]
  pausedUntilMs: Millis
}

interface Scheduled {
  readonly atMs: Millis
  readonly order: number
  readonly to: PeerId
  readonly input: MembershipInput
  /** What is meant for a process dies with it. */
  readonly machine: Membership | undefined
  readonly link: number | undefined
}

export const peerOf = (name: string): PeerId => name as PeerId

export const factsOf = (name: string, counter = 0): MemberFacts => {
  return { name, addresses: [`${name}:7400`], http: `http://${name}:8400`, zone: '', counter }
}

/** A rumor about `peer` in the words of `by`. */
export const rumor = (peer: PeerId, state: MemberState, incarnation: number, by: PeerId): MemberUpdate => {
  return { peer, state, incarnation, by, reason: `${by} says so`, facts: factsOf(peer) }
}

const linkName = (a: PeerId, b: PeerId): string => [a, b].toSorted().join('-')
