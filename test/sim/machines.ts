import { Dice } from './dice.ts'
import { zoneOf } from './homes.ts'
import { SimPeer } from './sim-peer.ts'
import { clockErrorOf, noAdministration, seedsOf } from './swarm.ts'
import { WallClock } from './wall-clock.ts'
import type { SimPeerDeps } from './sim-peer.ts'
import type { SimOptions } from './swarm.ts'

type Shared = Pick<
  SimPeerDeps,
  'scheduler' | 'network' | 'trace' | 'sabotage' | 'onAppend' | 'onHandedOver' | 'onDied' | 'onDiskChanged'
>

/** The machines of a world, each with its disk, its clock and dice of its own; none is on. */
export function machinesOf(options: SimOptions, shared: Shared): readonly SimPeer[] {
  const { seed, peers, store, placement, workload, faults, retention } = options
  const clockDice = new Dice(seed, 'clocks')
  const { graceMs: deletedGraceMs, compactTopicsAfter } = options.administration ?? noAdministration
  return peers.map((id, index) => {
    const clockError = clockErrorOf(options, index, clockDice)
    return new SimPeer(id, {
      ...shared,
      store,
      random: new Dice(seed, `peer ${id}`),
      storeDice: new Dice(seed, `disk ${id}`),
      wallClock: new WallClock(() => shared.scheduler.nowMs, clockError),
      seeds: seedsOf(options, index),
      replication: { ...placement, ...retention },
      links: options.links ?? {},
      olderRuns: options.older?.peers.includes(index) === true ? options.older.runs : 0,
      zone: zoneOf(placement, index),
      checkpointEvery: workload.producers.checkpointEvery,
      deletedGraceMs,
      scrubPauseMs: faults.bitFlips?.scrubPauseMs,
      watchesSpace: faults.fullDisks !== undefined,
      compactTopicsAfter,
    })
  })
}
