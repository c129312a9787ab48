// What a peer shows of its replication: who lacks what, what it fetches and mends, and whom it waits for before it lets go. By
// what oak holds and what elm and ash say, in numbers that can be followed by hand.
import { expect, test } from 'vitest'
import type { Epoch, PeerId } from '#protocol/ids'
import { limits } from '#protocol/limits'
import { ash, batch, digest, elm, feedOf, headAt, messages, Oak, openedFeed } from '#protocol/replication/test-oak'
import { oak as self, openingBatch, openingOf, orders } from '#protocol/replication/test-oak'
import { replicationView } from './replication-view.ts'

const view = (oak: Oak) =>
  replicationView({
    replication: oak.machine,
    self,
    nowMs: oak.nowMs,
    nameOf: (peer) => `the ${peer}`,
    topicOf: (topicId) => (topicId === orders ? 'orders' : topicId),
  })

const ofElm = feedOf(elm)
const place = { topic: 'orders', feed: 'elm.0000000000000001' }

test('who misses how much of which topic, this peer among them, and whose word is an old one', () => {
  const oak = new Oak([openedFeed(ofElm, 4)])
  oak.link(elm, 1, [digest(ofElm, 10)])
  oak.link(ash, 2, [digest(ofElm, 7)])
  oak.tell({ type: 'linkDown', peer: ash })
  oak.hear(elm, { type: 'disk', full: true })
  const { behind, neighbors, totals } = view(oak)
  expect(behind).toEqual([
    { peer: self, name: 'the oak', topic: 'orders', records: 6, current: true },
    { peer: ash, name: 'the ash', topic: 'orders', records: 3, current: false },
  ])
  expect(neighbors).toMatchObject([
    { name: 'the ash', linked: false, current: false, diskFull: false, behindRecords: 3 },
    { name: 'the elm', linked: true, current: true, diskFull: true, behindRecords: 0 },
  ])
  expect(totals).toMatchObject({ behindRecords: 9, behindFeeds: 1, diskFull: false })
  oak.tell({ type: 'diskChanged', full: true })
  expect(view(oak).totals.diskFull).toBe(true)
})

test('a catch-up tells from whom, how far, and at what rate since it began; a failed holder does not set it back', () => {
  const oak = new Oak()
  const [want] = messages(oak.link(ash, 2, [digest(ofElm, 20)]), 'want')
  expect(view(oak).catchUps).toEqual([
    { ...place, from: 'the ash', position: 0, target: 20, recordsLeft: 20, sinceMs: 0 },
  ])
  oak.nowMs = 1_000
  oak.receive(ash, ofElm, [openingBatch(openingOf(elm))], { link: 2, ref: want?.message.ref ?? 0 })
  const next = messages(oak.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(0) }] }), 'want')
  oak.nowMs = 2_000
  const batches = Array.from({ length: 10 }, (_, offset) => batch(offset))
  const ref = (next[0] ?? want)?.message.ref ?? 0
  oak.receive(ash, ofElm, batches, { link: 2, ref })
  oak.link(elm, 1, [digest(ofElm, 22)])
  oak.tell({ type: 'linkDown', peer: ash })
  expect(view(oak).catchUps).toEqual([
    { ...place, from: 'the elm', position: 10, target: 22, recordsLeft: 12, sinceMs: 2_000, recordsPerSecond: 5 },
  ])
})

test('damage is being fetched, waits, or is lost', () => {
  const holes = [
    { from: 1, to: 2 },
    { from: 3, to: 5 },
    { from: 6, to: 7 },
  ]
  const oak = new Oak([openedFeed(ofElm, 9, { holes })])
  oak.link(elm, 1, [{ ...digest(ofElm, 9), holes: [{ from: 6, to: 7 }] }])
  expect(view(oak).repairs).toEqual([
    { ...place, state: 'fetching', from: 1, to: 2, source: 'the elm', position: 1 },
    { ...place, state: 'waiting', from: 3, to: 5 },
    { ...place, state: 'waiting', from: 6, to: 7 },
  ])
  oak.link(ash, 2, [])
  view(oak)
  oak.askAround()
  const { repairs, totals } = view(oak)
  expect(repairs.map(({ state, from }) => [state, from])).toEqual([
    ['fetching', 1],
    ['lost', 6],
    ['waiting', 3],
  ])
  expect(totals).toMatchObject({ damagedRecords: 4, lostRecords: 1, rangesFound: 0 })
})

test('a feed that is to go tells what it waits for, step by step', () => {
  // With two replicas `orders` belongs to ash and elm.
  const yews = feedOf('yew' as PeerId)
  const graceMs = 60_000
  const oak = new Oak([openedFeed(yews, 5)], { replicas: 2, handoffGraceMs: graceMs })
  oak.link(elm, 1, [digest(yews, 5)])
  oak.link(ash, 2, [digest(yews, 3)])
  oak.sweep(1_000)
  const going = { topic: 'orders', feed: 'yew.0000000000000001', records: 5 }
  expect(view(oak).handoffs).toMatchObject([{ ...going, step: 'copying', waitsFor: ['the ash'] }])
  oak.hear(ash, { type: 'digest', feeds: [digest(yews, 5)] })
  expect(view(oak).handoffs).toMatchObject([{ ...going, step: 'queued', waitsFor: [] }])
  const [asked] = messages(oak.sweep(graceMs), 'handoff')
  expect(view(oak).handoffs).toEqual([{ ...going, step: 'asking', waitsFor: ['the ash', 'the elm'] }])
  const confirm = (from: PeerId) => oak.hear(from, { type: 'handoffConfirmed', ref: asked?.message.ref ?? 0 })
  confirm(elm)
  expect(view(oak).handoffs).toEqual([{ ...going, step: 'asking', waitsFor: ['the ash'] }])
  confirm(ash)
  expect(view(oak).handoffs).toEqual([{ ...going, step: 'grace', waitsFor: [], nextInMs: graceMs }])
  const [again] = messages(oak.sweep(graceMs), 'handoff')
  for (const from of [elm, ash]) oak.hear(from, { type: 'handoffConfirmed', ref: again?.message.ref ?? 0 })
  const { handoffs, totals } = view(oak)
  expect([handoffs, totals.handedOff]).toEqual([[], 1])
})

test('lists are cut, and what is left out is counted', () => {
  const count = limits.replicationRowsMax + 3
  const holes = [{ from: 1, to: 2 }]
  const epochOf = (n: number) => n.toString(16).padStart(16, '0') as Epoch
  const feeds = Array.from({ length: count }, (_, n) => openedFeed(feedOf(elm, epochOf(n)), 9, { holes }))
  const { repairs, leftOut, totals } = view(new Oak(feeds))
  expect([repairs.length, leftOut.repairs, totals.damagedRecords]).toEqual([limits.replicationRowsMax, 3, count])
})
