import type { PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { Millis, Random } from '#protocol/machine'
import type { MembershipConfig } from '#protocol/membership/config'
import { Membership } from '#protocol/membership/membership'
import type { DialTarget, MembershipEffect, MembershipInput } from '#protocol/membership/membership'
import type { MembershipMessage, MemberUpdate } from '#protocol/membership/messages'
import type { RegistryEntry } from '#protocol/membership/registry'
import { randomIndex, SeededRandom } from '#protocol/random'
import { Calendar } from './calendar.ts'
import { Paths } from './paths.ts'
import type { PathOptions } from './paths.ts'
import { Traffic } from './traffic.ts'

export interface ScaleOptions extends PathOptions {
  readonly members: number
  readonly seed: number
  readonly config: MembershipConfig
  /** `all`: every pair is linked, whatever the limit of the configuration. `limited`: as the machine has it, by `linksMax`. */
  readonly links: 'all' | 'limited'
}

export type Told = Extract<MembershipEffect, { type: 'memberChanged' | 'statusChanged' }>

interface Host {
  readonly index: number
  readonly self: PeerId
  readonly machine: Membership
  /** `killed`: its kernel answers that nobody is there. `cut`: nothing answers. */
  state: 'up' | 'killed' | 'cut'
  stalledUntilMs: Millis
  readonly waiting: { timers: MembershipInput[]; others: (() => void)[] }
}

const transportTimeoutMs: Millis = 5_000

/**
 * A mesh of production membership machines, thousands of them, that runs since long: everybody knows everybody and has
 * nothing to tell. The network is less than the one of `../network.ts`, and costs less. Links are there at the start; after that they
 * come by the dials of the machines, with a handshake, and go when an end closes them or is killed, of which the other is told.
 */
export class ScaleMesh {
  readonly calendar = new Calendar()
  readonly traffic: Traffic
  readonly peers: readonly PeerId[]
  /** What a running member has found out. */
  onTold: (at: number, told: Told) => void = () => {}
  readonly #hosts: readonly Host[]
  readonly #indexOf: ReadonlyMap<PeerId, number>
  /** Pairs with a link; where all are linked at first, those without one. */
  readonly #pairs = new Set<number>()
  /** When the last frame of a pair arrives, one way: nothing overtakes it. */
  readonly #arrivesMs = new Map<number, Millis>()
  readonly #paths: Paths
  readonly #options: ScaleOptions
  readonly random: Random

  constructor(options: ScaleOptions) {
    const { members, seed, links } = options
    const linksMax = links === 'all' ? members : options.config.linksMax
    const config = { ...options.config, linksMax }
    this.#options = options
    this.random = new SeededRandom(seed * 7_919 + members)
    this.#paths = new Paths(options, new SeededRandom(seed * 104_729 + members + 1))
    this.traffic = new Traffic(members)
    const entries = Array.from({ length: members }, (_, index) => entryOf(index))
    this.peers = entries.map(({ peer }) => peer)
    this.#indexOf = new Map(this.peers.map((peer, index) => [peer, index]))
    this.#hosts = entries.map(({ peer: self, facts }, index): Host => {
      const random = new SeededRandom(seed * 15_485_863 + index)
      const machine = new Membership({ self, facts, registry: entries, seeds: [], random, config })
      return { index, self, machine, state: 'up', stalledUntilMs: 0, waiting: { timers: [], others: [] } }
    })
    if (links === 'limited') this.#linkSome(linksMax)
    const pages = pagesOf(entries)
    for (const host of this.#hosts) this.#settle(host, pages)
  }

  get nowMs(): Millis {
    return this.calendar.nowMs
  }

  /** Those that run. */
  get up(): readonly number[] {
    return this.#hosts.filter(({ state }) => state === 'up').map(({ index }) => index)
  }

  isUp(index: number): boolean {
    return this.#hosts[index]?.state === 'up'
  }

  machineOf(index: number): Membership {
    return this.#host(index).machine
  }

  indexOf(peer: PeerId): number {
    return this.#indexOf.get(peer) ?? -1
  }

  tell(index: number, input: MembershipInput): void {
    this.#deliver(this.#host(index), input)
  }

  /** kill -9: its kernel closes the connections that it has, and refuses new ones. */
  kill(index: number): void {
    const host = this.#host(index)
    host.state = 'killed'
    for (const other of this.#hosts) {
      if (other.state !== 'up' || !this.#isLinked(this.#keyOf(index, other.index))) continue
      this.#part(other, host.self, this.#paths.oneWayMs())
    }
  }

  /** A power cut: nobody is told. */
  cut(index: number): void {
    this.#host(index).state = 'cut'
  }

  /** A blocked event loop. Then its timers go first, as in Node. */
  stall(index: number, forMs: Millis): void {
    const host = this.#host(index)
    host.stalledUntilMs = this.nowMs + forMs
    this.calendar.after(forMs, () => this.#wake(host))
  }

  /** As after a long time without events, and without what it takes to get there. */
  #settle(host: Host, pages: readonly MembershipMessage[]): void {
    const timers: MembershipEffect[] = []
    const tell = (input: MembershipInput): boolean => {
      const effects = host.machine.handle(input, 0)
      timers.push(...effects.filter(({ type }) => type === 'setTimer'))
      return effects.some(({ type }) => type === 'send')
    }
    tell({ type: 'started' })
    const others = this.#hosts.filter((other) => other !== host)
    const isLinked = (other: Host): boolean => this.#isLinked(this.#keyOf(host.index, other.index))
    const [linked, unlinked] = [others.filter(isLinked), others.filter((other) => !isLinked(other))]
    for (const { self: peer } of linked) tell({ type: 'linkUp', peer })
    const [from] = linked
    if (from !== undefined) for (const message of pages) tell({ type: 'messageReceived', from: from.self, message })
    for (const { self: peer } of unlinked) {
      tell({ type: 'dialFailed', target: { type: 'member', peer, addresses: [] }, reason: '' })
      const wait = timers.pop()
      if (wait?.type === 'setTimer') tell({ type: 'timerFired', timer: wait.timer })
    }
    // All that there is to tell has been told.
    while (tell({ type: 'timerFired', timer: { type: 'gossip', dueMs: 0 } }));
    for (const effect of timers) {
      if (effect.type === 'setTimer' && effect.timer.type !== 'redial') this.#perform(host, effect)
    }
  }

  #wake(host: Host): void {
    if (host.state !== 'up' || host.stalledUntilMs > this.nowMs) return
    const { timers, others } = host.waiting
    for (const input of timers.splice(0)) this.#deliver(host, input)
    for (const run of others.splice(0)) run()
  }

  /** Something reaches a process, or waits until it is there. */
  #reach(host: Host, run: () => void): void {
    if (host.state !== 'up') return
    if (host.stalledUntilMs > this.nowMs) host.waiting.others.push(run)
    else run()
  }

  #deliver(host: Host, input: MembershipInput): void {
    for (const effect of host.machine.handle(input, this.nowMs)) this.#perform(host, effect)
  }

  #perform(host: Host, effect: MembershipEffect): void {
    switch (effect.type) {
      case 'send':
        return this.#send(host, this.#hostOf(effect.to), effect.message)
      case 'dial':
        return this.#dial(host, effect.target)
      case 'closeLink':
        return this.#close(host, effect.peer)
      case 'setTimer': {
        const input = { type: 'timerFired', timer: effect.timer } as const
        return this.calendar.after(effect.afterMs, () => {
          if (host.state !== 'up') return
          if (host.stalledUntilMs > this.nowMs) host.waiting.timers.push(input)
          else this.#deliver(host, input)
        })
      }
      case 'memberChanged':
      case 'statusChanged':
        return this.onTold(host.index, effect)
      case 'persistRegistry':
      case 'registrySettled':
      case 'registryRefused':
      case 'doubleNoticed':
    }
  }

  #send(from: Host, to: Host, message: MembershipMessage): void {
    this.traffic.sent(from.index, message, this.nowMs)
    const key = this.#keyOf(from.index, to.index)
    if (!this.#isLinked(key)) return
    if (to.state === 'killed') return this.#part(from, to.self, 2 * this.#paths.oneWayMs())
    const ms = this.#paths.frameMs()
    if (ms === undefined || to.state === 'cut') return
    const way = from.index * this.#hosts.length + to.index
    const arrivesMs = Math.max(this.nowMs + ms, this.#arrivesMs.get(way) ?? 0)
    this.#arrivesMs.set(way, arrivesMs)
    this.calendar.after(arrivesMs - this.nowMs, () =>
      this.#reach(to, () => {
        if (this.#isLinked(key)) this.#deliver(to, { type: 'messageReceived', from: from.self, message })
      }),
    )
  }

  #dial(from: Host, target: DialTarget): void {
    if (target.type !== 'member') return
    const to = this.#hostOf(target.peer)
    this.traffic.dials++
    const key = this.#keyOf(from.index, to.index)
    const fail = (afterMs: Millis, reason: string): void =>
      this.calendar.after(afterMs, () =>
        this.#reach(from, () => this.#deliver(from, { type: 'dialFailed', target, reason })),
      )
    if (to.state === 'killed') return fail(2 * this.#paths.oneWayMs(), 'connection refused')
    if (to.state === 'cut') return fail(transportTimeoutMs, 'timed out')
    // Whoever is stalled accepts when it is back.
    this.calendar.after(this.#paths.dialMs(), () =>
      this.#reach(to, () => {
        // Both have dialed at once, and the other dial was faster.
        if (from.state !== 'up' || this.#isLinked(key)) return
        this.#setLinked(key, true)
        this.#deliver(to, { type: 'linkUp', peer: from.self })
        this.calendar.after(this.#paths.oneWayMs(), () =>
          this.#reach(from, () => this.#deliver(from, { type: 'linkUp', peer: to.self })),
        )
      }),
    )
  }

  #close(host: Host, peer: PeerId): void {
    const other = this.#hostOf(peer)
    if (!this.#isLinked(this.#keyOf(host.index, other.index))) return
    this.#part(host, peer, 0)
    if (other.state === 'up') this.#part(other, host.self, this.#paths.oneWayMs())
  }

  #part(at: Host, peer: PeerId, afterMs: Millis): void {
    this.#setLinked(this.#keyOf(at.index, this.#hostOf(peer).index), false)
    const input = { type: 'linkDown', peer, cause: 'closed', reason: 'connection reset' } as const
    this.calendar.after(afterMs, () => this.#reach(at, () => this.#deliver(at, input)))
  }

  /** A random graph in which each has about so many links. */
  #linkSome(linksEach: number): void {
    const count = this.#hosts.length
    const pairs = Math.min(count * linksEach, count * (count - 1)) / 2
    while (this.#pairs.size < pairs) {
      const [a, b] = [randomIndex(this.random, count), randomIndex(this.random, count)]
      if (a !== b) this.#pairs.add(this.#keyOf(a, b))
    }
  }

  #isLinked(pair: number): boolean {
    return this.#pairs.has(pair) === (this.#options.links === 'limited')
  }

  #setLinked(pair: number, linked: boolean): void {
    if (linked === (this.#options.links === 'limited')) this.#pairs.add(pair)
    else this.#pairs.delete(pair)
  }

  #keyOf(a: number, b: number): number {
    return Math.min(a, b) * this.#hosts.length + Math.max(a, b)
  }

  #hostOf(peer: PeerId): Host {
    return this.#host(this.indexOf(peer))
  }

  #host(index: number): Host {
    const host = this.#hosts[index]
    if (host === undefined) throw new Error(`no member ${index}`)
    return host
  }
}

/** As long as real ids, names and addresses are. */
function entryOf(index: number): RegistryEntry {
  const digits = String(index).padStart(6, '0')
  const address = `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`
  const facts = {
    name: `peer-${digits}`,
    addresses: [`${address}:7400`],
    http: `http://${address}:8400`,
    zone: `zone-${index % 3}`,
    counter: 1,
  }
  const peer = `12D3KooW${'x'.repeat(38)}${digits}` as PeerId
  return { peer, facts, addresses: facts.addresses, status: { type: 'member', generation: 0 } }
}

function pagesOf(entries: readonly RegistryEntry[]): readonly MembershipMessage[] {
  const updates = entries.map(({ peer, facts }): MemberUpdate => {
    return { peer, state: 'alive', incarnation: 1, by: peer, reason: 'started', facts }
  })
  const size = limits.membersPerMessageMax
  return Array.from({ length: Math.ceil(updates.length / size) }, (_, page): MembershipMessage => {
    const members = updates.slice(page * size, (page + 1) * size)
    return { type: 'pushPull', members, standing: 'merged', reply: false, more: false }
  })
}
