// Serving those who follow: oak holds `orders`, fir reads it here.
import { expect, test } from 'vitest'
import type { Epoch, PeerId, TopicId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import type { ReplicationEffect } from './inputs.ts'
import { digestDue, feedOf, messages, Oak, ofType, openedFeed, orders } from './test-oak.ts'

const fir = 'fir' as PeerId
const follow = (...topics: readonly TopicId[]) => ({ type: 'follow', topics, on: true }) as const
const toldOf = (effects: readonly ReplicationEffect[]) => ofType(effects, 'send').map(({ message }) => message)

/** With two replicas, `orders` belongs to others; oak has written it all the same. */
function oakWith(end: number): Oak {
  const peer = new Oak([], { replicas: 2 })
  for (let at = 0; at <= end; at++) peer.write(at, true)
  return peer
}

test('who follows a topic is told all heads of it, then that these were all, and at once when they move', () => {
  const peer = oakWith(1)
  peer.link(fir, 1)
  expect(toldOf(peer.hear(fir, follow(orders)))).toMatchObject([
    { type: 'digest', feeds: [{ nextOffset: 1 }] },
    { type: 'followed', topics: [orders], more: false },
  ])
  expect(messages(peer.write(2, true), 'digest')).toMatchObject([{ to: fir, message: { feeds: [{ nextOffset: 2 }] } }])
  peer.hear(fir, { ...follow(orders), on: false })
  peer.write(3, true)
  expect(messages(peer.tell(digestDue), 'digest')).toEqual([])
})

test('of a topic that is not here there is nothing to tell, until it is', () => {
  const peer = new Oak([], { replicas: 2 })
  peer.link(fir, 1)
  expect(toldOf(peer.hear(fir, follow(orders)))).toEqual([{ type: 'followed', topics: [orders], more: false }])
  expect(messages(peer.write(0, true), 'digest')).toMatchObject([{ to: fir }])
})

test('what is followed counts in the summary, and no longer when it is not', () => {
  const peer = oakWith(1)
  peer.link(fir, 1)
  const rootOf = () => {
    const sent = messages(peer.sweep(61_000), 'summary')
    return sent[0]?.message.root
  }
  const before = rootOf()
  peer.hear(fir, follow(orders))
  expect(rootOf()).not.toBe(before)
  peer.hear(fir, { ...follow(orders), on: false })
  expect(rootOf()).toBe(before)
})

test('many followers of a topic are told a little later, in one go', () => {
  const peer = oakWith(0)
  for (let n = 0; n <= limits.promptFollowersMax; n++) {
    peer.link(`f${n}` as PeerId, n)
    peer.hear(`f${n}` as PeerId, follow(orders))
  }
  expect(messages(peer.write(1, true), 'digest')).toEqual([])
  expect(messages(peer.tell(digestDue), 'digest')).toHaveLength(limits.promptFollowersMax + 1)
})

test('many feeds are told page by page, as the other side reads, and topics as soon as all of theirs were', () => {
  const feeds = Array.from({ length: limits.digestFeedsPerMessageMax + 1 }, (_, n) => {
    return openedFeed(feedOf(fir, n.toString(16).padStart(16, '0') as Epoch), 1)
  })
  const bills = '22'.repeat(16) as TopicId
  const notes = '33'.repeat(16) as TopicId
  const peer = new Oak(feeds, { replicas: 2 })
  peer.link(fir, 1)
  const pageOf = (effects: readonly ReplicationEffect[]) =>
    toldOf(effects).map((message) => {
      return message.type === 'digest' ? message.feeds.length : message.type === 'followed' ? message.topics : message
    })
  expect(pageOf(peer.hear(fir, follow(bills, orders)))).toEqual([limits.digestFeedsPerMessageMax, [bills]])
  // Asked meanwhile, it comes in its turn.
  expect(toldOf(peer.hear(fir, follow(notes)))).toEqual([])
  expect(pageOf(peer.hear(fir, { type: 'followMore' }))).toEqual([1, [orders, notes]])
  expect(toldOf(peer.hear(fir, { type: 'followMore' }))).toEqual([])
})

test('a neighbor that follows more topics than a peer may is not listened to', () => {
  const peer = new Oak()
  peer.link(fir, 1)
  const topicsFrom = (from: number, count: number) =>
    Array.from({ length: count }, (_, n) => (from + n).toString(16).padStart(32, '0') as TopicId)
  for (let from = 0; from < limits.followedTopicsMax; from += 256) {
    expect(toldOf(peer.hear(fir, follow(...topicsFrom(from, 256))))).toHaveLength(1)
  }
  expect(toldOf(peer.hear(fir, follow(...topicsFrom(limits.followedTopicsMax, 1))))).toEqual([])
  expect(peer.machine.anomalies.followsRefused).toBe(1)
})
