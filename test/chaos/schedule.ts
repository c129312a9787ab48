import { shuffled } from '#protocol/random'
import type { Dice } from '../sim/dice.ts'

/** What is done to one machine. `kill` is kill -9; `wipe` a kill, and its directory is deleted: it comes back as another peer. */
export type MachineFault = 'kill' | 'restart' | 'pause' | 'wipe' | 'flip'
/** What is done to the network. `bridge`: two sides that hear only who is in neither. */
export type NetworkFault = 'cut' | 'deafen' | 'bridge'

export type Fault =
  | { readonly type: MachineFault; readonly machine: string; readonly forMs: number }
  | {
      readonly type: NetworkFault
      readonly some: readonly string[]
      readonly others: readonly string[]
      readonly forMs: number
    }

export interface Planned {
  /** From the beginning of the round. */
  readonly atMs: number
  readonly fault: Fault
}

export interface ScheduleConfig {
  readonly machines: readonly string[]
  /** Whose disks may be damaged: fewer than there are copies, so that one disk of each `ack=all` stays whole. */
  readonly victims: readonly string[]
  readonly roundMs: number
  /** Mean time between faults. Each lasts some seconds, so several are under way at a time. */
  readonly everyMs: number
  readonly wipes: number
  readonly flips: number
}

/** As often as they stand here; dealt like cards, so that even a short run has some of each. */
const deck: readonly (MachineFault | NetworkFault)[] = [
  ...(['kill', 'kill', 'kill', 'kill', 'pause', 'pause', 'pause', 'restart'] as const),
  ...(['cut', 'cut', 'deafen', 'deafen', 'bridge'] as const),
]

/** The faults of one round, in order. A machine suffers one at a time; those of the network add up. */
export function scheduleOf(dice: Dice, config: ScheduleConfig): readonly Planned[] {
  const { roundMs, everyMs, victims, wipes, flips } = config
  const busyUntilMs = new Map<string, number>()
  const planned: Planned[] = []
  const plan = (type: MachineFault | NetworkFault, atMs: number): void => {
    const fault = isOfMachine(type) ? machineFault(type, atMs) : networkFault(type, dice, config.machines)
    if (fault !== undefined) planned.push({ atMs, fault })
  }
  const machineFault = (type: MachineFault, atMs: number): Fault | undefined => {
    const free = (isOfDisk(type) ? victims : config.machines).filter(
      (machine) => (busyUntilMs.get(machine) ?? 0) <= atMs,
    )
    if (free.length === 0) return undefined
    const fault = { type, machine: dice.pick(free), forMs: lengthMs(type, dice) }
    busyUntilMs.set(fault.machine, atMs + fault.forMs + recoveryMs)
    return fault
  }
  // Damage comes first, so that it is never crowded out.
  for (let i = 0; i < wipes; i++) plan('wipe', dice.between(0, 0.9) * roundMs)
  for (let i = 0; i < flips; i++) plan('flip', dice.between(0, 0.9) * roundMs)
  let hand: (MachineFault | NetworkFault)[] = []
  for (let atMs = dice.exponential(everyMs); atMs < roundMs; atMs += dice.exponential(everyMs)) {
    if (hand.length === 0) hand = shuffled(dice, deck)
    plan(hand.pop() ?? 'kill', atMs)
  }
  return planned.toSorted((a, b) => a.atMs - b.atMs)
}

/** A machine that is up again has this long until its next fault. */
const recoveryMs = 1_000

const isOfDisk = (type: MachineFault): boolean => type === 'wipe' || type === 'flip'
const isOfMachine = (type: MachineFault | NetworkFault): type is MachineFault =>
  type !== 'cut' && type !== 'deafen' && type !== 'bridge'

/** Mostly shorter than a suspicion lasts, sometimes much longer. */
function lengthMs(type: MachineFault, dice: Dice): number {
  return type === 'restart' ? dice.magnitude(1, 2_000) : dice.magnitude(200, 15_000)
}

function networkFault(type: NetworkFault, dice: Dice, machines: readonly string[]): Fault {
  const [bridge = '', ...ends] = shuffled(dice, machines)
  const apart = type === 'bridge' ? ends : [bridge, ...ends]
  const size = dice.whole(1, apart.length - 1)
  return { type, some: apart.slice(0, size), others: apart.slice(size), forMs: dice.magnitude(500, 25_000) }
}

export function inWords(fault: Fault): string {
  const length = `for ${(fault.forMs / 1_000).toFixed(1)} s`
  switch (fault.type) {
    case 'kill':
      return `kill -9 ${fault.machine}, down ${length}`
    case 'restart':
      return `stop ${fault.machine} in good order, down ${length}`
    case 'pause':
      return `SIGSTOP ${fault.machine} ${length}`
    case 'wipe':
      return `kill -9 ${fault.machine} and delete its directory, down ${length}`
    case 'flip':
      return `kill -9 ${fault.machine} and flip bits of its files, down ${length}`
    case 'cut':
      return `cut ${fault.some.join(' ')} | ${fault.others.join(' ')} ${length}`
    case 'deafen':
      return `${fault.some.join(' ')} hear nothing of ${fault.others.join(' ')} ${length}`
    case 'bridge':
      return `cut ${fault.some.join(' ')} | ${fault.others.join(' ')}, with a bridge between them, ${length}`
  }
}
