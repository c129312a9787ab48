// Whom topics belong to as one peer sees it, while members join, go away for long, and come back.
import { expect, test } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import { replicationDefaults } from './config.ts'
import { Homes } from './homes.ts'
import { placementOrder } from './placement.ts'

const peers = ['oak', 'elm', 'ash', 'fir', 'yew'] as PeerId[]
const members = peers.map((peer) => ({ peer, zone: '' }))
const orders = '11'.repeat(16) as TopicId
const order = placementOrder(orders, members)
const [first, second, third, fourth, fifth] = order as [PeerId, PeerId, PeerId, PeerId, PeerId]

/** The view of the last in order, at which all others are present since 0 ms; a member is replaced after 1,000. */
function homes(): Homes {
  const seen = new Homes(fifth, { ...replicationDefaults, replicas: 3, replaceAfterMs: 1_000 })
  seen.registryChanged({ version: '5', merged: true, members }, 0)
  for (const peer of [first, second, third, fourth]) seen.presenceChanged(peer, true, 0)
  return seen
}

test('home is the first three in order, and whoever dies stays at home', () => {
  const seen = homes()
  seen.presenceChanged(second, false, 100)
  expect(seen.of(orders)).toMatchObject({ peers: [first, second, third], standIns: [], registryVersion: '5' })
  expect(seen.timePassed(1_099)).toBe(false)
  expect(seen.of(orders).keepers).toEqual(new Set([first, second, third]))
})

test('a member away for long has a stand-in until it is back; one that comes back in time has none', () => {
  const seen = homes()
  seen.presenceChanged(second, false, 100)
  seen.presenceChanged(third, false, 100)
  seen.presenceChanged(third, true, 900)
  expect(seen.timePassed(1_100)).toBe(true)
  expect(seen.of(orders)).toMatchObject({ peers: [first, second, third], standIns: [fourth] })
  expect(seen.isKeeper(orders, fourth)).toBe(true)
  expect(seen.isOurs(orders)).toBe(false)
  expect(seen.presenceChanged(second, true, 5_000)).toBe(true)
  expect(seen.of(orders).standIns).toEqual([])
})

test('who was never heard of counts as away from when this peer learned of it', () => {
  const seen = new Homes(fifth, { ...replicationDefaults, replicas: 4, replaceAfterMs: 1_000 })
  seen.registryChanged({ version: '5', merged: true, members }, 200)
  for (const peer of [first, second, third]) seen.presenceChanged(peer, true, 300)
  expect(seen.timePassed(1_199)).toBe(false)
  expect(seen.timePassed(1_200)).toBe(true)
  expect(seen.of(orders).standIns).toEqual([fifth])
  expect(seen.isOurs(orders)).toBe(true)
})

test('a topic may have a number of its own; saying the same again changes nothing', () => {
  const seen = homes()
  expect(seen.replicasChanged([{ topicId: orders, replicas: 1 }])).toBe(true)
  expect(seen.of(orders).peers).toEqual([first])
  expect(seen.replicasChanged([{ topicId: orders, replicas: 1 }])).toBe(false)
  seen.replicasChanged([{ topicId: orders, replicas: Number.POSITIVE_INFINITY }])
  expect(seen.of(orders).peers).toEqual(order)
})
