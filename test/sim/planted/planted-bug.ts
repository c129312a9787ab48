import type { Sabotage } from '../sim-peer.ts'
import { optionsOfSeed } from '../swarm.ts'
import type { FaultOptions, SimOptions, WorkloadOptions } from '../swarm.ts'

/** A peer that is wrong in one known way: which checker says so, and what a world is like in which it shows soon. */
export interface PlantedBug {
  readonly sabotage: Sabotage
  readonly checker: string
  readonly faults: FaultOptions
  /** At most so many copies, and so many peers that clients publish at. */
  readonly few?: number
  readonly workload?: Partial<WorkloadOptions>
  readonly world?: Partial<SimOptions>
  /** Nobody configures topics or lets peers go. */
  readonly leftAlone?: true
}

/** Large values, so that there is something to transfer; and not much patience. */
export function tailoredTo(bug: PlantedBug, seed: number): SimOptions {
  const { faults, few = Number.POSITIVE_INFINITY, workload, world, leftAlone = false } = bug
  const { administration, retention, operators, ...quiet } = optionsOfSeed(seed)
  const people = {
    ...(administration && { administration }),
    ...(retention && { retention }),
    ...(operators && { operators }),
  }
  const options: SimOptions = leftAlone ? quiet : { ...quiet, ...people }
  const { peers, placement } = options
  return {
    ...options,
    healMsMax: 60_000,
    placement: { ...placement, replicas: Math.min(few, placement.replicas) },
    ...world,
    faults,
    workload: {
      ...options.workload,
      recordsMax: 1,
      valueBytesMax: 400_000,
      writers: Math.min(few, peers.length),
      ...workload,
    },
  }
}

export type PlantedBugs = Readonly<Record<string, PlantedBug>>

export const longPartitions: FaultOptions = {
  partitions: { everyMs: 8_000, forMsMax: 25_000, oneWay: 0, bridges: 0, flapping: 0 },
}
export const quickCrashes: FaultOptions = {
  crashes: { everyMs: 1_500, forMsMax: 2_000, powerCuts: 0.5, losses: 0.5, inAppend: 0, inBoot: 0 },
}
/** Without damage: what was acked here is in order. */
export const powerCuts: FaultOptions = {
  crashes: { everyMs: 700, forMsMax: 1_000, powerCuts: 1, losses: 0, inAppend: 0.03, inBoot: 0.2 },
}
export const rottenDisks: FaultOptions = { bitFlips: { everyMs: 300, everywhere: 0.5, scrubPauseMs: 1_000 } }
export const tinyDisks: FaultOptions = { fullDisks: { everyMs: 2_000, forMsMax: 10_000, roomBytesMax: 100_000 } }
export const oldBackups: FaultOptions = { backups: { everyMs: 2_000, forMsMax: 8_000 } }
export const youngLinks: FaultOptions = { resets: { everyMs: 300, forMsMax: 0 } }
export const nextYear: FaultOptions = { clocks: { skewMs: 0, driftPpm: 0, yearAhead: true } }
export const jumpingClocks: FaultOptions = {
  clocks: { skewMs: 0, driftPpm: 0, yearAhead: false, jumps: { everyMs: 2_000, byMs: 3_600_000 } },
}
