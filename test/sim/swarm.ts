import type { PeerId } from '#protocol/ids'
import { Dice } from './dice.ts'
import type { NetworkOptions } from './network.ts'
import type { StoreOptions } from './sim-store.ts'

/** How often something goes wrong, on average, and for how long. */
export interface Fault {
  readonly everyMs: number
  readonly forMsMax: number
}

/** What may go wrong in a run. A fault class that is left out does not happen at all. */
export interface FaultOptions {
  /** Groups of peers are cut from each other; `oneWay` is the share in which one direction goes on working. */
  readonly partitions?: Fault & { readonly oneWay: number }
  /** Processes die: `powerCuts` of them silently, `losses` of them with damage to their disk. */
  readonly crashes?: Fault & { readonly powerCuts: number; readonly losses: number }
  readonly pauses?: Fault
  readonly resets?: Fault
  /** Peers leave in good order, and come back. */
  readonly leaves?: Fault
}

export interface WorkloadOptions {
  readonly topics: readonly string[]
  readonly publishEveryMs: number
  readonly recordsMax: number
  readonly valueBytesMax: number
  readonly levels: readonly string[]
  readonly waitMsMax: number
  readonly readers: number
  /** How often a reader takes its cursor to another peer. */
  readonly moveEveryMs: number
}

export interface SimOptions {
  readonly seed: number
  readonly peers: readonly PeerId[]
  /** The seeds of each peer: the first, the one before it, or all. */
  readonly joinBy: 'first' | 'previous' | 'anybody'
  /** Peers that join while faults are already happening. */
  readonly lateJoiners: number
  /** First phase: work and faults. */
  readonly faultsMs: number
  /** Second phase: no faults, everybody up. The mesh has so long to converge. */
  readonly healMsMax: number
  readonly network: NetworkOptions
  readonly store: StoreOptions
  readonly workload: WorkloadOptions
  readonly faults: FaultOptions
}

const names = ['oak', 'elm', 'ash', 'fir', 'yew', 'bay', 'box'] as const
const topics = ['orders', 'payments', 'audit.login'] as const
const ackLevels = ['n:2', 'majority', 'all'] as const

/**
 * Swarm testing (Groce et al., ISSTA 2012): each seed leaves out some features altogether, which finds more than doing a
 * little of everything in every run.
 */
export function optionsOfSeed(seed: number): SimOptions {
  const dice = new Dice(seed, 'swarm')
  const count = dice.whole(2, names.length)
  return {
    seed,
    peers: names.slice(0, count) as readonly string[] as readonly PeerId[],
    joinBy: dice.pick(['first', 'previous', 'anybody']),
    lateJoiners: dice.chance(0.4) ? dice.whole(0, count - 1) : 0,
    faultsMs: dice.whole(15_000, 45_000),
    healMsMax: 180_000,
    network: networkOf(dice),
    store: { fsyncMsMin: 0.1, fsyncMsMax: dice.magnitude(1, 300) },
    workload: workloadOf(dice),
    faults: faultsOf(dice),
  }
}

function networkOf(dice: Dice): NetworkOptions {
  return {
    latencyMsMin: 0.2,
    latencyMsMax: dice.magnitude(1, 31),
    bytesPerMs: dice.magnitude(10_000, 1_000_000),
    slowPaths: dice.chance(0.3) ? 0.2 : 0,
    dialFaults: dice.chance(0.3) ? 0.2 : 0,
    dialTimeoutMs: 3_000,
    tcpTimeoutMs: dice.magnitude(5_000, 900_000),
  }
}

function workloadOf(dice: Dice): WorkloadOptions {
  return {
    topics: topics.slice(0, dice.whole(1, topics.length)),
    publishEveryMs: dice.magnitude(20, 500),
    recordsMax: dice.whole(1, 5),
    valueBytesMax: dice.chance(0.3) ? 200_000 : 200,
    levels: ['local', ...ackLevels.filter(() => dice.chance(0.7))],
    waitMsMax: dice.magnitude(50, 10_000),
    readers: dice.whole(1, 4),
    moveEveryMs: dice.magnitude(2_000, 20_000),
  }
}

function faultsOf(dice: Dice): FaultOptions {
  const often = (everyMsMin: number, forMsMax: number): Fault => ({
    everyMs: dice.magnitude(everyMsMin, 5 * everyMsMin),
    forMsMax,
  })
  return {
    ...(dice.chance(0.6) && { partitions: { ...often(4_000, 25_000), oneWay: dice.pick([0, 0.3, 1]) } }),
    ...(dice.chance(0.6) && {
      crashes: { ...often(2_000, 15_000), powerCuts: dice.pick([0, 0.5, 1]), losses: dice.pick([0, 0, 0.5]) },
    }),
    ...(dice.chance(0.4) && { pauses: often(2_000, 6_000) }),
    ...(dice.chance(0.4) && { resets: often(500, 0) }),
    ...(dice.chance(0.2) && { leaves: often(8_000, 10_000) }),
  }
}

/** The same world with everything going wrong all the time: what a patient hunter runs. */
export const harsh = (options: SimOptions): SimOptions => ({
  ...options,
  faults: {
    partitions: { everyMs: 3_000, forMsMax: 9_000, oneWay: 0.4 },
    crashes: { everyMs: 900, forMsMax: 3_000, powerCuts: 0.5, losses: options.seed % 2 === 0 ? 0 : 0.3 },
    pauses: { everyMs: 1_500, forMsMax: 3_000 },
    resets: { everyMs: 400, forMsMax: 0 },
    leaves: { everyMs: 6_000, forMsMax: 4_000 },
  },
})

/** Whom the peer at `index` is told to join by. */
export function seedsOf({ peers, joinBy }: SimOptions, index: number): readonly PeerId[] {
  switch (joinBy) {
    case 'first':
      return peers.slice(0, Math.min(1, index))
    case 'previous':
      return peers.slice(Math.max(0, index - 1), index)
    case 'anybody':
      return peers
  }
}
