import type { Reader } from '#gateway/broker'
import type { ReplicationEffect } from '#protocol/replication/inputs'
import { around } from './around.ts'
import { nextYear, quickCrashes } from './planted-bug.ts'
import type { Sabotage } from '../sim-peer.ts'
import type { RetentionOptions } from '../swarm.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** A peer goes by its own clock, which may be a year ahead: who has never heard of the others', least of all. */
const byItsOwnClock: Sabotage = {
  decorate: (peer) => {
    const { meshTime } = peer.replication
    meshTime.now = (_, nowMs) => meshTime.of(peer.self, nowMs)
    return peer
  },
}

/** What is kept is at most what retention says, where at least was meant. */
const atMost: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'retentionChanged') return handle(input)
      const topics = input.topics.map(({ topicId, retention: { records, bytes, ageMs } }) => {
        const retention = {
          ...(ageMs !== undefined && { ageMs }),
          ...(bytes !== undefined && { bytes: Math.ceil(bytes / 2) }),
          ...(records !== undefined && { records: Math.ceil(records / 2) }),
        }
        return { topicId, retention }
      })
      return handle({ ...input, topics })
    })
    return peer
  },
}

/** What its writer goes on from is forgotten, whatever is left of it. */
const forgetWithRecords: Sabotage = {
  decorate: (peer) => {
    const { replication } = peer
    around(replication, (input, handle) => {
      const effects = handle(input)
      if (input.type !== 'timerFired' || input.timer.type !== 'sweep') return effects
      const all = [...replication.local.all()]
      return all.reduce<readonly ReplicationEffect[]>((sum, local) => {
        const next = all.filter(({ feed, opening, durable }) => {
          const isAfter = opening.predecessor?.epoch === local.feed.epoch && feed.topicId === local.feed.topicId
          return isAfter && feed.writer === local.feed.writer && durable !== undefined
        })
        if (next.length === 0 || local.appended.nextOffset !== local.durable?.nextOffset) return sum
        replication.local.forget(local)
        for (const successor of next) successor.rooted = true
        const rooted = next.map(({ feed }) => feed)
        return [...sum, { type: 'changeFeed', change: { type: 'forget', feed: local.feed, rooted } }]
      }, effects)
    })
    return peer
  },
}

/** A reader goes on behind what is lost, and says nothing. */
const gapNotTold: Sabotage = {
  reader: (reader: Reader): Reader => ({
    get cursor() {
      return reader.cursor
    },
    more: (signal) => reader.more(signal),
    next: async (...limits) => {
      const { gaps, ...chunk } = await reader.next(...limits)
      const told = gaps?.filter(({ type }) => type !== 'lost') ?? []
      return { ...chunk, ...(told.length > 0 && { gaps: told }) }
    },
  }),
}

/** Some peers keep what others have trimmed: they hear of floors, and have their own opinion. */
const keepWhatIsTrimmed: Sabotage = {
  decorate: (peer) => {
    if (peer.self >= 'f') return peer
    around(peer.replication, (input, handle) => {
      if (input.type === 'retentionChanged') return []
      if (input.type !== 'messageReceived' || input.message.type !== 'digest') return handle(input)
      const feeds = input.message.feeds.map(({ feed, keptFrom, nextOffset, hash }) => {
        return { feed, floor: 0, keptFrom, nextOffset, hash }
      })
      return handle({ ...input, message: { ...input.message, feeds } })
    })
    return peer
  },
}

export const often = (...choices: RetentionOptions['choices']): RetentionOptions => {
  return { editEveryMs: 1_000, choices, retentionEveryMs: 200, clockEveryMs: 1_000 }
}
const few = often({ records: 3 }, { bytes: 500 })

export const retentionBugs: PlantedBugs = {
  'retention-by-its-own-clock': {
    sabotage: byItsOwnClock,
    checker: 'floors',
    faults: nextYear,
    world: { retention: often({ ageMs: 10_000 }) },
  },
  'keep-at-most': { sabotage: atMost, checker: 'floors', faults: {}, world: { retention: often({ records: 40 }) } },
  'forget-a-feed-with-records': {
    sabotage: forgetWithRecords,
    checker: 'floors',
    faults: quickCrashes,
    world: { retention: few },
  },
  'gap-not-told': { sabotage: gapNotTold, checker: 'cursors', faults: quickCrashes, world: { retention: few } },
  'keep-what-is-trimmed': {
    sabotage: keepWhatIsTrimmed,
    checker: 'convergence',
    faults: {},
    world: { retention: few },
  },
}
