import { around } from './around.ts'
import { limits } from '#protocol/limits'
import type { PeerId } from '#protocol/ids'
import type { BatchFacts } from '#protocol/replication/inputs'
import type { Sabotage } from '../sim-peer.ts'
import { longPartitions, quickCrashes, youngLinks } from './planted-bug.ts'
import type { PlantedBugs } from './planted-bug.ts'

/** Of what was asked for, the first batch is passed over, and the check of the chain with it. */
const skipRangeInRepair: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'rangeReceived' || input.ref === 0) return handle(input)
      const [first, second, ...rest] = input.batches
      if (first === undefined || second === undefined || first.opening !== undefined) return handle(input)
      const { baseOffset, previousHash } = first
      const joined: BatchFacts = { ...second, baseOffset, previousHash }
      return handle({ ...input, batches: [joined, ...rest] }).map((effect) => {
        return effect.type === 'storeReceived' ? { ...effect, from: effect.from + 1, to: effect.to + 1 } : effect
      })
    })
    return peer
  },
}

/** A new link begins with the credit that was left of the old one. */
const creditLostOnReconnect: Sabotage = {
  decorate: (peer) => {
    const left = new Map<PeerId, number>()
    around(peer.replication, (input, handle) => {
      if (input.type === 'linkDown') {
        const credit = peer.replication.neighbors.get(input.peer)?.link?.creditOut
        if (credit !== undefined) left.set(input.peer, credit)
      }
      const effects = handle(input)
      const link = input.type === 'linkUp' ? peer.replication.neighbors.get(input.peer)?.link : undefined
      if (link !== undefined && input.type === 'linkUp') link.creditOut = left.get(input.peer) ?? link.creditOut
      return effects
    })
    return peer
  },
}

/** A sender does not count what it has in flight. */
const ignoreCredit: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      for (const { link } of peer.replication.neighbors.values()) {
        if (link !== undefined) link.creditOut = limits.linkCreditBytes
      }
      return handle(input)
    })
    return peer
  },
}

/** What a neighbor held when it was last heard is taken for what it holds now, whatever its summary says. */
const believeAnySummary: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'messageReceived' || input.message.type !== 'summary') return handle(input)
      const root = peer.replication.neighbors.get(input.from)?.remembered.root() ?? input.message.root
      return handle({ ...input, message: { ...input.message, root } })
    })
    return peer
  },
}

/** A feed is taken although the one that its writer wrote before is not here. */
const successorWithoutPredecessor: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'rangeReceived') return handle(input)
      const batches = input.batches.map((batch) => {
        if (batch.opening === undefined) return batch
        const { predecessor: _, ...opening } = batch.opening
        return { ...batch, opening }
      })
      return handle({ ...input, batches })
    })
    return peer
  },
}

/** Credit is given back when a range comes in and once more when it is stored. */
const doubleCredit: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      const effects = handle(input)
      return effects.flatMap((effect) => {
        return effect.type === 'send' && effect.message.type === 'credit' ? [effect, effect] : [effect]
      })
    })
    return peer
  },
}

/** What was put aside to be asked for later is never thought of again. */
const forgetToSweep: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      return input.type === 'timerFired' && input.timer.type === 'sweep' ? [] : handle(input)
    })
    return peer
  },
}

/** Who is asked for copies of a record looks at the beginning of its feed. */
const askForTheFirst: Sabotage = {
  decorate: (peer) => {
    around(peer.replication, (input, handle) => {
      if (input.type !== 'copiesAwaited') return handle(input)
      return handle({ ...input, publish: { ...input.publish, endOffset: 1 } })
    })
    return peer
  },
}

export const replicationBugs: PlantedBugs = {
  'successor-without-predecessor': {
    sabotage: successorWithoutPredecessor,
    checker: 'convergence',
    faults: { ...longPartitions, ...quickCrashes },
  },
  'double-credit': { sabotage: doubleCredit, checker: 'bounds', faults: {} },
  'forget-to-sweep': { sabotage: forgetToSweep, checker: 'convergence', faults: longPartitions },
  'skip-range-in-repair': { sabotage: skipRangeInRepair, checker: 'convergence', faults: longPartitions },
  'credit-lost-on-reconnect': { sabotage: creditLostOnReconnect, checker: 'convergence', faults: youngLinks },
  'ignore-credit': { sabotage: ignoreCredit, checker: 'bounds', faults: longPartitions },
  'ask-for-the-first': {
    sabotage: askForTheFirst,
    checker: 'ack-honesty',
    faults: longPartitions,
    workload: { askEveryMs: 50 },
  },
  'believe-any-summary': { sabotage: believeAnySummary, checker: 'views', faults: quickCrashes },
}
