import type { Broker } from './broker.ts'

const returnMsMin = 500
const returnMsMax = 3_000

/** How soon a client comes back after an end; spread out, so that a restarted peer is not met by everybody at once. */
export const returnMs = (): number => Math.round(returnMsMin + Math.random() * (returnMsMax - returnMsMin))

/** Gateways of other peers that a client can go on at. */
export const otherGateways = (broker: Broker): string[] =>
  broker
    .members()
    .filter(({ self, state, http }) => !self && state === 'alive' && http !== '')
    .map(({ http }) => http)
