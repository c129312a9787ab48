// Floors: what oak does when it hears that retention has trimmed a feed of fir somewhere.
import { expect, test } from 'vitest'
import type { PeerId } from '#protocol/ids'
import { feedKeyOf, type Head, NOTHING } from '#protocol/log/feed'
import type { ReplicationEffect } from './inputs.ts'
import type { FeedDigest } from './messages.ts'
import {
  ash,
  batch,
  digest,
  digestDue,
  elm,
  feedOf,
  hashAt,
  headAt,
  messages,
  Oak,
  oak,
  ofType,
  openedFeed,
  openingBatch,
  openingOf,
} from './test-oak.ts'

const ofFir = feedOf('fir' as PeerId)

const trimmed = (nextOffset: number, floor: number): FeedDigest => {
  return { ...digest(ofFir, nextOffset), floor, floorHash: hashAt(floor), keptFrom: floor }
}
const floorsOf = (effects: readonly ReplicationEffect[]): readonly number[] =>
  ofType(effects, 'changeFeed').flatMap(({ change }) => (change.type === 'floor' ? [change.floor.nextOffset] : []))

class Behind extends Oak {
  hearOf(entry: FeedDigest, from = elm) {
    return this.hear(from, { type: 'digest', feeds: [entry] })
  }

  onDisk(floor: Head) {
    return this.tell({ type: 'feedChanged', change: { type: 'floor', feed: ofFir, floor } })
  }

  get local() {
    return this.machine.local.get(feedKeyOf(ofFir))
  }
}

test('the highest floor holds: it is put on disk, not served below any more, and then told', () => {
  const peer = new Behind([openedFeed(ofFir, 10)])
  peer.link(elm, 1)
  expect(floorsOf(peer.hearOf(trimmed(10, 4)))).toEqual([4])
  expect(floorsOf(peer.hearOf(trimmed(10, 3)))).toEqual([])
  const [before] = messages(peer.tell(digestDue), 'digest')
  expect(before?.message.feeds).toMatchObject([{ floor: 0, keptFrom: 4, nextOffset: 10 }])
  const want = { type: 'want', ref: 9, feed: ofFir, position: 2, bytesMax: 1_000 } as const
  expect(messages(peer.hear(elm, want), 'wantMissing')).toHaveLength(1)
  expect(ofType(peer.onDisk(headAt(4)), 'feedAdvanced')).toHaveLength(1)
  const [told] = messages(peer.tell(digestDue), 'digest')
  expect(told?.message.feeds).toMatchObject([{ floor: 4, floorHash: hashAt(4), keptFrom: 4, nextOffset: 10 }])
})

test('the opening batch is served whatever was trimmed, and alone', () => {
  const peer = new Behind([openedFeed(ofFir, 10, { floor: headAt(4), keptFrom: 4 })])
  peer.link(elm, 1)
  const want = { type: 'want', ref: 9, feed: ofFir, position: NOTHING, bytesMax: 1_000 } as const
  expect(ofType(peer.hear(elm, want), 'sendRange')).toMatchObject([{ position: NOTHING, endMax: 0 }])
})

test('a peer that is behind a floor goes on from there, once what it has is on disk', () => {
  const peer = new Behind([openedFeed(ofFir, 2)])
  peer.link(elm, 1, [digest(ofFir, 3)])
  peer.receive(elm, ofFir, [batch(2)], { ref: 1 })
  expect(floorsOf(peer.hearOf(trimmed(9, 6)))).toEqual([])
  const stored = peer.tell({ type: 'rangesStored', runs: [{ feed: ofFir, head: headAt(3) }] })
  expect(floorsOf(stored)).toEqual([6])
  expect(messages(stored, 'want')).toMatchObject([{ message: { position: 6 } }])
  expect(peer.local).toMatchObject({ appended: headAt(6), durable: headAt(3) })
  peer.onDisk(headAt(6))
  expect(peer.local).toMatchObject({ durable: headAt(6), floor: headAt(6), keptFrom: 6 })
})

test('of a feed that is new here, the opening batch comes first, then what lies above the floor', () => {
  const peer = new Behind()
  const asked = messages(peer.link(elm, 1, [trimmed(9, 6)]), 'want')
  expect(asked).toMatchObject([{ message: { position: NOTHING } }])
  const opened = peer.receive(elm, ofFir, [openingBatch(openingOf(ofFir.writer))], { ref: 1 })
  expect(messages(opened, 'want')).toEqual([])
  const stored = peer.tell({ type: 'rangesStored', runs: [{ feed: ofFir, head: headAt(0) }] })
  expect(floorsOf(stored)).toEqual([6])
  expect(messages(stored, 'want')).toMatchObject([{ message: { position: 6 } }])
  const taken = peer.receive(elm, ofFir, [batch(6), batch(7)], { ref: 2 })
  expect(ofType(taken, 'storeReceived')).toMatchObject([{ head: headAt(8) }])
})

test('a higher floor that is heard while one is on its way to disk follows it', () => {
  const peer = new Behind([openedFeed(ofFir, 2)])
  peer.link(elm, 1, [trimmed(9, 6)])
  expect(floorsOf(peer.hearOf(trimmed(9, 8)))).toEqual([])
  expect(floorsOf(peer.onDisk(headAt(6)))).toEqual([8])
  peer.onDisk(headAt(8))
  expect(peer.local).toMatchObject({ durable: headAt(8), floor: headAt(8) })
})

test('what the last of several floors has let go of is not wanted again when the first is on disk', () => {
  const peer = new Behind([openedFeed(ofFir, 5)])
  peer.link(elm, 1, [digest(ofFir, 6)])
  peer.receive(elm, ofFir, [batch(5)], { ref: 1 })
  expect([trimmed(9, 2), trimmed(9, 4), trimmed(9, 6)].map((told) => floorsOf(peer.hearOf(told)))).toEqual([
    [2],
    [4],
    [],
  ])
  expect(ofType(peer.onDisk(headAt(2)), 'changeFeed')).toEqual([])
  expect(peer.local).toMatchObject({ floor: headAt(2), keptFrom: 4, holes: [] })
})

test('holes below a floor are none any more, and nobody waits for them', () => {
  const holes = [
    { from: 1, to: 3 },
    { from: 5, to: 8 },
  ]
  const peer = new Behind([openedFeed(ofFir, 10, { holes })])
  peer.link(elm, 1, [trimmed(10, 6)])
  expect(peer.local?.holes).toEqual([{ from: 6, to: 8 }])
})

test('a piece of a hole that a floor has passed meanwhile is not stored', () => {
  const peer = new Behind([openedFeed(ofFir, 10, { holes: [{ from: 3, to: 5 }] })])
  peer.link(ash, 2, [digest(ofFir, 10)])
  const ends = { before: hashAt(3), after: hashAt(5) }
  const [want] = messages(peer.tell({ type: 'chainFound', feed: ofFir, range: { from: 3, to: 5 }, ...ends }), 'want')
  peer.link(elm, 1, [trimmed(10, 6)])
  const late = peer.receive(ash, ofFir, [batch(3), batch(4)], { link: 2, ref: want?.message.ref ?? 0 })
  expect(ofType(late, 'fillHole')).toEqual([])
  expect(messages(late, 'credit')).toMatchObject([{ to: ash }])
})

test('a floor on another chain, or beyond what we wrote ourselves, is not believed', () => {
  const peer = new Behind([openedFeed(ofFir, 10)])
  peer.write(0, true)
  peer.link(elm, 1)
  expect(floorsOf(peer.hearOf({ ...trimmed(10, 10), floorHash: hashAt(666) }))).toEqual([])
  expect(floorsOf(peer.hearOf({ ...digest(feedOf(oak), 9), floor: 5, floorHash: hashAt(5) }))).toEqual([])
  expect(peer.machine.anomalies.foreignChains).toBeGreaterThanOrEqual(2)
})

test('while a floor is on its way to disk, and a higher one waits, nothing below is wanted back', () => {
  const peer = new Behind([openedFeed(ofFir, 2)])
  peer.link(elm, 1, [trimmed(9, 6)])
  peer.hearOf(trimmed(9, 8))
  const kept = (effects: readonly ReplicationEffect[]) =>
    ofType(effects, 'changeFeed').filter(({ change }) => change.type === 'kept')
  expect(kept(peer.register([oak, elm]))).toEqual([])
  expect(kept(peer.onDisk(headAt(6)))).toEqual([])
})
