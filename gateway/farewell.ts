import type { Broker } from './broker.ts'

const returnMsMin = 500
const returnMsMax = 3_000

/** How soon a client comes back after an end; spread out, so that a restarted peer is not met by everybody at once. */
export const returnMs = (): number => Math.round(returnMsMin + Math.random() * (returnMsMax - returnMsMin))

const leaveMsPerClient = 2
const leaveMsMin = 100

/** In what time so many clients go elsewhere, each at a moment of its own: some hundred handshakes a second, at the peers that are left. */
export const leaveMs = (clients: number): number =>
  Math.min(returnMsMax, Math.max(leaveMsMin, leaveMsPerClient * clients))

/** Gateways of other peers that a client can go on at. */
export const otherGateways = (broker: Broker): string[] =>
  broker
    .members()
    .filter(({ self, state, http }) => !self && state === 'alive' && http !== '')
    .map(({ http }) => http)
