import { HybridClock } from '#protocol/log/hybrid-clock'
import { around } from './around.ts'
import type { Hlc } from '#protocol/log/hybrid-clock'
import type { Sabotage } from '../sim-peer.ts'
import { jumpingClocks, nextYear, quickCrashes } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** After a restart the clock begins anew, wherever the last run had got to. */
const resetClockAtRestart: Sabotage = { wrongRules: { createClock: () => new HybridClock(0) } }

class CredulousClock extends HybridClock {
  override merge(remote: Hlc): 'merged' | 'ahead' {
    return super.merge(remote, remote.ms)
  }
}

/** One wrong clock drags all others along. */
const mergeAnyClock: Sabotage = { wrongRules: { createClock: (floorMs) => new CredulousClock(floorMs) } }

/** A peer that sees clocks an hour apart does not know whom to trust, and takes nothing any more. */
const refusePublishOnClock: Sabotage = {
  decorate: (peer) => {
    const seen = { lowestMs: Number.POSITIVE_INFINITY, highestMs: 0 }
    around(peer, (input, handle) => {
      if (input.type === 'rangeReceived') {
        for (const { hlcMs } of input.batches) {
          seen.lowestMs = Math.min(seen.lowestMs, hlcMs)
          seen.highestMs = Math.max(seen.highestMs, hlcMs)
        }
      }
      if (input.type !== 'publishRequested' || seen.highestMs - seen.lowestMs < 3_600_000) return handle(input)
      return input.parts.map(({ ref }) => ({ type: 'publishRefused', ref, code: 'UNAVAILABLE', detail: 'clocks' }))
    })
    return peer
  },
}

export const clockBugs: PlantedBugs = {
  'reset-clock-at-restart': {
    sabotage: resetClockAtRestart,
    checker: 'clocks',
    faults: { ...quickCrashes, ...jumpingClocks },
  },
  'merge-any-clock': { sabotage: mergeAnyClock, checker: 'clocks', faults: nextYear },
  'refuse-publish-on-clock': { sabotage: refusePublishOnClock, checker: 'availability', faults: nextYear },
}
