// How many copies records have, topic by topic, from what oak holds and what elm and ash say. Heads small enough to count.
import { expect, test } from 'vitest'
import type { Epoch, Hash, PeerId, TopicId } from '#protocol/ids'
import type { FeedId } from '#protocol/log/feed'
import { replicationDefaults } from './config.ts'
import { copiesOfTopics } from './copies.ts'
import { Replication } from './replication.ts'
import { topicHeads } from './status.ts'
import { openedFeed } from './test-oak.ts'

const [oak, elm, ash] = ['oak', 'elm', 'ash'] as PeerId[] as [PeerId, PeerId, PeerId]
const orders = '11'.repeat(16) as TopicId
const photos = '22'.repeat(16) as TopicId
const epoch = '0000000000000001' as Epoch
const feedOf = (topicId: TopicId, writer: PeerId): FeedId => ({ topicId, writer, epoch })
const headAt = (nextOffset: number) => ({ nextOffset, hash: nextOffset.toString(16).padStart(64, '0') as Hash })

type Held = readonly (readonly [FeedId, nextOffset: number, floor?: number])[]

function oakHolding(held: Held, { count = 3, replicas = Number.POSITIVE_INFINITY } = {}) {
  const feeds = held.map(([feed, nextOffset, floor = 0]) => {
    const predecessor = { epoch: '0000000000000000' as Epoch, ...headAt(floor) }
    const opening = { topic: 'orders', generation: 0, writer: feed.writer, epoch, ...(floor > 0 && { predecessor }) }
    return openedFeed(feed, nextOffset, { opening })
  })
  const replication = new Replication({ self: oak, epoch, feeds, config: { ...replicationDefaults, replicas } })
  const members = [oak, elm, ash].slice(0, count).map((peer) => ({ peer, zone: '' }))
  replication.handle({ type: 'registryChanged', version: '3', merged: true, members }, 0)
  const hears = (peer: PeerId, told: Held): void => {
    replication.handle({ type: 'linkUp', peer, link: peer === elm ? 1 : 2 }, 0)
    const digests = told.map(([feed, nextOffset, floor = 0]) => ({
      feed,
      floor,
      keptFrom: floor,
      ...headAt(nextOffset),
    }))
    const message = { type: 'digest' as const, feeds: digests, listing: { replaced: [], more: false } }
    replication.handle({ type: 'messageReceived', from: peer, message }, 0)
  }
  return { replication, hears }
}

test('lag is what each misses of the furthest, whoever holds that', () => {
  const { replication, hears } = oakHolding([
    [feedOf(orders, oak), 10],
    [feedOf(orders, elm), 3],
  ])
  hears(elm, [
    [feedOf(orders, oak), 7],
    [feedOf(orders, elm), 5],
  ])
  hears(ash, [])
  const copies = copiesOfTopics(replication, oak).get(orders)
  expect(copies?.lag).toEqual(
    new Map([
      [oak, 2],
      [elm, 3],
      [ash, 15],
    ]),
  )
  // Of oak's feed 7 and of elm's 3 are at two of three; the other 3 and 2 are at one alone.
  expect(copies).toMatchObject({ records: 15, underReplicated: 15, single: 5 })
})

test('when all hold the same, nothing is missing; what was before a floor is missed by nobody', () => {
  const { replication, hears } = oakHolding([[feedOf(orders, oak), 42, 40]])
  hears(elm, [[feedOf(orders, oak), 42, 40]])
  hears(ash, [])
  expect(copiesOfTopics(replication, oak).get(orders)).toMatchObject({ records: 2, underReplicated: 2, single: 0 })
  hears(ash, [[feedOf(orders, oak), 42, 40]])
  expect(copiesOfTopics(replication, oak).get(orders)).toMatchObject({ records: 2, underReplicated: 0, single: 0 })
})

test('a peer alone has one copy of everything, and is not short of any', () => {
  const { replication } = oakHolding([[feedOf(orders, oak), 4]], { count: 1 })
  expect(copiesOfTopics(replication, oak).get(orders)).toMatchObject({ records: 4, underReplicated: 0, single: 4 })
})

test('topics do not mix, one that only others hold is seen, and lag is that of the status of each topic', () => {
  const { replication, hears } = oakHolding([
    [feedOf(orders, oak), 4],
    [feedOf(orders, ash), 9],
  ])
  hears(elm, [
    [feedOf(orders, oak), 1],
    [feedOf(photos, elm), 6],
  ])
  const all = copiesOfTopics(replication, oak)
  expect([...all.keys()]).toEqual([orders, photos])
  expect(all.get(photos)).toMatchObject({ records: 6, underReplicated: 6, single: 6 })
  for (const [topicId, { lag }] of all) {
    const { replicas } = topicHeads(replication, oak, topicId)
    expect(lag).toEqual(new Map(replicas.map((replica) => [replica.peer, replica.lag])))
  }
})
