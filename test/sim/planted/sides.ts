import { around } from './around.ts'
import type { PeerId } from '#protocol/ids'
import type { Sabotage } from '../sim-peer.ts'
import type { WorkloadOptions } from '../swarm.ts'
import type { PlantedBug, PlantedBugs } from './planted-bug.ts'

/** It takes the dead for gone for good, and tells of no split. */
const deadAreGone: Sabotage = {
  decorate: (peer) => {
    around(peer.partitions, (input, handle) => {
      if (input.type !== 'membersChanged') return handle(input)
      const news = input.news.map((one) => (one.presence === 'away' ? { ...one, presence: 'left' as const } : one))
      return handle({ ...input, news })
    })
    return peer
  },
}

/** What is received is counted as it comes over links, so that what the other side has told of late is not. */
const countNothingStored: Sabotage = {
  decorate: (peer) => {
    around(peer.partitions, (input, handle) => (input.type === 'stored' ? [] : handle(input)))
    return peer
  },
}

/** Each member that comes back is taken for a heal of its own, and again when its link comes up anew. */
const reportEachReturn: Sabotage = {
  decorate: (peer) => {
    const { partitions } = peer
    const heals = partitions.heals.bind(partitions)
    partitions.heals = () => heals().flatMap((heal) => [heal, { ...heal, number: heal.number + 1_000 }])
    return peer
  },
}

/** Minutes of virtual time are to take seconds. */
const fewClients: Partial<WorkloadOptions> = {
  readers: 1,
  lateReaders: 0,
  sessions: 0,
  producers: { count: 0, publishEveryMs: 1_000, patienceMsMax: 1_000, checkpointEvery: 16_384, echoes: 0 },
}

const cutForMinutes: Omit<PlantedBug, 'sabotage'> = {
  checker: 'sides',
  leftAlone: true,
  faults: { partitions: { everyMs: 20_000, forMsMax: 140_000, oneWay: 0, bridges: 0, flapping: 0 } },
  workload: { ...fewClients, publishEveryMs: 1_000, valueBytesMax: 200, writers: 4 },
  world: {
    peers: ['oak', 'elm', 'ash', 'fir'] as readonly string[] as readonly PeerId[],
    faultsMs: 160_000,
    lateJoiners: 0,
    placement: {
      replicas: Number.POSITIVE_INFINITY,
      replaceAfterMs: 3_600_000,
      handoffGraceMs: 3_600_000,
      zones: [''],
    },
  },
}

export const sideBugs: PlantedBugs = {
  'dead-are-gone': { ...cutForMinutes, sabotage: deadAreGone },
  'count-nothing-stored': { ...cutForMinutes, sabotage: countNothingStored },
  'report-each-return': { ...cutForMinutes, sabotage: reportEachReturn },
}
