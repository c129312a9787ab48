// Who keeps a topic: the laws of placement over any registry, and a mesh small enough to follow by hand.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import { keepersOf, placementOrder, type RegisteredMember, scoreOf } from './placement.ts'

const topicId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex') as TopicId)
const peer = fc.stringMatching(/^[A-Za-z0-9]{1,12}$/) as fc.Arbitrary<PeerId>
const member = fc.record({ peer, zone: fc.constantFrom('', 'attic', 'barn', 'cellar') })
const registry = fc.uniqueArray(member, { selector: (one) => one.peer, minLength: 1, maxLength: 24 })
const replicas = fc.integer({ min: 1, max: 5 })

const nobody = () => false
const homeOf = (topic: TopicId, members: readonly RegisteredMember[], count: number) =>
  keepersOf(placementOrder(topic, members), { replicas: count, isAbsent: nobody }).home
const beyond = (a: readonly PeerId[], b: readonly PeerId[]) => a.filter((one) => !b.includes(one))

describe('for any registry', () => {
  test('the order is a permutation of the members, whatever order they are listed in', () => {
    fc.assert(
      fc.property(topicId, registry, (topic, members) => {
        const order = placementOrder(topic, members)
        expect(order).toEqual(placementOrder(topic, members.toReversed()))
        expect(order.toSorted()).toEqual(members.map((one) => one.peer).toSorted())
      }),
    )
  })

  test('a member that joins takes one place at most, and nobody else moves in', () => {
    fc.assert(
      fc.property(topicId, registry, member, replicas, (topic, members, joining, count) => {
        fc.pre(members.every((one) => one.peer !== joining.peer))
        const before = homeOf(topic, members, count)
        const after = homeOf(topic, [...members, joining], count)
        expect(beyond(after, before).filter((one) => one !== joining.peer)).toEqual([])
        expect(beyond(before, after).length).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('a member that goes is replaced by one other, where there is one, and nobody else moves', () => {
    fc.assert(
      fc.property(topicId, registry, replicas, fc.nat(), (topic, members, count, index) => {
        const going = members[index % members.length] as RegisteredMember
        const before = homeOf(topic, members, count)
        const after = homeOf(
          topic,
          members.filter((one) => one !== going),
          count,
        )
        expect(beyond(before, after)).toEqual(before.includes(going.peer) ? [going.peer] : [])
        expect(after.length).toBe(Math.min(count, members.length - 1))
      }),
    )
  })

  test('a home spreads over as many zones as there are, and evenly', () => {
    fc.assert(
      fc.property(topicId, registry, replicas, (topic, members, count) => {
        const zoneOf = new Map(members.map((one) => [one.peer, one.zone]))
        const picked = Map.groupBy(homeOf(topic, members, count), (one) => zoneOf.get(one))
        const zones = Map.groupBy(members, ({ zone }) => zone)
        expect(picked.size).toBe(Math.min(count, zones.size, members.length))
        // A zone may have fewer than another only if it has no more members to give.
        const most = Math.max(...[...picked.values()].map((peers) => peers.length))
        for (const [zone, all] of zones) {
          expect(picked.get(zone)?.length ?? 0).toBeGreaterThanOrEqual(Math.min(all.length, most - 1))
        }
      }),
    )
  })

  test('stand-ins are the next in order that are there: one for each home member that is not, never of home', () => {
    fc.assert(
      fc.property(topicId, registry, replicas, fc.func(fc.boolean()), (topic, members, count, away) => {
        const isAbsent = (one: PeerId) => away(one)
        const order = placementOrder(topic, members)
        const { home, standIns } = keepersOf(order, { replicas: count, isAbsent })
        expect(home).toEqual(homeOf(topic, members, count))
        const missing = home.filter(isAbsent).length
        const candidates = order.slice(count).filter((one) => !isAbsent(one))
        expect(standIns).toEqual(candidates.slice(0, missing))
      }),
    )
  })
})

test('with as many topics as there may be, nobody has a quarter more or less than its share', () => {
  const members = Array.from({ length: 10 }, (_, i) => ({ peer: `12D3KooW${i}` as PeerId, zone: '' }))
  const shares = new Map<PeerId, number>()
  for (let i = 0; i < 10_000; i++) {
    // As `topicIdOf` makes them: the first bytes of a hash.
    const topic = (((i * 0x9e3779b1) >>> 0).toString(16).padStart(8, '0') + '0'.repeat(24)) as TopicId
    for (const one of homeOf(topic, members, 3)) shares.set(one, (shares.get(one) ?? 0) + 1)
  }
  expect(shares.size).toBe(10)
  for (const share of shares.values()) expect(Math.abs(share - 3_000)).toBeLessThan(750)
})

// Vectors of the reference implementation (SMHasher, as published with its ports).
test.each([
  ['', '00000000', 0],
  ['', '00000001', 0x514e28b7],
  ['', 'ffffffff', 0x81f16f39],
  ['test', '00000000', 0xba6bd213],
  ['test', '9747b28c', 0x704b81dc],
  ['Hello, world!', '00000000', 0xc0363e43],
  ['Hello, world!', '9747b28c', 0x24884cba],
])('the score of %j with seed %s is that of MurmurHash3', (text, seed, score) => {
  expect(scoreOf((seed + '0'.repeat(24)) as TopicId, text as PeerId)).toBe(score)
})
