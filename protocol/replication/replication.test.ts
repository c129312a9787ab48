// The replication machine alone: one peer, oak, and what its neighbors say.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { feedKeyOf, NOTHING } from '#protocol/log/feed'
import { limits } from '#protocol/limits'
import { bucketCount } from './set-hash.ts'
import type { FeedDigest } from './messages.ts'
import {
  ash,
  batch,
  digest,
  elm,
  epochs,
  feedOf,
  hashAt,
  headAt,
  messages,
  Oak,
  oak,
  openedFeed,
  ofType,
  openingBatch,
  openingOf,
  settledOf,
} from './test-oak.ts'

test('a batch is pushed while its own fsync runs, and told to others only when it is on disk', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  const [push] = ofType(peer.write(0, false), 'sendRange')
  expect(push).toMatchObject({ to: elm, ref: 0, position: NOTHING, endMax: 0 })
  expect(messages(peer.tell({ type: 'timerFired', timer: { type: 'digestDue' } }), 'digest')).toEqual([])
  peer.tell({ type: 'rangesStored', runs: [{ feed: feedOf(oak), head: headAt(0) }] })
  const told = messages(peer.tell({ type: 'timerFired', timer: { type: 'digestDue' } }), 'digest')
  expect(told.map(({ to, message }) => [to, message.feeds[0]?.nextOffset])).toEqual([[elm, 0]])
})

test('nothing is pushed before the neighbor has told what it holds, and then only what it lacks', () => {
  const peer = new Oak()
  peer.write(0, true)
  for (const end of [1, 2, 3]) peer.write(end, true)
  const up = peer.tell({ type: 'linkUp', peer: elm, link: 1 })
  expect(ofType(up, 'sendRange')).toEqual([])
  const message = {
    type: 'digest',
    feeds: [digest(feedOf(oak), 2)],
    listing: { replaced: [], more: false },
  } as const
  expect(ofType(peer.hear(elm, message), 'sendRange')).toMatchObject([{ position: 2, endMax: 3 }])
})

test('a copy counts once the neighbor has it on disk, on our chain, and is taken back when its head goes back', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.link(elm, 1)
  peer.link(ash, 2)
  peer.write(1, false)
  expect(settledOf(peer.publish({ level: { type: 'count', count: 2 } }))).toEqual([])
  const told = (from: PeerId, entry: FeedDigest) => peer.hear(from, { type: 'digest', feeds: [entry] })
  // Elm has it, but it is not on our own disk yet: an answer would promise what a crash could take.
  expect(settledOf(told(elm, digest(feedOf(oak), 1)))).toEqual([])
  expect(settledOf(told(ash, { ...digest(feedOf(oak), 1), hash: hashAt(666) }))).toEqual([])
  told(elm, digest(feedOf(oak), 0))
  expect(settledOf(peer.write(1, true))).toEqual([])
  expect(settledOf(told(elm, digest(feedOf(oak), 1)))).toEqual([{ ref: 1, reached: true, peers: [oak, elm] }])
  expect(peer.machine.anomalies.foreignChains).toBe(1)
})

test('a level that is not met at its deadline is answered as not reached, naming who has it', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.link(elm, 1)
  peer.write(1, true)
  const [timer] = ofType(peer.publish({ deadlineMs: 300 }), 'setTimer')
  expect(timer).toMatchObject({ afterMs: 300, timer: { type: 'settleDue' } })
  peer.hear(elm, { type: 'digest', feeds: [digest(feedOf(oak), 1)] })
  peer.nowMs = 300
  const settled = peer.tell({ type: 'timerFired', timer: { type: 'settleDue', dueMs: 300 } })
  expect(settledOf(settled)).toEqual([{ ref: 1, reached: false, peers: [oak, elm] }])
})

test('publishes with later deadlines are settled too, after the first one ran out', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.write(1, true)
  peer.publish({ ref: 1, deadlineMs: 100 })
  peer.publish({ ref: 2, deadlineMs: 900 })
  peer.nowMs = 100
  const first = peer.tell({ type: 'timerFired', timer: { type: 'settleDue', dueMs: 100 } })
  expect(settledOf(first).map(({ ref }) => ref)).toEqual([1])
  expect(ofType(first, 'setTimer')).toMatchObject([{ afterMs: 800 }])
  peer.nowMs = 900
  const second = peer.tell({ type: 'timerFired', timer: { type: 'settleDue', dueMs: 900 } })
  expect(settledOf(second).map(({ ref }) => ref)).toEqual([2])
})

test('a peer that drains answers what waits for copies with those that there are, once on its own disk', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.write(1, false)
  peer.publish({})
  expect(settledOf(peer.tell({ type: 'drainRequested' }))).toEqual([])
  expect(settledOf(peer.write(1, true))).toEqual([{ ref: 1, reached: false, peers: [oak] }])
})

test('until one registry is merged, only local is ever reached', () => {
  const peer = new Oak()
  peer.register([oak], { merged: false })
  peer.write(0, true)
  peer.write(1, true)
  expect(settledOf(peer.publish({ ref: 1, level: { type: 'local' } }))).toMatchObject([{ ref: 1, reached: true }])
  expect(settledOf(peer.publish({ ref: 2 }))).toEqual([])
})

test('only batches that continue our chain are stored; the rest is dropped and its credit given back', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  const stored = peer.receive(elm, feedOf(elm), [openingBatch(openingOf(elm)), batch(0), batch(2)])
  expect(ofType(stored, 'storeReceived')).toMatchObject([{ from: 0, to: 2, head: headAt(1) }])
  expect(messages(stored, 'credit')).toMatchObject([{ to: elm, message: { bytes: 100 } }])
  const again = peer.receive(elm, feedOf(elm), [batch(0)])
  expect(ofType(again, 'discardReceived')).toHaveLength(1)
  expect(messages(again, 'credit')).toMatchObject([{ message: { bytes: 100 } }])
  const overlapping = peer.receive(elm, feedOf(elm), [batch(0), batch(1)])
  expect(ofType(overlapping, 'storeReceived')).toMatchObject([{ from: 1, to: 2, head: headAt(2) }])
  const forged = peer.receive(elm, feedOf(elm), [{ ...batch(2), previousHash: hashAt(666) }])
  expect(ofType(forged, 'storeReceived')).toEqual([])
})

test('a successor is not taken before its predecessor is here up to the link; that one is asked for first', () => {
  const peer = new Oak()
  const [before, after] = [feedOf(elm, epochs.first), feedOf(elm, epochs.second)]
  const opening = { ...openingOf(elm, epochs.second), predecessor: { epoch: epochs.first, ...headAt(2) } }
  const asked = messages(peer.link(ash, 2, [digest(after, 3), digest(before, 2)]), 'want')
  expect(asked.map(({ message }) => message.feed.epoch)).toEqual([epochs.second, epochs.first])
  const refused = peer.receive(ash, after, [openingBatch(opening)], { link: 2, ref: 1 })
  expect(ofType(refused, 'storeReceived')).toEqual([])
  const first = [openingBatch(openingOf(elm)), batch(0), batch(1)]
  const taken = peer.receive(ash, before, first, { link: 2, ref: 2 })
  expect(ofType(taken, 'storeReceived')).toHaveLength(1)
  const next = messages(taken, 'want')
  expect(next.map(({ message }) => [message.feed.epoch, message.position])).toEqual([[epochs.second, NOTHING]])
  expect(ofType(peer.receive(ash, after, [openingBatch(opening)], { link: 2, ref: 3 }), 'storeReceived')).toHaveLength(
    1,
  )
})

test('frames flow only while credit covers the largest; credit starts anew with each link', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.link(elm, 1)
  const used = limits.linkCreditBytes - limits.dataFrameBytesMax + 1
  peer.write(1, false)
  peer.tell({ type: 'rangeSent', to: elm, link: 1, nextPosition: 0, sizeBytes: used })
  expect(ofType(peer.write(2, false), 'sendRange')).toEqual([])
  expect(ofType(peer.hear(elm, { type: 'credit', bytes: 1 }), 'sendRange')).toMatchObject([{ position: 0, endMax: 2 }])
  peer.tell({ type: 'linkDown', peer: elm })
  expect(ofType(peer.link(elm, 2, [digest(feedOf(oak), 1)]), 'sendRange')).toMatchObject([{ link: 2, position: 1 }])
})

test('what an old link brought gives no credit on a new one', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  peer.receive(elm, feedOf(elm), [openingBatch(openingOf(elm))])
  peer.tell({ type: 'linkDown', peer: elm })
  peer.link(elm, 2)
  const runs = [{ feed: feedOf(elm), head: headAt(0), credit: { link: 1, bytes: 100 } }]
  expect(messages(peer.tell({ type: 'rangesStored', runs }), 'credit')).toEqual([])
})

test('a neighbor that sends beyond its credit is cut off', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  const huge = { ...openingBatch(openingOf(elm)), sizeBytes: limits.linkCreditBytes + 1 }
  expect(ofType(peer.receive(elm, feedOf(elm), [huge]), 'closeLink')).toHaveLength(1)
})

test('a holder that does not answer is passed over for another; a lone one is asked again after a pause', () => {
  const peer = new Oak()
  const lost = feedOf('yew' as PeerId)
  const first = messages(peer.link(elm, 1, [digest(lost, 5)]), 'want')
  expect(first.map(({ to }) => to)).toEqual([elm])
  expect(messages(peer.link(ash, 2, [digest(lost, 5)]), 'want')).toEqual([])
  const second = messages(peer.sweep(10_000), 'want')
  expect(second.map(({ to }) => to)).toEqual([ash])
  peer.tell({ type: 'linkDown', peer: elm })
  const ref = second[0]?.message.ref ?? 0
  expect(messages(peer.hear(ash, { type: 'wantMissing', ref }), 'want')).toEqual([])
  expect(messages(peer.sweep(1_000), 'want').map(({ to }) => to)).toEqual([ash])
})

test('what comes over a link of a want keeps it waiting; a want in vain makes the next one on that link wait longer', () => {
  const peer = new Oak()
  const lost = feedOf('yew' as PeerId)
  peer.link(elm, 1, [digest(lost, 5)])
  peer.sweep(9_000)
  // It pushes its own meanwhile: the answer is queued behind that.
  peer.receive(elm, feedOf(elm), [openingBatch(openingOf(elm))])
  expect(messages(peer.sweep(9_000), 'want')).toEqual([])
  const again = [...peer.sweep(1_000), ...peer.sweep(1_000)]
  expect(messages(again, 'want').map(({ to }) => to)).toEqual([elm])
  expect(messages([...peer.sweep(18_000), ...peer.sweep(1_000)], 'want')).toEqual([])
  expect(messages([...peer.sweep(1_000), ...peer.sweep(1_000)], 'want').map(({ to }) => to)).toEqual([elm])
})

test('a link that brings this and that, and never what was asked for, is given up on in the end', () => {
  const peer = new Oak()
  const lost = feedOf('yew' as PeerId)
  peer.link(elm, 1, [digest(lost, 5)])
  peer.link(ash, 2, [digest(lost, 5)])
  const asked: PeerId[] = []
  peer.receive(elm, feedOf(elm), [openingBatch(openingOf(elm))])
  for (let i = 0; i < 19; i++) {
    asked.push(...messages(peer.sweep(9_000), 'want').map(({ to }) => to))
    peer.receive(elm, feedOf(elm), [batch(i)])
  }
  expect(asked).toEqual([ash])
})

test('at most four feeds are caught up on at a time, two from one holder; a linked writer is left to push its own', () => {
  const peer = new Oak()
  const many = Array.from({ length: 9 }, (_, i) => digest(feedOf(`w${i}` as PeerId), 5))
  expect(messages(peer.link(ash, 2, many), 'want')).toHaveLength(limits.catchUpsPerHolderMax)
  const more = messages(peer.link(elm, 1, many), 'want')
  expect(more.map(({ to }) => to)).toEqual([elm, elm])
  expect(limits.catchUpsMax).toBe(4)
  expect(messages(peer.link('fir' as PeerId, 3, many), 'want')).toEqual([])
  const other = new Oak()
  expect(messages(other.link(elm, 1, [digest(feedOf(elm), 5)]), 'want')).toEqual([])
  expect(messages(other.sweep(2_000), 'want')).toMatchObject([{ to: elm }])
})

test('a writer that stopped pushing is asked for one range after the other, without waiting for it again', () => {
  const peer = new Oak()
  peer.link(elm, 1, [digest(feedOf(elm), 5)])
  const [first] = messages(peer.sweep(2_000), 'want')
  const ref = first?.message.ref ?? 0
  const next = peer.receive(elm, feedOf(elm), [openingBatch(openingOf(elm)), batch(0)], { ref })
  expect(messages(next, 'want').map(({ message }) => message.position)).toEqual([1])
})

test('a new link tells its heads page by page, the next one when the last was read', () => {
  const count = 2 * limits.digestFeedsPerMessageMax + 1
  const feeds = Array.from({ length: count }, (_, i) => {
    return openedFeed(feedOf(`w${i}` as PeerId), 1)
  })
  const peer = new Oak(feeds)
  expect(messages(peer.tell({ type: 'linkUp', peer: elm, link: 1 }), 'digest')).toEqual([])
  const nothing = '0'.repeat(16 * bucketCount)
  const pages = [messages(peer.hear(elm, { type: 'summaryDiffers', buckets: nothing }), 'digest')]
  for (let i = 0; i < 3; i++) pages.push(messages(peer.hear(elm, { type: 'digestMore' }), 'digest'))
  expect(pages.map((page) => page.map(({ message }) => [message.feeds.length, message.listing?.more]))).toEqual([
    [[limits.digestFeedsPerMessageMax, true]],
    [[limits.digestFeedsPerMessageMax, true]],
    [[1, false]],
    [],
  ])
})

test('whoever reads a page with more to come asks for the next', () => {
  const peer = new Oak()
  peer.tell({ type: 'linkUp', peer: elm, link: 1 })
  const page = (more: boolean) =>
    peer.hear(elm, { type: 'digest', feeds: [digest(feedOf(elm), 0)], listing: { replaced: [], more } })
  expect(messages(page(true), 'digestMore')).toHaveLength(1)
  expect(messages(page(false), 'digestMore')).toEqual([])
})

test('nobody else writes our feed of this boot: whoever sends it is cut off, before and after it is opened', () => {
  const peer = new Oak()
  peer.link(elm, 1)
  const forgedOpening = peer.receive(elm, feedOf(oak), [openingBatch(openingOf(oak))])
  expect(ofType(forgedOpening, 'closeLink')).toMatchObject([{ peer: elm }])
  peer.write(0, true)
  const forged = peer.receive(elm, feedOf(oak), [batch(0)])
  expect(ofType(forged, 'storeReceived')).toEqual([])
  expect(peer.machine.local.position(feedKeyOf(feedOf(oak)))).toBe(0)
  // Nor is it asked for, whatever a neighbor says that it has.
  expect(messages(peer.link(ash, 2, [digest(feedOf(oak), 99)]), 'want')).toEqual([])
})

test('a copy at a peer that does not belong is none', () => {
  const peer = new Oak()
  const stranger = 'fox' as PeerId
  peer.write(0, true)
  peer.write(1, true)
  peer.link(stranger, 9, [digest(feedOf(oak), 1)])
  expect(settledOf(peer.publish({ level: { type: 'count', count: 2 } }))).toEqual([])
  expect(settledOf(peer.tell({ type: 'drainRequested' }))).toEqual([{ ref: 1, reached: false, peers: [oak] }])
})

test('a peer that never stops publishing still serves what it is asked for', () => {
  const feed = feedOf(elm)
  const peer = new Oak([openedFeed(feed, 4)])
  peer.write(0, true)
  peer.link(ash, 2, [digest(feedOf(oak), 0)])
  peer.write(1, false)
  peer.hear(ash, { type: 'want', ref: 5, feed, position: 1, bytesMax: 1_000 })
  const refs: number[] = []
  for (let end = 2; end < 12; end++) {
    peer.write(end, false)
    const sent = peer.tell({ type: 'rangeSent', to: ash, link: 2, nextPosition: end - 1, sizeBytes: 0 })
    refs.push(...ofType(sent, 'sendRange').map(({ ref }) => ref))
  }
  expect(refs).toContain(5)
})

test('beyond the bound of those that wait, a publish is told at once how far it got', () => {
  const peer = new Oak()
  peer.write(0, true)
  peer.write(1, true)
  for (let ref = 0; ref < limits.waitingPublishesMax; ref++) peer.publish({ ref })
  const last = limits.waitingPublishesMax
  expect(settledOf(peer.publish({ ref: last }))).toEqual([{ ref: last, reached: false, peers: [oak] }])
  expect(settledOf(peer.publish({ ref: last + 1, level: { type: 'local' } }))).toMatchObject([{ reached: true }])
})

test('a neighbor that names more feeds than there may be is heard up to the bound', () => {
  const peer = new Oak()
  peer.tell({ type: 'linkUp', peer: elm, link: 1 })
  const pages = limits.feedsMax / limits.digestFeedsPerMessageMax + 1
  for (let page = 0; page < pages; page++) {
    const feeds = Array.from({ length: limits.digestFeedsPerMessageMax }, (_, i) => {
      return digest(feedOf(`w${page}x${i}` as PeerId), 1)
    })
    peer.hear(elm, { type: 'digest', feeds, listing: { replaced: [], more: true } })
  }
  expect(peer.machine.neighbors.get(elm)?.heads.size).toBe(limits.feedsMax)
  expect(peer.machine.anomalies.feedsRefused).toBe(limits.digestFeedsPerMessageMax)
})

test('a neighbor whose disk went back is pushed to again from where it says that it is', () => {
  const peer = new Oak()
  peer.write(0, true)
  for (const end of [1, 2, 3]) peer.write(end, true)
  peer.link(elm, 1, [digest(feedOf(oak), 3)])
  peer.hear(elm, { type: 'digest', feeds: [digest(feedOf(oak), 1)] })
  expect(ofType(peer.sweep(1_000), 'sendRange')).toMatchObject([{ position: 1, endMax: 3 }])
})

test('a want is answered from what is on disk, live pushes go first, and nothing to send is said', () => {
  const feed = feedOf(elm)
  const peer = new Oak([openedFeed(feed, 4)])
  peer.write(0, true)
  peer.link(ash, 2, [digest(feedOf(oak), 0)])
  const want = { type: 'want', ref: 5, feed, position: 1, bytesMax: 10_000_000 } as const
  const [serve] = ofType(peer.hear(ash, want), 'sendRange')
  expect(serve).toMatchObject({ ref: 5, position: 1, endMax: 4, bytesMax: limits.dataFrameBytesTarget })
  peer.hear(ash, { ...want, ref: 6 })
  peer.write(1, false)
  const sent = { type: 'rangeSent', to: ash, link: 2, nextPosition: 4, sizeBytes: 300 } as const
  expect(ofType(peer.tell(sent), 'sendRange')).toMatchObject([{ ref: 0, feed: feedOf(oak) }])
  const none = peer.hear(ash, { ...want, ref: 7, position: 4 })
  expect(messages(none, 'wantMissing')).toMatchObject([{ message: { ref: 7 } }])
})

test('damage in an own feed keeps nobody from publishing: it is no copy until it is mended, but new records are durable', () => {
  const peer = new Oak()
  for (const end of [0, 1, 2]) peer.write(end, true)
  peer.link(elm, 1, [digest(feedOf(oak), 2)])
  peer.tell({ type: 'damageFound', feed: feedOf(oak), range: { from: 0, to: 1 } })
  const settled = [
    peer.publish({ ref: 1, endOffset: 2, level: { type: 'local' } }),
    peer.publish({ ref: 2, endOffset: 2, level: { type: 'count', count: 2 } }),
    peer.tell({ type: 'drainRequested' }),
  ].map(settledOf)
  const peers = [oak, elm]
  expect(settled).toEqual([[{ ref: 1, reached: true, peers }], [], [{ ref: 2, reached: false, peers }]])
})
