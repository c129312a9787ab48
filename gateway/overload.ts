import { MeshError } from '#protocol/errors'
import { limits } from '#protocol/limits'
import { returnMs } from './farewell.ts'

/** What a client, or all of them together, can have too much of at a gateway: `limit` of a problem, and label of a metric. */
export const gatewayBounds = [
  'connections',
  'connections-of-client',
  'requests',
  'pipelined',
  'rate',
  'heads',
  'bodies',
  'messages',
  'unsent',
  'live-reads',
  'sockets',
  'publishes-of-socket',
] as const

export type GatewayBound = (typeof gatewayBounds)[number]

/** There is too much of something at this peer. Each client is told another time to come back, so that not all do at once. */
export const overloaded = (limit: GatewayBound, detail: string): MeshError =>
  new MeshError('OVERLOADED', detail, { facts: { limit, retryMs: returnMs() } })

/** The client asks for more than its share; in `waitMs` there is room for one more. */
export const rateLimited = (waitMs: number): MeshError =>
  new MeshError('RATE_LIMITED', `This client may go on in ${waitMs} ms.`, {
    facts: { limit: 'rate', retryMs: Math.round(waitMs + Math.random() * spreadMs) },
  })

const spreadMs = 1_000

/** What one of so many may hold: half of all that there is, in equal parts, and no more than it would with fewer. */
export const fairShare = (bytesMax: number, count: number, normal: number): number =>
  Math.max(limits.fairShareBytesMin, Math.min(normal, bytesMax / 2 / Math.max(1, count)))

/** How many records one read may bring if each is told with a cursor of so many characters: those count as its bytes do. */
export const recordsOfRead = (limit: number, bytesTarget: number, cursorLength: number): number =>
  Math.max(1, Math.min(limit, Math.floor(bytesTarget / Math.max(1, cursorLength))))

/** The bound that an error tells of, if it is one of ours. */
export function boundOf({ facts }: MeshError): GatewayBound | undefined {
  return gatewayBounds.find((bound) => bound === facts['limit'])
}
