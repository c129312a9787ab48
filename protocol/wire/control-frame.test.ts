// Control frames: the vectors of README.md byte for byte, sizes, and each kind of mistake that a remote peer can make.
import { describe, expect, test } from 'vitest'
import { limits } from '#protocol/limits'
import { utf8 } from '#protocol/text'
import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import type { FeedId } from '#protocol/log/feed'
import type { MemberUpdate } from '#protocol/membership/messages'
import { decodeControl, encodeControl } from './control-frame.ts'
import type { ControlMessage } from './control-frame.ts'

const [oak, elm, ash] = ['12D3KooWoak', '12D3KooWelm', '12D3KooWash'] as [PeerId, PeerId, PeerId]
const ordersOfOak: FeedId = {
  topicId: '000102030405060708090a0b0c0d0e0f' as TopicId,
  writer: oak,
  epoch: '00000000000000a1' as Epoch,
}
const chainHash = 'ab'.repeat(32) as Hash
const floorHash = 'cd'.repeat(32) as Hash
const trimmed = { feed: ordersOfOak, floor: 2, floorHash, keptFrom: 3, nextOffset: 9, hash: chainHash }

const decodedJson = (value: unknown): unknown => decodeControl(utf8(JSON.stringify(value)))

const ashIsSuspect: MemberUpdate = {
  peer: ash,
  state: 'suspect',
  incarnation: 4,
  by: elm,
  reason: 'no answer to 3 indirect probes',
}

describe('vectors', () => {
  const ashFacts = { name: 'ash', addresses: ['10.0.0.3:7400'], http: 'http://10.0.0.3:8400', zone: '', counter: 2 }
  const vectors: readonly (readonly [ControlMessage, string])[] = [
    [{ type: 'ping', ref: 7, updates: [] }, '{"type":"ping","ref":7,"updates":[]}'],
    [
      { type: 'gossip', updates: [{ ...ashIsSuspect, facts: ashFacts }] },
      `{"type":"gossip","updates":[{"peer":"${ash}","state":"suspect","incarnation":4,"by":"${elm}",` +
        '"reason":"no answer to 3 indirect probes","facts":{"name":"ash","addresses":["10.0.0.3:7400"],' +
        '"http":"http://10.0.0.3:8400","zone":"","counter":2}}]}',
    ],
    [
      { type: 'pushPullDigest', buckets: '0123abcd'.repeat(16), standing: 'merged', reply: true },
      `{"type":"pushPullDigest","buckets":"${'0123abcd'.repeat(16)}","standing":"merged","reply":true}`,
    ],
    [
      { type: 'pushPull', members: [ashIsSuspect], standing: 'founding', reply: true, more: false },
      `{"type":"pushPull","members":[{"peer":"${ash}","state":"suspect","incarnation":4,"by":"${elm}",` +
        '"reason":"no answer to 3 indirect probes"}],"standing":"founding","reply":true,"more":false}',
    ],
    [
      { type: 'want', ref: 12, feed: ordersOfOak, position: -1, bytesMax: 262_144 },
      '{"type":"want","ref":12,"feed":["000102030405060708090a0b0c0d0e0f",' +
        `"${oak}","00000000000000a1"],"position":-1,"bytesMax":262144}`,
    ],
    [
      {
        type: 'digest',
        feeds: [{ feed: ordersOfOak, floor: 0, keptFrom: 0, nextOffset: 9, hash: chainHash }],
        listing: { replaced: [7, 255], more: true },
      },
      `{"type":"digest","feeds":[["000102030405060708090a0b0c0d0e0f","${oak}","00000000000000a1",` +
        `0,0,9,"${chainHash}"]],"listing":{"replaced":[7,255],"more":true}}`,
    ],
    [
      { type: 'summary', epoch: ordersOfOak.epoch, root: '0123456789abcdef' },
      '{"type":"summary","epoch":"00000000000000a1","root":"0123456789abcdef"}',
    ],
    [
      { type: 'want', ref: 13, feed: ordersOfOak, position: 3, end: 8, bytesMax: 262_144 },
      '{"type":"want","ref":13,"feed":["000102030405060708090a0b0c0d0e0f",' +
        `"${oak}","00000000000000a1"],"position":3,"end":8,"bytesMax":262144}`,
    ],
    [
      {
        type: 'digest',
        feeds: [{ ...trimmed, holes: [{ from: 5, to: 7 }], rooted: true }, trimmed],
      },
      `{"type":"digest","feeds":[["000102030405060708090a0b0c0d0e0f","${oak}","00000000000000a1",` +
        `2,3,9,"${chainHash}",{"floorHash":"${floorHash}","holes":[[5,7]],"rooted":true}],` +
        `["000102030405060708090a0b0c0d0e0f","${oak}","00000000000000a1",2,3,9,"${chainHash}",{"floorHash":"${floorHash}"}]]}`,
    ],
    [
      { type: 'follow', topics: [ordersOfOak.topicId], on: true },
      '{"type":"follow","topics":["000102030405060708090a0b0c0d0e0f"],"on":true}',
    ],
    [
      { type: 'followed', topics: [ordersOfOak.topicId], more: false },
      '{"type":"followed","topics":["000102030405060708090a0b0c0d0e0f"],"more":false}',
    ],
    [{ type: 'disk', full: true }, '{"type":"disk","full":true}'],
    [
      { type: 'digest', feeds: [], gone: [ordersOfOak] },
      `{"type":"digest","feeds":[],"gone":[["000102030405060708090a0b0c0d0e0f","${oak}","00000000000000a1"]]}`,
    ],
    [
      { type: 'handoff', ref: 3, feed: ordersOfOak, nextOffset: 9, hash: chainHash },
      `{"type":"handoff","ref":3,"feed":["000102030405060708090a0b0c0d0e0f","${oak}","00000000000000a1"],` +
        `"nextOffset":9,"hash":"${chainHash}"}`,
    ],
    [{ type: 'handoffConfirmed', ref: 3 }, '{"type":"handoffConfirmed","ref":3}'],
    [{ type: 'flush', ref: 4 }, '{"type":"flush","ref":4}'],
    [{ type: 'flushed', ref: 4 }, '{"type":"flushed","ref":4}'],
    [{ type: 'clock', wallMs: 1_767_225_600_000 }, '{"type":"clock","wallMs":1767225600000}'],
    [{ type: 'credit', bytes: 4096 }, '{"type":"credit","bytes":4096}'],
  ]

  test.each(vectors)('%o', (message, json) => {
    expect(new TextDecoder().decode(encodeControl(message))).toBe(json)
    expect(decodeControl(utf8(json))).toEqual(message)
  })
})

describe('sizes', () => {
  test('an entry of a digest takes less than 200 bytes on the wire', () => {
    const feed = { ...ordersOfOak, writer: `12D3KooW${'x'.repeat(44)}` as PeerId }
    const entry = { feed, floor: 0, keptFrom: 0, nextOffset: 123_456, hash: chainHash }
    const frameOf = (count: number) =>
      encodeControl({
        type: 'digest',
        feeds: Array.from({ length: count }, () => entry),
      })
    expect((frameOf(101).length - frameOf(1).length) / 100).toBeLessThan(200)
  })

  test('a digest of the most feeds with the most holes fits into a control frame', () => {
    const most = Number.MAX_SAFE_INTEGER
    const holes = Array.from(
      { length: limits.digestHolesPerMessageMax / limits.digestFeedsPerMessageMax },
      (_, index) => {
        return { from: most - 100 + 3 * index, to: most - 99 + 3 * index }
      },
    )
    const feed = { ...ordersOfOak, writer: 'a'.repeat(128) as PeerId }
    const entry = {
      feed,
      floor: most,
      floorHash,
      keptFrom: most,
      holes,
      nextOffset: most,
      hash: chainHash,
      rooted: true,
    } as const
    const feeds = Array.from({ length: limits.digestFeedsPerMessageMax }, () => entry)
    const message: ControlMessage = { type: 'digest', feeds }
    expect(decodeControl(encodeControl(message))).toEqual(message)
  })

  test('the longest list of the largest members fits into a control frame', () => {
    const facts = {
      name: '"'.repeat(limits.memberNameBytesMax),
      addresses: Array.from({ length: limits.memberAddressesMax }, () => `${'a'.repeat(250)}:65535`),
      http: `http://${'a'.repeat(limits.memberAddressBytesMax - 7)}`,
      zone: '\\'.repeat(limits.memberNameBytesMax),
      counter: Number.MAX_SAFE_INTEGER,
    }
    const update: MemberUpdate = {
      peer: 'a'.repeat(128) as PeerId,
      state: 'suspect',
      incarnation: Number.MAX_SAFE_INTEGER,
      by: 'b'.repeat(128) as PeerId,
      reason: '€'.repeat(limits.reasonLengthMax),
      facts,
    }
    const members = Array.from({ length: limits.membersPerMessageMax }, () => update)
    const message: ControlMessage = { type: 'pushPull', members, standing: 'merged', reply: true, more: true }
    expect(decodeControl(encodeControl(message))).toEqual(message)
  })

  test('a message over its bound is refused by the sender, who had to split it', () => {
    const updates = Array.from({ length: limits.updatesPerMessageMax + 1 }, () => ashIsSuspect)
    expect(() => encodeControl({ type: 'gossip', updates })).toThrow('within the bound')
    const members = Array.from({ length: limits.membersPerMessageMax + 1 }, () => ashIsSuspect)
    expect(() => encodeControl({ type: 'pushPull', members, standing: 'merged', reply: false, more: false })).toThrow(
      'is split',
    )
  })
})

describe('what a remote peer may get wrong', () => {
  const faulty: readonly (readonly [string, unknown, string, string])[] = [
    ['a type of a newer version', { type: 'placement', topics: [] }, 'unknownType', 'placement'],
    ['a type that every object has', { type: 'constructor' }, 'unknownType', 'constructor'],
    ['no type', { ref: 1 }, 'badField', '.type'],
    ['a list instead of an object', [1, 2], 'badField', ''],
    ['a ref that is no number', { type: 'ping', ref: '7', updates: [] }, 'badField', '.ref'],
    ['a ref below zero', { type: 'ping', ref: -1, updates: [] }, 'badField', '.ref'],
    ['bytes beyond 2^53 − 1', { type: 'credit', bytes: 2 ** 53 }, 'badField', '.bytes'],
    ['half a byte', { type: 'credit', bytes: 0.5 }, 'badField', '.bytes'],
    ['a want that would answer a push', wantWith({ ref: 0 }), 'badField', '.ref'],
    ['a want whose ref is no u32', wantWith({ ref: 2 ** 32 }), 'badField', '.ref'],
    ['a position below nothing', wantWith({ position: -2 }), 'badField', '.position'],
    ['a feed without an epoch', wantWith({ feed: [ordersOfOak.topicId, oak] }), 'badField', '.feed[2]'],
    ['a topic id in capitals', wantWith({ feed: ['0A'.repeat(16), oak, ordersOfOak.epoch] }), 'badField', '.feed[0]'],
    [
      'holes that overlap',
      digestWith({
        holes: [
          [1, 4],
          [3, 5],
        ],
      }),
      'badField',
      '.feeds[0][7].holes',
    ],
    ['a hole of nothing', digestWith({ holes: [[4, 4]] }), 'badField', '.feeds[0][7].holes'],
    ['a feed that is not rooted, at length', digestWith({ rooted: false }), 'badField', '.feeds[0][7].rooted'],
    ['a state that SWIM has not', gossipWith({ state: 'tired' }), 'badField', '.updates[0].state'],
    ['a peer id with a slash', gossipWith({ peer: 'oak/elm' }), 'badField', '.updates[0].peer'],
    ['facts without a counter', gossipWith({ facts: { name: 'ash' } }), 'badField', '.updates[0].facts.addresses'],
    ['a name that moves a cursor', gossipFacts({ name: '\u001b[2Jash' }), 'badField', '.updates[0].facts.name'],
    ['a name of 65 bytes', gossipFacts({ name: 'ä'.repeat(32) + 'a' }), 'badField', '.updates[0].facts.name'],
    ['an address without a port', gossipFacts({ addresses: ['ash'] }), 'badField', '.updates[0].facts.addresses[0]'],
    ['a link that runs script', gossipFacts({ http: 'javascript:alert(1)' }), 'badField', '.updates[0].facts.http'],
    ['33 updates', { type: 'gossip', updates: Array(33).fill(ashIsSuspect) }, 'badField', '.updates'],
  ]

  test.each(faulty)('%s', (_, value, fault, where) => {
    expect(decodedJson(value)).toEqual({ type: 'fault', fault, where })
  })

  test('frames that are no JSON, no UTF-8, cut short or too large', () => {
    const ping = encodeControl({ type: 'ping', ref: 1, updates: [] })
    expect(decodeControl(ping.subarray(0, ping.length - 1))).toMatchObject({ fault: 'notJson' })
    expect(decodeControl(new Uint8Array())).toMatchObject({ fault: 'notJson' })
    expect(decodeControl(Uint8Array.of(0xc3, 0x28))).toMatchObject({ fault: 'notUtf8' })
    expect(decodeControl(new Uint8Array(limits.controlFrameBytesMax + 1))).toMatchObject({ fault: 'tooLarge' })
  })

  test('a frame nested as deep as it is long', () => {
    const deep = utf8('['.repeat(limits.controlFrameBytesMax))
    expect(decodeControl(deep)).toMatchObject({ fault: 'notJson' })
    const half = limits.controlFrameBytesMax / 2 - 100
    const closed = `{"type":"ping","ref":1,"updates":[],"x":${'['.repeat(half)}${']'.repeat(half)}}`
    expect(decodeControl(utf8(closed))).toEqual({ type: 'ping', ref: 1, updates: [] })
  })

  test('fields that we do not know are left out, __proto__ among them', () => {
    const json = '{"type":"credit","bytes":1,"__proto__":{"bytes":2},"later":true}'
    const message = decodeControl(utf8(json))
    expect(Object.keys(message)).toEqual(['type', 'bytes'])
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype)
    expect(decodeControl(utf8('{"__proto__":{"type":"credit","bytes":1}}'))).toMatchObject({ fault: 'badField' })
  })

  test('−0 is 0, so that equal offsets are the same value', () => {
    expect(decodeControl(utf8('{"type":"credit","bytes":-0}'))).toEqual({ type: 'credit', bytes: 0 })
  })

  test('a reason is for people: it is made legible and cut, not refused', () => {
    const message = decodedJson(gossipWith({ reason: `bell\u0007${'x'.repeat(1000)}` }))
    const reason = `bell ${'x'.repeat(limits.reasonLengthMax - 5)}`
    expect(message).toEqual({ type: 'gossip', updates: [{ ...ashIsSuspect, reason }] })
  })
})

function wantWith(change: object): object {
  const feed = [ordersOfOak.topicId, ordersOfOak.writer, ordersOfOak.epoch]
  return { type: 'want', ref: 1, feed, position: 0, bytesMax: 1, ...change }
}

function digestWith(more: object): object {
  const entry = [ordersOfOak.topicId, ordersOfOak.writer, ordersOfOak.epoch, 0, 0, 9, chainHash, more]
  return { type: 'digest', feeds: [entry] }
}

function gossipWith(change: object): object {
  return { type: 'gossip', updates: [{ ...ashIsSuspect, ...change }] }
}

function gossipFacts(change: object): object {
  const facts = { name: 'ash', addresses: ['[::1]:7400'], http: '', zone: 'eu-1', counter: 0 }
  return gossipWith({ facts: { ...facts, ...change } })
}
