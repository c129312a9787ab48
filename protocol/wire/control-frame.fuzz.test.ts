// Fuzzing of control frames: every message comes back as it was sent, and nothing that arrives instead is ever thrown.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import { utf8 } from '#protocol/text'
import type { FeedId } from '#protocol/log/feed'
import type { MemberFacts, MemberUpdate } from '#protocol/membership/messages'
import type { FeedDigest } from '#protocol/replication/messages'
import { decodeControl, encodeControl } from './control-frame.ts'
import type { ControlMessage } from './control-frame.ts'

const hexId = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((id) => Buffer.from(id).toString('hex'))

const count = fc.maxSafeNat()
const wantRef = fc.integer({ min: 1, max: 0xffff_ffff })
const peer = fc.constantFrom('12D3KooWoak', '12D3KooWelm', '12D3KooWash', 'x'.repeat(128)) as fc.Arbitrary<PeerId>
const topicId = hexId(16) as fc.Arbitrary<TopicId>
const epoch = hexId(8) as fc.Arbitrary<Epoch>
const feed: fc.Arbitrary<FeedId> = fc.record({ topicId, writer: peer, epoch })
const name = fc.constantFrom('', 'oak', 'Ötzi', '東京', 'a "quoted" \\ name')

const facts: fc.Arbitrary<MemberFacts> = fc.record({
  name,
  addresses: fc.array(fc.constantFrom('127.0.0.1:7400', '[fe80::1%eth0]:7400', 'ash.example.org:1'), { maxLength: 8 }),
  http: fc.constantFrom('', 'http://127.0.0.1:8400', 'https://ash.example.org/?a=1&b=2'),
  zone: name,
  counter: count,
})

const update: fc.Arbitrary<MemberUpdate> = fc.record(
  {
    peer,
    state: fc.constantFrom('alive', 'suspect', 'dead', 'left'),
    incarnation: count,
    by: peer,
    reason: name,
    facts,
    status: fc.record({ type: fc.constantFrom('member', 'leaving', 'forgotten'), generation: count }),
  },
  { requiredKeys: ['peer', 'state', 'incarnation', 'by', 'reason'] },
)
const updates = fc.array(update, { maxLength: 32 })
const digest: fc.Arbitrary<FeedDigest> = fc.record({
  feed,
  floor: count,
  keptFrom: count,
  nextOffset: count,
  hash: hexId(32) as fc.Arbitrary<Hash>,
})

const replaced = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 256 })

const controlMessages: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({ type: fc.constantFrom('ping', 'ack', 'nack'), ref: count, updates }),
  fc.record({ type: fc.constant('pingRequest'), ref: count, target: peer, updates }),
  fc.record({ type: fc.constant('gossip'), updates }),
  fc.record({
    type: fc.constant('pushPullDigest'),
    buckets: fc.constantFrom(16, 64, 256).chain((count) => hexId(4 * count)),
    standing: fc.constantFrom('seeking', 'founding', 'merged'),
    reply: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('pushPull'),
    members: fc.array(update),
    standing: fc.constantFrom('seeking', 'founding', 'merged'),
    reply: fc.boolean(),
    more: fc.boolean(),
  }),
  fc.record({ type: fc.constant('summary'), epoch, root: hexId(8) }),
  fc.record({ type: fc.constant('summaryDiffers'), buckets: hexId(8 * 256) }),
  fc.record(
    {
      type: fc.constant('digest'),
      feeds: fc.array(digest),
      gone: fc.array(feed),
      listing: fc.record({ replaced, more: fc.boolean() }),
    },
    { requiredKeys: ['type', 'feeds'] },
  ),
  fc.record({
    type: fc.constant('handoff'),
    ref: count,
    feed,
    nextOffset: count,
    hash: hexId(32) as fc.Arbitrary<Hash>,
  }),
  fc.record({ type: fc.constant('handoffConfirmed'), ref: count }),
  fc.record({ type: fc.constantFrom('flush', 'flushed'), ref: wantRef }),
  fc.record({
    type: fc.constant('want'),
    ref: wantRef,
    feed,
    position: fc.oneof(fc.constant(-1), count),
    bytesMax: count,
  }),
  fc.record({ type: fc.constantFrom('pushPullMore', 'digestMore', 'followMore') }),
  fc.record({ type: fc.constant('follow'), topics: fc.array(topicId), on: fc.boolean() }),
  fc.record({ type: fc.constant('followed'), topics: fc.array(topicId), more: fc.boolean() }),
  fc.record({ type: fc.constant('wantMissing'), ref: wantRef }),
  fc.record({ type: fc.constant('clock'), wallMs: count }),
  fc.record({ type: fc.constant('disk'), full: fc.boolean() }),
  fc.record({ type: fc.constant('credit'), bytes: count }),
)

const decodedJson = (value: unknown) => decodeControl(utf8(JSON.stringify(value)))

test('every message comes back as it was sent', () => {
  fc.assert(
    fc.property(controlMessages, (message) => {
      expect(decodeControl(encodeControl(message))).toEqual(message)
    }),
  )
})

test('random bytes and random JSON never throw', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 512 }), (bytes) => typeof decodeControl(bytes) === 'object'))
  fc.assert(fc.property(fc.jsonValue(), (value) => typeof decodedJson(value) === 'object'))
})

test('a valid frame with some bytes changed gives a message that can be sent again, or a fault', () => {
  const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(controlMessages, fc.array(change, { minLength: 1, maxLength: 4 }), (message, changes) => {
      const frame = encodeControl(message)
      for (const [position, byte] of changes) frame[position % frame.length] = byte
      const decoded = decodeControl(frame)
      if (decoded.type !== 'fault') expect(decodeControl(encodeControl(decoded))).toEqual(decoded)
    }),
    { numRuns: 1000 },
  )
})

test('a valid message with one field replaced by any JSON gives a message of the same bounds, or a fault', () => {
  const parts = fc.tuple(controlMessages, fc.nat(), fc.jsonValue())
  fc.assert(
    fc.property(parts, ([message, position, value]) => {
      const json = JSON.parse(new TextDecoder().decode(encodeControl(message)))
      const names = Object.keys(json)
      json[names[position % names.length] ?? 'type'] = value
      const decoded = decodedJson(json)
      if ((decoded as ControlMessage | { type: 'fault' }).type === 'fault') return
      expect(decodeControl(encodeControl(decoded as ControlMessage))).toEqual(decoded)
    }),
    { numRuns: 1000 },
  )
})
