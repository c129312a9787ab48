import type { PeerId } from '#protocol/ids'
import type { MembershipConfig } from '#protocol/membership/config'
import type { Retention } from '#protocol/topic-config'
import { Dice } from './dice.ts'
import type { NetworkOptions } from './network.ts'
import type { OlderOptions } from './older-version.ts'
import type { StoreOptions } from './sim-store.ts'
import type { ClockError } from './wall-clock.ts'

/** How often something goes wrong, on average, and for how long. */
export interface Fault {
  readonly everyMs: number
  readonly forMsMax: number
}

/** What may go wrong in a run. A fault class that is left out does not happen at all. */
export interface FaultOptions {
  /** Groups of peers are cut from each other; `oneWay` is the share in which one direction goes on working. */
  readonly partitions?: PartitionFault
  /** Full buffers on all paths of a peer: everything takes up to 5 s longer. */
  readonly clogs?: Fault
  readonly crashes?: CrashFault
  /** A disk takes `factor` times as long for everything; Infinity: it does not answer. */
  readonly slowDisks?: Fault & { readonly factor: number }
  /** The next fsync of a peer fails, and with it the peer. */
  readonly fsyncErrors?: Pick<Fault, 'everyMs'>
  readonly bitFlips?: BitFlipFault
  /** A disk has room for up to `roomBytesMax` more, for a while. */
  readonly fullDisks?: Fault & { readonly roomBytesMax: number }
  /** A disk is put back to a backup that is up to `forMsMax` old. */
  readonly backups?: Fault
  /** A copy of a machine, with its identity and its disk as it is, runs beside it for a while. */
  readonly clones?: Fault
  readonly pauses?: Fault
  readonly resets?: Fault
  /** Peers leave in good order, and come back. */
  readonly leaves?: Fault
  readonly clocks?: ClockFaults
}

/**
 * A bit of a stored batch flips, at some of the disks that hold it, or in the share `everywhere` at all of them. Peers look
 * through their disks from `scrubPauseMs` after the last look on.
 */
export interface BitFlipFault extends Pick<Fault, 'everyMs'> {
  readonly everywhere: number
  readonly scrubPauseMs: number
}

/** Shares: cut in one direction only; with a peer that both sides hear; there and gone again and again. */
export interface PartitionFault extends Fault {
  readonly oneWay: number
  readonly bridges: number
  readonly flapping: number
}

/**
 * Processes die: `powerCuts` of them silently, `losses` of them with damage to their disk; and each append, and each boot, may
 * be the one in which it happens.
 */
export interface CrashFault extends Fault {
  readonly powerCuts: number
  readonly losses: number
  readonly inAppend: number
  readonly inBoot: number
}

/** Wall clocks are wrong by up to `skewMs` either way and run up to `driftPpm` too fast or too slow. */
export interface ClockFaults {
  readonly skewMs: number
  readonly driftPpm: number
  /** One peer lives next year. */
  readonly yearAhead: boolean
  /** Somebody sets a clock `byMs` on or back. */
  readonly jumps?: { readonly everyMs: number; readonly byMs: number }
}

export interface WorkloadOptions {
  readonly topics: readonly string[]
  readonly publishEveryMs: number
  readonly recordsMax: number
  readonly valueBytesMax: number
  readonly levels: readonly string[]
  readonly waitMsMax: number
  /** How many of the peers clients publish at, from the first on: the others know only what they are told. */
  readonly writers: number
  readonly readers: number
  /** Readers that come some time later. */
  readonly lateReaders: number
  /** Readers that begin with the cursor that a publish was answered with. */
  readonly sessions: number
  /** How often somebody asks for copies of a record; left out: nobody does. */
  readonly askEveryMs?: number
  /** How often a reader takes its cursor to another peer. */
  readonly moveEveryMs: number
  /** Clients that number their records, and send them again until they are answered, and after that. */
  readonly producers: ProducerOptions
}

export interface ProducerOptions {
  readonly count: number
  readonly publishEveryMs: number
  /** How long one waits for an answer before it sends again, at most. Less than an fsync now and then. */
  readonly patienceMsMax: number
  /** Of what peers keep of them: ranges between two checkpoints. */
  readonly checkpointEvery: number
  /** Share of the answered publishes that are sent again later, by a network that had kept them. */
  readonly echoes: number
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
  readonly placement: PlacementOptions
  /** Left out: everybody is linked with everybody. */
  readonly links?: LinkOptions
  /** Left out: everybody is of this version. */
  readonly older?: OlderOptions
  /** Left out: nobody administers topics. */
  readonly administration?: AdministrationOptions
  /** Left out: everything is kept. */
  /** Left out: nobody lets peers go. */
  readonly operators?: OperatorOptions
  readonly retention?: RetentionOptions
  readonly workload: WorkloadOptions
  readonly faults: FaultOptions
}

/** Of the links that nothing needs so many are kept; see `MembershipConfig`. */
export type LinkOptions = Pick<MembershipConfig, 'linksMax' | 'linkIdleMs'>

export interface RetentionOptions {
  /** How often somebody sets the retention of a topic to one of these. */
  readonly editEveryMs: number
  readonly choices: readonly Retention[]
  /** See `ReplicationConfig`. */
  readonly retentionEveryMs: number
  readonly clockEveryMs: number
}

export interface AdministrationOptions {
  readonly everyMs: number
  /** How long records stay that were published to a deleted topic. */
  readonly graceMs: number
  /** See `TopicsOptions.compactAfter`. */
  readonly compactTopicsAfter: number
}

/** Of what operators do at random; the rest are decommissions. */
export interface OperatorOptions {
  readonly everyMs: number
  /** Share of peers that are gone that are admitted, and of those that are there that are forgotten at once. */
  readonly admits: number
  readonly forgets: number
  /** Peers may be gone in the end, and where disks lose nothing half of those that have handed over are switched off for good. */
  readonly retires: boolean
}

export interface PlacementOptions {
  readonly replicas: number
  readonly replaceAfterMs: number
  readonly handoffGraceMs: number
  /** Given to the peers in turn. */
  readonly zones: readonly string[]
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
    placement: placementOf(seed),
    ...linksOf(seed),
    ...olderOf(seed),
    ...administrationOf(seed),
    ...retentionOf(seed),
    ...operatorsOf(seed),
    workload: { ...workloadOf(dice), ...clientsOf(seed, count), producers: producersOf(seed) },
    faults: { ...faultsOf(dice), ...clocksOf(seed), ...disksOf(seed) },
  }
}

function networkOf(dice: Dice): NetworkOptions {
  return {
    latencyMsMin: 0.2,
    latencyMsMax: dice.magnitude(1, 31),
    bytesPerMs: dice.magnitude(10_000, 1_000_000),
    slowPaths: dice.chance(0.3) ? 0.2 : 0,
    dialFaults: dice.chance(0.3) ? 0.2 : 0,
    dialRepeats: dice.chance(0.3) ? 0.2 : 0,
    dialTimeoutMs: 3_000,
    tcpTimeoutMs: dice.magnitude(5_000, 900_000),
  }
}

type Clients = Pick<WorkloadOptions, 'sessions' | 'writers' | 'lateReaders' | 'askEveryMs'>

function workloadOf(dice: Dice): Omit<WorkloadOptions, keyof Clients | 'producers'> {
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

function producersOf(seed: number): ProducerOptions {
  const dice = new Dice(seed, 'producers')
  return {
    count: dice.pick([0, 1, 2, 3]),
    publishEveryMs: dice.magnitude(50, 1_000),
    patienceMsMax: dice.magnitude(20, 5_000),
    echoes: dice.pick([0, 0.2, 0.8]),
    checkpointEvery: dice.pick([1, 5, 16_384]),
  }
}

/** As for clocks. */
function clientsOf(seed: number, peers: number): Clients {
  const dice = new Dice(seed, 'swarm clients')
  const asking = new Dice(seed, 'swarm askers')
  return {
    ...(asking.chance(0.3) && { askEveryMs: asking.magnitude(50, 2_000) }),
    sessions: new Dice(seed, 'swarm sessions').whole(0, 3),
    writers: dice.chance(0.5) ? peers : dice.whole(1, peers),
    lateReaders: dice.whole(0, 2),
  }
}

function faultsOf(dice: Dice): FaultOptions {
  const often = (everyMsMin: number, forMsMax: number): Fault => ({
    everyMs: dice.magnitude(everyMsMin, 5 * everyMsMin),
    forMsMax,
  })
  return {
    ...(dice.chance(0.6) && {
      partitions: {
        ...often(4_000, 25_000),
        oneWay: dice.pick([0, 0.3, 1]),
        bridges: dice.pick([0, 0.3, 1]),
        flapping: dice.pick([0, 0.3, 1]),
      },
    }),
    ...(dice.chance(0.6) && {
      crashes: {
        ...often(2_000, 15_000),
        powerCuts: dice.pick([0, 0.5, 1]),
        losses: dice.pick([0, 0, 0.5]),
        inAppend: dice.pick([0, 0.001, 0.01]),
        inBoot: dice.pick([0, 0.3]),
      },
    }),
    ...(dice.chance(0.4) && { pauses: often(2_000, dice.pick([6_000, 60_000])) }),
    ...(dice.chance(0.4) && { resets: often(500, 0) }),
    ...(dice.chance(0.2) && { leaves: often(8_000, 10_000) }),
    ...(dice.chance(0.3) && { clogs: often(2_000, 8_000) }),
    ...(dice.chance(0.3) && { slowDisks: { ...often(3_000, 20_000), factor: dice.pick([30, 1_000, Infinity]) } }),
    ...(dice.chance(0.2) && { fsyncErrors: often(4_000, 0) }),
    ...(dice.chance(0.2) && { backups: often(6_000, 15_000) }),
    ...(dice.chance(0.15) && { clones: often(8_000, 15_000) }),
  }
}

/** What came later has dice of its own, so that a seed keeps the rest of its world. */
function clocksOf(seed: number): Pick<FaultOptions, 'clocks'> {
  const dice = new Dice(seed, 'swarm clocks')
  if (dice.chance(0.5)) return {}
  const jumps = dice.chance(0.5) && { jumps: { everyMs: dice.magnitude(2_000, 15_000), byMs: 3_600_000 } }
  return { clocks: { skewMs: 250, driftPpm: 200, yearAhead: dice.chance(0.25), ...jumps } }
}

/** As for clocks. */
function disksOf(seed: number): Pick<FaultOptions, 'bitFlips' | 'fullDisks'> {
  const dice = new Dice(seed, 'swarm flips')
  const bitFlips = dice.chance(0.25) && {
    bitFlips: {
      everyMs: dice.magnitude(300, 5_000),
      everywhere: dice.pick([0, 0.1, 1]),
      scrubPauseMs: dice.magnitude(500, 10_000),
    },
  }
  const fullDisks = dice.chance(0.25) && {
    fullDisks: {
      everyMs: dice.magnitude(3_000, 15_000),
      forMsMax: 20_000,
      roomBytesMax: dice.magnitude(1_000, 1_000_000),
    },
  }
  return { ...bitFlips, ...fullDisks }
}

/** A topic belongs to everybody, or to some; somebody may soon stand in for who is away; what is left over goes soon, or not at all. */
function placementOf(seed: number): PlacementOptions {
  const dice = new Dice(seed, 'swarm placement')
  return {
    replicas: dice.chance(0.5) ? Number.POSITIVE_INFINITY : dice.whole(1, 4),
    replaceAfterMs: dice.chance(0.5) ? 3_600_000 : dice.magnitude(2_000, 20_000),
    handoffGraceMs: dice.chance(0.3) ? 3_600_000 : dice.magnitude(500, 10_000),
    zones: dice.pick([[''], ['attic', 'barn'], ['attic', 'barn', 'cellar']]),
  }
}

/** In some worlds there are few links. These dice have none in the worlds of the corpus, which stay what they were. */
function linksOf(seed: number): Partial<Pick<SimOptions, 'links' | 'peers'>> {
  const dice = new Dice(seed, 'links 10')
  if (dice.chance(0.8)) return {}
  const links = { linksMax: dice.whole(1, 4), linkIdleMs: dice.magnitude(300, 5_000) }
  const all = [...names, 'fig'] as readonly string[] as readonly PeerId[]
  return { links, ...(dice.chance(0.5) && { peers: all }) }
}

/**
 * In some worlds there are peers of the version before this one, for good or until they are started again. These dice have none
 * in the worlds of the corpus, which stay what they were.
 */
function olderOf(seed: number): Pick<SimOptions, 'older'> {
  const dice = new Dice(seed, 'older 240')
  if (dice.chance(0.85)) return {}
  const share = dice.pick([0.3, 0.6])
  const peers = [...names, 'fig'].flatMap((_, index) => (dice.chance(share) ? [index] : []))
  return { older: { peers: peers.length > 0 ? peers : [0], runs: dice.pick([1, 2, Number.POSITIVE_INFINITY]) } }
}

/** In half of all worlds topics are configured and deleted; what is left of those stays, or goes soon. */
function administrationOf(seed: number): Pick<SimOptions, 'administration'> {
  const dice = new Dice(seed, 'swarm topics')
  if (dice.chance(0.5)) return {}
  const graceMs = dice.pick([keepsForMs, 3_000, 20_000])
  return { administration: { everyMs: dice.magnitude(50, 1_000), graceMs, compactTopicsAfter: dice.pick([4, 1_024]) } }
}

/** In some worlds the records of a topic are kept as long, or as many of them, as somebody says, now and then another one. */
function retentionOf(seed: number): Pick<SimOptions, 'retention'> {
  const dice = new Dice(seed, 'swarm retention')
  if (dice.chance(0.6)) return {}
  const menu: readonly Retention[] = [
    { ageMs: dice.magnitude(1_000, 20_000) },
    { bytes: dice.magnitude(300, 100_000) },
    { records: dice.magnitude(1, 60) },
    { ageMs: dice.magnitude(1_000, 20_000), records: dice.magnitude(5, 60) },
    {},
  ]
  return {
    retention: {
      editEveryMs: dice.magnitude(500, 10_000),
      choices: menu.filter(() => dice.chance(0.5)).concat(dice.pick(menu.slice(0, 4))),
      retentionEveryMs: dice.magnitude(100, 3_000),
      clockEveryMs: dice.magnitude(500, 5_000),
    },
  }
}

/** In some worlds operators let peers go. These dice have none in the worlds of the corpus, which stay what they were. */
function operatorsOf(seed: number): Pick<SimOptions, 'operators'> {
  const dice = new Dice(seed, 'operators 73')
  if (dice.chance(0.7)) return {}
  const [everyMs, admits, forgets] = [dice.magnitude(500, 5_000), dice.pick([0.2, 0.6]), dice.pick([0, 0.3])]
  return { operators: { everyMs, admits, forgets, retires: dice.chance(0.4) } }
}

/** Longer than any world. */
export const keepsForMs = 3_600_000

export const noAdministration = { graceMs: keepsForMs, compactTopicsAfter: 1_024 }

/**
 * Of two machines with one name, one confirms what only the other has. So where disks run twice, everything is kept, and
 * nobody goes. Where disks are switched off for good nothing is let go of at home that would stay there.
 */
export function patient(options: SimOptions): SimOptions {
  const { operators, ...others } = options
  if (options.faults.clones !== undefined) {
    return { ...others, placement: { ...options.placement, handoffGraceMs: keepsForMs } }
  }
  if (operators === undefined || options.peers.length < 3) return others
  if (!operators.retires) return options
  const { retention: _, administration: __, ...keeping } = options
  return keeping
}

const yearMs = 365 * 24 * 3_600_000

/** How wrong the clock of the peer at `index` is from the start. The last one is a year ahead, if anybody is. */
export function clockErrorOf({ peers, faults: { clocks } }: SimOptions, index: number, dice: Dice): ClockError {
  if (clocks === undefined) return { offsetMs: 0, driftPpm: 0 }
  const { skewMs, driftPpm, yearAhead } = clocks
  return {
    offsetMs: dice.between(-skewMs, skewMs) + (yearAhead && index === peers.length - 1 ? yearMs : 0),
    driftPpm: dice.between(-driftPpm, driftPpm),
  }
}

/** The same world with everything going wrong all the time: what a patient hunter runs. */
export const harsh = (options: SimOptions): SimOptions => ({
  ...options,
  faults: {
    partitions: { everyMs: 3_000, forMsMax: 9_000, oneWay: 0.4, bridges: 0.3, flapping: 0.2 },
    clogs: { everyMs: 4_000, forMsMax: 4_000 },
    crashes: {
      everyMs: 900,
      forMsMax: 3_000,
      powerCuts: 0.5,
      losses: options.seed % 2 === 0 ? 0 : 0.3,
      inAppend: 0.003,
      inBoot: 0.2,
    },
    slowDisks: { everyMs: 5_000, forMsMax: 5_000, factor: options.seed % 4 === 0 ? Infinity : 100 },
    fsyncErrors: { everyMs: 5_000 },
    ...(options.seed % 3 === 1 && { bitFlips: { everyMs: 2_000, everywhere: 0.1, scrubPauseMs: 2_000 } }),
    ...(options.seed % 3 === 0 && { fullDisks: { everyMs: 4_000, forMsMax: 6_000, roomBytesMax: 100_000 } }),
    ...(options.seed % 2 === 1 && { backups: { everyMs: 6_000, forMsMax: 8_000 } }),
    ...(options.seed % 5 === 0 && { clones: { everyMs: 8_000, forMsMax: 8_000 } }),
    pauses: { everyMs: 1_500, forMsMax: 3_000 },
    resets: { everyMs: 400, forMsMax: 0 },
    leaves: { everyMs: 6_000, forMsMax: 4_000 },
    clocks: {
      skewMs: 250,
      driftPpm: 200,
      yearAhead: options.seed % 3 === 0,
      jumps: { everyMs: 2_000, byMs: 3_600_000 },
    },
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
