import type { ReplicationEffect } from '#protocol/replication/inputs'
import { around } from './around.ts'
import { quickCrashes } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'
import { often } from './retention.ts'
import type { Sabotage } from '../sim-peer.ts'

/** Some peers never forget a feed. */
const neverForget: Sabotage = {
  decorate: (peer) => {
    if (peer.self < 'f') peer.replication.forgetting.sweep = () => {}
    return peer
  },
}

/** A feed is forgotten, and what goes on from it waits for it ever after. */
const rootNothing: Sabotage = {
  decorate: (peer) => {
    const { replication } = peer
    around(replication, (input, handle) => {
      const effects = handle(input)
      for (const local of replication.local.all()) local.rooted = false
      return effects.map((effect) => {
        if (effect.type !== 'changeFeed' || effect.change.type !== 'forget') return effect
        return { ...effect, change: { ...effect.change, rooted: [] } }
      })
    })
    return peer
  },
}

/** A peer forgets what it writes itself, as soon as that is empty. */
const forgetTheCurrent: Sabotage = {
  decorate: (peer) => {
    const { replication, self, epoch } = peer
    around(replication, (input, handle) => {
      const effects = handle(input)
      if (input.type !== 'timerFired' || input.timer.type !== 'sweep') return effects
      return [...replication.local.all()].reduce<readonly ReplicationEffect[]>((sum, local) => {
        const { feed, floor, durable, appended } = local
        if (feed.writer !== self || feed.epoch !== epoch || durable?.nextOffset !== appended.nextOffset) return sum
        if (floor.nextOffset < durable.nextOffset) return sum
        replication.local.forget(local)
        return [...sum, { type: 'changeFeed', change: { type: 'forget', feed, rooted: [] } }]
      }, effects)
    })
    return peer
  },
}

const few = often({ records: 3 }, { bytes: 500 })
const short = often({ ageMs: 500 })

export const forgettingBugs: PlantedBugs = {
  'never-forget': { sabotage: neverForget, checker: 'forgotten', faults: quickCrashes, world: { retention: few } },
  'root-nothing': { sabotage: rootNothing, checker: 'sessions', faults: quickCrashes, world: { retention: few } },
  'forget-the-current-feed': { sabotage: forgetTheCurrent, checker: 'crash', faults: {}, world: { retention: short } },
}
