import { z } from 'zod'
import { binarySocketProtocol } from '#protocol/wire/binary-frame'
import { type ClientFrame, type PeerFrame, socketPath, socketProtocol } from '#protocol/wire/socket-frames'
import { ack, gap, problem, record } from './views.ts'

/** Frames of a WebSocket as schemas: `/asyncapi.json` is made from them, and in tests what a peer sends is checked against them. */

const text = z.string()
const count = z.int().min(0)
const sub = { sub: text }
const names = z.array(text)
const cursors = z.record(text, text)

const clientFrame = z.union([
  z.strictObject({
    type: z.literal('subscribe'),
    ...sub,
    topics: names,
    from: z.union([text, cursors]).exactOptional(),
    credit: count,
  }),
  z.strictObject({ type: z.literal('credit'), ...sub, n: count }),
  z.strictObject({ type: z.literal('unsubscribe'), ...sub }),
  z.strictObject({
    type: z.literal('publish'),
    ref: text,
    topic: text,
    records: z.array(z.looseObject({})),
    ack: text.exactOptional(),
    wait: text.exactOptional(),
    producer: z.strictObject({ id: text, epoch: count.exactOptional(), seq: count }).exactOptional(),
    idempotencyKey: text.exactOptional(),
  }),
  z.strictObject({ type: z.literal('auth'), token: text }),
]) satisfies z.ZodType<ClientFrame>

const limits = z.strictObject({
  frameBytes: count,
  subscriptions: count,
  topics: count,
  credit: count,
  publishesInFlight: count,
})
const event = { type: z.literal('event'), ...sub }
const published = { type: z.literal('published'), ref: text, cursor: text, ack }

export const peerFrame = z.union([
  z.strictObject({ type: z.literal('welcome'), peer: text, limits, servers: names }),
  z.strictObject({ type: z.literal('subscribed'), ...sub, cursor: cursors }),
  z.strictObject({ type: z.literal('record'), ...sub, record, cursor: text }),
  z.strictObject({ ...event, event: z.literal('caught-up'), isolated: z.boolean().exactOptional() }),
  z.strictObject({ ...event, event: z.literal('gap'), topic: text, gap, cursor: text.exactOptional() }),
  z.strictObject({ ...event, event: z.literal('partition'), reachable: names, known: names }),
  z.strictObject({ ...event, event: z.literal('healed') }),
  z.strictObject({ ...event, event: z.literal('deleted'), topic: text }),
  z.strictObject({ ...published, results: z.array(z.strictObject({ status: count, id: text })) }),
  z.strictObject({
    ...published,
    status: count,
    runs: z.array(z.strictObject({ feed: text, from: count, count })),
  }),
  z.strictObject({ type: z.literal('error'), ref: text.exactOptional(), sub: text.exactOptional(), problem }),
  z.strictObject({ type: z.literal('bye'), reason: z.literal('draining'), servers: names, retryMs: count }),
]) satisfies z.ZodType<PeerFrame>

/** AsyncAPI 3.0 of the WebSocket. */
export function asyncApi(version: string): object {
  const payload = (schema: z.ZodType, io: 'input' | 'output'): object => ({
    payload: z.toJSONSchema(schema, { io, unrepresentable: 'any' }),
  })
  const channel = { $ref: '#/channels/socket' }
  const message = (name: string) => [{ $ref: `#/channels/socket/messages/${name}` }]
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Grapevine',
      version,
      description: `Subprotocols ${socketProtocol} and ${binarySocketProtocol}; the latter has records in binary messages: docs/wire-clients.md.`,
    },
    channels: {
      socket: {
        address: socketPath,
        messages: { fromClient: payload(clientFrame, 'input'), fromPeer: payload(peerFrame, 'output') },
      },
    },
    operations: {
      receive: { action: 'receive', channel, messages: message('fromClient') },
      send: { action: 'send', channel, messages: message('fromPeer') },
    },
  }
}
