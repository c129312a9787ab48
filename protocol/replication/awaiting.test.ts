// Goal: whoever asks for copies of a record is answered as its publisher was, at any peer: at one that holds it by the
// chain that is here, elsewhere by what each peer tells of itself. Method: oak is asked for a record of elm's.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import type { PendingPublish } from './inputs.ts'
import { placementOrder } from './placement.ts'
import { ash, batch, digest, elm, feedOf, hashAt, headAt, Oak, oak as self, openedFeed } from './test-oak.ts'
import { openingBatch, openingOf, orders, settledOf } from './test-oak.ts'

const ofElm = feedOf(elm)
const asked = { ref: 1, feed: ofElm, endOffset: 3, level: { type: 'all' } as const, deadlineMs: 5_000 }
const ask = (oak: Oak, more: Partial<PendingPublish> = {}) =>
  settledOf(oak.tell({ type: 'copiesAwaited', publish: { ...asked, ...more } }))
const tells = (oak: Oak, ...args: Parameters<typeof digest>) =>
  settledOf(oak.hear(ash, { type: 'digest', feeds: [digest(...args)] }))

test('a record that is here is counted by the chain that is here', () => {
  const oak = new Oak([openedFeed(ofElm, 5)])
  oak.link(elm, 1, [digest(ofElm, 5)])
  oak.link(ash, 2, [{ ...digest(ofElm, 5), hash: hashAt(77) }])
  expect(ask(oak)).toEqual([])
  expect(tells(oak, ofElm, 5)).toEqual([{ ref: 1, reached: true, peers: ['oak', 'elm', 'ash'] }])
})

test('one that is not here is counted by what others tell, and by our own disk once it is there', () => {
  const oak = new Oak()
  oak.link(elm, 1, [digest(ofElm, 5)])
  oak.link(ash, 2, [digest(ofElm, 2)])
  expect(ask(oak, { ref: 2, level: { type: 'local' } })).toEqual([{ ref: 2, reached: true, peers: ['elm'] }])
  expect(ask(oak)).toEqual([])
  expect(ask(oak, { ref: 3, level: { type: 'count', count: 2 } })).toEqual([])
  expect(tells(oak, ofElm, 3)).toEqual([{ ref: 3, reached: true, peers: ['elm', 'ash'] }])
  oak.receive(elm, ofElm, [openingBatch(openingOf(elm)), batch(0), batch(1), batch(2)])
  const stored = oak.tell({ type: 'rangesStored', runs: [{ feed: ofElm, head: headAt(3) }] })
  expect(settledOf(stored)).toEqual([{ ref: 1, reached: true, peers: ['oak', 'elm', 'ash'] }])
})

test('at its deadline the answer names those who have it, and not this peer if it has not', () => {
  const oak = new Oak()
  oak.link(elm, 1, [digest(ofElm, 5)])
  oak.link(ash, 2, [{ ...digest(ofElm, 5), holes: [{ from: 1, to: 2 }] }])
  expect(ask(oak)).toEqual([])
  oak.nowMs = asked.deadlineMs
  const due = oak.tell({ type: 'timerFired', timer: { type: 'settleDue', dueMs: asked.deadlineMs } })
  expect(settledOf(due)).toEqual([{ ref: 1, reached: false, peers: ['elm'] }])
  expect(oak.machine.waitingPublishes).toBe(0)
})

test('one that is damaged here is not counted here', () => {
  const oak = new Oak([openedFeed(ofElm, 5, { holes: [{ from: 2, to: 3 }] })])
  oak.link(elm, 1, [digest(ofElm, 5)])
  expect(ask(oak, { level: { type: 'count', count: 1 } })).toEqual([{ ref: 1, reached: true, peers: ['elm'] }])
})

test('a writer that is not at home is counted for what it has not let go of', () => {
  const members = [self, elm, ash].map((peer) => ({ peer, zone: '' }))
  const [home, writer] = placementOrder(orders, members).filter((peer) => peer !== self) as [PeerId, PeerId]
  const feed = feedOf(writer)
  const oak = new Oak([openedFeed(feed, 5)], { replicas: 1 })
  oak.link(home, 1, [digest(feed, 5)])
  oak.link(writer, 2, [{ ...digest(feed, 5), keptFrom: 4 }])
  const level = { type: 'count', count: 3 } as const
  expect(ask(oak, { feed, endOffset: 5, level })).toMatchObject([{ reached: true, peers: { length: 3 } }])
  expect(ask(oak, { ref: 2, feed, endOffset: 4, level })).toEqual([])
  oak.nowMs = asked.deadlineMs
  const due = oak.tell({ type: 'timerFired', timer: { type: 'settleDue', dueMs: asked.deadlineMs } })
  expect(settledOf(due)).toEqual([{ ref: 2, reached: false, peers: [self, home] }])
})
