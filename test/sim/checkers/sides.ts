import type { PeerId } from '#protocol/ids'
import type { HealReport } from '#protocol/partitions/inputs'
import type { SimPeer } from '../sim-peer.ts'
import type { SimOptions } from '../swarm.ts'
import type { Anomaly } from './anomaly.ts'

/**
 * Whoever is cut off alone calls the others dead after 24 s with the LAN profile. Finding itself slow it takes up to eight
 * times as long for each probe, one member after the other.
 */
const toldMsMax = 90_000

const blame = (detail: string): Anomaly => ({ checker: 'sides', detail })

/** One peer that cannot be reached from another, by whatever way, as far as the simulator itself knows. */
interface Apart {
  readonly runs: readonly unknown[]
  readonly sinceMs: number
  /** What the other one had written then, in records, or has come of that since from those on this side. */
  known: number
  written: number
  /** When the peer has last said that it cannot reach it. */
  toldMs: number | undefined
}

/**
 * P8: what a peer says of a split is so. Of each look: who cannot be reached is whom membership calls dead, and who is really
 * cut off for long is among them. In the end, where nothing but the network was wrong: each cut that was told has reports that
 * do not overlap, all is merged, and what they count is at least what was written over there meanwhile, and at most what is
 * on the disk.
 */
export class SidesChecker {
  readonly #apart = new Map<string, Apart>()
  /** By peer: what was written beyond cuts that it told of. */
  readonly #owed = new Map<PeerId, number>()
  readonly #toldOf = new Map<PeerId, Set<PeerId>>()
  readonly #isCut: (from: PeerId, to: PeerId) => boolean
  readonly #isPrompt: boolean
  readonly #isPlain: boolean

  constructor(options: SimOptions, isCut: (from: PeerId, to: PeerId) => boolean) {
    this.#isCut = isCut
    const { pauses, clones, clogs, slowDisks } = options.faults
    this.#isPrompt = pauses === undefined && clones === undefined && clogs === undefined && slowDisks === undefined
    this.#isPlain = isPlain(options)
  }

  look(peers: readonly SimPeer[], nowMs: number): readonly Anomaly[] {
    const islands = this.#islands(peers.filter(({ isDown }) => !isDown))
    return peers.flatMap((peer) => {
      if (peer.driver === undefined) return []
      const others = peers.filter((other) => other !== peer)
      return [...disagreement(peer), ...others.flatMap((other) => this.#watch(peer, other, islands, nowMs))]
    })
  }

  /** Between two looks, maybe for less than that: whoever was apart and is not now has been heard. */
  healed(peers: readonly SimPeer[]): void {
    const islands = this.#islands(peers.filter(({ isDown }) => !isDown))
    for (const [pair, apart] of this.#apart) {
      const [peer, other] = pair.split(' ') as [PeerId, PeerId]
      if (!islands.some((island) => island.has(peer) && island.has(other))) continue
      this.#apart.delete(pair)
      this.#over(peer, apart)
    }
  }

  /** When all is over and healed. */
  check(peers: readonly SimPeer[]): readonly Anomaly[] {
    if (!this.#isPlain) return []
    for (const [pair, apart] of this.#apart) this.#over(pair.split(' ')[0] as PeerId, apart)
    return peers.flatMap((peer) => this.#checkHeals(peer))
  }

  #watch(peer: SimPeer, other: SimPeer, islands: readonly ReadonlySet<PeerId>[], nowMs: number): readonly Anomaly[] {
    const pair = `${peer.id} ${other.id}`
    const before = this.#apart.get(pair)
    const runs = [peer.driver, other.driver]
    const isApart = !islands.some((island) => island.has(peer.id) && island.has(other.id))
    if (!isApart || before?.runs.some((run, index) => run !== runs[index]) === true) {
      this.#apart.delete(pair)
      if (before !== undefined) this.#over(peer.id, before)
    }
    if (!isApart || other.driver === undefined) return []
    const written = writtenBy(other)
    const apart = this.#apart.get(pair) ?? { runs, sinceMs: nowMs, known: written, written, toldMs: undefined }
    this.#apart.set(pair, apart)
    apart.written = written
    apart.known = Math.max(
      apart.known,
      recordsOn(peer, (writer) => writer === other.id),
    )
    if (peer.driver?.peer.partitions.islands().some(({ members }) => members.some((one) => one.peer === other.id))) {
      apart.toldMs = nowMs
      this.#toldOf.set(peer.id, (this.#toldOf.get(peer.id) ?? new Set()).add(other.id))
      return []
    }
    const isKnown = peer.driver?.peer.partitions.reach().known.includes(other.id) === true
    // It may have heard of it meanwhile, from somebody who did not know better.
    const untoldMs = nowMs - (apart.toldMs ?? apart.sinceMs)
    if (!this.#isPrompt || !isKnown || untoldMs < toldMsMax) return []
    return [blame(`${peer.id} does not tell that it is cut off from ${other.id}, for ${untoldMs} ms now`)]
  }

  #over(peer: PeerId, { toldMs, written, known }: Apart): void {
    if (toldMs !== undefined) this.#owed.set(peer, (this.#owed.get(peer) ?? 0) + written - known)
  }

  #checkHeals(peer: SimPeer): readonly Anomaly[] {
    const { id, driver } = peer
    const heals = driver?.peer.partitions.heals() ?? []
    const wrong = heals.flatMap((heal) => [...faultsOf(heal, id), ...overlapsOf(heal, heals, id)])
    const missing = [...(this.#toldOf.get(id) ?? [])].filter((other) => !heals.some((heal) => isIn(heal, other)))
    const received = heals.reduce((sum, heal) => sum + heal.received.records, 0)
    const owed = this.#owed.get(id) ?? 0
    const most = recordsOn(peer, (writer) => writer !== id)
    return [
      ...wrong,
      ...missing.map((other) => blame(`${id} has told that it cannot reach ${other}, and of no heal`)),
      ...(received < owed
        ? [blame(`${id} counts ${received} records received, and ${owed} were written beyond its cuts`)]
        : []),
      ...(received > most ? [blame(`${id} counts ${received} records received, and has ${most} of others`)] : []),
    ]
  }

  /** Who can reach whom, one way at least, directly or through others. */
  #islands(up: readonly SimPeer[]): readonly ReadonlySet<PeerId>[] {
    const left = new Set(up.map(({ id }) => id))
    const islands: Set<PeerId>[] = []
    for (const first of left) {
      const island = new Set([first])
      left.delete(first)
      for (const peer of island) {
        for (const other of left) {
          if (this.#isCut(peer, other) && this.#isCut(other, peer)) continue
          island.add(other)
          left.delete(other)
        }
      }
      islands.push(island)
    }
    return islands
  }
}

/** Nothing is wrong but the network, nothing is let go of, and everybody keeps everything. */
function isPlain({ faults, placement, administration, retention, operators }: SimOptions): boolean {
  const { partitions: _, resets: __, clocks: ___, ...others } = faults
  const isKept = placement.replicas === Number.POSITIVE_INFINITY
  const isLeftAlone = administration === undefined && retention === undefined && operators === undefined
  return isKept && isLeftAlone && Object.keys(others).length === 0
}

/** The two views of one thing agree. */
function disagreement({ id, driver, upForMs }: SimPeer): readonly Anomaly[] {
  if (driver === undefined) return []
  const { partitions, membership } = driver.peer
  const { members } = membership.snapshot(upForMs)
  const known = members.filter(({ state, self }) => self || state !== 'left')
  const isOf = (id: string, states: readonly string[]) =>
    known.some((one) => one.id === id && states.includes(one.state))
  const dead = known.flatMap((member) => (member.state === 'dead' ? [member.id] : []))
  const reach = partitions.reach()
  const away = reach.known.filter((peer) => !reach.reachable.includes(peer))
  const inIslands = partitions.islands().flatMap(({ members: some }) => some.map(({ peer }) => peer))
  const isSame = (a: readonly string[], b: readonly string[]) => a.toSorted().join(' ') === b.toSorted().join(' ')
  // Who was dead and is only suspected now is not back yet.
  const isSound = dead.every((id) => away.includes(id as PeerId)) && away.every((id) => isOf(id, ['dead', 'suspect']))
  if (isSound && isSame(away, inIslands) && reach.known.length === known.length) return []
  return [blame(`${id} calls ${dead.join(' ')} dead, ${away.join(' ')} away, and ${inIslands.join(' ')} on islands`)]
}

function faultsOf(heal: HealReport, id: PeerId): readonly Anomaly[] {
  const { number, ours, theirs, state, received, sinceMs, healedMs } = heal
  const left = theirs.reduce((sum, { taken }) => sum + taken.left, received.left)
  const isBoth = theirs.some(({ peer }) => ours.includes(peer))
  const faults = [
    isBoth || !ours.includes(id) ? 'does not tell the sides apart' : '',
    theirs.length === 0 || healedMs < sinceMs ? 'is of nobody, or of no time' : '',
    state === 'merging' || (state === 'merged' && left > 0) ? `is ${state} in the end, with ${left} left` : '',
  ]
  return faults.filter((fault) => fault !== '').map((fault) => blame(`heal ${number} of ${id} ${fault}`))
}

const overlapsOf = (heal: HealReport, heals: readonly HealReport[], id: PeerId): readonly Anomaly[] =>
  heals
    .filter((other) => other.number > heal.number && other.sinceMs < heal.healedMs && heal.sinceMs < other.healedMs)
    .filter((other) => heal.theirs.some(({ peer }) => isIn(other, peer)))
    .map((other) => blame(`heals ${heal.number} and ${other.number} of ${id} are of one cut`))

const isIn = ({ theirs }: HealReport, peer: PeerId): boolean => theirs.some((one) => one.peer === peer)

const writtenBy = (peer: SimPeer): number => recordsOn(peer, (writer) => writer === peer.id)

/** Records on its disk, where nothing is let go of: a feed begins where the one before it ended. */
function recordsOn({ driver }: SimPeer, isWanted: (writer: PeerId) => boolean): number {
  let records = 0
  for (const { feed, keptFrom, durable } of driver?.peer.replication.local.all() ?? []) {
    if (durable !== undefined && isWanted(feed.writer)) records += durable.nextOffset - keptFrom
  }
  return records
}
