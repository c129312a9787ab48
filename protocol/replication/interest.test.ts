// Who is told what, and who wants what, when a topic does not belong to everybody. Of oak, elm and ash, with two replicas,
// `orders` belongs to ash and elm, and `photos` to oak and ash.
import { expect, test } from 'vitest'
import type { PeerId, TopicId } from '#protocol/ids'
import { placementOrder } from './placement.ts'
import { bucketCount } from './set-hash.ts'
import {
  ash,
  batch,
  digest,
  digestDue,
  elm,
  epochs,
  feedOf,
  messages,
  Oak,
  oak,
  ofType,
  openingBatch,
  openingOf,
} from './test-oak.ts'
import { headAt, openedFeed, orders } from './test-oak.ts'

const photos = '44'.repeat(16) as TopicId
const two = { replicas: 2 }
const photosOf = (writer: PeerId) => ({ ...feedOf(writer), topicId: photos })
const stored = (feed: ReturnType<typeof feedOf>) => openedFeed(feed, 3)
const toldOf = (effects: ReturnType<Oak['tell']>) =>
  messages(effects, 'digest').map(({ to, message }) => [to, message.feeds.map(({ feed }) => feed.topicId)])

test('the topics of these tests belong to whom they say', () => {
  const members = [oak, elm, ash].map((peer) => ({ peer, zone: '' }))
  expect(placementOrder(orders, members)).toEqual([ash, elm, oak])
  expect(placementOrder(photos, members)).toEqual([oak, ash, elm])
})

test('a new link is told the topics that it keeps; what it has some of, it is told in full', () => {
  const peer = new Oak([stored(feedOf('yew' as PeerId)), stored(photosOf('yew' as PeerId))], two)
  peer.tell({ type: 'linkUp', peer: elm, link: 1 })
  const buckets = '0'.repeat(16 * bucketCount)
  expect(toldOf(peer.hear(elm, { type: 'summaryDiffers', buckets }))).toEqual([[elm, [orders]]])
  const feeds = [digest(photosOf(elm), 1)]
  peer.hear(elm, { type: 'digest', feeds, listing: { replaced: [], more: false } })
  expect(toldOf(peer.tell(digestDue))).toEqual([[elm, [photos]]])
})

test('own feeds are pushed to those who keep their topic only', () => {
  const peer = new Oak([], two)
  peer.link(elm, 1)
  peer.link(ash, 2)
  const feed = photosOf(oak)
  const made = peer.tell({
    type: 'batchAppended',
    feed,
    head: headAt(0),
    sizeBytes: 100,
    hlcMs: 1,
    opening: openingOf(oak),
  })
  expect(ofType(made, 'sendRange').map(({ to }) => to)).toEqual([ash])
  peer.tell({ type: 'rangesStored', runs: [{ feed, head: headAt(0) }] })
  expect(toldOf(peer.tell(digestDue))).toEqual([[ash, [photos]]])
})

test('a peer asks for the feeds of its own topics only, but stores what is pushed to it', () => {
  const peer = new Oak([], two)
  const yew = 'yew' as PeerId
  const wants = messages(peer.link(ash, 2, [digest(feedOf(yew), 3), digest(photosOf(yew), 3)]), 'want')
  expect(wants.map(({ message }) => message.feed.topicId)).toEqual([photos])
  const pushed = peer.receive(ash, feedOf(ash), [openingBatch(openingOf(ash)), batch(0)], { link: 2 })
  expect(ofType(pushed, 'storeReceived')).toHaveLength(1)
})

test('who comes to be at home is told and pushed to, and asks for what others hold', () => {
  const peer = new Oak([stored(feedOf('yew' as PeerId))], { replicas: 1 })
  peer.link(elm, 1, [digest(photosOf(elm), 3)], epochs.second)
  peer.write(0, true)
  const effects = peer.tell({
    type: 'replicasChanged',
    topics: [orders, photos].map((topicId) => ({ topicId, replicas: 3 })),
  })
  expect(ofType(effects, 'sendRange')).toMatchObject([{ to: elm, feed: feedOf(oak) }])
  expect(toldOf(peer.tell(digestDue))).toEqual([[elm, [orders, orders]]])
  expect(peer.tell({ type: 'linkDown', peer: elm })).toEqual([])
  const fresh = new Oak([], { replicas: 1 })
  expect(messages(fresh.link(ash, 2, [digest(feedOf('yew' as PeerId), 3)]), 'want')).toEqual([])
  const asked = fresh.tell({ type: 'replicasChanged', topics: [{ topicId: orders, replicas: 3 }] })
  expect(messages(asked, 'want')).toMatchObject([{ to: ash, message: { feed: feedOf('yew' as PeerId) } }])
})

test('levels count the home of the topic: a writer outside it is one copy more, for n:K alone', () => {
  const peer = new Oak([], { replicas: 1 })
  peer.write(0, true)
  peer.write(1, true)
  const settled = (level: 'all' | { count: number }, ref: number) => {
    const effects = peer.publish({ ref, level: level === 'all' ? { type: level } : { type: 'count', ...level } })
    return ofType(effects, 'publishSettled').map(({ settled: { reached, peers, home } }) => ({ reached, peers, home }))
  }
  peer.link(elm, 1, [digest(feedOf(oak), 1)])
  expect(settled('all', 1)).toEqual([])
  expect(settled({ count: 2 }, 2)).toEqual([{ reached: true, peers: [oak, elm], home: [ash] }])
  const heard = peer.link(ash, 2, [digest(feedOf(oak), 1)])
  expect(ofType(heard, 'publishSettled')).toMatchObject([
    { settled: { ref: 1, reached: true, peers: [oak, elm, ash] } },
  ])
})
