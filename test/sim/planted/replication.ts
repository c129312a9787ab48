import { around } from './around.ts'
import { limits } from '#protocol/limits'
import type { PeerId } from '#protocol/ids'
import type { BatchFacts } from '#protocol/replication/inputs'
import type { Sabotage } from '../sim-peer.ts'

/** Of what was asked for, the first batch is passed over, and the check of the chain with it. */
export const skipRangeInRepair: Sabotage = {
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
export const creditLostOnReconnect: Sabotage = {
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
export const ignoreCredit: Sabotage = {
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
